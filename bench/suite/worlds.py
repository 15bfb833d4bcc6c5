"""Recorded traffic that is made up: rows with columns of many kinds, tenants, a rhythm of day and night; a fixed seed, a fixed stream."""
import bisect, datetime, itertools, json, math, random

DAY = 86_400
START = datetime.datetime(2026, 3, 2, tzinfo=datetime.timezone.utc)
WORDS = ("refund order late parcel card charge twice login code email account closed delivery address wrong size colour broken screen please help "
         "invoice copy cancel plan upgrade price month").split()


class World:
    """What a column may look at: the time in seconds since the start, the tenant, the columns of the row so far, and memory of its own."""

    def __init__(self, seed):
        self.random, self.at, self.tenant, self.row, self.memory, self.count, self.model = random.Random(seed), 0.0, 0, {}, {}, 0, None

    hour = property(lambda self: self.at / 3_600 % 24)
    weekend = property(lambda self: self.at // DAY % 7 >= 5)


# ---- columns: functions of the world

def normal(mean=0.0, sd=1.0):
    return lambda w: round(w.random.gauss(mean, sd), 4)


def lognormal(median=40.0, sd=1.0):
    mu = math.log(median)
    return lambda w: round(w.random.lognormvariate(mu, sd), 2)


def heavy(scale=1.0):
    """Student's t with two degrees of freedom: no variance."""
    return lambda w: round(scale * w.random.gauss(0, 1) / math.sqrt(w.random.expovariate(1.0)), 3)


def whole(low, high):
    return lambda w: w.random.randint(low, high)


def zeros(share=0.7, of=lognormal()):
    return lambda w: 0 if w.random.random() < share else of(w)


def category(names, weights=None):
    if weights is None:
        return lambda w: w.random.choice(names)
    sums = list(itertools.accumulate(weights))
    return lambda w: names[min(bisect.bisect(sums, w.random.random() * sums[-1]), len(names) - 1)]


def long_tail(many, power=1.1, prefix="v"):
    return category([f"{prefix}{n}" for n in range(many)], [1 / (n + 1) ** power for n in range(many)])


def flag(share=0.3):
    return lambda w: w.random.random() < share


def sparse(of, share=0.05):
    """Missing sometimes: null half of the time, not there the other half."""
    def draw(w):
        if w.random.random() >= share:
            return of(w)
        return None if w.random.random() < 0.5 else ABSENT
    return draw


def autoregressive(name, rho=0.9):
    """Resembles the row before."""
    step = math.sqrt(1 - rho * rho)
    def draw(w):
        value = rho * w.memory.get(name, 0.0) + step * w.random.gauss(0, 1)
        w.memory[name] = value
        return round(value, 4)
    return draw


def sticky(name, of, stay=0.9):
    """Keeps its value for a while."""
    def draw(w):
        if name not in w.memory or w.random.random() >= stay:
            w.memory[name] = of(w)
        return w.memory[name]
    return draw


def daily(of, swing=1.0):
    """Higher at noon than at midnight by twice `swing`."""
    return lambda w: round(of(w) - swing * math.cos(2 * math.pi * w.hour / 24), 4)


def by_tenant(make, many=50):
    """Each tenant has a distribution of its own."""
    columns = [make(n) for n in range(many)]
    return lambda w: columns[w.tenant % many](w)


def identifier(w):
    return f"{w.random.getrandbits(64):016x}"


def counter(w):
    return w.count


def clock(w):
    return moment(w.at)


def sentence(w):
    return " ".join(w.random.choice(WORDS) for _ in range(w.random.randint(5, 25)))


ABSENT = object()


DAYS = [(START + datetime.timedelta(days=n)).date().isoformat() for n in range(1_000)]
ENCODE = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def moment(at):
    """RFC 3339; by hand, because it is asked for every record."""
    ms = int(at * 1_000)
    rest, ms = divmod(ms, 1_000)
    rest, s = divmod(rest, 60)
    rest, m = divmod(rest, 60)
    day, h = divmod(rest, 24)
    return f"{DAYS[day]}T{h:02}:{m:02}:{s:02}.{ms:03}Z"


# ---- payloads

def plain(many=10):
    """Independent normal numbers."""
    return {f"f{n:03}": normal(n % 7, 1 + n % 3) for n in range(many)}


def mixed():
    """What a model of payments sees."""
    return {
        "amount": lognormal(), "age": whole(18, 90), "balance": normal(1_000, 300), "discount": zeros(), "risk": heavy(),
        "country": category(["DE", "FR", "IT", "ES", "PL", "NL"], [40, 25, 15, 10, 6, 4]), "channel": category(["web", "app", "shop"], [5, 4, 1]),
        "merchant": long_tail(60), "returning": flag(0.6), "income": sparse(lognormal(30_000, 0.6)),
    }


def wide(many=300):
    """Many features of several kinds."""
    kinds = [lambda n: normal(n % 7), lambda n: lognormal(1 + n % 5), lambda n: category(["a", "b", "c", "d"], [4, 3, 2, 1]),
             lambda n: zeros(0.5), lambda n: whole(0, 30), lambda n: flag(0.1 + n % 5 / 10)]
    return {f"x{n:03}": kinds[n % len(kinds)](n) for n in range(many)}


class Model:
    """What a model makes of a row: of its first four numbers. A missing one, or a text, is taken for the mean of the first rows."""
    FIRST = 500

    def __init__(self):
        self.means, self.rows = {}, 0

    def score(self, row):
        if not self.means:
            numbers = [name for name, value in row.items() if isinstance(value, (int, float)) and not isinstance(value, bool)]
            self.means = dict.fromkeys(numbers[:4], 0.0)
        self.rows += 1
        total = 0.0
        for name, mean in self.means.items():
            value = row.get(name)
            value = math.asinh(value) if isinstance(value, (int, float)) else mean
            if self.rows <= self.FIRST:
                self.means[name] += (value - mean) / self.rows
            total += value
        return round(1 / (1 + math.exp(-total / 2 / max(len(self.means), 1))), 5)


def even(at):
    return 1.0


def day_and_night(at):
    """A tenth of the mean at midnight, 1.9 times of it at noon."""
    return 1 - 0.9 * math.cos(2 * math.pi * at / DAY)


def week(at):
    return day_and_night(at) * (0.4 if at // DAY % 7 >= 5 else 1.24)


def bursts(at):
    """Five minutes of every half hour hold nearly everything."""
    return 5.5 if at % 1_800 < 300 else 0.1


# Rows that a stationary scenario is drawn from.
POOL = 20_000


class Traffic:
    """Records of `seconds` of a scenario, as JSON lines. `change` seconds after the start its change begins; none without."""

    def __init__(self, scenario, seed, seconds, change=None):
        self.scenario, self.world, self.seconds, self.change = scenario, World(f"{scenario.name} {seed}"), seconds, change
        self.world.model = Model()
        # Times of the records since the change, in seconds since the start.
        self.changed_at, self.records = [], 0

    def __iter__(self):
        scenario, w = self.scenario, self.world
        columns, tenants = scenario.columns(), Tenants(scenario.tenants)
        pool = self.pool(columns) if scenario.pool and self.change is None else None
        while True:
            w.at += w.random.expovariate(scenario.rate * scenario.rhythm(w.at))
            if w.at > self.seconds:
                return
            w.count += 1
            name, w.tenant = tenants.draw(w)
            record = self.record(columns, name) if pool is None else self.drawn(pool, name)
            changed = self.change is not None and w.at >= self.change
            if changed:
                record = scenario.change(record, w, w.at - self.change)
                if record is None:
                    continue
            for copy in (scenario.always(record, w) if scenario.always else (record,)):
                self.records += 1
                if changed:
                    self.changed_at.append(w.at)
                yield (ENCODE(copy) if pool is None else copy) + "\n"

    def row(self, columns):
        w = self.world
        w.row = row = {}
        for name, draw in columns.items():
            value = draw(w)
            if value is not ABSENT:
                row[name] = value
        return row

    def record(self, columns, tenant):
        w = self.world
        row = self.row(columns)
        record = {"ts": moment(w.at), "model": "m", "version": "v2", "request_id": identifier(w), "features": row,
                  "prediction": {"score": w.model.score(row)}, "status": self.status(), "latency_ms": self.latency()}
        if tenant is not None:
            record["tenant"] = tenant
        return record

    def status(self):
        return 500 if self.world.random.random() < 0.001 else 200

    def latency(self):
        return round(self.world.random.lognormvariate(2.5, 0.4), 2)

    def pool(self, columns):
        """Rows of one distribution, written: drawing from them is quick."""
        score = self.world.model.score
        rows = [self.row(columns) for _ in range(POOL)]
        return [f'"features":{ENCODE(row)},"prediction":{{"score":{score(row)}}}' for row in rows]

    def drawn(self, pool, tenant):
        w = self.world
        tenant = "" if tenant is None else f'"tenant":"{tenant}",'
        return (f'{{"ts":"{moment(w.at)}","model":"m","version":"v2","request_id":"{identifier(w)}",{tenant}{pool[int(w.random.random() * POOL)]},'
                f'"status":{self.status()},"latency_ms":{self.latency()}}}')


class Tenants:
    """Weights of tenants, which may be functions of the time; none for requests that name no tenant."""

    def __init__(self, weights):
        self.weights, self.moves = weights, any(callable(weight) for weight in weights)
        self.sums = None if self.moves else list(itertools.accumulate(weights))

    def draw(self, w):
        if not self.weights:
            return None, 0
        sums = self.sums or list(itertools.accumulate(weight(w.at) if callable(weight) else weight for weight in self.weights))
        at = min(bisect.bisect(sums, w.random.random() * sums[-1]), len(sums) - 1)
        return f"tenant-{at:02}", at
