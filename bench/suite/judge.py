"""Scenarios through `driftline backtest`, on recorded time: what fired, and whether that was right."""
import bisect, collections, contextlib, datetime, json, math, pathlib, subprocess, tempfile, time

from .scenarios import CALM, CHANGED, LEARN
from .worlds import DAY, START, Traffic, even

CONFIG = """models:
  m:
    versions: { v2: http://127.0.0.1:9, v1: http://127.0.0.1:9 }
    active: v2
    stable: v1
"""
# Days between two false alarms of a detector, as documented.
FALSE_ALARM_DAYS = 30
KEPT_WORDS = 6


def play(program, records, every, config="", extra=()):
    """The document that `driftline backtest` prints about an iterable of lines."""
    with tempfile.TemporaryDirectory(prefix="driftline-judgement-") as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        (folder / "driftline.yaml").write_text(CONFIG + config)
        out, errors = (stack.enter_context(open(folder / file, "w+")) for file in ("out", "errors"))
        process = subprocess.Popen([program, "backtest", "--format", "json", "--every", every, *extra, "-"], cwd=folder, text=True,
                                   stdin=subprocess.PIPE, stdout=out, stderr=errors)
        with contextlib.suppress(BrokenPipeError), process.stdin as to:
            to.writelines(records)
        status = process.wait()
        if status not in (0, 1):
            errors.seek(0)
            raise RuntimeError(f"driftline backtest ended with {status}: {errors.read()[-2000:]}")
        out.seek(0)
        return json.load(out)


def fired(document, *severities):
    return [event for event in document["events"] if event["event"] == "firing" and event["severity"] in severities]


def rolled(document):
    return [event for event in document["events"] if event["event"] == "rollback"]


def seconds(at):
    return (datetime.datetime.fromisoformat(at.replace("Z", "+00:00")) - START).total_seconds()


def said(event):
    return f"{event.get('alert', 'rollback')}: {event['text']}"


def calm(program, scenario, seed, days):
    """One run without a change. Rules are judged once a minute where that is some rows."""
    every = "60s" if scenario.rate <= 0.5 else "15s"
    traffic, began = Traffic(scenario, seed, days * DAY), time.monotonic()
    document = play(program, traffic, every, scenario.config)
    warnings = fired(document, "warning")
    learned = LEARN / max(traffic.records, LEARN)
    return {"name": scenario.name, "seed": seed, "days": days * (1 - learned), "records": traffic.records, "seconds": time.monotonic() - began,
            "rollbacks": len(rolled(document)), "criticals": len(fired(document, "critical")),
            "drift_detected": sum(event["alert"] == "DriftDetected" for event in warnings),
            "other_warnings": sum(event["alert"] != "DriftDetected" for event in warnings), "info": len(fired(document, "info")),
            "words": [said(event) for event in fired(document, "warning", "critical") + rolled(document)][:KEPT_WORDS]}


def changed(program, scenario, seed):
    """One run with a change."""
    # Where the rate follows the day, in the morning of the second one.
    start = (LEARN + scenario.settle) / scenario.rate if scenario.rhythm is even else 1.3 * DAY
    traffic, began = Traffic(scenario, seed, start + scenario.rows / scenario.rate, start), time.monotonic()
    document = play(program, traffic, scenario.every, scenario.config)
    after = lambda events: [event for event in events if seconds(event["at"]) >= start]
    rows = lambda event: bisect.bisect_right(traffic.changed_at, seconds(event["at"]))
    alerts, rollbacks = fired(document, "warning", "critical"), rolled(document)
    first = next(iter(after(alerts)), None)
    detected = next((event for event in after(alerts) if event["alert"] in ("DriftDetected", "TenantDrift")), None)
    moved = next(iter(after(rollbacks)), None)
    result = {"name": scenario.name, "seed": seed, "rate": scenario.rate, "seconds": time.monotonic() - began,
              "before": [said(event) for event in alerts + rollbacks if seconds(event["at"]) < start][:KEPT_WORDS],
              "first": first and first["alert"], "rows_to_detector": detected and rows(detected), "rows_to_alert": first and rows(first),
              "rows_to_rollback": moved and rows(moved), "seconds_to_rollback": moved and seconds(moved["at"]) - start,
              "words": [said(event) for event in after(alerts) + after(rollbacks)][:KEPT_WORDS]}
    result["wrong"] = list(wrong(scenario, result, after(alerts)))
    return result


def wrong(scenario, result, alerts):
    """What is not as it should be."""
    if result["before"]:
        yield "an alert before the change"
    right = [event for event in alerts if event["alert"] in scenario.alert]
    if not alerts:
        yield "silent"
    elif not right:
        yield f"none of {', '.join(scenario.alert)}"
    elif scenario.words and not any(scenario.words in event["text"] for event in right):
        yield f"no alert names {scenario.words}"
    elif scenario.within and result["rows_to_alert"] > scenario.within:
        yield f"{result['rows_to_alert']} rows to the alert, {scenario.within} are wanted"
    if scenario.rollback is not None and scenario.rollback != (result["rows_to_rollback"] is not None):
        yield "no rollback" if scenario.rollback else "a rollback"


def one(job):
    """A job of a process of its own."""
    program, kind, at, seed, days = job
    if kind == "calm":
        return job, kind, calm(program, CALM[at], seed, days)
    return job, kind, changed(program, CHANGED[at], seed)


def summed(runs):
    """Calm runs, those of one scenario together."""
    by_name = collections.defaultdict(list)
    for run in runs:
        by_name[run["name"]].append(run)
    order = [scenario.name for scenario in CALM]
    for name in sorted(by_name, key=order.index):
        same = sorted(by_name[name], key=lambda run: run["seed"])
        total = {key: sum(run[key] for run in same) for key in ("days", "records", "seconds", "rollbacks", "criticals", "drift_detected",
                                                                  "other_warnings", "info")}
        yield {"name": name, "runs": len(same), **total, "words": [word for run in same for word in run["words"]][:KEPT_WORDS]}


def at_most(events, days):
    """With 95 % confidence there are fewer than this in 30 days: 3 / days where none was seen, else the upper end of Poisson's interval."""
    low, high = float(events), 3.0 + 3 * events + 10
    for _ in range(60):
        mean = (low + high) / 2
        term = total = math.exp(-mean)
        for n in range(1, events + 1):
            term *= mean / n
            total += term
        low, high = (mean, high) if total > 0.05 else (low, mean)
    return high / days * 30


def explained(days):
    """Alarms in all that the stated rate of false alarms explains, but for one run of a thousand."""
    mean = days / FALSE_ALARM_DAYS
    if mean > 100:
        return math.ceil(mean + 3.1 * math.sqrt(mean))
    term = total = math.exp(-mean)
    n = 0
    while total < 0.999:
        n += 1
        term *= mean / n
        total += term
    return n
