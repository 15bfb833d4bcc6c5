"""Public data: the flights of testdata/, and data sets that packages ship, when these can be installed."""
import csv, json, random, subprocess, time

from . import peers
from .common import ROOT, SUITE, say
from .judge import fired, play, rolled, said, seconds
from .worlds import ENCODE, moment

JUDGEMENT = ("numpy", "scipy", "pandas<3", "pyarrow", "river", "scikit-learn", "vega_datasets", "evidently", "statsmodels")
CALM_RUNS = 5
# Requests a second that the rows are taken to come in at, where nothing changes, of the flights, and of the sets of packages.
CALM_RATE, RATE, PACKAGE_RATE = 1, 50, 5
# Rows before the change, of sets that are drawn again.
DRAWN, DRAWN_CHANGED = 6_000, 4_000


def run(program, args):
    found = {"calm": [], "changed": [], "skipped": []}
    for one in sets({} if args.small else environments(found["skipped"]), found["skipped"]):
        say(f"public: {one['name']}")
        judged(program, args, found, one)
    return found


def environments(skipped):
    """Python of each virtual environment that can be made."""
    made = {}
    for name, make in (("judgement", lambda: str(peers.env("judgement", *JUDGEMENT) / "python")), ("nannyml", peers.nannyml_python)):
        try:
            made[name] = make()
        except (subprocess.CalledProcessError, OSError) as error:
            skipped.append(f"what needs the packages of `{name}`, which cannot be installed: {error}")
    return made


def sets(pythons, skipped):
    """Data sets: a name, rows without a change, rows after one or nothing."""
    flights = {"reference": [], "before": [], "after": []}
    with open(ROOT / "testdata/flights.csv", newline="") as file:
        for row in csv.DictReader(file):
            flights[row["phase"]].append({key: value(cell) for key, cell in row.items() if key not in ("ts", "phase", "dep_delay", "late")})
    yield {"name": FLIGHTS, "calm": flights["reference"] + flights["before"], "changed": flights["after"] * 2, "drawn": False}
    for package, python in (("river", "judgement"), ("sklearn", "judgement"), ("vega", "judgement"), ("nannyml", "nannyml")):
        if python not in pythons:
            continue
        done = subprocess.run([pythons[python], SUITE / "public_export.py", package], capture_output=True, text=True)
        if done.returncode:
            skipped.append(f"data sets of {package}: {done.stderr.strip().splitlines()[-1]}")
            continue
        for one in json.loads(done.stdout):
            pick = random.Random(one["name"])
            if one["drawn"]:
                one["calm"] = pick.choices(one["calm"], k=DRAWN)
                one["changed"] = one["changed"] and pick.choices(one["changed"], k=DRAWN_CHANGED)
            yield one


FLIGHTS, FLIGHTS_ROWS = "flights from New York, July after winter", 60


def value(cell):
    try:
        return float(cell)
    except ValueError:
        return cell or None


def records(rows, rate):
    for n, row in enumerate(rows):
        yield ENCODE({"ts": moment(n / rate), "model": "m", "version": "v2", "features": row}) + "\n"


def judged(program, args, found, one):
    name, calm, began = one["name"], one["calm"], time.monotonic()
    runs = 2 if args.small else CALM_RUNS
    document = play(program, records(calm, CALM_RATE), "15s", extra=("--calm", str(runs)))
    count = lambda severity, drift: sum(one["times"] for one in document["alerts"] if one["severity"] == severity and (one["alert"] == "DriftDetected") == drift)
    found["calm"].append({"name": name, "runs": runs, "days": document["days"], "records": len(calm) * runs, "seconds": time.monotonic() - began,
                          "rollbacks": document["rollbacks"]["times"], "criticals": document["criticals"]["times"],
                          "drift_detected": count("warning", True), "other_warnings": count("warning", False), "info": 0,
                          "words": [said(event) for event in document["events"]][:6]})
    if not one["changed"]:
        return
    rate = RATE if name == FLIGHTS else PACKAGE_RATE
    began, start = time.monotonic(), len(calm) / rate
    document = play(program, records(calm + one["changed"], rate), "1s")
    after = lambda events: [event for event in events if seconds(event["at"]) >= start]
    at_row = lambda event: event and round((seconds(event["at"]) - start) * rate)
    alerts, moves = fired(document, "warning", "critical"), rolled(document)
    first = next(iter(after(alerts)), None)
    detected = next((event for event in after(alerts) if event["alert"] == "DriftDetected"), None)
    moved = next(iter(after(moves)), None)
    before = [said(event) for event in alerts + moves if seconds(event["at"]) < start]
    wrong = (["an alert before the change"] if before else []) + ([] if first else ["silent"])
    if name == FLIGHTS and first and at_row(first) > FLIGHTS_ROWS:
        wrong.append(f"{at_row(first)} rows to the alert, {FLIGHTS_ROWS} are wanted")
    if name == FLIGHTS and not moved:
        wrong.append("no rollback")
    found["changed"].append({"name": name, "seed": 1, "rate": rate, "seconds": time.monotonic() - began, "before": before[:6], "first": first and first["alert"],
                             "rows_to_detector": at_row(detected), "rows_to_alert": at_row(first), "rows_to_rollback": at_row(moved),
                             "seconds_to_rollback": moved and seconds(moved["at"]) - start,
                             "words": [said(event) for event in after(alerts) + after(moves)][:6], "wrong": wrong})
