"""The host world against a real OpenSSH server on loopback: pinning, refusals, silence, drops.

sshd runs as root with its own configuration; commands that come in see a copy of /etc/ssh and a
stand-in for systemctl in a mount namespace of their own, so that nothing of this machine changes.
Usage: sshd_test.py BERTH_FIXED_HOST"""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from berthlib import check, free_port, need_program, need_root, step

SPEC = """berth: 1
name: sshd
provider: ec2
server: { image: debian-12, type: t3.small }
files: [{ from: from, to: TO }]
"""


# $SSH_ORIGINAL_COMMAND is what berth asked for.
PLAIN = 'exec sh -c "$SSH_ORIGINAL_COMMAND"'


class Host:
    """A project and an sshd, in one folder that goes with them. `enter` is what runs sshd where it
    has that address."""

    def __init__(self, berth, address="127.0.0.1", enter=()):
        self.berth = berth
        self.address, self.enter = address, enter
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="berth-sshd-"))
        self.port = free_port()
        self.process = None
        self.stand_ins = ""
        self.project = self.root / "project"
        self.etc = self.root / "etc_ssh"
        self.to, self.more = self.root / "to", self.root / "more"
        (self.project / "from").mkdir(parents=True)
        self.etc.mkdir()
        (self.project / "from" / "a.txt").write_text("hello\n")
        (self.project / "berth.yaml").write_text(SPEC.replace("TO", str(self.to)))
        for name in ("user", "onetime"):
            self.make_key(self.root / name)
        self.show_key(self.root / "onetime")
        self.wrapper = self.root / "wrapper"
        self.authorize(self.root / "user.pub")
        (self.root / "bin").mkdir()
        (self.root / "run").mkdir()
        self.write(self.root / "bin" / "sudo", '#!/bin/sh\nshift\nexec "$@"\n')
        self.write(self.root / "systemctl", f"#!/bin/sh\nkill -HUP $(cat {self.root}/sshd.pid)\n")
        self.wrap(PLAIN) # bind mounts hide the machine's own
        (self.root / "config").write_text(
            f"Port {self.port}\nListenAddress {self.address}\nHostKey {self.etc}/ssh_host_ed25519_key\n"
            f"AuthorizedKeysFile {self.root}/authorized\nPidFile {self.root}/sshd.pid\n"
            f"StrictModes no\nUsePAM no\nPermitRootLogin yes\nForceCommand {self.wrapper}\n")

    def make_key(self, path):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path],
                       check=True)

    def show_key(self, path):
        key = self.etc / "ssh_host_ed25519_key"
        shutil.copy(path, key)
        key.chmod(0o600)

    def authorize(self, public):
        shutil.copy(public, self.root / "authorized")

    def write(self, path, text):
        path.write_text(text)
        path.chmod(0o755)

    def wrap(self, command):
        systemctl = shutil.which("systemctl") or "/bin/systemctl"
        self.write(self.root / "inside",
                   f"#!/bin/sh\nmount --bind {self.etc} /etc/ssh\n"
                   f"mount --bind {self.root}/systemctl {systemctl}\n"
                   f"mount --bind {self.root}/run /run\n{self.stand_ins}"
                   f"PATH={self.root}/bin:$PATH\n{command}\n")
        self.write(self.wrapper, f"#!/bin/sh\nexec unshare -m {self.root}/inside\n")

    def stand_in(self, name, text):
        """A program of the host's is this one; the real one is REAL in its text."""
        real = shutil.which(name)
        shutil.copy(real, self.root / f"real-{name}")
        self.write(self.root / f"fake-{name}",
                   "#!/bin/sh\n" + text.replace("REAL", f"{self.root}/real-{name}"))
        self.stand_ins += f"mount --bind {self.root}/fake-{name} {real}\n"
        self.wrap(PLAIN)

    def start(self):
        os.makedirs("/run/sshd", exist_ok=True)
        self.process = subprocess.Popen(
            [*self.enter, shutil.which("sshd", path="/usr/sbin:/usr/bin"), "-D", "-e", "-f",
             self.root / "config"], stderr=open(self.root / "sshd.log", "a"))
        for _ in range(100):
            with socket.socket() as s:
                if s.connect_ex((self.address, self.port)) == 0:
                    return
            time.sleep(0.05)
        check(False, "sshd starts", (self.root / "sshd.log").read_text())

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()
            self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def environment(self):
        key = (self.root / "onetime.pub").read_text().split()
        return dict(os.environ, BERTH_HOST_ADDRESS=self.address, BERTH_HOST_PORT=str(self.port),
                    BERTH_HOST_USER="root", BERTH_HOST_IDENTITY=str(self.root / "user"),
                    BERTH_HOST_KEY=" ".join(key[:2]), BERTH_MY_IP="127.0.0.1/32", NO_COLOR="1")

    def spec(self, files=("from",), python=False, system=None):
        text = SPEC.replace("TO", str(self.to))
        if "more" in files:
            text = text.replace("}]", f"}}, {{ from: from, to: {self.more} }}]")
        if python:
            text += 'packages: { python: { packages: ["none-such"] } }\n'
        if system:
            text += f"packages: {{ system: [{system}] }}\n"
        (self.project / "berth.yaml").write_text(text)

    def interrupt(self, after_s, times=1):
        """An apply that gets Ctrl-C: its exit code, output, and how long it took from then on."""
        process = subprocess.Popen([self.berth, "apply", "-auto-approve"], cwd=self.project,
                                   env=self.environment(), text=True, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        time.sleep(after_s)
        started = time.monotonic()
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output, time.monotonic() - started

    def run(self, *args, timeout=60):
        return subprocess.run([self.berth, *args], cwd=self.project, env=self.environment(),
                              text=True, capture_output=True, timeout=timeout,
                              stdin=subprocess.DEVNULL)

    def apply(self, code=0):
        result = self.run("apply", "-auto-approve")
        check(result.returncode == code, f"apply ends with {code}", result.returncode,
              result.stdout, result.stderr)
        return result

    def plan(self):
        result = self.run("plan", "-json")
        check(result.returncode == 0, "plan works", result.stdout, result.stderr)
        return {c["address"]: c for c in json.loads(result.stdout)["changes"]
                if c["action"] != "no-op"}

    def unreadable(self, *words):
        """plan says unknown, never "no changes", and why."""
        started = time.monotonic()
        result = self.run("plan")
        took = time.monotonic() - started
        for word in ("could not be read", *words):
            # Lines are folded: compare without white space.
            check("".join(word.split()) in "".join(result.stdout.split()),
                  f"the plan says {word!r}", result.stdout, result.stderr)
        check(took < 12, f"within seconds ({took:.1f} s)")
        check("No changes" not in result.stdout, "not as if all were well", result.stdout)


def fingerprint(path):
    out = subprocess.run(["ssh-keygen", "-lf", path], check=True, text=True, capture_output=True)
    return out.stdout.split()[1]


def main():
    need_root()
    need_program("ssh-keygen", "unshare", "base64", "tar")
    with Host(str(pathlib.Path(sys.argv[1]).resolve())) as host:
        step("apply starts before sshd does: it waits")
        (host.etc / "berth").mkdir()
        (host.etc / "berth" / "key").write_text("what a run that was cut left behind")
        starter = subprocess.Popen([host.berth, "apply", "-auto-approve"], cwd=host.project,
                                   env=host.environment(), text=True, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        time.sleep(1)
        host.start()
        output, _ = starter.communicate(timeout=60)
        check(starter.returncode == 0, "it went through", output)
        check((host.to / "a.txt").read_text() == "hello\n", "the file is there")

        step("the host shows a key of its own now, and the plan is empty")
        pinned = host.etc / "ssh_host_ed25519_key"
        check(fingerprint(pinned) != fingerprint(host.root / "onetime"), "another key")
        check(host.plan() == {}, "no changes", host.plan())

        step("a changed file shows, and only that")
        (host.to / "a.txt").write_text("edited\n")
        changes = host.plan()
        check(list(changes) == [f"server[0].files[{host.to}]"], "one change", changes)
        host.apply()
        check((host.to / "a.txt").read_text() == "hello\n", "mended")

        step("sshd reads its key anew: nobody listens for a moment")
        host.stop()
        starter = threading.Timer(0.7, host.start)
        starter.start()
        changes = host.plan()
        starter.join()
        check(changes == {}, "it was waited for", changes)

        step("the one-time key is accepted no more")
        shutil.copy(pinned, host.root / "pinned")
        host.stop()
        host.show_key(host.root / "onetime")
        host.start()
        host.unreadable(fingerprint(host.root / "onetime"), fingerprint(host.root / "pinned"),
                        "somebody may be in between")
        check(host.apply(code=3).stdout.count("hello") == 0, "and nothing is applied")

        step("the state is lost: the pin is not")
        host.stop()
        host.show_key(host.root / "pinned")
        host.start()
        check(host.plan() == {}, "all is well again", host.plan())
        for state in (host.project / ".berth" / "sshd").glob("state.json*"):
            state.unlink()
        host.apply()
        check(fingerprint(pinned) == fingerprint(host.root / "pinned"), "the same key as before")
        check(host.plan() == {}, "and all is recorded again", host.plan())

        step("another user key is refused")
        host.make_key(host.root / "other")
        host.authorize(host.root / "other.pub")
        host.unreadable("the login was refused")
        host.authorize(host.root / "user.pub")

        step("the connection drops before anything has been begun")
        (host.project / "from" / "b.txt").write_text("b\n")
        # A converge starts with a folder of its own.
        host.stand_in("mktemp", f"""[ ! -e {host.root}/drop ] || kill -9 $SESSION
[ ! -e {host.root}/full ] || {{ echo "no room" >&2; exit 1; }}
exec REAL "$@"
""")
        (host.root / "drop").touch()
        host.wrap(f"export SESSION=$PPID; {PLAIN}")
        result = host.apply(code=3)
        check("files[" in result.stdout + result.stderr, "it says at what", result.stdout,
              result.stderr)
        (host.root / "drop").unlink()
        host.wrap(PLAIN)
        host.apply()
        check((host.to / "b.txt").read_text() == "b\n", "the next apply goes on")
        check(host.plan() == {}, "and then all is done")

        step("a step that fails says how")
        (host.project / "from" / "c.txt").write_text("c\n")
        (host.to / "c.txt").mkdir()
        (host.to / "c.txt" / "in-the-way").touch()
        result = host.apply(code=3)
        check("in-the-way" in result.stderr or "c.txt" in result.stderr, "with tar's own words",
              result.stdout, result.stderr)
        check("berth ssh" in result.stderr, "and what to do next", result.stderr)
        shutil.rmtree(host.to / "c.txt")
        host.apply()

        step("a shell that cannot be had: the plan says so (given_test.py: sudo)")
        host.wrap('echo "sudo: a password is required" >&2; exit 1')
        host.unreadable("a password is required")
        host.wrap('echo nonsense')
        host.unreadable("something else than was asked: nonsense", "~/.bashrc")

        step("a probe that a signal ends has not read anything")
        host.wrap('cat >/dev/null; kill -9 $$')
        host.unreadable("SIGKILL")
        host.wrap(PLAIN)

        step("an edit out there is shown line by line, undone; its owner and mode too")
        (host.project / "from" / "long.txt").write_text("".join(f"line {n}\n" for n in range(50)))
        (host.project / "from" / "picture").write_bytes(bytes(range(256)))
        host.apply()
        text = (host.to / "long.txt").read_text()
        (host.to / "long.txt").write_text(text.replace("line 30\n", "line thirty\nand more\n"))
        (host.to / "picture").write_bytes(b"\0")
        os.chown(host.to / "a.txt", 1, -1)
        (host.to / "b.txt").chmod(0o600)
        shown = host.run("plan").stdout
        for words in ("long.txt:", "- line thirty", "- and more", "+ line 30", "picture: binary",
                      "owner", "daemon", "b.txt: 600"):
            check(words in shown, f"the plan shows {words!r}", shown)
        check("line 12" not in shown, "and no more than what is near", shown)
        before = (host.to / "b.txt").stat().st_ino
        host.apply()
        check((host.to / "long.txt").read_text() == text, "undone")
        check((host.to / "a.txt").stat().st_uid == 0, "its owner again")
        check((host.to / "b.txt").stat().st_mode & 0o777 == 0o644, "its mode again")
        check((host.to / "b.txt").stat().st_ino == before, "without sending it again")
        check(host.plan() == {}, "and then all is done", host.plan())
        for name in ("long.txt", "picture"):
            (host.project / "from" / name).unlink()
        host.apply()
        check(not (host.to / "picture").exists(), "what berth sent and is no longer here goes")

        step("a mirror deletes what is not here, one by one in the plan; nothing else does")
        (host.to / "theirs").mkdir()
        (host.to / "theirs" / "kept.csv").write_text("1\n")
        (host.to / ".ipynb_checkpoints").mkdir()
        (host.to / ".ipynb_checkpoints" / "a-checkpoint.txt").write_text("1\n")
        check(host.plan() == {}, "not without asking for it", host.plan())
        plain = (host.project / "berth.yaml").read_text()
        (host.project / "berth.yaml").write_text(plain.replace("}]", ", mirror: true }]"))
        result = host.run("plan")
        check("theirs/kept.csv" in result.stdout and "! loses" in result.stdout,
              "it is named, and called lost", result.stdout)
        check(host.plan()[f"server[0].files[{host.to}]"]["loses"], "in JSON too", host.plan())
        host.apply()
        check(not (host.to / "theirs").exists(), "it is gone, and its empty folder")
        check((host.to / ".ipynb_checkpoints" / "a-checkpoint.txt").exists(), "not Jupyter's own")
        check((host.to / "a.txt").exists() and host.plan() == {}, "and all else stands")
        (host.project / "berth.yaml").write_text(
            plain.replace(f"to: {host.to} }}", "to: \"~\", mirror: true }"))
        result = host.run("validate")
        check("cannot be mirrored" in result.stdout + result.stderr, "a whole home is refused",
              result.stdout, result.stderr)
        (host.project / "berth.yaml").write_text(plain)

        step("the first Ctrl-C: the step that runs is finished, no other begins")
        host.spec(files=["from", "more"])
        (host.project / "from" / "a.txt").write_text("new\n")
        host.stand_in("tar", f'[ ! -e {host.root}/slow ] || sleep 4\nexec REAL "$@"\n')
        (host.root / "slow").touch()
        code, output, took = host.interrupt(after_s=2)
        check(code == 130, "it says that it was interrupted", code, output)
        check(took < 8, f"soon ({took:.1f} s)", output)
        check((host.to / "a.txt").read_text() == "new\n", "the first was finished", output)
        check(not host.more.exists(), "the second was not begun", output)
        check("not done: interrupted" in output and "0 failed" in output, "that is no failure", output)
        (host.root / "slow").unlink()
        host.apply()
        check((host.more / "a.txt").read_text() == "new\n", "the next apply goes on")
        check(host.plan() == {}, "and then all is done", host.plan())

        step("the second Ctrl-C: at once")
        (host.project / "from" / "a.txt").write_text("newer\n")
        (host.root / "slow").touch()
        code, output, took = host.interrupt(after_s=2, times=2)
        check(code == 130 and took < 4, f"interrupted ({took:.1f} s)", code, output)
        (host.root / "slow").unlink()
        host.apply()
        check(host.plan() == {}, "and then all is done", host.plan())

        step("a host that stops before its first step has done none")
        host.spec(files=["from", "more"], python=True)
        (host.root / "full").touch()
        result = host.apply(code=3)
        for node in ("server[0].python", "server[0].python.packages"):
            check(f"{node}: created" not in result.stderr, f"{node} failed", result.stderr)
        check("no room" in result.stderr, "and why", result.stderr)
        (host.root / "full").unlink()
        host.spec(files=["from", "more"])

        if shutil.which("apt-get"):
            step("another apt-get has the lists: it is waited for")
            host.spec(system="berth-none-such")
            host.write(host.root / "dpkg", "#!/bin/sh\n")
            host.write(host.root / "apt-get", f"""#!/bin/sh
shift 5
case $1 in
-y) [ -e {host.root}/updated ] || {{ echo "E: Unable to locate package" >&2; exit 100; }};;
update) [ -e {host.root}/locked ] || {{ : >{host.root}/locked
  echo "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 1" >&2; exit 100; }}
  : >{host.root}/updated;;
esac
""")
            host.wrap("".join(f"mount --bind {host.root}/{name} $(command -v {name})\n"
                              for name in ("dpkg", "apt-get")) +
                      'exec sh -c "$SSH_ORIGINAL_COMMAND"')
            host.apply()
            check((host.root / "updated").exists(), "and then gone on")
            host.write(host.root / "apt-get", "#!/bin/sh\necho 'E: no such thing' >&2\nexit 100\n")
            check("no such thing" in host.apply(code=3).stderr, "other errors are told at once")
            host.spec()
            host.wrap(PLAIN)

        step("a host key that cannot be put in place is not taken for pinned")
        host.stop()
        shutil.rmtree(host.project / ".berth")
        shutil.rmtree(host.etc / "berth")
        (host.etc / "ssh_host_ed25519_key.pub").unlink()
        host.show_key(host.root / "onetime")
        host.start()
        host.write(host.root / "bin" / "install", "#!/bin/sh\necho 'disk is full' >&2\nexit 1\n")
        check("disk is full" in host.apply(code=3).stderr, "it says why")
        check(fingerprint(pinned) == fingerprint(host.root / "onetime"), "the key stands")
        (host.root / "bin" / "install").unlink()
        host.apply()
        check(fingerprint(pinned) != fingerprint(host.root / "onetime"), "another key")
        check(host.plan() == {}, "and all is done", host.plan())

        step("nobody listens; and somebody listens who says nothing")
        host.stop()
        host.unreadable("cannot reach 127.0.0.1")
        with socket.socket() as silent:
            silent.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            silent.bind(("127.0.0.1", host.port))
            silent.listen()
            host.unreadable("SSH does not answer")
    print("all is well")


if __name__ == "__main__":
    main()
