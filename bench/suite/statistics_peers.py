"""Run inside a peer's virtual environment: `python statistics_peers.py WHAT ...`. Prints one line of JSON.

`window LIBRARY`: seconds of processor for one evaluation of 30 features, 1 000 rows against 10 000.
`by-hand REFERENCE CURRENT`, `evidently REFERENCE CURRENT [ROWS]`: two data files, PSI (and JS) of every column.
`make FILE ROWS SEED`: a data file with 30 columns of normal numbers.
"""
import json, sys, time, warnings

warnings.filterwarnings("ignore")
import numpy as np

N_BINS, FLOOR = 10, 1e-4


def by_hand(p_counts, q_counts):
    p, q = (np.maximum(c / c.sum(), FLOOR) for c in (p_counts, q_counts))
    psi = float(((q - p) * np.log(q / p)).sum())
    p, q = p / p.sum(), q / q.sum()
    m = (p + q) / 2
    js = float((p * np.log2(p / m)).sum() / 2 + (q * np.log2(q / m)).sum() / 2)
    return psi, js


def counts(values, low, high):
    at = ((values - low) * (N_BINS / (high - low))).astype(np.int32)
    return np.bincount(np.clip(at, 0, N_BINS - 1), minlength=N_BINS)


def best(work, repeat):
    """The median of some runs, in seconds of processor."""
    took = []
    for _ in range(repeat):
        start = time.process_time()
        work()
        took.append(time.process_time() - start)
    return sorted(took)[repeat // 2]


def window(library):
    rng = np.random.default_rng(7)
    reference, current = rng.normal(size=(10_000, 30)), rng.normal(0.1, 1, size=(1_000, 30))
    if library == "numpy":
        ranges = [(column.min(), column.max()) for column in reference.T]
        known = [counts(column, *r) for column, r in zip(reference.T, ranges)]
        return best(lambda: [by_hand(k, counts(column, *r)) for k, r, column in zip(known, ranges, current.T)], 51)
    import pandas as pd
    names = [f"f{i:02}" for i in range(30)]
    a, b = pd.DataFrame(reference, columns=names), pd.DataFrame(current, columns=names)
    if library == "evidently":
        from evidently import Report
        from evidently.presets import DataDriftPreset
        return best(lambda: Report([DataDriftPreset(method="psi")]).run(b, a), 3)
    from nannyml import UnivariateDriftCalculator
    from nannyml.chunk import SizeBasedChunker
    calculator = UnivariateDriftCalculator(column_names=names, continuous_methods=["jensen_shannon"],
                                           chunker=SizeBasedChunker(1_000))
    calculator.fit(a)
    return best(lambda: calculator.calculate(b), 5)


def files(kind, reference, current, rows=None):
    if kind == "by-hand":
        import pyarrow.csv, pyarrow.parquet
        read = pyarrow.parquet.read_table if reference.endswith("parquet") else pyarrow.csv.read_csv
        a, b = read(reference), read(current)
        out = {}
        for name in a.column_names:
            x, y = a[name].to_numpy(), b[name].to_numpy()
            low, high = x.min(), x.max()
            out[name] = by_hand(counts(x, low, high), counts(y, low, high))
        return {"psi_of_first": out[a.column_names[0]][0]}
    import pandas as pd
    from evidently import Report
    from evidently.presets import DataDriftPreset
    a, b = (pd.read_parquet(f)[: int(rows) if rows else None] for f in (reference, current))
    Report([DataDriftPreset(method="psi")]).run(b, a)
    return {}


def make(file, rows, seed):
    import pyarrow as pa, pyarrow.csv, pyarrow.parquet
    rng, rows, writer = np.random.default_rng(int(seed)), int(rows), None
    for start in range(0, rows, 1_000_000):
        n = min(1_000_000, rows - start)
        table = pa.table({f"f{i:02}": rng.normal(0.02 * i * (int(seed) % 2), 1, n) for i in range(30)})
        if writer is None:
            writer = (pyarrow.parquet.ParquetWriter(file, table.schema) if file.endswith("parquet")
                      else pyarrow.csv.CSVWriter(file, table.schema))
        writer.write_table(table)
    writer.close()
    return {"rows": rows}


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    found = {"window": lambda: {"cpu_s": window(*arguments)}, "make": lambda: make(*arguments)}.get(
        what, lambda: files(what, *arguments))()
    print(json.dumps(found))
