"""`berth cp` beside scp and rsync over a link with a delay: one large file and a folder of many, there
and back; wall time, megabytes a second, and the ratio of medians to scp's.

The host is bench_host.py's. Needs root and /dev/net/tun.
Usage: bench_cp.py BERTH_FIXED_HOST [-n RUNS] [-s MEGABYTES] [-d ROUND_TRIP_MS] [-o FILE.json]"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

from bench_host import Bench, THERE, need

FILES, FILE_BYTES = 100, 20000


def make_source(bench, megabytes):
    big = bench.root / "source" / "big"
    big.parent.mkdir()
    with open(big, "wb") as f:
        for _ in range(megabytes):
            f.write(os.urandom(1_000_000))
    many = bench.root / "source" / "many"
    many.mkdir()
    for i in range(FILES):
        (many / f"f{i}").write_bytes(os.urandom(FILE_BYTES))


def commands(bench, what):
    """{program: (there, back)}; each copy goes to a place of its own that is removed before."""
    root = bench.root
    ssh = ["-F", "none", "-i", str(root / "user"), "-o", "IdentitiesOnly=yes", "-o",
           f"UserKnownHostsFile={root}/known_hosts", "-o", "BatchMode=yes"]
    source, there, back = root / "source" / what, root / "there" / what, root / "back" / what
    recursive = ["-r"] if what == "many" else []
    slash = "/" if what == "many" else ""
    shell = ["-e", " ".join(["ssh", *ssh])]
    return {
        "berth cp": ([bench.berth, "cp", source, f":{there}"], [bench.berth, "cp", f":{there}", back]),
        "scp": (["scp", "-q", *recursive, *ssh, source, f"root@{THERE}:{there}"],
                ["scp", "-q", *recursive, *ssh, f"root@{THERE}:{there}", back]),
        "rsync": (["rsync", "-a", *shell, f"{source}{slash}", f"root@{THERE}:{there}{slash}"],
                  ["rsync", "-a", *shell, f"root@{THERE}:{there}{slash}", f"{back}{slash}"]),
    }


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def run(bench, argv):
    started = time.perf_counter()
    result = subprocess.run([str(a) for a in argv], cwd=bench.project, env=bench.env, text=True,
                            stdin=subprocess.DEVNULL, capture_output=True)
    if result.returncode != 0:
        raise SystemExit(f"{argv[0]} failed: {result.stderr}")
    return time.perf_counter() - started


def measure(bench, runs):
    """{what: {direction: {program: median}}}, turn by turn so that the machine is shared fairly."""
    walls = {}
    for what in ("big", "many"):
        for turn in range(runs):
            for program, pair in commands(bench, what).items():
                for direction, argv in zip(("there", "back"), pair):
                    remove(bench.root / direction / what)
                    took = run(bench, argv)
                    print(f"  turn {turn + 1}: {what} {direction} {program}: {took:.2f} s",
                          file=sys.stderr, flush=True)
                    walls.setdefault((what, direction), {}).setdefault(program, []).append(took)
    return {key: {p: statistics.median(t) for p, t in row.items()} for key, row in walls.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("berth")
    parser.add_argument("-n", type=int, default=5)
    parser.add_argument("-s", type=int, default=200)
    parser.add_argument("-d", type=float, default=50)
    parser.add_argument("-o")
    options = parser.parse_args()
    need("scp", "rsync", "tar")
    bench = Bench(str(pathlib.Path(options.berth).resolve()))
    rows = {}
    try:
        bench.open()
        bench.prepare()
        for folder in ("there", "back"):
            (bench.root / folder).mkdir()
        make_source(bench, options.s)
        for round_trip_ms in (0, options.d):
            bench.delay(round_trip_ms)
            rows[round_trip_ms] = measure(bench, options.n)
    finally:
        bench.close()
    sizes = {"big": options.s, "many": FILES * FILE_BYTES / 1e6}
    for delay, row in rows.items():
        print(f"round trip {delay:g} ms" + "".join(f"{p:>26}" for p in ("berth cp", "scp", "rsync")))
        for (what, direction), times in row.items():
            cells = "".join(f"{t:8.2f} s {sizes[what] / t:6.1f} MB/s {times['scp'] / t:5.2f}"
                            for t in times.values())
            print(f"  {what:5} {direction:6}  {cells}")
    print("the last number of each: its speed in scp's")
    if options.o:
        pathlib.Path(options.o).write_text(json.dumps(
            {f"{d:g}": {" ".join(k): v for k, v in row.items()} for d, row in rows.items()},
            indent=2) + "\n")


if __name__ == "__main__":
    main()
