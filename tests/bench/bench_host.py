"""What berth takes on hosts over a link with a delay, beside the least that does the same work:
lower_bound.c (libssh2, one exec) and the OpenSSH client, handed the very same scripts. A plan without
changes, one file changed, the first converge; on 20 hosts at once beside Ansible, tuned, from a
virtual environment of its own (-ansible FOLDER/bin; see figures.py). Medians of runs turn by turn.

A network namespace with an address a host, and a mount namespace each, are the hosts: sshd, and
stand-ins for systemctl, uv and Jupyter's port, so that nothing of this machine changes. A pair
of TUN devices is the link. Needs root and /dev/net/tun.

Usage: bench_host.py BERTH_FIXED_HOST LOWER_BOUND [-n RUNS] [-d ROUND_TRIP_MS] [-hosts 20]
[-ansible FOLDER] [-o FILE.json]"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE, THERE, DEVICE = "198.18.77.1", "198.18.77.2", "berthbench"
SPEC = """berth: 1
name: bench
provider: ec2
server: { image: debian-12, type: t3.small, count: COUNT }
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
pid, name, here, *there = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
mine, theirs = (os.open(p, os.O_RDONLY) for p in ("/proc/self/ns/net", f"/proc/{pid}/ns/net"))
assert libc.setns(theirs, 0x40000000) == 0
b = tun("eth0", "".join(f"addr add {t} peer {here} dev eth0\\n" for t in there)
        + "link set eth0 up mtu 1400\\nlink set lo up\\n")
assert libc.setns(mine, 0x40000000) == 0
a = tun(name, "".join(f"addr add {here} peer {t} dev {name}\\n" for t in there)
        + f"link set {name} up mtu 1400\\n")
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
mount -t tmpfs tmpfs /root # what this machine's own .bashrc starts is not to be measured
mount -t tmpfs tmpfs /run
mkdir -p /run/sshd
mount --bind {host}/opt /opt
mkdir -p /etc/berth /var/lib/berth
mount -t tmpfs tmpfs /etc/berth
mount -t tmpfs tmpfs /var/lib/berth
mount --bind {host}/etc_ssh /etc/ssh
mount --bind {host}/units /etc/systemd/system
mount --bind {host}/systemctl "$(readlink -f "$(command -v systemctl)")"
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
server = http.server.ThreadingHTTPServer((sys.argv[1], 8888), Answer)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
"""


def write(path, text, mode=0o755):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


class Bench:
    """All that is started goes with it."""

    def __init__(self, berth, lower_bound=None, count=1):
        self.berth, self.lower_bound, self.count = berth, lower_bound, count
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="berth-bench-host-"))
        self.project = self.root / "project"
        self.hosts = [self.root / f"host{i}" for i in range(count)]
        self.addresses = [f"198.18.77.{2 + i}" for i in range(count)]
        self.processes = []
        self.net = None

    def start(self, *argv, ready=True, **options):
        process = subprocess.Popen([str(a) for a in argv], stdout=subprocess.PIPE, text=True,
                                   **options)
        self.processes.append(process)
        if ready and process.stdout.readline().strip() != "ready":
            raise SystemExit(f"{argv[0]} does not start")
        return process

    def inside(self, guest, *argv):
        return ["nsenter", "-t", str(guest.pid), "-n", "-m", *argv]

    def make_host(self, host, address):
        """Its files, its namespaces and what listens there."""
        root = self.root
        for folder in ("opt", "units/multi-user.target.wants", "etc_ssh"):
            (host / folder).mkdir(parents=True)
        write(host / "guest", GUEST.format(host=host))
        write(host / "opt" / "berth" / "uv" / "bin" / "uv", UV)
        write(host / "systemctl", f"#!/bin/sh\ncase $1 in reload) kill -HUP $(cat {host}/sshd.pid);; "
              "enable) : >/etc/systemd/system/multi-user.target.wants/$3;; esac\n")
        for name in ("ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"):
            shutil.copy(root / name, host / "etc_ssh")
        write(host / "config",
              f"ListenAddress {address}\nHostKey /etc/ssh/ssh_host_ed25519_key\n"
              f"AuthorizedKeysFile {root}/user.pub\nSubsystem sftp internal-sftp\n"
              f"PidFile {host}/sshd.pid\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
              "UseDNS no\nMaxStartups 100\n"
              f"SetEnv PATH={root}/bin:/usr/sbin:/usr/bin:/sbin:/bin\n", 0o644)
        guest = self.start("nsenter", "-t", self.net.pid, "-n", "unshare", "-m", host / "guest")
        self.start(*self.inside(guest, shutil.which("sshd", path="/usr/sbin:/usr/bin"), "-D", "-f",
                                str(host / "config")), ready=False)
        self.start(*self.inside(guest, sys.executable, "-I", "-c", JUPYTER, address), ready=False)

    def await_port(self, address):
        for _ in range(200):
            with socket.socket() as s:
                if s.connect_ex((address, 22)) == 0:
                    return
            time.sleep(0.05)
        raise SystemExit(f"sshd does not start at {address}")

    def open(self):
        root = self.root
        write(self.project / "from" / "a.txt", "hello\n", 0o644)
        write(self.project / "berth.yaml", SPEC.replace("TO", "/opt/to").replace(
            "COUNT", str(self.count)), 0o644)
        write(root / "bin" / "sh",
              f'#!/bin/sh\nif [ -e {root}/capture ]; then n=$(mktemp {root}/input.XXXXXX); '
              f'cat >$n; exec /bin/sh "$@" <$n; fi\nexec /bin/sh "$@"\n')
        for key in ("user", "ssh_host_ed25519_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f",
                            root / key], check=True)
        self.one_time = (root / "ssh_host_ed25519_key.pub").read_text().strip()
        self.net = self.start("unshare", "-n", "sh", "-c", "echo ready; exec sleep infinity")
        self.link = self.start(sys.executable, "-I", "-S", "-c", LINK, self.net.pid, DEVICE, HERE,
                               *self.addresses, stdin=subprocess.PIPE)
        for host, address in zip(self.hosts, self.addresses):
            self.make_host(host, address)
        for address in self.addresses:
            self.await_port(address)
        self.env = dict(os.environ, BERTH_HOST_ADDRESS=" ".join(self.addresses),
                        BERTH_HOST_USER="root", NO_COLOR="1", BERTH_MY_IP="127.0.0.1/32",
                        BERTH_HOST_IDENTITY=str(self.root / "user"), BERTH_HOST_KEY=self.one_time)

    def sessions(self):
        """What runs in the hosts' network and is no child of ours: sshd's, one a connection."""
        network, found = os.readlink(f"/proc/{self.net.pid}/ns/net"), []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(folder / "ns/net") == network:
                    found.append(int(folder.name))
            except OSError:  # it ended meanwhile
                pass
        return set(found) - {p.pid for p in self.processes}

    def close(self):
        for pid in self.sessions() if self.net is not None else ():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM if process is self.link else signal.SIGKILL)
            process.wait()
        shutil.rmtree(self.root, ignore_errors=True)

    def delay(self, round_trip_ms):
        self.link.stdin.write(f"{round_trip_ms / 2000}\n")
        self.link.stdin.flush()
        self.link.stdout.readline()

    def run_berth(self, *args):
        result = subprocess.run([self.berth, *args], cwd=self.project, env=self.env, text=True,
                                stdin=subprocess.DEVNULL, capture_output=True)
        if result.returncode != 0:
            raise SystemExit(f"berth {' '.join(args)} failed: {result.stdout}{result.stderr}")
        return result.stdout

    def apply(self):
        return self.run_berth("apply", "-auto-approve")

    def plan(self):
        self.run_berth("plan", "-detailed-exitcode")

    def capture(self, run):
        """The longest input that a shell on a host is handed meanwhile."""
        (self.root / "capture").touch()
        run()
        (self.root / "capture").unlink()
        files = list(self.root.glob("input.*"))
        text = max((p.read_bytes() for p in files), key=len)
        for path in files:
            path.unlink()
        return text

    def pin(self):
        """The hosts' own keys, for others than berth as well."""
        lines = [f"{a} {(h / 'etc_ssh' / 'ssh_host_ed25519_key.pub').read_text().strip()}\n"
                 for h, a in zip(self.hosts, self.addresses)]
        write(self.root / "known_hosts", "".join(lines), 0o600)

    def prepare(self):
        """Converge it once, and keep what a plan asks it."""
        self.apply()
        (self.root / "probe").write_bytes(self.capture(self.plan))
        self.pin()

    def run_peer(self, argv, script):
        with open(script, "rb") as f:
            result = subprocess.run(argv, stdin=f, capture_output=True)
        if result.returncode != 0 or (b"python.packages" not in result.stdout
                                      and b"\1E\t" not in result.stdout):
            raise SystemExit(f"{argv[0]} failed: {result.stdout}{result.stderr.decode()}")

    def run_ssh(self, script, command="sh -s", address=THERE):
        self.run_peer(["ssh", "-F", "none", "-i", self.root / "user", "-o", "IdentitiesOnly=yes",
                       "-o", f"UserKnownHostsFile={self.root}/known_hosts", "-o", "BatchMode=yes",
                       f"root@{address}", command], script)

    def run_lower_bound(self, script, command="sh -s", address=THERE):
        self.run_peer([self.lower_bound, address, "22", "root", self.root / "user",
                       self.root / "known_hosts", command], script)


def median_walls(runs, **programs):
    """{name: median}, turn by turn, so that what else the machine does is shared fairly."""
    walls = {name: [] for name in programs}
    for _ in range(runs):
        for name, run in programs.items():
            started = time.perf_counter()
            run()
            walls[name].append(time.perf_counter() - started)
    return {name: statistics.median(times) for name, times in walls.items()}


def measure_plan(bench, runs):
    probe = bench.root / "probe"
    return median_walls(runs, berth=bench.plan, libssh2=lambda: bench.run_lower_bound(probe),
                        ssh=lambda: bench.run_ssh(probe))


# Behind the probe's own script, by hand: the one file that changed.
WRITE_FILE = b"""printf '%s' "$(cat <<'END'
TEXT
END
)" >/opt/to/.new
chmod 644 /opt/to/.new
mv /opt/to/.new /opt/to/a.txt
exit 0
"""


def measure_one_file(bench, runs):
    source, script = bench.project / "from" / "a.txt", bench.root / "write"
    probe = (bench.root / "probe").read_bytes()

    def change():
        source.write_text(f"hello at {time.time()}\n")

    def write_file(run):
        script.write_bytes(probe.replace(b"exit 0\n", b"")
                           + WRITE_FILE.replace(b"TEXT", str(time.time()).encode()))
        run(script)

    def apply():
        change()
        bench.apply()

    row = median_walls(runs, berth=apply, libssh2=lambda: write_file(bench.run_lower_bound),
                       ssh=lambda: write_file(bench.run_ssh))
    bench.apply()
    return row


def first_converge(berth, lower_bound, delay_ms, runs):
    """Of berth: from nothing known to all done; the lower bound is handed the same script, on a host
    that is as new. A host can only be new once: each run has its own."""
    walls = {"berth": [], "libssh2": []}
    for _ in range(runs):
        bench = Bench(berth, lower_bound)
        try:
            bench.open()
            script = bench.capture(bench.apply)
        finally:
            bench.close()
        for name in walls:
            bench = Bench(berth, lower_bound)
            try:
                bench.open()
                bench.pin()
                bench.delay(delay_ms)
                (bench.root / "script").write_bytes(script)
                started = time.perf_counter()
                if name == "berth":
                    bench.apply()
                else:
                    bench.run_lower_bound(bench.root / "script", START)
                walls[name].append(time.perf_counter() - started)
            finally:
                bench.close()
    return {name: statistics.median(times) for name, times in walls.items()}


# What berth has the host do with a script of steps, without the lines that survive a lost connection.
START = ("sh -c 'umask 077; mkdir -p /run/berth/lower0; cat >/run/berth/lower0/script; "
         "sh /run/berth/lower0/script /run/berth/lower0 </dev/null'")


def skip(reason):
    print(f"SKIPPED: {reason}", file=sys.stderr)
    sys.exit(77)


def need(*programs):
    if os.geteuid() != 0:
        skip("the link and the hosts' namespaces need root")
    if not os.path.exists("/dev/net/tun"):
        skip("/dev/net/tun is not there")
    for program in ("ip", "ssh", "ssh-keygen", "unshare", "nsenter", "systemctl", *programs):
        if shutil.which(program) is None:
            skip(f"{program} is not installed")


def show(what, delay_ms, row):
    cells = "".join(f"{name} {t * 1000:.0f} ms".rjust(20) for name, t in row.items())
    ratios = "".join(f"{row['berth'] / t:.2f} of {name}'s".rjust(22) for name, t in row.items()
                     if name != "berth")
    print(f"{what:24}{f'{delay_ms:g} ms':>8}{cells}{ratios}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("berth")
    parser.add_argument("lower_bound")
    parser.add_argument("-n", type=int, default=9)
    parser.add_argument("-d", type=float, default=50)
    parser.add_argument("-o")
    options = parser.parse_args()
    need()
    berth, lower_bound = (str(pathlib.Path(p).resolve())
                          for p in (options.berth, options.lower_bound))
    rows = {}
    bench = Bench(berth, lower_bound)
    try:
        bench.open()
        bench.prepare()
        for delay_ms in (0, options.d):
            bench.delay(delay_ms)
            for what, measure in (("plan", measure_plan), ("one file changed", measure_one_file)):
                rows[f"{what}, {delay_ms:g} ms"] = row = measure(bench, options.n)
                show(what, delay_ms, row)
    finally:
        bench.close()
    for delay_ms in (0, options.d):
        row = first_converge(berth, lower_bound, delay_ms, max(3, options.n // 3))
        rows[f"first converge, {delay_ms:g} ms"] = row
        show("first converge", delay_ms, row)
        print(f"{'':32}berth's own: {(row['berth'] - row['libssh2']) * 1000:.0f} ms")
    if options.o:
        pathlib.Path(options.o).write_text(json.dumps(
            {"rows": rows, "runs": options.n, "cpus": os.cpu_count()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
