"""Requests and answers of twelve kinds of model servers, made of real rows that have nothing to do with the time they are sent."""
import csv, hashlib, json, math, random, re, uuid
from datetime import datetime, timedelta, timezone

from .common import ROOT

# What is known only after the flight, or says when it was.
NOT_SENT = {"ts", "phase", "dep_delay", "late"}
TENANTS = 50
BATCH_MAX = 32
START = datetime(2026, 3, 2, tzinfo=timezone.utc)


def flights():
    """Departures of January and February: 10 000 rows of one distribution."""
    with open(ROOT / "testdata/flights.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["phase"] != "after"]
    return [{name: value(cell) for name, cell in row.items() if name not in NOT_SENT} for row in rows]


def value(cell):
    """A cell as a client writes it."""
    if cell == "":
        return None
    try:
        number = float(cell)
    except ValueError:
        return cell
    return int(number) if number.is_integer() and "." not in cell else number


def sentences():
    """Sentences that somebody wrote: those of the documentation."""
    text = "\n".join(file.read_text() for file in sorted((ROOT / "docs/guide").rglob("*.md")))
    plain = re.sub(r"```.*?```|[|#>*`\[\]]|\(\S+\)", " ", text, flags=re.S)
    found = (" ".join(one.split()) for one in re.split(r"(?<=[.:?])\s", plain))
    return [one for one in found if 20 <= len(one) <= 300]


class Source:
    """Rows in random order, all of them before any comes again; `at` is the modelled time in seconds."""

    def __init__(self, rows, seed):
        self.rows, self.random, self.left = rows, random.Random(seed), []

    def next(self):
        if not self.left:
            self.left = self.random.sample(self.rows, len(self.rows))
        return self.left.pop()

    def uuid(self):
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))


def score(row):
    """What a model makes of a row."""
    of = lambda name, otherwise: row.get(name) if row.get(name) is not None else otherwise
    sum = 0.12 * (of("hour", 13) - 13) + 0.04 * of("wind_speed", 10) - 0.0003 * of("distance", 1000) + 1.5 * of("precip", 0) - 1.2
    return round(1 / (1 + math.exp(-sum)), 6)


def moment(at):
    return (START + timedelta(seconds=at)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_json(path, body, answer, **fields):
    return path, "application/json", json.dumps(body), json.dumps(answer), fields


def flat(source, at):
    row, ident = source.next(), source.uuid()
    return as_json("/predict", {"id": ident, "time": moment(at), **row}, {"id": ident, "score": score(row)})


def kserve_v1(source, at):
    row = source.next()
    return as_json("/v1/models/delay:predict", {"instances": [row]}, {"predictions": [score(row)]})


def tensors(rows):
    for name in rows[0]:
        cells = [row[name] for row in rows]
        kinds = {type(cell) for cell in cells if cell is not None}
        kind = "BYTES" if str in kinds else "FP64" if float in kinds or not kinds else "INT64"
        if None in cells and kind != "BYTES":
            kind = "FP64"
        yield {"name": name, "shape": [len(rows)], "datatype": kind, "data": cells}


def kserve_v2(source, at):
    row = source.next()
    return as_json("/v2/models/delay/infer", {"id": source.uuid(), "inputs": list(tensors([row]))},
                   {"model_name": "delay", "outputs": [{"name": "score", "shape": [1], "datatype": "FP64", "data": [score(row)]}]})


def sagemaker_csv(source, at):
    row = source.next()
    line = ",".join("" if cell is None else str(cell) for cell in row.values())
    return "/invocations", "text/csv", line, str(score(row)), {"x-answer-type": "text/csv"}


def sagemaker_json(source, at):
    row = source.next()
    return as_json("/invocations", {"instances": [{"features": list(row.values())}]}, {"predictions": [{"score": score(row)}]})


def tf_serving(source, at):
    rows = [source.next() for _ in range(source.random.randint(1, 4))]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return as_json("/v1/models/delay:predict", {"signature_name": "serving_default", "inputs": columns}, {"outputs": [score(row) for row in rows]})


def mlflow(source, at):
    row = source.next()
    frame = {"columns": list(row), "index": [source.random.randrange(10**6)], "data": [list(row.values())]}
    return as_json("/invocations", {"dataframe_split": frame}, {"predictions": [score(row)]})


def seldon(source, at):
    row = source.next()
    return as_json("/api/v1.0/predictions", {"meta": {"puid": source.uuid()}, "data": {"names": list(row), "ndarray": [list(row.values())]}},
                   {"meta": {}, "data": {"names": ["score"], "ndarray": [[score(row)]]}})


def chat(source, at):
    words = " ".join(source.next() for _ in range(source.random.choice((1, 1, 2, 3))))
    said = source.next()
    tokens = [len(text.split()) * 4 // 3 + 1 for text in (words, said)]
    body = {"model": "gpt-4o-mini", "temperature": source.random.choice((0, 0.2, 0.7)), "max_tokens": source.random.choice((256, 512)),
            "user": source.uuid(), "messages": [{"role": "system", "content": "You answer questions about operations."}, {"role": "user", "content": words}]}
    answer = {"id": "chatcmpl-" + source.uuid()[:8], "object": "chat.completion", "created": int(START.timestamp() + at), "model": "gpt-4o-mini-2024-07-18",
              "choices": [{"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop" if tokens[1] < 45 else "length"}],
              "usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}}
    return as_json("/v1/chat/completions", body, answer)


def embeddings(source, at):
    inputs = [source.next() for _ in range(source.random.choice((1, 1, 1, 4)))]
    vector = lambda text: [round(byte / 255 - 0.5, 4) for byte in hashlib.sha256(text.encode()).digest()[:16]]
    tokens = sum(len(text.split()) for text in inputs)
    data = [{"object": "embedding", "index": n, "embedding": vector(text)} for n, text in enumerate(inputs)]
    return as_json("/v1/embeddings", {"model": "text-embedding-3-small", "input": inputs if len(inputs) > 1 else inputs[0]},
                   {"object": "list", "model": "text-embedding-3-small", "data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})


def nested(source, at):
    row = source.next()
    weather = {name: row[name] for name in ("temp", "dewp", "humid", "wind_speed", "precip", "visib")}
    body = {"event": {"id": source.uuid(), "at": moment(at), "schema": 3},
            "flight": {"carrier": row["carrier"], "from": {"airport": row["origin"], "hour": row["hour"]}, "miles": row["distance"], "weather": weather}}
    return as_json("/score", body, {"event": body["event"]["id"], "result": {"score": score(row), "late": score(row) > 0.5}})


def batch(source, at):
    rows = [source.next() for _ in range(source.random.randint(1, BATCH_MAX))]
    return as_json("/v1/models/delay:predict", {"instances": rows}, {"predictions": [score(row) for row in rows]})


def multi_tenant(source, at):
    # A few tenants send most of the requests, as everywhere.
    tenant = min(int(source.random.paretovariate(0.6)) - 1, 10**6) % TENANTS
    row = source.next()
    return as_json("/predict", {"id": source.uuid(), **row}, {"score": score(row)}, **{"x-tenant-id": f"tenant-{tenant:02}"})


# Those whose rows are texts.
OF_TEXT = {"chat", "embeddings"}
SHAPES = {"flat": flat, "kserve-v1": kserve_v1, "kserve-v2": kserve_v2, "sagemaker-csv": sagemaker_csv, "sagemaker-json": sagemaker_json,
          "tf-serving": tf_serving, "mlflow": mlflow, "seldon": seldon, "chat": chat, "embeddings": embeddings, "nested": nested,
          "batch": batch, "multi-tenant": multi_tenant}
