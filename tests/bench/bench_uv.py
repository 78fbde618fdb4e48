"""The environment that berth makes, by uv, beside the same list by pip: wall time into a new virtual
environment with nothing cached, and with all of it cached. From the package index of this machine's
settings. Usage: bench_uv.py FOLDER [-n RUNS] [-o FILE.json]   (FOLDER gets uv itself)"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

PACKAGES = ["jupyterlab", "notebook", "pandas", "matplotlib"]


def install(program, folder, cache):
    shutil.rmtree(folder, ignore_errors=True)
    env = dict(os.environ, UV_CACHE_DIR=str(cache / "uv"), PIP_CACHE_DIR=str(cache / "pip"),
               UV_LINK_MODE="copy", PIP_DISABLE_PIP_VERSION_CHECK="1")
    python = folder / "bin" / "python"
    commands = {
        "uv": [[program, "venv", "-q", "--seed", "--python", "/usr/bin/python3", folder],
               [program, "pip", "install", "-q", "--python", python, *PACKAGES]],
        "pip": [["/usr/bin/python3", "-m", "venv", folder],
                [python, "-m", "pip", "install", "-q", *PACKAGES]],
    }["pip" if program is None else "uv"]
    started = time.perf_counter()
    for command in commands:
        subprocess.run(command, env=env, check=True)
    return time.perf_counter() - started


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("-n", type=int, default=3)
    parser.add_argument("-o")
    options = parser.parse_args()
    uv = options.folder / "bin" / "uv"
    if not uv.exists():
        subprocess.run(["/usr/bin/python3", "-m", "venv", options.folder], check=True)
        subprocess.run([options.folder / "bin" / "pip", "install", "-q", "uv"], check=True)
    rows = {}
    with tempfile.TemporaryDirectory(prefix="berth-bench-uv-") as root:
        root = pathlib.Path(root)
        for _ in range(options.n):
            shutil.rmtree(root / "cache", ignore_errors=True)
            for what in ("nothing cached", "all cached"):
                for name, program in (("uv", uv), ("pip", None)):
                    took = install(program, root / "env", root / "cache")
                    rows.setdefault(what, {}).setdefault(name, []).append(took)
    for what, row in rows.items():
        row.update({name: statistics.median(times) for name, times in row.items()})
        print(f"{what:16} uv {row['uv']:6.2f} s   pip {row['pip']:6.2f} s   "
              f"uv is {row['pip'] / row['uv']:.1f} times as fast", flush=True)
    if options.o:
        pathlib.Path(options.o).write_text(json.dumps(rows, indent=2) + "\n")


main()
