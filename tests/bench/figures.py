"""All figures by one command, as tables: the host's reading and converging, a fleet beside Ansible,
copies beside scp and rsync, uv beside pip, and how many turns a plan takes. Each part is a program of
its own beside this one and says what it measures; peers and berth take turns on one machine.
Needs root, /dev/net/tun and, for Ansible and uv, a package index.

Usage: figures.py BUILD [-quick] [-only PART,...]    (with the Python of build-test/venv, from a release
build: BUILD/berth, BUILD/tests/...; what it fetches is kept in BUILD/bench)"""

import argparse
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("-quick", action="store_true")
    parser.add_argument("-only", type=lambda s: s.split(","))
    options = parser.parse_args()
    build = options.build.resolve()
    keep = build / "bench"
    keep.mkdir(exist_ok=True)
    fixed, lower = build / "tests" / "berth_fixed_host", build / "tests" / "bench_lower_bound"

    def runs(many):
        return ["-n", "1" if options.quick else str(many)]

    parts = {
        "host": ["bench_host.py", fixed, lower, *runs(9)],
        "fleet": ["bench_fleet.py", fixed, lower, "-ansible", keep / "ansible", *runs(3)],
        "cp": ["bench_cp.py", fixed, *runs(5)],
        "files": ["bench_files.py", fixed, *runs(3)],
        "uv": ["bench_uv.py", keep / "uv", *runs(3)],
        "turns": [HERE.parent / "interop" / "turns_test.py", fixed],
        "quickstart": ["bench_quickstart.py", build / "berth", *runs(5)],
    }
    failed = []
    for name, (program, *args) in parts.items():
        if options.only and name not in options.only:
            continue
        print(f"== {name}", flush=True)
        result = subprocess.run([sys.executable, HERE / program, *args], stderr=subprocess.PIPE,
                                text=True, check=False)
        if result.returncode != 0:
            failed.append(name)
            print(result.stderr[-2000:], flush=True)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


main()
