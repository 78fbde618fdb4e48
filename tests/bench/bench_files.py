"""Files to a host by `berth apply` beside scp and rsync, over a link with and without a delay: one
large file, two hundred small ones, one that changed among them. Everything is sent to a host that
knows none of it, and berth reads the host, compares, sends and records.

The rig is bench_host's. Needs root and /dev/net/tun. Usage: bench_files.py BERTH_FIXED_HOST [-n RUNS]
[-d ROUND_TRIP_MS] [-m MIB] [-o FILE.json]"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import time

from bench_host import THERE, Bench, need, write

SPEC = """berth: 1
name: bench
provider: ec2
server: { image: debian-12, type: t3.small }
packages: { system: [] }
"""
SMALL, SMALL_BYTES = 200, 4096


class Files(Bench):
    def prepare(self, mib):
        self.folders = {"large": self.root / "large", "small": self.root / "small"}
        for folder in self.folders.values():
            folder.mkdir()
        (self.folders["large"] / "data").write_bytes(os.urandom(mib << 20))
        for i in range(SMALL):
            (self.folders["small"] / f"{i:04}").write_bytes(os.urandom(SMALL_BYTES))
        self.spec(None)
        self.apply()
        self.pin()
        self.ssh = (f"ssh -F none -i {self.root}/user -o IdentitiesOnly=yes -o BatchMode=yes "
                    f"-o UserKnownHostsFile={self.root}/known_hosts")

    def spec(self, name):
        text = SPEC
        if name:
            text += f"files: [{{ from: {self.folders[name]}, to: {self.root}/to/{name} }}]\n"
        write(self.project / "berth.yaml", text, 0o644)

    def clear(self, name):
        """Nothing of it there, and nothing known of it here."""
        self.spec(None)
        self.run_berth("apply", "-auto-approve")
        shutil.rmtree(self.root / "to", ignore_errors=True)
        (self.root / "to").mkdir()
        self.spec(name)

    def send(self, peer, name):
        source, target = self.folders[name], f"root@{THERE}:{self.root}/to/"
        commands = {"scp": self.ssh.replace("ssh", "scp", 1).split() + ["-pqr", source, target],
                    "rsync": ["rsync", "-a", "-e", self.ssh, source, target]}
        started = time.perf_counter()
        if peer == "berth":
            self.run_berth("apply", "-auto-approve")
        else:
            subprocess.run([str(word) for word in commands[peer]], check=True)
        took = time.perf_counter() - started
        wanted = sum(p.stat().st_size for p in source.iterdir())
        there = sum(p.stat().st_size for p in (self.root / "to" / name).iterdir())
        if wanted != there:
            raise SystemExit(f"{peer} sent {there} of {wanted} bytes")
        return took

    def measure(self, runs):
        peers = ("berth", "scp", "rsync")
        walls = {(what, peer): [] for what in ("large", "small", "one of small") for peer in peers}
        for _ in range(runs):
            for name in ("large", "small"):
                for peer in peers:
                    self.clear(name)
                    walls[name, peer].append(self.send(peer, name))
            for peer in peers: # all is there, and known to be
                self.clear("small")
                self.send("berth", "small")
                (self.folders["small"] / "0100").write_bytes(os.urandom(SMALL_BYTES))
                walls["one of small", peer].append(self.send(peer, "small"))
        return {key: statistics.median(times) for key, times in walls.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("berth")
    parser.add_argument("-n", type=int, default=3)
    parser.add_argument("-d", type=float, default=50)
    parser.add_argument("-m", type=int, default=16)
    parser.add_argument("-o")
    options = parser.parse_args()
    need("scp", "rsync")
    bench = Files(str(pathlib.Path(options.berth).resolve()))
    rows = {}
    try:
        bench.open()
        bench.prepare(options.m)
        for delay in (0, options.d):
            bench.delay(delay)
            rows[delay] = bench.measure(options.n)
    finally:
        bench.close()
    print(f"{'':14}{'':>8}{'berth':>10}{'scp':>10}{'rsync':>10}{'of the faster':>16}")
    for delay, row in rows.items():
        for what in ("large", "small", "one of small"):
            times = [row[what, peer] for peer in ("berth", "scp", "rsync")]
            print(f"{what:14}{f'{delay:g} ms':>8}" + "".join(f"{t:9.2f}s" for t in times)
                  + f"{min(times[1:]) / times[0]:15.2f}")
    if options.o:
        pathlib.Path(options.o).write_text(json.dumps(
            {f"{delay:g}": {f"{what}, {peer}": t for (what, peer), t in row.items()}
             for delay, row in rows.items()}, indent=1))


if __name__ == "__main__":
    main()
