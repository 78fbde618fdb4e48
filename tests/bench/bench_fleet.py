"""A plan without changes of 20 hosts at once beside Ansible, which looks at the same things: packages,
environment, files, certificate, configuration, unit, service, and whether Jupyter answers. Ansible is
tuned: pipelining, kept connections, minimal facts, a fork a host; -ansible names the folder of a
virtual environment with it (made there from PyPI when it is not there), so that it is not this
machine's. Medians, turn by turn. The rig is bench_host's.

Usage: bench_fleet.py BERTH_FIXED_HOST LOWER_BOUND [-ansible FOLDER] [-hosts 20] [-n RUNS]
[-d ROUND_TRIP_MS] [-o FILE.json]"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys

from bench_host import Bench, median_walls, need, show, write

CONFIG = """[defaults]
inventory = inventory
forks = {hosts}
gathering = explicit
interpreter_python = /usr/bin/python3
private_key_file = {root}/user
[ssh_connection]
pipelining = True
ssh_args = -F none -o ControlMaster=auto -o ControlPersist=60s -o IdentitiesOnly=yes -o UserKnownHostsFile={root}/known_hosts
"""
PLAYBOOK = """
- hosts: all
  remote_user: root
  gather_facts: false
  tasks:
    - setup: { gather_subset: ["!all", "min"] }
    - command: dpkg-query -W coreutils openssh-server
      check_mode: false
      changed_when: false
    - shell: ls -d /opt/berth/env/lib/python3*/site-packages/*.dist-info
      check_mode: false
      changed_when: false
    - copy: { src: FROM/, dest: /opt/to }
    - command: openssl x509 -in /etc/berth/tls/cert.pem -noout -enddate
      check_mode: false
      changed_when: false
    - slurp: { src: /etc/berth/jupyter_server_config.json }
    - slurp: { src: /etc/systemd/system/berth-jupyter.service }
    - command: systemctl is-active berth-jupyter.service
      check_mode: false
      changed_when: false
    - uri: { url: "https://{{ inventory_hostname }}:8888/api", validate_certs: false }
      check_mode: false
"""


def make_ansible(folder):
    if not (folder / "bin" / "ansible-playbook").exists():
        subprocess.run(["/usr/bin/python3", "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin" / "pip", "install", "-q", "ansible-core"], check=True)
    return folder / "bin" / "ansible-playbook"


def run_ansible(bench, playbook):
    result = subprocess.run([playbook, "--check", "playbook.yaml"], cwd=bench.root / "ansible",
                            env=dict(os.environ, HOME=str(bench.root / "ansible"), LC_ALL="C.UTF-8",
                                     PATH=f"{playbook.parent}:{os.environ['PATH']}"),
                            capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if result.returncode != 0 or "changed=1" in result.stdout:
        raise SystemExit(f"ansible: {result.stdout[-3000:]}{result.stderr[-2000:]}")


def drop_kept(bench):
    """No run rides the connections of the one before: a plan comes once in a while."""
    for socket in (bench.root / "ansible" / ".ansible" / "cp").glob("*"):
        subprocess.run(["ssh", "-F", "none", "-O", "exit", "-S", socket, "host"],
                       capture_output=True, check=False)


def all_lower_bounds(bench):
    with concurrent.futures.ThreadPoolExecutor(bench.count) as pool:
        list(pool.map(lambda a: bench.run_lower_bound(bench.root / "probe", address=a),
                      bench.addresses))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("berth")
    parser.add_argument("lower_bound")
    parser.add_argument("-ansible", type=lambda p: pathlib.Path(p).resolve())
    parser.add_argument("-hosts", type=int, default=20)
    parser.add_argument("-n", type=int, default=3)
    parser.add_argument("-d", type=float, default=50)
    parser.add_argument("-o")
    options = parser.parse_args()
    need("openssl")
    if options.ansible is None:
        print("SKIPPED: ansible (no -ansible FOLDER)", file=sys.stderr)
    playbook = options.ansible and make_ansible(options.ansible)
    berth, lower_bound = (str(pathlib.Path(p).resolve())
                          for p in (options.berth, options.lower_bound))
    rows = {}
    bench = Bench(berth, lower_bound, options.hosts)
    try:
        bench.open()
        bench.prepare()
        folder = bench.root / "ansible"
        write(folder / "ansible.cfg", CONFIG.format(root=bench.root, hosts=options.hosts), 0o644)
        write(folder / "inventory", "\n".join(bench.addresses) + "\n", 0o644)
        write(folder / "playbook.yaml", PLAYBOOK.replace("FROM", str(bench.project / "from")), 0o644)
        for delay_ms in (0, options.d):
            bench.delay(delay_ms)
            programs = {"berth": bench.plan, "libssh2": lambda: all_lower_bounds(bench)}
            if playbook:
                programs["ansible"] = lambda: run_ansible(bench, playbook)
            walls = {}
            for _ in range(options.n):
                if playbook:
                    drop_kept(bench)
                for name, wall in median_walls(1, **programs).items():
                    walls.setdefault(name, []).append(wall)
            rows[f"{delay_ms:g}"] = row = {n: sorted(w)[len(w) // 2] for n, w in walls.items()}
            show(f"plan of {options.hosts} hosts", delay_ms, row)
        if playbook:
            drop_kept(bench)
    finally:
        bench.close()
    if options.o:
        pathlib.Path(options.o).write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
