"""Run inside a peer's virtual environment: `python judge_peers.py river|evidently|nannyml CASE.json`. Prints one line of JSON.

The case has `reference`, `stream`s (lists of rows: lists of numbers or texts), `columns` (names), `change` (the row from which on streams
have changed) and `arl0`. The answer is a list of rows to the alarm for each detector, one for each stream; -1 for a false alarm before the
change, null where nothing was found. Thresholds are those that give one false alarm in `arl0` rows drawn again from the reference.
"""
import json, random, sys, warnings

warnings.filterwarnings("ignore")
CHUNK, CALM_CHUNKS, CALM_ROWS = 1_000, 60, 60_000


def codes(case):
    """Texts as numbers: how frequent the reference has them; missing values as the most frequent."""
    columns = list(zip(*case["reference"]))
    maps = []
    for column in columns:
        texts = [value for value in column if isinstance(value, str)]
        if not texts:
            numbers = [value for value in column if value is not None]
            middle = sorted(numbers)[len(numbers) // 2]
            maps.append(lambda value, middle=middle: middle if not isinstance(value, (int, float)) else float(value))
            continue
        order = sorted(set(texts), key=lambda text: (-texts.count(text), text))
        known = {text: float(n) for n, text in enumerate(order)}
        maps.append(lambda value, known=known: known.get(value, float(len(known))))
    return lambda rows: [[code(value) for code, value in zip(maps, row)] for row in rows]


def delay(alarm, change):
    """Rows from the change to an alarm."""
    if alarm is None:
        return None
    return -1 if alarm < change else alarm - change + 1


def river(case):
    from river import drift
    encode, d, pick = codes(case), len(case["columns"]), random.Random(7)
    reference = encode(case["reference"])
    streams = [encode(stream) for stream in case["streams"]]

    def first(make, rows):
        detectors = [make(n) for n in range(d)]
        for at, row in enumerate(rows):
            for detector, value in zip(detectors, row):
                detector.update(value)
                if detector.drift_detected:
                    return at
        return None

    def run_length(make):
        """Rows a false alarm, over rows drawn again from the reference."""
        alarms, detectors = 0, [make(n) for n in range(d)]
        for _ in range(CALM_ROWS):
            row = pick.choice(reference)
            for detector, value in zip(detectors, row):
                detector.update(value)
            if any(detector.drift_detected for detector in detectors):
                alarms += 1
                detectors = [make(n) for n in range(d)]
        return CALM_ROWS / max(alarms, 0.5)

    for delta in (0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 1e-4, 1e-5, 1e-6, 1e-8, 1e-10, 1e-14, 1e-20):
        adwin = lambda n: drift.ADWIN(delta=delta)
        if run_length(adwin) >= case["arl0"]:
            break
    # The test is free of the distribution: one of so many looks is wrong by chance.
    kswin = lambda n: drift.KSWIN(alpha=1 / (case["arl0"] * d), seed=n)
    return {"ADWIN": [delay(first(adwin, stream), case["change"]) for stream in streams],
            "KSWIN": [delay(first(kswin, stream), case["change"]) for stream in streams]}


def by_chunks(case, score):
    """Chunks whose worst column is beyond what one calm chunk in `arl0 / CHUNK` has."""
    pick = random.Random(11)
    calm = [[pick.choice(case["reference"]) for _ in range(CHUNK)] for _ in range(CALM_CHUNKS)]
    scores = score(calm)
    # Columns differ in what is usual: each is compared with its own.
    usual = [sum(column) / len(column) for column in zip(*scores)]
    worst = sorted(max(value / (mean or 1) for value, mean in zip(row, usual)) for row in scores)
    limit = worst[min(int(len(worst) * (1 - CHUNK / case["arl0"])), len(worst) - 1)]
    found = []
    for stream in case["streams"]:
        chunks = [stream[at:at + CHUNK] for at in range(0, len(stream) - CHUNK + 1, CHUNK)]
        alarms = (n for n, row in enumerate(score(chunks)) if max(value / (mean or 1) for value, mean in zip(row, usual)) > limit)
        at = next(alarms, None)
        # A chunk that the change falls into ends after it.
        found.append(delay(None if at is None else (at + 1) * CHUNK - 1, case["change"]))
    return found


def frame(case, rows):
    import pandas as pd
    return pd.DataFrame(rows, columns=case["columns"])


def evidently(case):
    from evidently import Report
    from evidently.metrics import ValueDrift
    reference = frame(case, case["reference"])

    def score(chunks):
        for chunk in chunks:
            report = Report([ValueDrift(column=name, method="psi") for name in case["columns"]])
            done = report.run(frame(case, chunk), reference).dict()
            yield [float(metric["value"]) for metric in done["metrics"]]

    return {"Evidently": by_chunks(case, lambda chunks: list(score(chunks)))}


def nannyml(case):
    from nannyml import UnivariateDriftCalculator
    from nannyml.chunk import SizeBasedChunker
    texts = [name for name, column in zip(case["columns"], zip(*case["reference"])) if any(isinstance(value, str) for value in column)]
    calculator = UnivariateDriftCalculator(column_names=case["columns"], treat_as_categorical=texts, continuous_methods=["jensen_shannon"],
                                           categorical_methods=["jensen_shannon"], chunker=SizeBasedChunker(CHUNK))
    calculator.fit(frame(case, case["reference"]))

    def score(chunks):
        done = calculator.calculate(frame(case, [row for chunk in chunks for row in chunk])).filter(period="analysis").to_df()
        columns = [list(done[(name, "jensen_shannon", "value")]) for name in case["columns"]]
        return [list(row) for row in zip(*columns)]

    return {"NannyML": by_chunks(case, score)}


if __name__ == "__main__":
    library, file = sys.argv[1:]
    with open(file) as source:
        print(json.dumps({"river": river, "evidently": evidently, "nannyml": nannyml}[library](json.load(source))))
