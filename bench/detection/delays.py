#!/usr/bin/env python3
"""Rows until an alarm, side by side: see README.md."""
import argparse
import pathlib
import subprocess
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
REFERENCE, HORIZON = 5_000, 10_000
P = np.array([0.30, 0.22, 0.16, 0.12, 0.08, 0.06, 0.04, 0.02])
Q = np.array([0.22, 0.22, 0.16, 0.20, 0.08, 0.06, 0.04, 0.02])


def category(shares):
    return lambda r, n: r.choice(len(shares), size=n, p=shares).astype(float)


def contaminated(r, n):
    x = r.standard_normal(n)
    hit = r.random(n) < 0.05
    x[hit] = 5 * r.standard_t(2, hit.sum())
    return x


def two_humps(share):
    return lambda r, n: np.where(r.random(n) < share, -2.0, 2.0) + r.standard_normal(n)


NORMAL = lambda r, n: r.standard_normal(n)
# name: kind, before, after
STREAMS = {
    "mean +0.25 sd": ("n", NORMAL, lambda r, n: r.standard_normal(n) + 0.25),
    "mean +0.5 sd": ("n", NORMAL, lambda r, n: r.standard_normal(n) + 0.5),
    "mean +1 sd": ("n", NORMAL, lambda r, n: r.standard_normal(n) + 1),
    "variance x1.5": ("n", NORMAL, lambda r, n: r.standard_normal(n) * 1.5**0.5),
    "variance x2": ("n", NORMAL, lambda r, n: r.standard_normal(n) * 2**0.5),
    "5 % heavy tail": ("n", NORMAL, contaminated),
    "humps 50:50 to 65:35": ("n", two_humps(0.5), two_humps(0.65)),
    "category 8 points": ("c", category(P), category(Q)),
}


def driftline(program, kind, arl0, blocks):
    """The row of the alarm of every block, or -1."""
    process = subprocess.Popen(
        [program, "detect", "--blocks"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    text = []
    for reference, stream in blocks:
        text.append(f"DRIFT1 {len(reference)} 1 {len(stream)} {arl0} {kind}")
        text.extend("%.9g" % x for x in reference)
        text.extend("%.9g" % x for x in stream)
    out, _ = process.communicate("\n".join(text) + "\n")
    if process.returncode:
        sys.exit("driftline failed")
    return [int(line) for line in out.split()]


def river(make):
    def run(kind, arl0, blocks):
        rows = []
        for reference, stream in blocks:
            detector = make()
            for x in reference:
                detector.update(x)
            for row, x in enumerate(stream):
                detector.update(x)
                if detector.drift_detected:
                    rows.append(row)
                    break
            else:
                rows.append(-1)
        return rows

    return run


def usual_rule(kind, arl0, blocks):
    rows = []
    for reference, stream in blocks:
        edges = np.arange(0.5, 8) if kind == "c" else np.linspace(reference.min(), reference.max(), 11)[1:-1]
        shares = lambda x: np.maximum(np.bincount(np.searchsorted(edges, x), minlength=len(edges) + 1) / len(x), 1e-4)
        p, found = shares(reference), -1
        for end in range(1_000, len(stream) + 1, 1_000):
            q = shares(stream[end - 1_000 : end])
            if np.sum((q - p) * np.log(q / p)) > 0.2:
                found = end - 1
                break
        rows.append(found)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--arl0", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--program", help="a driftline that is built already")
    args = parser.parse_args()
    program = args.program
    if not program:
        subprocess.run(["cargo", "build", "--release", "--quiet", "-p", "driftline"], cwd=ROOT, check=True)
        program = str(ROOT / "target/release/driftline")
    detectors = {"driftline": lambda *a: driftline(program, *a), "window 1000, PSI > 0.2": usual_rule}
    try:
        from river import drift

        detectors["ADWIN"] = river(lambda: drift.ADWIN(delta=0.2))
        detectors["Page-Hinkley"] = river(lambda: drift.PageHinkley(threshold=141))
    except ImportError:
        print("River is not installed: its columns are left out", file=sys.stderr)

    print("| rows until the alarm | " + " | ".join(detectors) + " |")
    print("| --- |" + " --- |" * len(detectors))
    for name, (kind, before, after) in STREAMS.items():
        blocks, changes = [], []
        for run in range(args.runs):
            r = np.random.default_rng([args.seed, run])
            change = 4_500 + int(r.integers(0, 1_000))
            changes.append(change)
            blocks.append((before(r, REFERENCE), np.concatenate([before(r, change), after(r, HORIZON)])))
        cells = []
        for detect in detectors.values():
            rows = detect(kind, args.arl0, blocks)
            waits = [(row - at + 1 if row >= 0 else HORIZON) for row, at in zip(rows, changes) if not 0 <= row < at]
            missed = sum(row < 0 for row in rows)
            cell = f"{np.mean(waits):.0f}" if waits else "-"
            cells.append(cell + (f" ({missed} of {args.runs} not found)" if missed else ""))
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    cells = []
    for detect in detectors.values():
        blocks = []
        for run in range(args.runs):
            r = np.random.default_rng([args.seed, 1_000 + run])
            blocks.append((NORMAL(r, REFERENCE), NORMAL(r, 3 * args.arl0)))
        rows = detect("n", args.arl0, blocks)
        exposure = sum(row + 1 if row >= 0 else 3 * args.arl0 for row in rows)
        alarms = sum(row >= 0 for row in rows)
        cells.append(f"{exposure / alarms:.0f}" if alarms else f"over {exposure}")
    print("| rows between false alarms, normal data | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
