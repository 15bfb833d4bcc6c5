"""Chromium without a window, driven over the pipe of its DevTools protocol: JSON with a zero byte behind each message."""
import json, os, subprocess, tempfile, time

PATIENCE_S = 60


class Browser:
    """One page; `before` runs at the beginning of every page that it opens."""

    def __init__(self, before=""):
        self.before = before

    def __enter__(self):
        self.profile = tempfile.TemporaryDirectory(prefix="driftline-chromium-", ignore_cleanup_errors=True)
        (commands, self.send_to), (self.read_from, events) = os.pipe(), os.pipe()

        def wire():
            # Chromium reads commands from descriptor 3 and writes to 4. Copies first: one may be where the other goes.
            a, b = os.dup(commands), os.dup(events)
            os.dup2(a, 3), os.dup2(b, 4)

        self.process = subprocess.Popen(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--remote-debugging-pipe", f"--user-data-dir={self.profile.name}", "--window-size=1280,900", "about:blank"],
            close_fds=False, preexec_fn=wire, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(commands), os.close(events)
        self.number, self.rest, self.session = 0, b"", None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable"), self.call("Runtime.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=self.before)
        return self

    def __exit__(self, *_):
        os.close(self.send_to), os.close(self.read_from)
        self.process.terminate()
        self.process.wait()
        self.profile.cleanup()

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.send_to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def read(self):
        while b"\0" not in self.rest:
            more = os.read(self.read_from, 1 << 20)
            if not more:
                raise RuntimeError("Chromium has ended")
            self.rest += more
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def open(self, url):
        told = self.call("Page.navigate", url=url)
        if told.get("errorText"):
            raise RuntimeError(f"{url}: {told['errorText']}")

    def eval(self, expression):
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in told:
            raise RuntimeError(f"{expression}: {told['exceptionDetails']}")
        return told["result"].get("value")

    def wait(self, expression):
        end = time.monotonic() + PATIENCE_S
        while not self.eval(f"Boolean({expression})"):
            if time.monotonic() > end:
                raise RuntimeError(f"not within {PATIENCE_S} s: {expression}: {self.eval('document.body.innerText')[:2000]}")
            time.sleep(0.02)

    def press(self, key):
        for kind in ["keyDown", "keyUp"]:
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=f"Digit{key}", windowsVirtualKeyCode=ord(key),
                      **({"text": key} if kind == "keyDown" else {}))
