"""Other detectors beside ours on the same streams, at the same rate of false alarms."""
import csv, io, json, random, statistics, subprocess, tempfile

from . import worlds
from .common import SUITE, say
from .public_data import environments, sets

# One false alarm in so many rows; rows of the reference, of a stream before and after its change; streams.
ARL0, REFERENCE, BEFORE, AFTER, STREAMS = 10_000, 5_000, 1_500, 4_000, 3

NOTE = (f"Means over {STREAMS} streams that have {BEFORE} rows before the change, with {REFERENCE} rows of reference: `driftline detect --arl {ARL0}`; "
        "River's ADWIN with the largest delta, Evidently's PSI and NannyML's Jensen-Shannon distance on chunks of 1000 rows with the limit, that give "
        f"one false alarm in {ARL0} rows drawn again from the reference; KSWIN with its alpha shared by its looks. In brackets: streams with a false "
        f"alarm before the change, which are left out, and streams without an alarm within {AFTER} rows, which count as {AFTER}.\n")


def run(program):
    """Rows to the alarm of each detector."""
    found = {"cases": [], "note": NOTE, "skipped": []}
    pythons = environments(found["skipped"])
    known = [one for one in sets({name: python for name, python in pythons.items() if name == "nannyml"}, found["skipped"])]
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
        found["cases"].append({"name": name, "rows": {detector: mean(delays) for detector, delays in rows.items()}})
    libraries = sorted({detector for peer in found["cases"] for detector in peer["rows"]}, key=lambda name: (name != "driftline", name))
    for peer in found["cases"]:
        peer["rows"] = {name: peer["rows"].get(name, "-") for name in libraries}
    return found


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
    for one in known:
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
