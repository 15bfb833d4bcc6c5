"""A model server whose answer is in the request: the header `x-answer`, as `x-answer-type`.

    python3 -m suite.echo PORT
"""
import asyncio, sys


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.buffer = transport, b""

    def data_received(self, data):
        self.buffer += data
        while True:
            head, end, rest = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return
            fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
            fields = {name.lower(): value for name, value in fields.items()}
            length = int(fields.get(b"content-length", 0))
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            body = fields.get(b"x-answer", b"{}")
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n%s" % (
                fields.get(b"x-answer-type", b"application/json"), len(body), body))


async def main(port):
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port, backlog=256)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
