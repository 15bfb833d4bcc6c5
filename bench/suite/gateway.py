"""The gateways side by side: CPU per request, latency, what a bad shadow does, what observing costs."""
import pathlib, re, statistics, tempfile, urllib.request

from . import peers
from .common import build, cpu_seconds, find, say
from .load import h2load, wrk
from .models import Models
from .proxies import Bare, Driftline, Envoy, Nginx, all_versions

# What is copied where. Every one is measured at 32 connections, with 1.9 KB and connections that are kept.
COPIES = {
    "plain": (0, None), "5 % copied": (5, "healthy"), "100 % copied": (100, "healthy"),
    "5 % to a hanging shadow": (5, "hanging"), "5 % to a dead shadow": (5, "dead"),
    "5 % to a resetting shadow": (5, "resetting"), "5 % to an endless shadow": (5, "endless"),
}
# What else can differ, each for itself, with 5 % copied; what a mark is about, also without copies.
SHAPES = {
    "1 connection": {"connections": 1}, "512 connections": {"connections": 512},
    "200 B": {"body": "small"}, "100 KB": {"body": "large"}, "a connection a request": {"close": True},
    "HTTP/2": {"http2": True},
}
QUICK_COPIES = ["plain", "5 % copied", "5 % to a hanging shadow"]
QUICK_SHAPES = ["1 connection"]
PLAIN_SHAPES = ["1 connection"]


def cases(quick):
    """Name, share, shadow, shape and how often it counts."""
    for name, (percent, shadow) in COPIES.items():
        if not quick or name in QUICK_COPIES:
            yield name, percent, shadow, {}
    for shape, settings in SHAPES.items():
        if not quick or shape in QUICK_SHAPES:
            for name in ("plain", "5 % copied") if shape in PLAIN_SHAPES else ("5 % copied",):
                yield f"{name}, {shape}", *COPIES[name], settings


def unmeasured(admin):
    """Requests that Driftline served and did not measure so far."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=10).read().decode()
    return sum(float(value) for value in re.findall(r"^driftline_observations_dropped_total{.*} (\S+)$", text, re.M))


def measure(proxy, case, seconds, folder):
    """One proxy, started for this, in one case."""
    _, percent, shadow, shape = case
    connections = shape.get("connections", 32)
    with proxy.start(percent, shadow, shape.get("http2", False)) as (port, pids, admin):
        def load(duration):
            if shape.get("http2"):
                return h2load(port, connections, duration, folder, folder / "body.json")
            return wrk(port, connections, duration, shape.get("body", "normal"), shape.get("close", False))
        # Long enough for a reference of 1 000 requests to be learned.
        load(2 if connections == 1 else 1)
        before, lost = cpu_seconds(pids), unmeasured(admin) if admin else 0
        found = load(seconds)
        spent = cpu_seconds(pids) - before
        lost = unmeasured(admin) - lost if admin else 0
    requests = max(found["requests"], 1)
    return {"cpu_us": spent / requests * 1e6, "rps": requests / found["seconds"], "p50_us": found["p50_us"],
            "p99_us": found["p99_us"], "failed": found["failed"], "unmeasured": lost / requests}


def median(rounds):
    return {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}


def ratio(rounds, case, proxy, other, key, other_case=None):
    """The median over the rounds of the ratio within a round: what is busy around us hits both."""
    pairs = zip(rounds[case][proxy], rounds[other_case or case][other])
    return statistics.median(a[key] / b[key] for a, b in pairs)


def run(quick, seconds, n_rounds):
    peers.ensure_debian()
    tools = {"envoy": peers.envoy(),
             "driftline": build("-p", "driftline") / "driftline",
             "gateway": build("-p", "gateway", "--example", "plain_proxy") / "examples/plain_proxy"}
    with tempfile.TemporaryDirectory(prefix="driftline-bench-") as name:
        folder = pathlib.Path(name)
        write_body(folder / "body.json")
        with Models(folder) as models:
            whole = [make(folder, models, tools) for make in (Nginx, Driftline, Envoy)]
            bare = [Bare(folder, models, tools, tap) for tap in ("off", "kept")]
            rounds = {}
            for number in range(n_rounds):
                for case in cases(quick):
                    # What observing costs is asked where nothing else differs.
                    proxies = whole + (bare if case[0] in ("plain", "5 % copied", "plain, 1 connection") else [])
                    for proxy in proxies:
                        say(f"round {number + 1} of {n_rounds}: {case[0]}: {proxy.name}")
                        found = measure(proxy, case, seconds, folder)
                        rounds.setdefault(case[0], {}).setdefault(proxy.name, []).append(found)
        versions = all_versions(tools)
    figures = {case: {proxy: median(r) for proxy, r in by.items()} for case, by in rounds.items()}
    return {"versions": versions, "rounds": n_rounds, "seconds": seconds, "figures": figures, "marks": marks(rounds)}


def marks(rounds):
    """What the project promises, and what this run found."""
    ours, bare = "Driftline", "Driftline, tap off"
    list_ = [
        ("CPU per request, gateway alone, no copy", "x nginx", ratio(rounds, "plain", bare, "nginx", "cpu_us"), 1.1),
        ("CPU per request, 5 % copied, everything counted", "x nginx", ratio(rounds, "5 % copied", ours, "nginx", "cpu_us"), 1.3),
        ("CPU per request, 5 % copied, everything counted", "x Envoy", ratio(rounds, "5 % copied", ours, "Envoy", "cpu_us"), 0.45),
        ("p50 at one connection, everything counted", "x nginx",
         ratio(rounds, "plain, 1 connection", ours, "nginx", "p50_us"), 1.0),
    ]
    for case in rounds:
        if "shadow" in case:
            list_.append((f"p99, {case}", "x ours without a shadow", ratio(rounds, case, ours, ours, "p99_us", "plain"), 1.2))
    return [{"what": what, "unit": unit, "value": value, "most": most} for what, unit, value, most in list_]


def write_body(file):
    value = lambda n: n * 7919 % 100000 / 100000
    tensors = ",".join(f'{{"name":"f{n:02}","datatype":"FP32","shape":[1],"data":[{value(n):.5f}]}}' for n in range(1, 31))
    file.write_text(f'{{"id":"7","inputs":[{tensors}]}}')
