"""The figures of a run as text for a terminal and as the page docs/benchmarks.md."""

ORDER = ("gateway", "changes", "statistics", "compare", "observe", "metrics", "memory")


def number(value, digits=None):
    if isinstance(value, str):
        return value
    if digits is not None:
        return f"{value:,.{digits}f}".replace(",", " ")
    return number(value, 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2)


def table(head, rows):
    """Rows of a Markdown table, its columns as wide as what stands in them."""
    cells = [[c if isinstance(c, str) else number(c) for c in row] for row in rows]
    widths = [max(len(row[i]) for row in [head, *cells]) for i in range(len(head))]
    line = lambda row: "| " + " | ".join(
        c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))) + " |"
    rule = "| " + " | ".join("-" * w if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)) + " |"
    return "\n".join([line(head), rule, *map(line, cells)]) + "\n"


def shown(value):
    """A mark's figure: counts as they are, small shares with one digit more."""
    return number(value, 0 if isinstance(value, int) else 3 if value < 0.1 else 2)


def marks(results):
    rows = []
    for name in ORDER:
        for mark in results["sections"].get(name, {}).get("marks", []):
            reached = "reached" if mark["value"] <= mark["most"] else "NOT reached"
            rows.append([mark["what"], f"{shown(mark['value'])} {mark['unit']}", shown(mark["most"]), reached])
    return table(["what", "this run", "mark, at most", ""], rows)


def gateway(section):
    rows = [[case, proxy, f["rps"], number(f["cpu_us"], 1), f["p50_us"], f["p99_us"], number(f["failed"], 0)]
            for case, by in section["figures"].items() for proxy, f in by.items()]
    lost = max(f["unmeasured"] for by in section["figures"].values() for f in by.values())
    return (table(["case", "gateway", "req/s", "CPU us/req", "p50 us", "p99 us", "failed"], rows) +
            f"\n{section['rounds']} turns of {section['seconds']} s; the median. Driftline decodes every request and counts "
            "its features, in total and for its tenant; nginx and Envoy measure nothing. \"Failed\" are requests without a good "
            "answer: a mirror that holds its client makes the client give up. Requests that Driftline served and did not "
            f"measure: at most {lost:.2%} of a case.\n")


def changes(section):
    return (f"{number(section['requests'], 0)} requests over {section['connections']} connections, while a changed configuration was put "
            f"in force {section['reloads']} times (each with other servers and another share of copies), all traffic rolled back "
            f"{section['rollbacks']} times and promoted again {section['promotions']} times. Lost: {section['lost']}.\n")


def statistics(section):
    rows = [[name, us] for name, us in section["evaluation_us"].items()]
    return (table(["PSI and JS of 30 features, 1 000 rows", "CPU us"], rows) +
            f"\nCounting one decoded request into the windows: {number(section['count_ns'])} ns.\n")


def compare(section):
    rows = [[name, number(f["cpu_s"], 2), number(f["seconds"], 2), f["peak_mb"]] for name, f in section["files"].items()]
    return table(["two files of 30 columns", "CPU s", "seconds", "peak MB"], rows)


def observe(section):
    rows = [[source, number(f["cpu_us"]), number(f["per_second_per_core"], 0)] for source, f in section["sources"].items()]
    return table([f"inference records of {number(section['bytes_a_record'], 0)} bytes, 30 features", "CPU us each",
                   "a second and core"], rows)


def metrics(section):
    return (f"A page of {number(section['series'], 0)} series ({number(section['page_mb'])} MB; 1 000 tenants of 31 features) takes "
            f"{number(section['cpu_ms'])} ms of one core, {number(section['ms'])} ms until it has been read.\n")


def memory(section):
    rows = [["30 features x 1 000 tenants x 2 lanes, with readings", f"{number(section['tenants_mb'])} MB"],
            ["one window set of 30 features", f"{number(section['window_kb'])} KB"],
            ["one open connection", f"{number(section['connection_kb'])} KB"],
            ["just started", f"{number(section['start_mb'])} MB"]]
    return table(["memory, resident", ""], rows)


RENDER = {"gateway": gateway, "changes": changes, "statistics": statistics, "compare": compare, "observe": observe, "metrics": metrics, "memory": memory}
TITLES = {"gateway": "Gateways", "changes": "Changes under load", "statistics": "One evaluation", "compare": "Comparing files",
          "observe": "Observing without a gateway", "metrics": "Metrics", "memory": "Memory"}


def text(results):
    parts = [marks(results)]
    parts += [f"{TITLES[name]}\n\n{RENDER[name](results['sections'][name])}" for name in ORDER if name in results["sections"]]
    return "\n".join(parts)


def markdown(results):
    machine = results["machine"]
    versions = sorted({f"{name} {version}" for section in results["sections"].values()
                       for name, version in section.get("versions", {}).items()})
    later = ", ".join(TITLES[name] for name in results.get("later", []))
    parts = [
        "# Benchmarks\n",
        f"This page is made of `bench/results.json`, one run of\n\n    {results['command']}\n",
        f"on {machine['cores']} cores ({machine['processor']}, {machine['system']}), with {', '.join(versions)}. Absolute times "
        "are this machine's; compare within a table. How the figures came about, and what is left to do, is in "
        "[performance](performance.md).\n",
        *([f"Measured later than the rest, with `--only`: {later}.\n"] if later else []),
        *([f"{results['note']}\n"] if "note" in results else []),
        "## Marks\n\n" + marks(results),
    ]
    parts += [f"## {TITLES[name]}\n\n{RENDER[name](results['sections'][name])}" for name in ORDER if name in results["sections"]]
    return "\n".join(parts)
