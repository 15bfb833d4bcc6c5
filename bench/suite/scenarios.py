"""The scenarios of `bench/judgement`: traffic that does not change, and traffic that does, with what is right then."""
import dataclasses
from typing import Callable

from .worlds import (DAY, autoregressive, bursts, by_tenant, category, clock, counter, daily, day_and_night, even, flag, heavy, identifier,
                     lognormal, long_tail, mixed, normal, plain, sentence, sparse, sticky, week, whole, wide, zeros)

HOUR = 3_600
# Rows that a reference is learned from, and more without a change until a window is full.
LEARN, SETTLE = 1_000, 2_500


@dataclasses.dataclass
class Scenario:
    """Traffic of one kind; `change(record, world, seconds since)` gives the record as it is after the change, or nothing."""
    name: str
    columns: Callable
    rate: float = 1.0
    tenants: tuple = ()
    rhythm: Callable = even
    change: Callable = None
    always: Callable = None
    config: str = ""
    # Calm: rows depend on neither time nor tenant nor each other, so that they may be drawn from many; days of the whole run.
    # Changed: rows after the change at most.
    pool: bool = False
    days: float = 0.0
    rows: int = 4_000
    every: str = "1s"
    settle: int = SETTLE
    # Changed: whether traffic is to move (None: either is right), an alert that must fire, a word of its text, rows to the first alert at most.
    rollback: bool = None
    alert: tuple = ()
    words: str = ""
    within: int = 0
    small: bool = False


# ---- what happens without a change

def tenant_columns(many):
    """Customers who differ from one another: a country, a price level, a share of a channel each."""
    return lambda: {"amount": by_tenant(lambda n: lognormal(10 * 1.3 ** (n % 12)), many), "age": whole(18, 90),
                    "country": by_tenant(lambda n: category([f"C{n % 17}", "DE"], [8, 2]), many), "balance": normal(1_000, 300),
                    "channel": by_tenant(lambda n: category(["web", "app"], [1 + n % 5, 3]), many), "returning": flag(0.5)}


def retries(record, w):
    """A tenth of the requests is sent three times."""
    return (record,) * 3 if w.random.random() < 0.1 else (record,)


def new_field(after):
    def always(record, w):
        if w.at > after:
            record["features"]["device"] = w.random.choice(("ios", "android", "other"))
        return (record,)
    return always


def new_field_of_one(after):
    def always(record, w):
        if w.at > after and record.get("tenant") == "tenant-01":
            record["features"]["basket"] = w.random.randint(1, 9)
        return (record,)
    return always


def names_and_texts():
    return {**mixed(), "id": identifier, "row": counter, "time": clock, "note": sentence, "session": long_tail(5_000, 0.2, "s")}


def rows_alike():
    return {"a": autoregressive("a", 0.5), "b": autoregressive("b", 0.9), "c": autoregressive("c", 0.97), "d": normal(),
            "place": sticky("place", category(["n", "e", "s", "w"]), 0.9), "shop": sticky("shop", long_tail(40), 0.8)}


def hours():
    return {**mixed(), "load": daily(normal(50, 5), 4), "temperature": daily(autoregressive("temperature", 0.9), 1.5),
            "kind": lambda w: "night" if w.random.random() < (0.6 if w.hour < 6 or w.hour > 22 else 0.1) else "day"}


FIVE, FIFTY = (40, 25, 15, 12, 8), tuple(100 / (n + 1) for n in range(50))
GROWING = (40, 25, 15, lambda at: 5 + min(at / DAY, 4) * 15, 8)
ARRIVING = (40, 25, 15, 12, lambda at: 20 if at > DAY else 0)
TAILS = lambda: {"city": long_tail(300), "sku": long_tail(2_000, 1.0), "tag": long_tail(50, 0.7), "amount": lognormal()}
EVEN = lambda: {"few": category([f"k{n}" for n in range(20)]), "some": category([f"k{n}" for n in range(50)]),
                "many": category([f"k{n}" for n in range(500)]), "amount": normal()}
TAILED = lambda: {"t": heavy(), "ln": lognormal(5, 2), "z": zeros(0.9), "zz": zeros(0.995, lognormal(100)), "const": lambda w: 1,
                  "nearly": lambda w: 0 if w.random.random() < 0.999 else 1}
MISSING = lambda: {"a": sparse(normal(), 0.01), "b": sparse(normal(), 0.1), "c": sparse(category(["x", "y"]), 0.3), "d": sparse(lognormal(), 0.6),
                   "e": normal()}

# The bulk of the model-days comes from slow traffic, where a day is 17 280 rows.
CALM = [
    Scenario("10 numbers", plain, 0.2, pool=True, days=30, small=True),
    Scenario("5 numbers, 50 a second", lambda: plain(5), 50, pool=True, days=0.12),
    Scenario("mixed payload", mixed, 0.2, pool=True, days=30, small=True),
    Scenario("mixed payload, 1 a second", mixed, 1, pool=True, days=4),
    Scenario("mixed payload, 10 a second", mixed, 10, pool=True, days=0.4),
    Scenario("30 features", lambda: wide(30), 0.2, pool=True, days=10),
    Scenario("300 features", wide, 0.2, pool=True, days=0.6),
    Scenario("heavy tails, zeros, constants", TAILED, 0.2, pool=True, days=30, small=True),
    Scenario("missing values", MISSING, 0.2, pool=True, days=30, small=True),
    Scenario("long-tailed categories", TAILS, 0.2, pool=True, days=30, small=True),
    Scenario("long-tailed categories, 5 a second", TAILS, 5, pool=True, days=0.8),
    Scenario("even categories", EVEN, 0.2, pool=True, days=30),
    Scenario("identifiers, times, texts", names_and_texts, 0.2, days=4, small=True),
    Scenario("rows resemble their neighbours", rows_alike, 0.2, days=6, small=True),
    Scenario("rows resemble their neighbours, 5 a second", rows_alike, 5, days=0.5),
    Scenario("day and night in volume", mixed, 0.2, rhythm=day_and_night, pool=True, days=20),
    Scenario("day, night and weekend in volume", mixed, 0.2, rhythm=week, pool=True, days=28),
    Scenario("day and night in values", hours, 0.2, rhythm=day_and_night, days=6),
    Scenario("bursts", mixed, 0.2, rhythm=bursts, pool=True, days=20),
    Scenario("5 tenants alike", mixed, 0.5, tenants=FIVE, pool=True, days=3),
    Scenario("2 tenants that differ", tenant_columns(2), 0.2, tenants=(60, 40), days=6),
    Scenario("5 tenants that differ", tenant_columns(5), 0.5, tenants=FIVE, days=3, small=True),
    Scenario("50 tenants that differ", tenant_columns(50), 2, tenants=FIFTY, days=1.2),
    Scenario("50 tenants that differ, 10 a second", tenant_columns(50), 10, tenants=FIFTY, days=0.3),
    Scenario("mix of 5 tenants changes", tenant_columns(5), 0.5, tenants=GROWING, days=5),
    Scenario("a tenant comes", tenant_columns(5), 0.5, tenants=ARRIVING, days=3),
    Scenario("retries", mixed, 0.2, always=retries, pool=True, days=20, small=True),
    Scenario("a new field", mixed, 0.2, always=new_field(DAY / 2), days=4, small=True),
    Scenario("a new field of one tenant", tenant_columns(5), 0.5, tenants=FIVE, always=new_field_of_one(DAY / 2), days=3),
]


# ---- changes

def row(edit):
    """The features are edited; the score follows."""
    def change(record, w, since):
        edit(record["features"], w, since)
        record["prediction"]["score"] = w.model.score(record["features"])
        return record
    return change


def of_tenants(names, change):
    return lambda record, w, since: change(record, w, since) if record.get("tenant") in names else record


def shifted(name, by):
    return row(lambda f, w, since: f.update({name: round(f[name] + by, 4)}))


def ramp(name, by, seconds):
    return row(lambda f, w, since: f.update({name: round(f[name] + by * min(since / seconds, 1), 4)}))


def times(name, factor):
    return row(lambda f, w, since: f.update({name: f[name] * factor}))


def becomes(name, value, share=1.0):
    return row(lambda f, w, since: f.update({name: value}) if w.random.random() < share else None)


def gone(name, instead):
    return row(lambda f, w, since: f.update(country=instead) if f["country"] == name else None)


def without(name, share=1.0):
    return row(lambda f, w, since: f.pop(name, None) if w.random.random() < share else None)


def spread(name, factor):
    return row(lambda f, w, since: f.update({name: round(f[name] * factor, 4)}))


def far_outside(share):
    return row(lambda f, w, since: f.update(balance=round(1e6 * w.random.random(), 2)) if w.random.random() < share else None)


def answers(share, status):
    def change(record, w, since):
        if w.random.random() < share:
            record["status"] = status
            record["prediction"] = {}
        return record
    return change


def slow(record, w, since):
    record["latency_ms"] += 700
    return record


def frozen(record, w, since):
    record["prediction"]["score"] = 0.5
    return record


def scores_rise(record, w, since):
    record["prediction"]["score"] = round(min(record["prediction"]["score"] + 0.15, 1), 5)
    return record


def silence(record, w, since):
    return record if since > 2 * HOUR else None


ALL_FIVE = [f"tenant-{n:02}" for n in range(5)]
DRIFT = ("DriftDetected", "FeaturePSIHigh", "FeaturePSICritical", "DriftCritical")
CHANGED = [
    Scenario("a number shifts by 0.25 sd", plain, change=shifted("f000", 0.25), rollback=False, alert=("DriftDetected",), words="f000"),
    Scenario("a number shifts by 1 sd", plain, change=shifted("f000", 1), rollback=True, alert=DRIFT, words="f000", within=200, small=True),
    Scenario("a number shifts by 1 sd, 0.2 a second", plain, 0.2, every="5s", change=shifted("f000", 1), rollback=True, alert=DRIFT, words="f000", within=200),
    Scenario("a number shifts by 1 sd, 50 a second", plain, 50, change=shifted("f000", 1), rows=20_000, rollback=True, alert=DRIFT, words="f000",
             within=300),
    Scenario("a number shifts by 1 sd, day and night", mixed, 0.2, every="15s", rhythm=day_and_night, change=shifted("risk", 2), rollback=None, alert=DRIFT,
             words="risk", within=400),
    Scenario("one of 300 numbers shifts by 1 sd", lambda: plain(300), every="5s", change=shifted("f000", 1), rows=3_000, rollback=True, alert=DRIFT, words="f000",
             within=300),
    Scenario("the spread of a number doubles", plain, change=spread("f000", 2), rollback=True, alert=DRIFT, words="f000", within=300),
    Scenario("a number rises slowly by 1 sd in a day", plain, 0.2, every="15s", change=ramp("f000", 1, DAY), rows=20_000, rollback=None, alert=DRIFT, words="f000"),
    Scenario("a number that resembles its neighbours shifts by 2 sd", rows_alike, change=shifted("a", 2), rollback=True, alert=DRIFT, words="a",
             within=500),
    Scenario("a unit changes: x 100", mixed, change=times("amount", 100), rollback=True, alert=DRIFT, words="amount", within=100, small=True),
    Scenario("a unit changes: x 100, one tenant of 5", mixed, tenants=FIVE, change=of_tenants(ALL_FIVE[:1], times("amount", 100)),
             rollback=False, alert=("TenantDrift",), words="tenant-00"),
    Scenario("2 % of a number lie far outside", mixed, change=far_outside(0.02), rollback=None, alert=("DataQuality", *DRIFT), words="balance"),
    Scenario("a new category in 20 % of the rows", mixed, change=becomes("country", "XX", 0.2), rollback=None, alert=("DataQuality", *DRIFT),
             words="country", within=100, small=True),
    Scenario("a new category in 3 % of the rows", mixed, change=becomes("country", "XX", 0.03), rollback=False, alert=("DataQuality", "DriftDetected"),
             words="country"),
    Scenario("a category is gone", mixed, change=gone("FR", "DE"), rollback=True, alert=DRIFT, words="country", within=300),
    Scenario("long-tailed categories become even", TAILS, change=row(lambda f, w, since: f.update(city=f"v{w.random.randrange(300)}")), rollback=None,
             alert=DRIFT, words="city", within=300),
    Scenario("a feature is null in 40 % of the rows", mixed, change=becomes("balance", None, 0.4), rollback=False, alert=("DataQuality",), words="balance",
             small=True),
    Scenario("a feature is not sent any more", mixed, change=without("age"), rollback=False, alert=("DataQuality",), words="age"),
    Scenario("a number becomes a text", mixed, change=row(lambda f, w, since: f.update(age="n/a")), rollback=False, alert=("DataQuality",), words="age"),
    Scenario("a feature is always its default", mixed, change=becomes("balance", 0), rollback=None, alert=("DataQuality", *DRIFT), words="balance"),
    Scenario("the score is frozen", mixed, change=frozen, rollback=True, alert=("PredictionFrozen",), words="prediction", small=True),
    Scenario("scores rise by 0.15", mixed, change=scores_rise, rollback=True, alert=DRIFT, words="prediction", within=300),
    Scenario("one tenant of 5 changes", mixed, tenants=FIVE, change=of_tenants(ALL_FIVE[1:2], shifted("balance", 600)), rollback=False,
             alert=("TenantDrift",), words="tenant-01"),
    Scenario("two of 3 tenants with 80 % of the traffic change", mixed, tenants=(45, 35, 20),
             change=of_tenants(ALL_FIVE[:2], shifted("balance", 600)), rows=8_000, settle=6_000, rollback=True, alert=DRIFT, words="balance"),
    Scenario("two of 3 tenants that differ change", tenant_columns(3), tenants=(45, 35, 20),
             change=of_tenants(ALL_FIVE[:2], shifted("balance", 600)), rows=8_000, settle=6_000, rollback=True, alert=DRIFT, words="balance"),
    Scenario("all 5 tenants change", mixed, tenants=FIVE, change=shifted("balance", 600), rows=8_000, settle=6_000, rollback=True, alert=DRIFT,
             words="balance"),
    Scenario("all 5 tenants that differ change", tenant_columns(5), tenants=FIVE, change=shifted("balance", 600), rows=10_000, settle=12_000,
             rollback=True, alert=DRIFT, words="balance"),
    Scenario("all of 50 tenants that differ change", tenant_columns(50), rate=10, tenants=FIFTY, change=shifted("balance", 600), rows=20_000,
             settle=30_000, rollback=True, alert=DRIFT, words="balance"),
    Scenario("all answers fail", mixed, change=answers(1, 500), rollback=True, alert=("ErrorRateCritical",), within=200, small=True),
    Scenario("10 % of the answers fail", mixed, 5, change=answers(0.1, 503), rollback=True, alert=("ErrorRateCritical",)),
    Scenario("half of the requests are refused", mixed, 5, change=answers(0.5, 422), rollback=False, alert=("RejectedHigh",)),
    Scenario("answers take 700 ms more", mixed, 5, change=slow, rollback=True, alert=("LatencySpike",)),
    Scenario("no request for two hours", mixed, change=silence, rows=3 * HOUR, rollback=False, alert=("TrafficStopped",)),
    Scenario("a number shifts among retries", mixed, always=retries, change=shifted("balance", 300), rollback=True, alert=DRIFT, words="balance",
             within=300),
    Scenario("a number shifts beside texts and identifiers", names_and_texts, change=shifted("balance", 300), rollback=True, alert=DRIFT,
             words="balance", within=200),
]
