"""Run inside a virtual environment: `python public_export.py river|sklearn|vega|nannyml`. Prints data sets that the package ships as JSON.

Each has a name, `calm` rows in the order of the package, and `changed` rows or null; `drawn` says that the rows are few and may be drawn again.
"""
import json, math, sys, warnings

warnings.filterwarnings("ignore")
MOST, CHANGED = 20_000, 4_000


def plain(value):
    """A cell as a client sends it."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def rows(frame):
    return [{str(name): plain(value) for name, value in row.items()} for row in frame.to_dict("records")]


def a_set(name, calm, changed=None, drawn=False):
    return {"name": name, "calm": calm[:MOST], "changed": changed and changed[:CHANGED], "drawn": drawn}


def river():
    from river import datasets
    read = lambda source: [({str(name): plain(value) for name, value in x.items()}, y) for x, y in source]
    bananas = read(datasets.Bananas())
    yield a_set("bananas (River), then one class alone", [x for x, _ in bananas], [x for x, y in bananas if y], drawn=True)
    yield a_set("phishing sites (River)", [x for x, _ in read(datasets.Phishing())], drawn=True)
    yield a_set("image segments (River)", [x for x, _ in read(datasets.ImageSegments())], drawn=True)
    if hasattr(datasets, "Shuttle"):
        yield a_set("space shuttle (River)", [x for x, _ in read(datasets.Shuttle())])


def sklearn():
    from sklearn import datasets
    for name, load, right in (("digits, then 0 to 4 alone", datasets.load_digits, lambda y: y < 5),
                              ("tumours, then the malign alone", datasets.load_breast_cancer, lambda y: y == 0)):
        found = load(as_frame=True)
        yield a_set(f"{name} (scikit-learn)", rows(found.data), rows(found.data[right(found.target)]), drawn=True)


def vega():
    from vega_datasets import local_data
    read = lambda name: [{"temp": plain(value)} for value in getattr(local_data, name)()["temp"]]
    yield a_set("temperatures of Seattle, then of San Francisco (vega)", read("seattle_temps"), read("sf_temps"), drawn=True)


def nannyml():
    import pathlib, pandas
    import nannyml.datasets
    folder = pathlib.Path(nannyml.datasets.__file__).parent / "data"
    leave = ("id", "timestamp", "repaid", "y_true", "y_pred", "clf_target", "year", "employed", "prediction")
    read = lambda name: (lambda frame: frame.drop(columns=[column for column in leave if column in frame]))(
        pandas.read_csv(folder / name) if name.endswith("csv") else pandas.read_parquet(folder / name))
    sample = lambda frame: frame.sample(min(len(frame), MOST), random_state=7).sort_index()
    loans = read("synthetic_car_loan_analysis.csv")
    yield a_set("car loans, the second half (NannyML)", rows(sample(read("synthetic_car_loan_reference.csv"))), rows(loans[25_000:]))
    cars = read("regression_synthetic_analysis.csv")
    yield a_set("car prices, the second half (NannyML)", rows(sample(read("regression_synthetic_reference.csv"))), rows(cars[30_000:]))
    dirty = read("synthetic_car_loan_dq_analysis.csv")
    yield a_set("car loans with faults (NannyML)", rows(sample(read("synthetic_car_loan_dq_reference.csv"))), rows(dirty[25_000:]))
    yield a_set("credit cards (NannyML)", rows(sample(read("mc_reference.csv"))))
    yield a_set("employment in Massachusetts (NannyML)", rows(sample(read("employment_MA_reference.pq"))))
    houses = read("california_housing_analysis.csv")
    yield a_set("houses in California, south then north (NannyML)", rows(read("california_housing_reference.csv")), rows(houses[4_000:]), drawn=True)


if __name__ == "__main__":
    found = {"river": river, "sklearn": sklearn, "vega": vega, "nannyml": nannyml}[sys.argv[1]]
    print(json.dumps(list(found())))
