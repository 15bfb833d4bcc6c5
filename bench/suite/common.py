"""Processes, processor time, places."""
import os, pathlib, shutil, signal, socket, subprocess, sys, tempfile, time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SUITE = ROOT / "bench/suite"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
TICKS = os.sysconf("SC_CLK_TCK")


def say(text):
    print(text, file=sys.stderr, flush=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, process, seconds=20):
    """Waits until something listens on a port of this machine."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            raise RuntimeError(f"`{process.args[0]}` ended with {process.returncode}: see {process.log}")
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on 127.0.0.1:{port}: see {process.log}")


class Running:
    """A server that is ended with the block it was started in."""

    def __init__(self, command, log, **more):
        with open(log, "ab") as out:
            self.process = subprocess.Popen([str(c) for c in command], stdout=out, stderr=out, **more)
        self.process.log = log

    def __enter__(self):
        return self.process

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def family(pid):
    """A process and its children."""
    listed = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, listed)]


def cpu_seconds(pids):
    """What the operating system charged these processes so far: user and system, every thread."""
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def resident_mb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def run_measured(command, **more):
    """Runs a program to its end: its output, seconds, CPU seconds and peak memory in MB, children included."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        start = time.monotonic()
        process = subprocess.Popen([str(c) for c in command], stdout=out, stderr=errors, **more)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0), errors.seek(0)
        if process.returncode not in (0, 1):
            raise RuntimeError(f"`{' '.join(map(str, command))}` failed: {errors.read()[-2000:].decode(errors='replace')}")
        return {"out": out.read().decode(errors="replace"), "seconds": seconds,
                "cpu_s": usage.ru_utime + usage.ru_stime, "peak_mb": usage.ru_maxrss / 1024}


def build(*arguments):
    """Builds something of this workspace; what a user would run, so with the profile that images ship."""
    subprocess.run(["cargo", "build", "--profile", "dist", "--quiet", *arguments], cwd=ROOT, check=True)
    return TARGET / "dist"


def find(program, *places):
    """A program by name; otherwise in one of the places."""
    return shutil.which(program) or next((str(p) for p in places if pathlib.Path(p).exists()), None)


def command(name, *left_out):
    """The command line as a page shows it, without these options and their values."""
    arguments = iter(sys.argv[1:])
    shown = []
    for argument in arguments:
        if argument in left_out:
            next(arguments, None)
        elif argument.split("=")[0] not in left_out:
            shown.append(argument)
    return " ".join([name, *shown])


def machine():
    model = next((line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), "unknown")
    kernel = os.uname()
    return {"processor": model, "cores": os.cpu_count(), "system": f"{kernel.sysname} {kernel.release}"}


def rounded(value):
    """Figures with four digits are more than any of them is worth."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
