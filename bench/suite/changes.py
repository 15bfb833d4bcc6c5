"""Changes under load: configurations put in force, rollbacks and promotions, and the requests that are lost by them."""
import json, pathlib, re, subprocess, tempfile, time, urllib.request

from . import peers
from .common import SUITE, Running, build, find, free_port, say, wait_for
from .models import Models

CONNECTIONS, PAUSE_S = 32, 0.1


def call(admin, path, body=None):
    data = json.dumps(body or {}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{admin}/api/v1{path}", data, {"content-type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=30))


def configuration(folder, port, admin, models, turn):
    """Each differs in what is copied, and in which server stands for the version that answers."""
    prod = (models.prod, models.healthy)[turn % 2]
    return (f"listen: 127.0.0.1:{port}\nadmin: 127.0.0.1:{admin}\nworkers: 1\nstore: {folder}/state\nmodels:\n  fraud:\n"
            f"    versions: {{ v2: http://127.0.0.1:{prod}, v1: http://127.0.0.1:{models.healthy} }}\n"
            f"    active: v2\n    stable: v1\n    tenant: x-tenant-id\n    shadow: {{ version: v1, percent: {1 + turn % 5} }}\n")


def run(quick):
    say("changes under load")
    peers.ensure_debian()
    driftline, seconds = build("-p", "driftline") / "driftline", 5 if quick else 20
    counts = {"reloads": 0, "rollbacks": 0, "promotions": 0}
    with tempfile.TemporaryDirectory(prefix="driftline-bench-") as name:
        folder, port, admin = pathlib.Path(name), free_port(), free_port()
        with Models(folder) as models:
            config = folder / "driftline.yaml"
            config.write_text(configuration(folder, port, admin, models, 0))
            with Running([driftline, "run", "-c", config], folder / "driftline.log") as process:
                wait_for(port, process), wait_for(admin, process)
                command = [find("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "-s", str(SUITE / "post.lua"),
                           f"http://127.0.0.1:{port}"]
                load = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
                while load.poll() is None:
                    fresh = folder / "driftline.yaml.new"
                    fresh.write_text(configuration(folder, port, admin, models, counts["reloads"] + 1))
                    fresh.rename(config)
                    call(admin, "/reload")
                    counts["reloads"] += 1
                    time.sleep(PAUSE_S)
                    call(admin, "/models/fraud/rollback", {"reason": "bench"})
                    counts["rollbacks"] += 1
                    time.sleep(PAUSE_S)
                    call(admin, "/models/fraud/promote", {"version": "v2", "reason": "bench"})
                    counts["promotions"] += 1
                    time.sleep(PAUSE_S)
                text = load.stdout.read()
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    not_ok = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    lost = (sum(map(int, errors.groups())) if errors else 0) + (int(not_ok[1]) if not_ok else 0)
    what = f"requests lost by {counts['reloads']} reloads and {counts['rollbacks']} rollbacks"
    marks = [{"what": what, "unit": "requests", "value": lost, "most": 0}]
    return {**counts, "requests": int(re.search(r"(\d+) requests in", text)[1]), "connections": CONNECTIONS, "lost": lost,
            "marks": marks}
