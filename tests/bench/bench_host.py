"""A no-op plan of one host beside the OpenSSH client that is handed the very same probe script, over
a link with a delay: wall time, the ratio of medians, and how many round trips each took.

A network and mount namespace of its own is the host: sshd, and stand-ins for sudo, systemctl, uv and
Jupyter's port, so that nothing of this machine changes. A pair of TUN devices is the link.
Needs root and /dev/net/tun.

Usage: bench_host.py BERTH_FIXED_HOST [-n RUNS] [-d ROUND_TRIP_MS] [-o FILE.json]"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE, THERE, DEVICE = "198.18.77.1", "198.18.77.2", "berthbench"
SPEC = """berth: 1
name: bench
provider: ec2
server: { image: debian-12, type: t3.small }
packages: { system: [coreutils, openssh-server], python: { packages: ["pandas==1.*"] } }
files: [{ from: from, to: TO }]
jupyter: { settings: { ServerApp: { max_body_size: 1000000 } } }
"""
# Moves packages between two TUN devices, each after the delay that stdin said last (seconds).
LINK = """
import collections, ctypes, fcntl, os, select, struct, subprocess, sys, time
def tun(name, script):
    f = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(f, 0x400454ca, struct.pack("16sH22x", name.encode(), 0x1001))
    subprocess.run(["ip", "-batch", "-"], input=script.encode(), check=True)
    return f
pid, name, here, there = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
mine, theirs = (os.open(p, os.O_RDONLY) for p in ("/proc/self/ns/net", f"/proc/{pid}/ns/net"))
assert libc.setns(theirs, 0x40000000) == 0
b = tun("eth0", f"addr add {there} peer {here} dev eth0\\nlink set eth0 up mtu 1400\\nlink set lo up\\n")
assert libc.setns(mine, 0x40000000) == 0
a = tun(name, f"addr add {here} peer {there} dev {name}\\nlink set {name} up mtu 1400\\n")
print("ready", flush=True)
delay, queue = 0.0, collections.deque()
while True:
    now = time.monotonic()
    while queue and queue[0][0] <= now:
        _, to, packet = queue.popleft()
        try:
            os.write(to, packet)
        except OSError:
            pass
    ready, _, _ = select.select([a, b, 0], [], [], queue[0][0] - now if queue else None)
    for f in ready:
        if f == 0:
            line = os.read(0, 100)
            if not line:
                sys.exit()
            delay = float(line)
            print("ready", flush=True)
            continue
        try:
            for _ in range(64):
                packet = os.read(f, 2000)
                queue.append((time.monotonic() + delay, b if f == a else a, packet))
        except BlockingIOError:
            pass
"""
# In the namespaces of the host. The mounts are private to them.
GUEST = """#!/bin/sh -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/sshd
mount --bind {root}/opt /opt
mkdir -p /etc/berth
mount -t tmpfs tmpfs /etc/berth
mount --bind {root}/etc_ssh /etc/ssh
mount --bind {root}/units /etc/systemd/system
mount --bind {root}/systemctl "$(readlink -f "$(command -v systemctl)")"
echo ready
exec sleep infinity
"""
UV = """#!/bin/sh -e
env=/opt/berth/env
if [ "$1" = venv ]; then
  python3 -m venv --without-pip $env
  for i in $(seq 100); do mkdir -p $(echo $env/lib/python3*/site-packages)/p$i-1.0.dist-info; done
else
  shift 4
  for p; do mkdir -p $(echo $env/lib/python3*/site-packages)/${p%%=*}-1.0.dist-info; done
fi
"""
JUPYTER = """
import http.server, os, ssl, sys, time
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
    def log_message(self, *_):
        pass
while not os.path.exists("/etc/berth/tls/cert.pem"):
    time.sleep(0.05)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/etc/berth/tls/cert.pem", "/etc/berth/tls/key.pem")
server = http.server.ThreadingHTTPServer(("0.0.0.0", 8888), Answer)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
"""


def write(path, text, mode=0o755):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


class Bench:
    """All that is started goes with it."""

    def __init__(self, berth):
        self.berth = berth
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="berth-bench-host-"))
        self.project = self.root / "project"
        self.processes = []

    def start(self, *argv, ready=True, **options):
        process = subprocess.Popen([str(a) for a in argv], stdout=subprocess.PIPE, text=True,
                                   **options)
        self.processes.append(process)
        if ready and process.stdout.readline().strip() != "ready":
            raise SystemExit(f"{argv[0]} does not start")
        return process

    def inside(self, *argv):
        return ["nsenter", "-t", str(self.guest.pid), "-n", "-m", *argv]

    def open(self):
        root = self.root
        for folder in ("opt", "units/multi-user.target.wants"):
            (root / folder).mkdir(parents=True)
        write(self.project / "from" / "a.txt", "hello\n", 0o644)
        write(self.project / "berth.yaml", SPEC.replace("TO", str(root / "to")), 0o644)
        write(root / "guest", GUEST.format(root=root))
        write(root / "opt" / "berth" / "uv" / "bin" / "uv", UV)
        write(root / "sudo" / "sudo",
              f'#!/bin/sh\nshift\nif [ -e {root}/capture ]; then cat >{root}/probe; '
              f'exec "$@" <{root}/probe; fi\nexec "$@"\n')
        write(root / "systemctl", f"#!/bin/sh\ncase $1 in reload) kill -HUP $(cat {root}/sshd.pid);; "
              "enable) : >/etc/systemd/system/multi-user.target.wants/$3;; esac\n")
        for key in ("user", "etc_ssh/ssh_host_ed25519_key"):
            (root / key).parent.mkdir(exist_ok=True)
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f",
                            root / key], check=True)
        self.one_time = (root / "etc_ssh" / "ssh_host_ed25519_key.pub").read_text().strip()
        write(root / "config",
              f"HostKey /etc/ssh/ssh_host_ed25519_key\nAuthorizedKeysFile {root}/user.pub\n"
              f"Subsystem sftp internal-sftp\nPidFile {root}/sshd.pid\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nUseDNS no\n"
              f"SetEnv PATH={root}/sudo:/usr/sbin:/usr/bin:/sbin:/bin\n", 0o644)
        self.guest = self.start("unshare", "-n", "-m", root / "guest")
        self.link = self.start(sys.executable, "-I", "-S", "-c", LINK, self.guest.pid, DEVICE, HERE,
                               THERE, stdin=subprocess.PIPE)
        self.start(*self.inside(shutil.which("sshd", path="/usr/sbin:/usr/bin"), "-D", "-f",
                                str(root / "config")), ready=False)
        self.start(*self.inside(sys.executable, "-I", "-c", JUPYTER), ready=False)

    def close(self):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGKILL if process is self.guest else signal.SIGTERM)
            process.wait()
        shutil.rmtree(self.root, ignore_errors=True)

    def delay(self, round_trip_ms):
        self.link.stdin.write(f"{round_trip_ms / 2000}\n")
        self.link.stdin.flush()
        self.link.stdout.readline()

    def run_berth(self, *args):
        env = dict(os.environ, BERTH_HOST_ADDRESS=THERE, BERTH_HOST_USER="root", NO_COLOR="1",
                   BERTH_HOST_IDENTITY=str(self.root / "user"), BERTH_HOST_KEY=self.one_time,
                   BERTH_MY_IP="127.0.0.1/32")
        result = subprocess.run([self.berth, *args], cwd=self.project, env=env, text=True,
                                stdin=subprocess.DEVNULL, capture_output=True)
        if result.returncode != 0:
            raise SystemExit(f"berth {' '.join(args)} failed: {result.stdout}{result.stderr}")
        return result.stdout

    def plan(self):
        self.run_berth("plan", "-detailed-exitcode")

    def run_ssh(self):
        with open(self.root / "probe", "rb") as script:
            result = subprocess.run(
                ["ssh", "-F", "none", "-i", self.root / "user", "-o", "IdentitiesOnly=yes", "-o",
                 f"UserKnownHostsFile={self.root}/known_hosts", "-o", "BatchMode=yes",
                 f"root@{THERE}", "sudo -n sh -s"], stdin=script, capture_output=True)
        if result.returncode != 0 or b"python.packages" not in result.stdout:
            raise SystemExit(f"ssh failed: {result.stderr.decode()}")

    def prepare(self):
        """Converge it once, keep what a plan asks it, and pin its key for ssh as well."""
        self.run_berth("apply", "-auto-approve")
        (self.root / "capture").touch()
        self.plan()
        (self.root / "capture").unlink()
        pinned = (self.root / "etc_ssh" / "ssh_host_ed25519_key.pub").read_text()
        write(self.root / "known_hosts", f"{THERE} {pinned}", 0o600)

    def measure(self, runs):
        """Turn by turn, so that what else the machine does is shared fairly."""
        walls = {"berth plan": [], "ssh sh -s": []}
        for _ in range(runs):
            for name, run in zip(walls, (self.plan, self.run_ssh)):
                started = time.perf_counter()
                run()
                walls[name].append(time.perf_counter() - started)
        return {name: statistics.median(times) for name, times in walls.items()}


def skip(reason):
    print(f"SKIPPED: {reason}", file=sys.stderr)
    sys.exit(77)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("berth")
    parser.add_argument("-n", type=int, default=9)
    parser.add_argument("-d", type=float, default=50)
    parser.add_argument("-o")
    options = parser.parse_args()
    if os.geteuid() != 0:
        skip("the link and the host's namespaces need root")
    if not os.path.exists("/dev/net/tun"):
        skip("/dev/net/tun is not there")
    for program in ("ip", "ssh", "ssh-keygen", "unshare", "nsenter", "systemctl"):
        if shutil.which(program) is None:
            skip(f"{program} is not installed")
    bench = Bench(str(pathlib.Path(options.berth).resolve()))
    try:
        bench.open()
        bench.prepare()
        rows = {}
        for round_trip_ms in (0, options.d):
            bench.delay(round_trip_ms)
            rows[round_trip_ms] = bench.measure(options.n)
    finally:
        bench.close()
    print(f"{'':14}{'no delay':>12}{f'{options.d:g} ms':>12}{'round trips':>14}")
    for name in ("berth plan", "ssh sh -s"):
        near, far = rows[0][name], rows[options.d][name]
        print(f"{name:14}{near * 1000:10.1f}ms{far * 1000:10.1f}ms"
              f"{(far - near) * 1000 / options.d:14.1f}")
    ratios = {d: row["berth plan"] / row["ssh sh -s"] for d, row in rows.items()}
    print(f"{'ratio':14}{ratios[0]:12.2f}{ratios[options.d]:12.2f}")
    if options.o:
        pathlib.Path(options.o).write_text(json.dumps(
            {"rows": {f"{d:g}": row for d, row in rows.items()}, "runs": options.n,
             "cpus": os.cpu_count()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
