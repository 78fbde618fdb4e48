"""Where the time of a first apply goes, in the sandbox with everything cached: the guest's boot, apt,
uv, Jupyter's own start, and what is left, which is berth's. Needs root.

Usage: bench_quickstart.py BERTH [-n RUNS]   (with the Python of build-test/venv)"""

import argparse
import os
import pathlib
import re
import shutil
import statistics
import sys
import time

root = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(root / "tests" / "interop"))
import berthlib  # noqa: E402
from berthlib import Project  # noqa: E402

# Nodes whose time is spent in what others wrote.
PARTS = {
    "the guest's boot, until sshd answers": None,  # told apart below
    "apt": ["server[0].packages"],
    "uv and pip": ["server[0].python", "server[0].python.packages"],
    "Jupyter's start": ["server[0].jupyter.service", "server[0].jupyter.health"],
}


def seconds_of(output):
    return {m[0]: float(m[1]) for m in re.findall(r"^(\S+): created \(([\d.]+) s\)$", output, re.M)}


def one_run(project):
    started = time.monotonic()
    result = project.run("apply", "-auto-approve")
    wall = time.monotonic() - started
    steps = seconds_of(result.stderr)
    total = float(re.search(r"in ([\d.]+) s\.", result.stdout + result.stderr)[1])
    row = {name: sum(steps[n] for n in nodes) for name, nodes in PARTS.items() if nodes}
    # From the launch to the first login: what the steps on the host do not account for.
    on_host = sum(s for node, s in steps.items() if node.startswith("server[0]."))
    boot = total - on_host - max(steps["key_pair"], steps["access"])
    row["the guest's boot, until sshd answers"] = boot
    row["berth: the rest"] = wall - sum(row.values())
    row["wall"] = wall
    project.run("destroy", "-auto-approve")
    return row


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("berth")
    parser.add_argument("-n", type=int, default=5)
    options = parser.parse_args()
    berthlib.need_root()
    berthlib.need_program("mmdebstrap")
    spec = (root / "examples" / "quickstart.yaml").read_text()
    with Project(options.berth, spec) as project:
        shutil.copytree(root / "examples" / "notebooks", project.dir / "notebooks")
        one_run(project)  # fills the caches
        rows = [one_run(project) for _ in range(options.n)]
    print(f"medians of {options.n} runs on {os.cpu_count()} processors")
    for name in [*PARTS, "berth: the rest", "wall"]:
        print(f"{name:40}{statistics.median(r[name] for r in rows):8.2f} s")


main()
