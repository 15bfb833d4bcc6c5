"""The figures of bench/judgement for a terminal, for docs/guide/judgement.md, and the default policy's own numbers for the page of the rules."""
import collections, statistics

from .judge import at_most, explained
from .page import table

BEGIN, END = "<!-- numbers of bench/judgement -->", "<!-- end of the numbers -->"
TOTALS = ("days", "rollbacks", "criticals", "drift_detected", "other_warnings")


def line(kind, run):
    """A run in a line."""
    if kind == "calm":
        counts = ", ".join(f"{run[key]} {key.replace('_', ' ')}" for key in TOTALS[1:] if run[key]) or "nothing"
        return f"calm: {run['name']} ({run['seed']}): {run['days']:.2f} days in {run['seconds']:.0f} s: {counts}"
    rows = "silent" if run["rows_to_alert"] is None else f"{run['first']} after {run['rows_to_alert']} rows"
    return f"changed: {run['name']} ({run['seed']}): {rows}; {'; '.join(run['wrong']) or 'right'}; {run['seconds']:.0f} s"


def wrongs(results):
    """Names of the scenarios that come out wrong."""
    too_many = lambda run: run["rollbacks"] or run["criticals"] or run["drift_detected"] > explained(run["days"])
    calm = {run["name"] for run in results["calm"] + results["public"]["calm"] if too_many(run)}
    return calm | {run["name"] for run in results["changed"] + results["public"]["changed"] if run["wrong"]}


def totals(results):
    runs = results["calm"]
    return {key: sum(run[key] for run in runs) for key in TOTALS}


def grouped(count):
    """A whole number with its thousands apart."""
    return f"{count:,.0f}".replace(",", " ")


def calm_table(runs):
    rows = [[run["name"], str(run["runs"]), f"{run['days']:.2f}", grouped(run["records"]), str(run["rollbacks"]),
             str(run["criticals"]), str(run["drift_detected"]), str(run["other_warnings"])] for run in runs]
    return table(["without a change", "runs", "days", "records", "rollbacks", "critical", "DriftDetected", "other warnings"], rows)


def middle(runs, key):
    """The median over the runs, `never` where most of them have none."""
    values = [run[key] for run in runs if run[key] is not None]
    if 2 * len(values) <= len(runs):
        return "never" if not values else f"never in {len(runs) - len(values)} of {len(runs)}"
    return f"{statistics.median(values):.0f}"


def changed_table(runs):
    by_name = collections.defaultdict(list)
    for run in runs:
        by_name[run["name"]].append(run)
    rows = []
    for name, same in by_name.items():
        right = sum(not run["wrong"] for run in same)
        rows.append([name, middle(same, "rows_to_detector"), middle(same, "rows_to_alert"), middle(same, "rows_to_rollback"),
                     f"{right} of {len(same)}"])
    return table(["with a change", "rows to DriftDetected", "to the first alert", "to the rollback", "right"], rows)


def faults(runs):
    """What is wrong with the scenarios that are not right, and what was said."""
    by_name = collections.defaultdict(list)
    for run in runs:
        if run["wrong"]:
            by_name[run["name"]].append(run)
    for name, same in by_name.items():
        wrong = sorted({what for run in same for what in run["wrong"]})
        words = list(dict.fromkeys(f"\"{word}\"" for run in same for word in run["before"][:1] + run["words"][:1]))[:2]
        yield f"- {name}: {'; '.join(wrong)}." + (f" Said was {', '.join(words)}." if words else "")


def peers_table(peers):
    names = list(peers[0]["rows"])
    rows = [[peer["name"], *(peer["rows"][name] for name in names)] for peer in peers]
    return table(["rows to the alarm", *names], rows)


def left_out(results):
    return list(dict.fromkeys(results["public"]["skipped"] + results["beside"]["skipped"]))


def summary(results):
    """The numbers of all calm runs: what, how often, how many a month, fewer than."""
    sums = totals(results)
    days = max(sums["days"], 1e-9)
    rows = []
    for key, name in (("rollbacks", "rollbacks"), ("criticals", "critical alerts"), ("drift_detected", "`DriftDetected`"),
                      ("other_warnings", "other warnings")):
        rows.append([name, str(sums[key]), f"{sums[key] / days * 30:.2g}", f"{at_most(sums[key], days):.2g}"])
    return table(["without a change", "times", "per model and 30 days", "95 % sure of less than"], rows)


def text(results):
    public, parts = results["public"], []
    if results["calm"]:
        sums = totals(results)
        parts += [calm_table(results["calm"]), f"{sums['days']:.1f} model-days; the stated rate explains up to {explained(sums['days'])} "
                  "DriftDetected.\n", summary(results)]
    if results["changed"]:
        parts.append(changed_table(results["changed"]))
    parts += [calm_table(public["calm"])] if public["calm"] else []
    parts += [changed_table(public["changed"])] if public["changed"] else []
    parts += [peers_table(results["beside"]["cases"])] if results["beside"]["cases"] else []
    parts += [f"left out: {reason}\n" for reason in left_out(results)]
    for run in results["calm"] + public["calm"] + [run for run in results["changed"] + public["changed"] if run["wrong"]]:
        parts += [f"{run['name']}: {word}" for word in run["words"]]
    wrong = wrongs(results)
    names = {run["name"] for run in results["calm"] + results["changed"] + public["calm"] + public["changed"]}
    parts.append(f"{len(names)} scenarios, {len(names) - len(wrong)} right{': wrong are ' + ', '.join(sorted(wrong)) if wrong else ''}.\n")
    return "\n".join(parts)


def numbers(results, page):
    """The page with the numbers between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"the page has no `{BEGIN}` and `{END}`")
    sums = totals(results)
    said = f"Measured on {grouped(sums['days'])} model-days of made-up traffic in which nothing changes ([judgement](judgement.md)):\n"
    return f"{before}{BEGIN}\n{said}\n{summary(results)}{END}{after}"


def markdown(results, _):
    public, box, sums = results["public"], results["machine"], totals(results)
    wrong = wrongs(results)
    names = {run["name"] for run in results["calm"] + results["changed"] + public["calm"] + public["changed"]}
    parts = [
        "# No drift, no alarm; drift, the right alarm\n",
        f"This page shows what the default rules do with traffic of many kinds. It is made of `bench/judgement.json`, one run of\n\n"
        f"    {results['command']}\n",
        f"on {box['cores']} cores ({box['processor']}, {box['system']}) in {results['seconds'] / 60:.0f} minutes: records with fixed seeds through "
        "[`driftline backtest`](backtest.md), which is the engine and the controller of a running instance on the records' own time. Every model "
        "learns its reference from its first 1 000 requests.\n",
        *([f"{results['note']}\n"] if results.get("note") else []),
        f"{len(names)} scenarios, {len(names) - len(wrong)} come out right.\n",
        "## Without a change\n",
        f"{grouped(sums['days'])} model-days. Right are no rollback and no critical alert, and `DriftDetected` at most once in 30 days and detector, which "
        f"explains up to {explained(sums['days'])}.\n",
        summary(results), calm_table(results["calm"]),
    ]
    said = [f"- {run['name']}: \"{word}\"" for run in results["calm"] for word in run["words"][:2]]
    parts += ["The first alerts and rollbacks of each:\n", "\n".join(said) + "\n"] if said else []
    parts += ["## With a change\n",
              "Medians of the runs. Right is an alert of the kind that the scenario names, which names the feature or tenant that changed, a rollback "
              "exactly where another version would help, and nothing before the change.\n", changed_table(results["changed"])]
    wrongly = [*faults(results["changed"]), *faults(public["changed"])]
    parts += ["What is wrong with those that are not right:\n", "\n".join(wrongly) + "\n"] if wrongly else []
    if public["calm"] or public["changed"]:
        parts.append("## Public data\n")
        parts += ["Recorded rows, mixed by blocks ([`backtest --calm`](backtest.md)), so that nothing changes:\n", calm_table(public["calm"])] if public["calm"] else []
        parts += ["In the order in which they were recorded, or before and after a change that is in the data:\n", changed_table(public["changed"])] if public["changed"] else []
    if results["beside"]["cases"]:
        parts += ["## Beside other detectors\n", results["beside"]["note"], peers_table(results["beside"]["cases"])]
    parts += [f"- Left out: {reason}" for reason in left_out(results)]
    parts += ["\n## Limits\n",
              "- The traffic is made up; [`backtest --calm`](backtest.md#how-often-would-it-be-wrong) says the same of yours.\n"
              "- After a rollback the records stay those of the version that served them, so a run shows its first rollback only.\n"]
    return "\n".join(parts).rstrip() + "\n"
