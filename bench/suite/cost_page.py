"""The figures of `bench/cost` with a price, for a terminal and as the page docs/guide/cost.md."""
from .page import number, table

MILLION = 1_000_000
SHARE_OF_COPIES = 0.05
MONTHS = {"prod": 3, "shadow": 1}
NAMES = {"forwarding": "forwarding, the gateway alone", "copies": "copies of 5 %", "measuring": "decoding, counting, evaluating",
         "log": "inference log into files", "export": "/metrics, every 5 s", "rest": "the rest: rules, history, snapshots"}
# What this was to beat, for a million requests.
TO_BEAT = {"shadow": 0.15, "exporter": 0.03, "stack": 0.08}


def dollars(value):
    return f"${value:.4f}" if value < 0.1 else f"${value:.2f}"


def priced(results):
    """Everything that has a price, in dollars for a million requests at the steady rate."""
    prices, steady = results["prices"], results["steady"]
    cpu = lambda seconds: seconds / 3600 * prices["vcpu_hour"]
    hours = MILLION / steady["rate"] / 3600
    memory = lambda name: steady["memory_mb"][name] / 1024 * hours * prices["gb_hour"]
    line_gb = steady["log"]["bytes_a_line"] * steady["log"]["compressed_to"] / 1024 ** 3
    stored = MILLION * line_gb * (MONTHS["prod"] + SHARE_OF_COPIES * MONTHS["shadow"]) * prices["stored_gb_month"]
    parts = {name: cpu(seconds) for name, seconds in steady["cpu_s"].items()}
    others = {name: (cpu(seconds), memory(name)) for name, seconds in steady["others_cpu_s"].items()}
    return {"parts": parts, "memory": memory("driftline"), "others": others, "stored": stored, "hours": hours,
            "logged_gb": MILLION * (1 + SHARE_OF_COPIES) * steady["log"]["bytes_a_line"] / 1024 ** 3}


def components(results):
    steady, full, found = results["steady"], results["full_load"], priced(results)
    rows = []
    for name, title in NAMES.items():
        at_full = number(full[name], 1) if name in full else "-"
        rows.append([title, at_full, number(steady["cpu_s"][name], 1), dollars(found["parts"][name])])
    rows.append(["its memory", "", f"{number(steady['memory_mb']['driftline'], 0)} MB", dollars(found["memory"])])
    whole = sum(found["parts"].values()) + found["memory"]
    rows.append(["Driftline, all of it", number(full["whole"], 1), number(sum(steady["cpu_s"].values()), 1), dollars(whole)])
    for name, (cpu, memory) in found["others"].items():
        rows.append([f"{name}, CPU and {number(steady['memory_mb'][name], 0)} MB", "-", number(steady["others_cpu_s"][name], 1),
                     dollars(cpu + memory)])
    rows.append(["the log kept: 90 days prod, 30 days shadow", "", "", dollars(found["stored"])])
    return table(["component", "CPU s, full load", f"CPU s at {number(steady['rate'], 0)}/s", "price"], rows)


def beside(results):
    found = priced(results)
    parts = found["parts"]
    rows = [["copies to the shadow", dollars(TO_BEAT["shadow"]), dollars(parts["copies"]), ratio(parts["copies"], TO_BEAT["shadow"])]]
    exporter = parts["measuring"] + parts["export"]
    rows.append(["CPU of the exporter: measuring and /metrics", dollars(TO_BEAT["exporter"]), dollars(exporter),
                 ratio(exporter, TO_BEAT["exporter"])])
    stack = sum(cpu + memory for cpu, memory in found["others"].values()) + found["stored"]
    known = ", ".join([*found["others"], "the stored log"])
    rows.append([f"the stack: {known} (Loki's and Grafana's own CPU not measured)", dollars(TO_BEAT["stack"]), dollars(stack),
                 ratio(stack, TO_BEAT["stack"])])
    return table(["for a million requests", "to beat", "this run", ""], rows)


def ratio(value, to_beat):
    return f"{value / to_beat:.3f} x"


def text(results):
    return f"{components(results)}\n{beside(results)}"


def markdown(results):
    machine, steady, prices = results["machine"], results["steady"], results["prices"]
    found = priced(results)
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return "\n".join([
        "# Cost of a million requests\n",
        f"This page is made of `bench/cost.json`, one run of\n\n    {results['command']}\n",
        f"on {machine['cores']} cores ({machine['processor']}, {machine['system']}), with {versions}. One request has 30 numbers in "
        "1.9 KB; 5 % are copied; everything is counted, in total and for its tenant.\n",
        *([f"{results['note']}\n"] if results.get("note") else []),
        "## By component\n\n" + components(results),
        f"CPU seconds for a million requests, from the operating system's account of each thread. At full load (median of "
        f"{results['rounds']} turns of {results['seconds']} s) they are the cost of one more request. At "
        f"{number(steady['rate'], 0)} requests a second a million takes {number(found['hours'], 1)} hours, and what a program does "
        "by the clock, asked for or not, is in it as well: that column is priced.\n",
        f"/metrics had {number(steady['series'], 0)} series. A line of the log has {number(steady['log']['bytes_a_line'], 0)} bytes "
        f"({number(found['logged_gb'], 2)} GB for a million requests and their copies) and becomes "
        f"{steady['log']['compressed_to']:.0%} of that with gzip, as Loki keeps its chunks.\n",
        "## Prices\n",
        table(["what", "dollars"], [["one vCPU for an hour", f"{prices['vcpu_hour']:g}"], ["one GB of memory for an hour", f"{prices['gb_hour']:g}"],
                                    ["one GB stored for a month", f"{prices['stored_gb_month']:g}"]]),
        f"{prices['of']}. With your own:\n",
        "    bench/cost --from bench/cost.json --vcpu-hour 0.03238 --gb-hour 0.00356 --prices-of 'Fargate on ARM'\n",
        "## Beside what it was to beat\n",
        beside(results),
        "- **What a shadow model costs to answer is not in it**: 5 % of what production costs, or nothing where a shadow only logs.\n"
        "- **Loki, Fluent Bit and Grafana were not measured**: their binaries come from no package registry. Only the storage of the log is "
        "priced, by its size, without requests to the store and without replicas.\n"
        "- **None of the stack is needed**: `driftline run` alone measures, alerts, rolls back and shows it, for the line "
        "\"Driftline, all of it\".\n"
        "- A machine is paid for while it idles. These are shares of it: where a vCPU serves nothing else, it costs what it costs.\n",
    ])
