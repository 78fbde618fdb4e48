"""For the tests of `provider: host`: plain OpenSSH servers that berth did not make (this machine again,
each copy on an overlay of its own, with an sshd that its administrator set up), and a user with a
~/.ssh of the test's."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from berthlib import check, free_port, need_program, need_root, skip, step

SPEC = """berth: 1
name: mine
provider: host
server: { host: HOST }
files: [{ from: from, to: ~/to }]
"""
# No name of AWS, no home but root's: berth must need neither.
BARE = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
        "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}


def keygen(path, *options, passphrase=""):
    subprocess.run(["ssh-keygen", "-q", "-N", passphrase, "-C", "", *options, "-f", path],
                   check=True)
    return path


def fingerprint(path):
    out = subprocess.run(["ssh-keygen", "-lf", path], check=True, text=True, capture_output=True)
    return out.stdout.split()[1]


class Server:
    """A machine with users `me` (who may use sudo) and root, and an sshd on 127.0.0.1."""

    def __init__(self, root, name, host_key="ed25519"):
        self.root, self.port, self.process = root / name, free_port(), None
        self.more_keys = []
        self.tree = self.root / "tree"
        self.root.mkdir()
        self.upper = self.root / "over" / "upper"
        self.key = keygen(self.root / "host_key", "-t", host_key)
        self.root.joinpath("authorized").touch()
        # The last line of a machine is its sshd; all that is mounted goes with it.
        (self.root / "boot").write_text(f"""set -e
mkdir -p {self.root}/over
mount -t tmpfs none {self.root}/over
mkdir -p {self.upper} {self.root}/over/work {self.tree}
mount -t overlay overlay -o lowerdir=/,upperdir={self.upper},workdir={self.root}/over/work {self.tree}
cd {self.tree}
for d in proc sys dev tmp; do mount --rbind /$d $d; done
for d in run root home; do mount -t tmpfs none $d; done
mkdir -p run/sshd home/me var/empty usr/local/bin
rm -rf opt/berth etc/berth var/lib/berth
sed -i '1i me:x:0:0::/home/me:/bin/sh' etc/passwd
cp {self.root}/sudo usr/local/bin/sudo
cp {self.root}/systemctl usr/local/bin/systemctl
: >{self.root}/ready
exec chroot {self.tree} {shutil.which("sshd", path="/usr/sbin:/usr/bin")} -D -e -f {self.root}/config
""")
        self.script("sudo", '#!/bin/sh\nshift\nexec "$@"\n')
        self.script("systemctl", "#!/bin/sh\nexit 0\n")

    def script(self, name, text):
        (self.root / name).write_text(text)
        (self.root / name).chmod(0o755)

    def authorize(self, *keys):
        (self.root / "authorized").write_text("".join(
            pathlib.Path(f"{key}.pub").read_text() for key in keys))

    def start(self):
        keys = "".join(f"HostKey {key}\n" for key in [self.key, *self.more_keys])
        (self.root / "config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\n{keys}LogLevel VERBOSE\n"
            f"AuthorizedKeysFile {self.root}/authorized\nPidFile none\nStrictModes no\n"
            "UsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\n")
        self.process = subprocess.Popen(["unshare", "-m", "sh", self.root / "boot"],
                                        stderr=open(self.root / "log", "a"))
        for _ in range(600):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        log = (self.root / "log").read_text()
        if "overlay" in log:
            skip(f"no overlay file system here: {log}")
        check(False, "sshd starts", log)

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()
            self.process = None

    def sh(self, command):
        """On that machine, as root, beside berth."""
        out = subprocess.run(["nsenter", "-m", "-t", str(self.process.pid), "chroot", self.tree,
                              "/bin/sh", "-c", command], text=True, capture_output=True)
        return out.stdout.strip()

    def log_count(self, pattern):
        out = subprocess.run(["grep", "-c", pattern, self.root / "log"], text=True,
                             capture_output=True)
        return int(out.stdout)

    def traces(self):
        """What of berth is there."""
        return self.sh("ls -d /opt/berth /etc/berth /var/lib/berth /run/berth /home/me/to "
                       "/etc/systemd/system/berth* 2>/dev/null")


class User:
    """Whoever runs berth: a project, and a ~/.ssh."""

    def __init__(self, berth, root):
        self.berth, self.root = berth, root
        self.project, self.home = root / "project", root / "home"
        (self.project / "from").mkdir(parents=True)
        (self.project / "from" / "a.txt").write_text("hello\n")
        (self.project / "from" / "deep" / "er").mkdir(parents=True)
        (self.project / "from" / "deep" / "er" / "b.txt").write_text("b\n")
        (self.home / ".ssh").mkdir(parents=True, mode=0o700)
        self.env = dict(BARE)

    def spec(self, host, more="", extra=""):
        text = SPEC.replace("HOST }", f'"{host}"{more} }}') + extra
        (self.project / "berth.yaml").write_text(text)

    def config(self, text):
        (self.home / ".ssh" / "config").write_text(text)
        (self.home / ".ssh" / "config").chmod(0o600)

    def know(self, server, name=None, hashed=False):
        file = self.home / ".ssh" / "known_hosts"
        name = name or f"[127.0.0.1]:{server.port}"
        key = " ".join(pathlib.Path(f"{server.key}.pub").read_text().split()[:2])
        with open(file, "a") as f:
            f.write(f"{name} {key}\n")
        if hashed:
            subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, capture_output=True)
            check(name not in file.read_text(), "the names are hashed")

    def forget(self):
        for name in ("known_hosts", "known_hosts.old"):
            (self.home / ".ssh" / name).unlink(missing_ok=True)

    def new_project(self):
        shutil.rmtree(self.project / ".berth", ignore_errors=True)

    def command(self, *words):
        return ["unshare", "-m", "sh", "-c", f"mount --bind {self.home} /root && exec \"$@\"", "sh",
                *map(str, words)]

    def run(self, *args, code=None, timeout=90, words=None):
        out = subprocess.run(self.command(*(words or [self.berth]), *args), cwd=self.project,
                             env=self.env, text=True, capture_output=True, timeout=timeout,
                             stdin=subprocess.DEVNULL)
        if code is not None:
            check(out.returncode == code, f"{' '.join(args)} ends with {code}", out.returncode,
                  out.stdout, out.stderr)
        return out

    def plan(self):
        out = self.run("plan", "-json", code=0)
        return {c["address"]: c for c in json.loads(out.stdout)["changes"]
                if c["action"] != "no-op"}

    def apply(self, code=0):
        return self.run("apply", "-auto-approve", code=code)

    def says(self, *words, verb="plan"):
        out = self.run(verb)
        text = "".join((out.stdout + out.stderr).split())
        for word in words:
            check("".join(word.split()) in text, f"berth {verb} says {word!r}", out.stdout,
                  out.stderr)
        return out

    def refused(self, *words):
        """The plan calls it unknown and says why; an apply touches nothing."""
        out = self.says("could not be read", *words)
        check("No changes" not in out.stdout, "not as if all were well", out.stdout)
        self.apply(code=3)
        return out


def life(user, server):
    step("the first plan looks at the server and says what is to be done; it needs no AWS")
    plan = user.plan()
    check(plan["server[0]"]["action"] == "adopt", "the server is taken as it is", plan)
    check({c["action"] for a, c in plan.items() if a != "server[0]"} == {"create"}, "the rest", plan)
    check(server.traces() == "", "and nothing was done", server.traces())
    step("apply, no-op, drift")
    user.apply()
    check(server.sh("cat /home/me/to/a.txt") == "hello", "the file is there")
    check(user.plan() == {}, "then nothing is to be done", user.plan())
    check(fingerprint(server.key) in server.sh(f"ssh-keygen -lf {server.key}"), "its key is its own")
    server.sh("echo edited >/home/me/to/a.txt")
    check(list(user.plan()) == ["server[0].files[~/to]"], "an edit there is drift", user.plan())
    user.apply()
    check(server.sh("cat /home/me/to/a.txt") == "hello", "and mended")


def can_log_in(user, why):
    user.new_project()
    check(user.plan()["server[0]"]["action"] == "adopt", why)
    changes = user.plan()
    check({c["action"] for a, c in changes.items() if a != "server[0]"} == {"create"}, why, changes)


@contextlib.contextmanager
def at_hand():
    """A user who runs the berth that the test was called with, and a server that lets their key in; gone
    at the end, with what else was put in the list `servers`. Gives user, server, servers."""
    need_root()
    need_program("ssh", "ssh-keygen", "ssh-agent", "ssh-add", "unshare", "nsenter")
    root = pathlib.Path(tempfile.mkdtemp(prefix="berth-given-"))
    user = User(str(pathlib.Path(sys.argv[1]).resolve()), root)
    server = Server(root, "box")
    servers = [server]
    try:
        server.authorize(keygen(user.home / ".ssh" / "id_ed25519", "-t", "ed25519"))
        server.start()
        yield user, server, servers
    finally:
        for one in servers:
            one.stop()
        if not os.environ.get("BERTH_TEST_KEEP"):
            shutil.rmtree(root, ignore_errors=True)
