"""What a million requests cost: CPU of every thread of the program, of Prometheus and Alertmanager, bytes of log."""
import collections, contextlib, gzip, http.client, pathlib, random, re, statistics, tempfile, threading, time, urllib.request

from . import peers
from .common import ROOT, Running, build, find, free_port, machine, resident_mb, say, wait_for
from .load import wrk
from .models import Models

MILLION = 1_000_000
# Of the configuration, one switched on after the other.
PARTS = {
    "forwarding": "",
    "copies": "    shadow: { version: v1, percent: 5 }\n",
    "log": "    shadow: { version: v1, percent: 5 }\nlogs: { files: { path: %(folder)s/log } }\n",
}
SCRAPE_EVERY = 5
# Lines of log that are compressed to see how small they become.
SAMPLE_BYTES = 8 * 1024 * 1024


def run(args):
    peers.ensure_debian()
    program = pathlib.Path(args.program).resolve() if args.program else build("-p", "driftline") / "driftline"
    with tempfile.TemporaryDirectory(prefix="driftline-cost-") as name:
        folder = pathlib.Path(name)
        with Models(folder) as models:
            rounds = collections.defaultdict(list)
            for number in range(args.rounds):
                for part in PARTS:
                    say(f"round {number + 1} of {args.rounds}: {part}")
                    rounds[part].append(at_full_load(program, models, folder, part, args.seconds))
            say(f"{args.steady} s at {args.rate} requests per second")
            found = steady(program, models, folder, args.rate, args.steady)
    return {"machine": machine(), "versions": versions(program), "rounds": args.rounds, "seconds": args.seconds,
            "full_load": split(rounds), "steady": found}


@contextlib.contextmanager
def instance(program, models, folder, part):
    """The program with a part of its configuration; its process, ports and folder."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        here, port, admin = pathlib.Path(name), free_port(), free_port()
        (here / "driftline.yaml").write_text(
            f"listen: 127.0.0.1:{port}\nadmin: 127.0.0.1:{admin}\nworkers: 1\nstore: {here}/state\nmodels:\n  fraud:\n"
            f"    versions: {{ v2: http://127.0.0.1:{models.prod}, v1: http://127.0.0.1:{models.healthy} }}\n"
            f"    active: v2\n    stable: v1\n    tenant: x-tenant-id\n{PARTS[part] % {'folder': here}}")
        with Running([program, "run", "-c", here / "driftline.yaml"], here / "driftline.out") as process:
            wait_for(port, process), wait_for(admin, process)
            yield process.pid, port, admin, here


def threads(pid):
    """Nanoseconds on a processor by thread's name, numbers behind a name left out."""
    total = collections.Counter()
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            name = re.sub(r"-?\d+$", "", (task / "comm").read_text().strip())
            total[name] += int((task / "schedstat").read_text().split()[0])
    return total


def at_full_load(program, models, folder, part, seconds):
    """CPU seconds per million requests by thread."""
    with instance(program, models, folder, part) as (pid, port, _, _):
        wrk(port, 32, 2)
        before = threads(pid)
        found = wrk(port, 32, seconds)
        spent = threads(pid) - before
    if found["failed"]:
        raise RuntimeError(f"{found['failed']} requests failed: these figures would be of something else")
    return {name: ns / 1e9 / found["requests"] * MILLION for name, ns in spent.items()}


def split(rounds):
    """CPU seconds per million requests by component: threads, and what a part adds to the threads of others."""
    def median(of):
        return statistics.median(of(*turns) for turns in zip(*(rounds[part] for part in PARTS)))
    take = lambda turn, *names: sum(turn.get(name, 0.0) for name in names)
    named = ("gateway", "monitor", "shadow", "log-files")
    rest = lambda turn: sum(turn.values()) - take(turn, *named)
    return {
        "forwarding": median(lambda base, copies, log: take(base, "gateway")),
        "copies": median(lambda base, copies, log: take(copies, "shadow") + max(take(copies, "gateway") - take(base, "gateway"), 0)),
        "measuring": median(lambda base, copies, log: take(base, "monitor")),
        "log": median(lambda base, copies, log: take(log, "log-files") + max(take(log, "monitor") - take(copies, "monitor"), 0)),
        "rest": median(lambda base, copies, log: rest(log)),
        "whole": median(lambda base, copies, log: sum(log.values())),
    }


CONNECTIONS = 4


class Steady:
    """Requests at a steady rate over a few connections; those that come late are sent at once."""

    def __init__(self, port, rate):
        self.port, self.rate, self.counts, self.over = port, rate, [[0, 0] for _ in range(CONNECTIONS)], threading.Event()
        self.clients = [threading.Thread(target=self.send, args=(count,), daemon=True) for count in self.counts]
        for client in self.clients:
            client.start()

    sent = property(lambda self: sum(sent for sent, _ in self.counts))
    failed = property(lambda self: sum(failed for _, failed in self.counts))
    alive = property(lambda self: all(client.is_alive() for client in self.clients))

    def send(self, count):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        head, due = {"content-type": "application/json", "x-tenant-id": "acme"}, time.monotonic()
        # Other numbers each time: what repeats would make the log smaller than it is.
        draw = random.Random()
        tensor = lambda n: f'{{"name":"f{n:02}","datatype":"FP32","shape":[1],"data":[{draw.random():.5f}]}}'
        while not self.over.wait(max(due - time.monotonic(), 0)):
            due += CONNECTIONS / self.rate
            body = f'{{"id":"{count[0]}","inputs":[{",".join(tensor(n) for n in range(1, 31))}]}}'
            connection.request("POST", "/v2/models/fraud/infer", body, head)
            answer = connection.getresponse()
            answer.read()
            count[0] += 1
            count[1] += answer.status != 200

    def end(self):
        self.over.set()
        for client in self.clients:
            client.join()


def steady(program, models, folder, rate, seconds):
    """Everything on, at a steady rate, watched by Prometheus where there is one."""
    with instance(program, models, folder, "log") as (pid, port, admin, here), contextlib.ExitStack() as stack:
        watchers = start_watchers(stack, here, admin)
        load = Steady(port, rate)
        stack.callback(load.end)
        # The reference is learned from the first 1 000 requests, and the windows are filled.
        while load.sent < 2_500 and load.alive:
            time.sleep(0.1)
        before = {name: threads(watched) for name, watched in {"driftline": pid, **watchers}.items()}
        sent, start = load.sent, time.monotonic()
        time.sleep(seconds)
        spent = {name: threads(watched) - before[name] for name, watched in {"driftline": pid, **watchers}.items()}
        took, requests = time.monotonic() - start, load.sent - sent
        if load.failed:
            raise RuntimeError(f"{load.failed} of {load.sent} requests failed: these figures would be of something else")
        if requests < rate * took * 0.95:
            say(f"{requests / took:.0f} requests a second were sent, not {rate}: the machine is busy. That is the rate of the page.")
        page = urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=10).read()
        memory = {name: resident_mb(watched) for name, watched in {"driftline": pid, **watchers}.items()}
        load.end()
        log = log_lines(here / "log")
    per_million = lambda ns: ns / 1e9 / requests * MILLION
    ours = spent["driftline"]
    named = {"forwarding": ("gateway",), "copies": ("shadow",), "measuring": ("monitor",), "log": ("log-files",), "export": ("admin",)}
    cpu = {part: per_million(sum(ours[name] for name in names)) for part, names in named.items()}
    cpu["rest"] = per_million(sum(ours.values())) - sum(cpu.values())
    return {"rate": requests / took, "seconds": took, "requests": requests, "cpu_s": cpu,
            "others_cpu_s": {name: per_million(sum(spent[name].values())) for name in watchers},
            "memory_mb": memory, "series": sum(1 for line in page.splitlines() if line and not line.startswith(b"#")),
            "scrape_every": SCRAPE_EVERY, "log": log}


def start_watchers(stack, folder, admin):
    """Prometheus and Alertmanager on the shipped files, as far as they are installed: name to process."""
    prometheus, alertmanager = find("prometheus"), find("prometheus-alertmanager") or find("alertmanager")
    if not (prometheus and alertmanager):
        say("Prometheus and Alertmanager are not installed: they are left out")
        return {}
    shipped = lambda name: (ROOT / "deploy" / name).read_text()
    port, alerts_to = free_port(), free_port()
    config = shipped("prometheus/prometheus.yml")
    # Only what runs here is scraped; what is not there would cost connections that fail.
    ours = {"driftline": admin, "prometheus": port, "alertmanager": alerts_to}
    head, *jobs = re.split(r"(?m)^  (?=- job_name: )", config)
    jobs = [re.sub(r"targets: \[.*\]", f"targets: ['127.0.0.1:{ours[name]}']", job) for job in jobs
            if (name := re.match(r"- job_name: (\S+)", job)[1]) in ours]
    head = head.replace("[alertmanager:9093]", f"['127.0.0.1:{alerts_to}']")
    (folder / "prometheus.yml").write_text(head + "".join("  " + re.sub(r"(?m)^  #.*\n", "", job) for job in jobs))
    for name in ("driftline-rules.yml", "driftline-recording.yml"):
        (folder / name).write_text(shipped(f"prometheus/{name}"))
    (folder / "slack-url").write_text("http://127.0.0.1:9/nobody\n")
    (folder / "driftline-token").write_text("0123456789abcdef\n")
    (folder / "alertmanager.yml").write_text(
        shipped("alertmanager/alertmanager.yml").replace("/etc/alertmanager/secrets", str(folder)).replace("driftline:9464", f"127.0.0.1:{admin}"))
    commands = {
        "Alertmanager": ([alertmanager, f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/am",
                          "--cluster.listen-address=", f"--web.listen-address=127.0.0.1:{alerts_to}"], alerts_to),
        "Prometheus": ([prometheus, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb",
                        f"--web.listen-address=127.0.0.1:{port}"], port),
    }
    found = {}
    for name, (command, at) in commands.items():
        process = stack.enter_context(Running(command, folder / f"{name}.out", cwd=folder))
        wait_for(at, process)
        found[name] = process.pid
    return found


def log_lines(folder):
    """Lines that were written, their bytes, and how small they become."""
    text = b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())
    sample = text[:SAMPLE_BYTES]
    return {"bytes_a_line": len(text) / max(text.count(b"\n"), 1), "compressed_to": len(gzip.compress(sample, 6)) / max(len(sample), 1)}


def versions(program):
    known = {"Driftline": program, "Prometheus": find("prometheus"), "Alertmanager": find("prometheus-alertmanager")}
    return {name: peers.version([path, "--version"]) for name, path in known.items() if path}
