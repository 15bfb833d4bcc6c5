"""Public data: the flights of testdata/, and data sets that packages ship, when these can be installed."""
import csv, datetime, json, pathlib, random, subprocess, time

from . import peers
from .common import ROOT, SUITE, say
from .judge import fired, play, rolled, said, seconds
from .worlds import moment

PACKAGES = ("numpy", "scipy", "pandas<3", "pyarrow", "river", "scikit-learn", "vega_datasets", "evidently", "statsmodels")
CALM_RUNS = 20
# Requests a second that the rows are taken to come in at.
RATE = 50


def run(program, args):
    found = {"calm": [], "changed": [], "peers": [], "skipped": []}
    for name, rows, change in sets(args, found["skipped"]):
        judged(program, args, found, name, rows, change)
    return found


def sets(args, skipped):
    """Name, rows, and the number of the row at which they change (`None`: they do not)."""
    flights = {"reference": [], "before": [], "after": []}
    with open(ROOT / "testdata/flights.csv", newline="") as file:
        for row in csv.DictReader(file):
            flights[row["phase"]].append({key: value(cell) for key, cell in row.items() if key not in ("ts", "phase", "dep_delay", "late")})
    winter = flights["reference"] + flights["before"]
    yield "flights from New York, July after winter", winter + flights["after"], len(winter)


def value(cell):
    try:
        return float(cell)
    except ValueError:
        return cell or None


def records(rows, rate):
    for n, row in enumerate(rows):
        yield json.dumps({"ts": moment(n / rate), "model": "m", "version": "v2", "features": row}, separators=(",", ":")) + "\n"


def judged(program, args, found, name, rows, change):
    began = time.monotonic()
    calm = rows if change is None else rows[:change]
    runs = 2 if args.small else CALM_RUNS
    document = play(program, records(calm, 1), "15s", extra=("--calm", str(runs)))
    count = lambda severity, drift: sum(one["times"] for one in document["alerts"] if one["severity"] == severity and (one["alert"] == "DriftDetected") == drift)
    found["calm"].append({"name": name, "runs": runs, "days": document["days"], "records": len(calm) * runs, "seconds": time.monotonic() - began,
                          "rollbacks": document["rollbacks"]["times"], "criticals": document["criticals"]["times"],
                          "drift_detected": count("warning", True), "other_warnings": count("warning", False), "info": 0,
                          "words": [said(event) for event in document["events"]][:6]})
    if change is None:
        return
    began = time.monotonic()
    document = play(program, records(rows, RATE), "1s")
    start = change / RATE
    after = lambda events: [event for event in events if seconds(event["at"]) >= start]
    at_row = lambda event: event and round((seconds(event["at"]) - start) * RATE)
    alerts, moves = fired(document, "warning", "critical"), rolled(document)
    first = next(iter(after(alerts)), None)
    detected = next((event for event in after(alerts) if event["alert"] == "DriftDetected"), None)
    moved = next(iter(after(moves)), None)
    before = [said(event) for event in alerts + moves if seconds(event["at"]) < start]
    wrong = (["an alert before the change"] if before else []) + ([] if first else ["silent"])
    found["changed"].append({"name": name, "seed": 1, "rate": RATE, "seconds": time.monotonic() - began, "before": before[:6], "first": first and first["alert"],
                             "rows_to_detector": at_row(detected), "rows_to_alert": at_row(first), "rows_to_rollback": at_row(moved),
                             "seconds_to_rollback": moved and seconds(moved["at"]) - start,
                             "words": [said(event) for event in after(alerts) + after(moves)][:6], "wrong": wrong})
