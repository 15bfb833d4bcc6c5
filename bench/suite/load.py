"""Load: wrk for HTTP/1.1, h2load for HTTP/2. Both give requests, percentiles and failures."""
import os, re, subprocess

from .common import SUITE, find


def micros(text):
    value, unit = re.match(r"([\d.]+)(us|ms|s|m)$", text).groups()
    return float(value) * {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}[unit]


def wrk(port, connections, seconds, body="normal", close=False):
    """A closed loop over some connections."""
    command = [find("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s",
               "-s", str(SUITE / "post.lua"), f"http://127.0.0.1:{port}"]
    env = {**os.environ, "BODY": body, **({"CLOSE": "1"} if close else {})}
    text = subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout
    percentiles = dict(re.findall(r"\s+(50|99)%\s+(\S+)", text))
    not_ok = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    failed = sum(map(int, errors.groups())) if errors else 0
    # A connection that is closed after each answer, as asked, is counted as a read error by wrk.
    if close:
        failed -= int(errors[2]) if errors else 0
    return {"requests": int(re.search(r"(\d+) requests in", text)[1]), "seconds": float(seconds),
            "p50_us": micros(percentiles["50"]), "p99_us": micros(percentiles["99"]),
            "failed": failed + (int(not_ok[1]) if not_ok else 0)}


def h2load(port, connections, seconds, folder, body_file):
    """The same over HTTP/2 without TLS, eight streams a connection."""
    log = folder / "h2load.log"
    log.unlink(missing_ok=True)
    command = [find("h2load"), "-t1", f"-c{connections}", "-m8", f"-D{seconds}", "-d", str(body_file), f"--log-file={log}",
               "-H", "content-type: application/json", "-H", "x-tenant-id: acme",
               f"http://127.0.0.1:{port}/v2/models/fraud/infer"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    counts = {name: int(n) for n, name in re.findall(r"(\d+) (done|succeeded|failed|errored|timeout)", text)}
    took = sorted(int(line.split()[2]) for line in log.read_text().splitlines())
    at = lambda share: float(took[min(len(took) - 1, int(len(took) * share))]) if took else 0.0
    return {"requests": counts.get("succeeded", 0), "seconds": float(seconds), "p50_us": at(0.5), "p99_us": at(0.99),
            "failed": counts.get("failed", 0) + counts.get("errored", 0)}
