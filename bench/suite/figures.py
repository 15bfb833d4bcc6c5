"""Statistics, comparison of files, metrics, memory."""
import json, os, pathlib, re, subprocess, tempfile, time, urllib.request

from . import peers
from .common import SUITE, Running, build, cpu_seconds, find, free_port, resident_mb, run_measured, say, wait_for
from .models import Models

PEERS = SUITE / "statistics_peers.py"


def peer(python, *arguments):
    measured = run_measured([python, PEERS, *arguments])
    return {**measured, **json.loads(measured["out"].splitlines()[-1])}


def engine_speed(detector="on"):
    """Our own engine's figures, from its example program: name to number."""
    program = build("-p", "monitor", "--example", "engine_speed") / "examples/engine_speed"
    out = run_measured(["env", f"DETECTOR={detector}", program])["out"]
    one = lambda pattern: float(re.search(pattern, out)[1])
    return {"window_us": one(r"readings, 21 windows changed: \d+ ns, (\d+) ns a window") / 1e3,
            "count_ns": float(re.findall(r"counting (\d+) ns", out)[-1]),
            "tenants_mb": one(r"with readings: estimated \d+ MB, resident (\d+) kB") / 1024}


def statistics(quick):
    """One evaluation: PSI and JS (and our critical values) of 30 features over a window of 1 000."""
    say("statistics")
    ours, without, python = engine_speed(), engine_speed("off"), peers.statistics_python()
    # A request is shown to two detectors: the total's and its tenant's.
    detector_us = (ours["count_ns"] - without["count_ns"]) / 2e3
    rows = {"Driftline (PSI, JS, debiased PSI and critical values)": without["window_us"],
            "numpy by hand, reference counted before": peer(python, "window", "numpy")["cpu_s"] * 1e6}
    versions = peers.package_versions(python, "numpy", "evidently")
    if not quick:
        rows["Evidently, report with PSI"] = peer(python, "window", "evidently")["cpu_s"] * 1e6
        nannyml = peers.nannyml_python()
        rows["NannyML, Jensen-Shannon, fitted before"] = peer(nannyml, "window", "nannyml")["cpu_s"] * 1e6
        versions |= peers.package_versions(nannyml, "nannyml")
    marks = [{"what": "one evaluation of 30 features x 1 000", "unit": "us", "value": without["window_us"], "most": 25.0},
             {"what": "sequential detector, 30 features, a request", "unit": "us", "value": detector_us, "most": 3.0}]
    return {"versions": versions, "evaluation_us": rows, "count_ns": without["count_ns"], "marks": marks}


def compare(quick, large):
    """Two files of 30 columns: `driftline compare` beside Python programs that do the same."""
    driftline, python = build("-p", "driftline") / "driftline", peers.statistics_python()
    rows = 200_000 if quick else 1_000_000
    table, marks = {}, []
    with tempfile.TemporaryDirectory(prefix="driftline-bench-") as name:
        def pair(kind, n):
            files = [pathlib.Path(name) / f"{side}-{n}.{kind}" for side in ("reference", "current")]
            for seed, file in enumerate(files):
                run_measured([python, PEERS, "make", file, str(n), str(seed)])
            return files

        def ours(files):
            command = [driftline, "compare", "--reference", files[0], "--current", files[1], "--format", "json"]
            found = run_measured(command)
            assert len(json.loads(found["out"])["features"]) == 30
            return found

        for kind in ("parquet", "csv"):
            files = pair(kind, rows)
            say(f"compare {kind}, {rows} rows")
            rounds = [(ours(files), peer(python, "by-hand", *files)) for _ in range(1 if quick else 5 if kind == "parquet" else 3)]
            middle = lambda side, key: sorted(r[side][key] for r in rounds)[len(rounds) // 2]
            for side, label in ((0, "driftline compare (with KS and Wasserstein)"), (1, "pyarrow and numpy by hand")):
                table[f"{kind}, {rows} rows: {label}"] = {k: middle(side, k) for k in ("cpu_s", "seconds", "peak_mb")}
            if kind == "parquet":
                quotient = sorted(a["cpu_s"] / b["cpu_s"] for a, b in rounds)[len(rounds) // 2]
                marks += [{"what": "compare, Parquet: CPU", "unit": "x pyarrow and numpy by hand", "value": quotient, "most": 1.0},
                          {"what": "compare, Parquet: peak memory", "unit": "x pyarrow and numpy by hand",
                           "value": middle(0, "peak_mb") / middle(1, "peak_mb"), "most": 0.1}]
                say("Evidently")
                evidently = peer(python, "evidently", *files)
                table[f"{kind}, {rows} rows: Evidently, report with PSI"] = {k: evidently[k] for k in ("cpu_s", "seconds", "peak_mb")}
                marks.append({"what": "compare, Parquet: CPU", "unit": "x Evidently's", "value": middle(0, "cpu_s") / evidently["cpu_s"],
                              "most": 1 / 30})
            for file in files:
                file.unlink()
        if not quick:
            for kind in ("parquet", "csv") if large else ("parquet",):
                files = pair(kind, 10_000_000)
                say(f"compare and baseline, {kind}, 10 M rows")
                found = ours(files)
                table[f"{kind}, 10 M rows: driftline compare"] = {k: found[k] for k in ("cpu_s", "seconds", "peak_mb")}
                found = run_measured([driftline, "baseline", files[0], "-o", pathlib.Path(name) / "out.json"])
                table[f"{kind}, 10 M rows: driftline baseline (one file)"] = {k: found[k] for k in ("cpu_s", "seconds", "peak_mb")}
                for file in files:
                    file.unlink()
    return {"versions": peers.package_versions(python, "pyarrow", "numpy", "evidently"), "files": table, "marks": marks}


def metrics(quick):
    """One page of /metrics with about 125 000 series: 1 000 tenants, 31 features each."""
    say("metrics")
    driftline, scrapes = build("-p", "driftline") / "driftline", 5 if quick else 20
    with tempfile.TemporaryDirectory(prefix="driftline-bench-") as name:
        folder, port, admin = pathlib.Path(name), free_port(), free_port()
        with Models(folder) as models:
            config = folder / "driftline.yaml"
            config.write_text(f"listen: 127.0.0.1:{port}\nadmin: 127.0.0.1:{admin}\nworkers: 1\nstore: {folder}/state\n"
                              f"models:\n  fraud:\n    versions: {{ v2: http://127.0.0.1:{models.prod} }}\n"
                              "    active: v2\n    tenant: x-tenant-id\n")
            with Running([driftline, "run", "-c", config], folder / "driftline.log") as process:
                wait_for(port, process), wait_for(admin, process)
                command = [find("wrk"), "-t1", "-c32", "-d5s", "-s", str(SUITE / "tenants.lua"), f"http://127.0.0.1:{port}"]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "TENANTS": "1000"})
                page = lambda: urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=30).read()
                # The last evaluation of everything that came in.
                time.sleep(3), page()
                idle, start = cpu_seconds([process.pid]), time.monotonic()
                time.sleep(2)
                idle = (cpu_seconds([process.pid]) - idle) / (time.monotonic() - start)
                before, start, took = cpu_seconds([process.pid]), time.monotonic(), []
                for _ in range(scrapes):
                    began = time.monotonic()
                    text = page()
                    took.append(time.monotonic() - began)
                spent = cpu_seconds([process.pid]) - before - idle * (time.monotonic() - start)
    series = sum(1 for line in text.splitlines() if line and not line.startswith(b"#"))
    if series < 100_000:
        raise RuntimeError(f"{series} series where 100 000 were to be rendered")
    return {"series": series, "page_mb": len(text) / 2**20, "ms": sorted(took)[len(took) // 2] * 1e3,
            "cpu_ms": spent / scrapes * 1e3, "marks": []}


def memory(quick):
    """Memory of windows and of open connections."""
    import socket
    say("memory")
    driftline, ours = build("-p", "driftline") / "driftline", engine_speed()
    n = 200 if quick else 2_000
    with tempfile.TemporaryDirectory(prefix="driftline-bench-") as name:
        folder, port, admin = pathlib.Path(name), free_port(), free_port()
        config = folder / "driftline.yaml"
        config.write_text(f"listen: 127.0.0.1:{port}\nadmin: 127.0.0.1:{admin}\nworkers: 1\nstore: {folder}/state\n"
                          f"models:\n  m: {{ versions: {{ v1: http://127.0.0.1:{free_port()} }}, active: v1 }}\n")
        with Running([driftline, "run", "-c", config], folder / "log") as process:
            wait_for(port, process), wait_for(admin, process)
            before = resident_mb(process.pid)
            clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(n)]
            for client in clients:
                client.sendall(b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n")
            for client in clients:
                client.recv(4096)
            after = resident_mb(process.pid)
            for client in clients:
                client.close()
    marks = [{"what": "30 features x 1 000 tenants x 2 lanes", "unit": "MB", "value": ours["tenants_mb"], "most": 150.0}]
    return {"start_mb": before, "connection_kb": (after - before) * 1024 / n,
            "window_kb": ours["tenants_mb"] * 1024 / 2_000, "tenants_mb": ours["tenants_mb"], "marks": marks}
