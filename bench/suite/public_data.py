"""Public data: the flights of testdata/, and data sets that packages ship, when these can be installed; and other detectors beside ours."""
import csv, io, json, random, statistics, subprocess, tempfile, time

from . import peers, worlds
from .common import ROOT, SUITE, say
from .judge import fired, play, rolled, said, seconds
from .worlds import ENCODE, moment

JUDGEMENT = ("numpy", "scipy", "pandas<3", "pyarrow", "river", "scikit-learn", "vega_datasets", "evidently", "statsmodels")
CALM_RUNS = 20
# Requests a second that the rows are taken to come in at, where nothing changes and where something does.
CALM_RATE, RATE = 1, 50
# Rows before the change, of sets that are drawn again.
DRAWN, DRAWN_CHANGED = 6_000, 4_000
# Of the comparison: one false alarm in so many rows; rows of the reference, of a stream before and after its change; streams.
ARL0, REFERENCE, BEFORE, AFTER, STREAMS = 10_000, 5_000, 2_500, 5_000, 5


def run(program, args):
    found = {"calm": [], "changed": [], "peers": [], "peers_note": "", "skipped": []}
    pythons = {} if args.small or args.no_packages else environments(found["skipped"])
    if args.small or args.no_packages:
        found["skipped"].append("data sets and detectors of packages: not asked for")
    known = {}
    for one in sets(pythons, found["skipped"]):
        say(f"public: {one['name']}")
        known[one["name"]] = one
        judged(program, args, found, one)
    if pythons:
        beside(program, found, pythons, known)
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
    began, start = time.monotonic(), len(calm) / RATE
    document = play(program, records(calm + one["changed"], RATE), "1s")
    after = lambda events: [event for event in events if seconds(event["at"]) >= start]
    at_row = lambda event: event and round((seconds(event["at"]) - start) * RATE)
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
    found["changed"].append({"name": name, "seed": 1, "rate": RATE, "seconds": time.monotonic() - began, "before": before[:6], "first": first and first["alert"],
                             "rows_to_detector": at_row(detected), "rows_to_alert": at_row(first), "rows_to_rollback": at_row(moved),
                             "seconds_to_rollback": moved and seconds(moved["at"]) - start,
                             "words": [said(event) for event in after(alerts) + after(moves)][:6], "wrong": wrong})


# ---- beside other detectors

def beside(program, found, pythons, known):
    """Rows to the alarm of each detector on the same streams."""
    found["peers_note"] = (
        f"Means over {STREAMS} streams that have {BEFORE} rows before the change; {REFERENCE} rows of reference. `driftline detect --arl {ARL0}`; River's "
        f"ADWIN with the largest delta, Evidently's PSI and NannyML's Jensen-Shannon distance on chunks of 1 000 rows with the limit that give one "
        f"false alarm in {ARL0} rows drawn again from the reference; KSWIN with alpha shared by its looks. In brackets: streams with a false alarm before "
        "the change, which are left out, and streams without an alarm within "
        f"{AFTER} rows, which count as {AFTER}.\n").replace("10000", "10 000").replace("5000", "5 000").replace("2500", "2 500")
    for name, make in streams(known):
        say(f"beside others: {name}")
        case = make()
        with tempfile.TemporaryDirectory(prefix="driftline-judgement-") as folder:
            file = f"{folder}/case.json"
            with open(file, "w") as to:
                json.dump(case, to)
            rows = {"driftline": [ours(program, folder, case, stream) for stream in case["streams"]]}
            for library, python in (("river", "judgement"), ("evidently", "judgement"), ("nannyml", "nannyml")):
                if python not in pythons:
                    continue
                done = subprocess.run([pythons[python], SUITE / "judge_peers.py", library, file], capture_output=True, text=True)
                if done.returncode:
                    found["skipped"].append(f"{library} on {name}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
                    continue
                rows |= json.loads(done.stdout.splitlines()[-1])
        found["peers"].append({"name": name, "rows": {detector: mean(delays) for detector, delays in rows.items()}})
    libraries = sorted({detector for peer in found["peers"] for detector in peer["rows"]}, key=lambda name: (name != "driftline", name))
    for peer in found["peers"]:
        peer["rows"] = {name: peer["rows"].get(name, "-") for name in libraries}


def mean(delays):
    kept = [AFTER if delay is None else delay for delay in delays if delay != -1]
    false, silent = sum(delay == -1 for delay in delays), sum(delay is None for delay in delays)
    notes = ", ".join(note for note in (f"{false} false" if false else "", f"{silent} silent" if silent else "") if note)
    return "-" if not kept else f"{statistics.mean(kept):.0f}" + (f" ({notes})" if notes else "")


def streams(known):
    """Names of cases and what makes them."""
    made = {
        "one of 10 numbers shifts by 0.5 sd": (worlds.plain, lambda row: {**row, "f000": row["f000"] + 0.5}),
        "the spread of one of 10 numbers grows by half": (worlds.plain, lambda row: {**row, "f000": row["f000"] * 1.5}),
        "5 % of a number become heavy-tailed": (worlds.plain, heavy_tail),
        "8 points move between categories": (worlds.mixed, lambda row: {**row, "country": "ES" if row["country"] == "DE" and row["amount"] > 90 else row["country"]}),
    }
    for name, (columns, change) in made.items():
        yield name, lambda columns=columns, change=change, name=name: made_up(name, columns, change)
    for one in known.values():
        if one["changed"] and not one["drawn"]:
            yield one["name"], lambda one=one: of_data(one)


def heavy_tail(row):
    chance = random.Random(row["f001"])
    return {**row, "f000": 5 * chance.gauss(0, 1) / max(chance.random(), 0.05)} if chance.random() < 0.05 else row


def made_up(name, columns, change):
    world, made = worlds.World(name), columns()

    def draw():
        world.row = row = {}
        for column, of in made.items():
            value = of(world)
            row[column] = None if value is worlds.ABSENT else value
        return row

    rows = lambda many, edit=lambda row: row: [edit(draw()) for _ in range(many)]
    return case(rows(REFERENCE), [rows(BEFORE) + rows(AFTER, change) for _ in range(STREAMS)])


def of_data(one):
    pick = random.Random(one["name"])
    return case(pick.sample(one["calm"], REFERENCE),
                [pick.sample(one["calm"], BEFORE) + pick.choices(one["changed"], k=AFTER) for _ in range(STREAMS)])


def case(reference, streams):
    columns = list(reference[0])
    listed = lambda rows: [[str(row[name]) if isinstance(row[name], bool) else row[name] for name in columns] for row in rows]
    return {"columns": columns, "reference": listed(reference), "streams": [listed(stream) for stream in streams], "change": BEFORE, "arl0": ARL0}


def ours(program, folder, case, stream):
    """The first alarm of `driftline detect`."""
    def written(rows):
        text = io.StringIO()
        csv.writer(text).writerows([case["columns"], *rows])
        return text.getvalue()
    with open(f"{folder}/reference.csv", "w") as to:
        to.write(written(case["reference"]))
    done = subprocess.run([program, "detect", "--reference", f"{folder}/reference.csv", "--arl", str(ARL0), "--format", "json", "--unordered"],
                          input=written(stream), capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr)
    alarms = (json.loads(line) for line in done.stdout.splitlines())
    first = next((alarm["row"] for alarm in alarms if alarm["event"] in ("alarm", "notice")), None)
    return None if first is None else -1 if first < case["change"] else first - case["change"] + 1
