#!/usr/bin/env python3
"""Draws docs/guide/pictures/detector-flights.svg from a run of the program over testdata/flights.csv.

    python3 bench/detection/pictures.py [PROGRAM]

Above: the evidence after every flight, as a share of what an alarm needs, 300 winter flights and then summer's. Below: the PSI
of the temperature in a sliding window of the last 1 000 flights, with the usual limit of 0.2."""
import csv
import math
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BEFORE, AFTER, WINDOW = 1_300, 700, 1_000
WIDTH, HEIGHT, LEFT, PANEL = 760, 420, 70, 150


def phases():
    with open(ROOT / "testdata/flights.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    of = lambda phase: [row for row in rows if row["phase"] == phase]
    return of("reference"), of("before")[:BEFORE] + of("after")[:AFTER]


def write(path, rows):
    columns = [name for name in rows[0] if name not in ("ts", "phase")]
    with open(path, "w", newline="") as file:
        out = csv.DictWriter(file, columns, extrasaction="ignore")
        out.writeheader()
        out.writerows(rows)


def evidence(program, reference, stream):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write(folder / "reference.csv", reference)
        write(folder / "stream.csv", stream)
        with open(folder / "stream.csv") as rows:
            command = [program, "detect", "--reference", folder / "reference.csv", "--trace", folder / "trace.csv"]
            alarms = subprocess.run(command, stdin=rows, capture_output=True, text=True).stdout
        with open(folder / "trace.csv", newline="") as file:
            ratios = [float(row["evidence_ratio"]) for row in csv.DictReader(file)]
    alarm = next(line for line in alarms.splitlines() if ": drift since" in line)
    return ratios, int(alarm.split(":")[0].split()[1])


def psi(reference, stream):
    number = lambda rows: [float(row["temp"]) if row["temp"] else None for row in rows]
    reference, stream = number(reference), number(stream)
    known = [x for x in reference if x is not None]
    low, high = min(known), max(known)
    place = lambda x: 10 if x is None else min(9, max(0, int((x - low) / (high - low) * 10)))
    shares = lambda slots: [max(slots.count(slot) / len(slots), 1e-4) for slot in range(11)]
    p, slots, values = shares([place(x) for x in reference]), [place(x) for x in stream], []
    for end in range(len(slots)):
        if end + 1 < WINDOW:
            values.append(None)
            continue
        q = shares(slots[end + 1 - WINDOW : end + 1])
        values.append(sum((b - a) * math.log(b / a) for a, b in zip(p, q)))
    return values


def panel(top, title, values, scale, ticks, limit, first):
    x = lambda row: LEFT + (row - first) / (len(values) - first) * (WIDTH - LEFT - 20)
    y = lambda value: top + PANEL * (1 - min(1, max(0, scale(value))))
    parts = [f'<text x="{LEFT}" y="{top - 8}" class="title">{title}</text>']
    for tick, label in ticks:
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{label}</text>')
    parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y(limit):.1f}" y2="{y(limit):.1f}" class="limit"/>')
    points = " ".join(f"{x(row):.1f},{y(v):.1f}" for row, v in enumerate(values) if row >= first and v is not None)
    parts.append(f'<line x1="{x(BEFORE):.1f}" x2="{x(BEFORE):.1f}" y1="{top}" y2="{top + PANEL}" class="change"/>')
    parts.append(f'<polyline points="{points}" class="line"/>')
    return parts


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "target/release/driftline")
    reference, stream = phases()
    ratios, alarm = evidence(program, reference, stream)
    values = psi(reference, stream)
    over = next(row for row, value in enumerate(values) if value is not None and value > 0.2)
    first = WINDOW
    parts = panel(
        40,
        f"Evidence over what an alarm needs: reached {alarm + 1 - BEFORE} flights after the change",
        [max(ratio, 1e-6) for ratio in ratios],
        lambda v: (math.log10(v) + 6) / 7,
        [(10.0**e, f"1e{e}" if e else "1") for e in (-6, -4, -2, 0)],
        1.0,
        first,
    )
    parts += panel(
        250,
        f"PSI of `temp` in the last 1 000 flights: above 0.2 after {over + 1 - BEFORE}",
        values,
        lambda v: v / 1.0,
        [(0, "0"), (0.2, "0.2"), (0.5, "0.5"), (1.0, "1")],
        0.2,
        first,
    )
    style = (
        "text{font:12px sans-serif;fill:#444}.title{font-size:14px;fill:#111}.grid{stroke:#ddd}"
        ".limit{stroke:#c0392b;stroke-dasharray:6 4}.change{stroke:#888;stroke-dasharray:2 3}"
        ".line{fill:none;stroke:#1f6fb2;stroke-width:1.5}"
    )
    label = f'<text x="{LEFT}" y="{HEIGHT - 6}">flights 1 000 to {len(stream)} of the stream; dotted: winter ends; dashed: the limit</text>'
    svg = "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
            "<title>The detector and a window of 1 000 on the same flights</title>",
            f"<style>{style}</style>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
            *parts,
            label,
            "</svg>",
        ]
    )
    target = ROOT / "docs/guide/pictures"
    target.mkdir(exist_ok=True)
    (target / "detector-flights.svg").write_text(svg + "\n")
    print(f"change at {BEFORE}, alarm at {alarm}, PSI above 0.2 at {over}")


if __name__ == "__main__":
    main()
