"""Stand-ins for models: nginx answers at once; a small program plays the shadows that misbehave."""
import asyncio, contextlib, pathlib, socket, struct, sys

from .common import Running, find, free_port, wait_for

ANSWER = ('{{"model_name":"fraud","model_version":"{version}","outputs":[{{"name":"score","datatype":"FP32","shape":[1],'
          '"data":[0.{version}234567]}}]}}')


def nginx_head(folder, name, connections=8192):
    return (f"worker_processes 1; daemon off; pid {folder}/{name}.pid; error_log {folder}/{name}.err;\n"
            f"events {{ worker_connections {connections}; }}\n")


def nginx_http(folder, name):
    """What every nginx here has in common: no log, connections that live, bodies in memory."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = " ".join(f"{kind}_temp_path {folder}/{name}-{kind};" for kind in kinds)
    return f"access_log off; keepalive_requests 100000000; client_body_buffer_size 256k; client_max_body_size 8m; {places}\n"


class Models:
    """Production, a healthy shadow, and the shadows that hang, reset, never end, or are dead."""

    def __init__(self, folder):
        self.folder = folder
        self.stack = contextlib.ExitStack()
        self.prod, self.healthy, self.dead = free_port(), free_port(), free_port()
        self.bad = {kind: free_port() for kind in ("hanging", "resetting", "endless")}

    def __enter__(self):
        config = self.folder / "models.conf"
        server = ("server {{ listen 127.0.0.1:{port}; location / {{ default_type application/json; "
                  "return 200 '{answer}'; }} }}\n")
        config.write_text(
            nginx_head(self.folder, "models") + "http {\n" +
            nginx_http(self.folder, "models") +
            server.format(port=self.prod, answer=ANSWER.format(version=1)) +
            server.format(port=self.healthy, answer=ANSWER.format(version=2)) + "}\n")
        nginx = self.stack.enter_context(Running([find("nginx", "/usr/sbin/nginx"), "-c", config], self.folder / "models.log"))
        wait_for(self.prod, nginx)
        command = [sys.executable, "-m", "suite.models", *map(str, self.bad.values())]
        bad = self.stack.enter_context(Running(command, self.folder / "bad.log", cwd=pathlib.Path(__file__).parents[1]))
        for port in self.bad.values():
            wait_for(port, bad)
        return self

    def __exit__(self, *problem):
        self.stack.__exit__(*problem)

    def shadow(self, kind):
        """The port of a shadow; nothing listens on the dead one's."""
        return {"healthy": self.healthy, "dead": self.dead, **self.bad}[kind]


async def hang(reader, writer):
    """Takes every byte and never answers."""
    while await reader.read(65536):
        pass
    writer.close()


async def reset(reader, writer):
    """Reads a little and breaks the connection with a reset."""
    await reader.read(1)
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def endless(reader, writer):
    """An answer of ten bytes every tenth of a second that never ends."""
    await reader.read(65536)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"a\r\n          \r\n")
        await writer.drain()
        await asyncio.sleep(0.1)


def quiet(handler):
    async def serve(reader, writer):
        with contextlib.suppress(OSError):
            await handler(reader, writer)
    return serve


async def play(ports):
    servers = [await asyncio.start_server(quiet(handler), "127.0.0.1", port, backlog=4096)
               for handler, port in zip((hang, reset, endless), ports)]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(play(sys.argv[1:4]))
