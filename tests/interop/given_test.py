"""`provider: host` against plain OpenSSH servers that berth did not make: this machine again, each
copy on an overlay of its own, with an sshd that its administrator set up. ~/.ssh is the test's.
Usage: given_test.py BERTH"""

import json
import os
import pathlib
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from berthlib import check, need_program, need_root, skip, step

SPEC = """berth: 1
name: mine
provider: host
server: { host: HOST }
files: [{ from: from, to: ~/to }]
"""
# No name of AWS, no home but root's: berth must need neither.
BARE = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
        "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


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


def main():
    need_root()
    need_program("ssh", "ssh-keygen", "ssh-agent", "ssh-add", "unshare", "nsenter")
    root = pathlib.Path(tempfile.mkdtemp(prefix="berth-given-"))
    user = User(str(pathlib.Path(sys.argv[1]).resolve()), root)
    server = Server(root, "box")
    servers = [server]
    try:
        run(user, server, servers, root)
    finally:
        for one in servers:
            one.stop()
        if not os.environ.get("BERTH_TEST_KEEP"):
            shutil.rmtree(root, ignore_errors=True)
    print("all is well")


def run(user, server, servers, root):
    key = keygen(user.home / ".ssh" / "id_ed25519", "-t", "ed25519")
    server.authorize(key)
    server.start()
    at = f"me@127.0.0.1"
    port = f", port: {server.port}"

    step("an unknown host key is refused, shown, and nothing is sent")
    user.spec(at, port)
    user.refused(fingerprint(server.key), "known_hosts knows none for it", "ssh to me@127.0.0.1 once")
    check(server.traces() == "", "nothing was done", server.traces())
    out = user.run("doctor", code=1)
    check(f"known_hosts has none for [127.0.0.1]:{server.port}" in out.stdout and
          fingerprint(server.key) in out.stdout, "the doctor says so too", out.stdout)
    user.new_project()

    user.know(server, hashed=True)
    life(user, server)
    verbs(user, server, at, port)
    destroyed(user, server)
    given_keys(user, server, at, port)
    host_keys(user, server, at, port, root, servers)
    ways(user, server, root, servers)
    refusals(user, server, at, port)


def verbs(user, server, at, port):
    step("the verbs on such a server")
    check("provider" not in user.run("status", code=0).stderr, "status")
    user.says("running", "127.0.0.1", verb="status")
    check(user.run("ssh", "--", "echo", "there", code=0).stdout == "there\n", "ssh")
    check(json.loads(user.run("output", "-json", code=0).stdout)["servers"][0]["user"] == "me",
          "output")
    user.run("ssh-config", "-install", code=0)
    out = user.run("mine", "echo there", words=["ssh"], code=0)
    check(out.stdout == "there\n", "plain ssh by the name of the project", out.stderr)
    (user.project / "big").write_bytes(os.urandom(300000))
    user.run("cp", "big", ":back", code=0)
    user.run("cp", ":back", "again", code=0)
    check((user.project / "again").read_bytes() == (user.project / "big").read_bytes(), "cp")
    for verb, words in (("start", "cannot start it"), ("stop", "cannot stop it"),
                        ("cost", "berth does not know")):
        out = user.run(verb, code=1)
        check(words in out.stderr and "AWS" not in out.stderr, f"{verb} is refused", out.stderr)
    out = user.run("key", "export", "-format", "pem", code=1)
    check("is yours" in out.stderr, "berth has no key to export", out.stderr)
    out = user.run("import", "server[0]", "i-0123456789abcdef0", code=1)
    check("is recorded already" in out.stderr or "imported by id" in out.stderr, "import", out.stderr)
    out = user.run("plan", "-replace", "server[0]", code=1)
    check("cannot make it anew" in out.stdout, "not replaced", out.stdout, out.stderr)
    check("me@127.0.0.1" in user.run("show", code=0).stdout, "show")
    listener = free_port()
    server_port = server.port # it is there on both sides, and talks first
    tunnel = subprocess.Popen(user.command(user.berth, "tunnel", f"{listener}:{server_port}"),
                              cwd=user.project, env=user.env, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
    try:
        check(f"127.0.0.1:{listener}" in tunnel.stdout.readline(), "the tunnel stands")
        with socket.create_connection(("127.0.0.1", listener), timeout=10) as s:
            check(s.recv(4) == b"SSH-", "and carries")
    finally:
        tunnel.send_signal(signal.SIGINT)
        tunnel.communicate(timeout=20)

    out = user.run("doctor", code=0)
    for words in (f"me@127.0.0.1, port {server.port}", "pinned by an apply", "as administrator too"):
        check(words in out.stdout and "bad" not in out.stdout, f"doctor says {words}", out.stdout)
    check(json.loads(user.run("doctor", "-json", code=0).stdout)["good"], "in JSON too")
    out = user.run("doctor", "-policy", code=1)
    check("no policy of AWS" in out.stderr, "no policy", out.stderr)

    step("another project on the same server is refused, by name")
    other = User(user.berth, user.root / "second")
    shutil.copytree(user.home / ".ssh", other.home / ".ssh", dirs_exist_ok=True)
    other.spec(at, port)
    text = (other.project / "berth.yaml").read_text()
    (other.project / "berth.yaml").write_text(text.replace("name: mine", "name: other"))
    other.refused("kept by another project: mine", "one server is for one spec")
    (other.project / "berth.yaml").write_text(text)
    check({c["action"] for c in other.plan().values()} <= {"adopt", "create"},
          "a lost state is none", other.plan())

    step("another host in the spec is no other server to move to")
    user.spec("me@localhost", port)
    out = user.run("plan", code=1)
    check("names another server" in " ".join(out.stdout.split()), "it is refused", out.stdout)
    user.apply(code=1)
    step("but the same one by another name is")
    user.know(server, f"[localhost]:{server.port}")
    check(user.plan() == {}, "known by its host key", user.plan())
    user.apply()
    user.spec(at, port)
    check(user.plan() == {}, "and back", user.plan())
    user.apply()


def destroyed(user, server):
    step("protect: true holds")
    before = (user.project / "berth.yaml").read_text()
    (user.project / "berth.yaml").write_text(before.replace(" }\nfiles", ", protect: true }\nfiles"))
    out = user.run("destroy", "-auto-approve", code=1)
    check("protect: true" in out.stderr + out.stdout, "destroy is refused", out.stderr)
    (user.project / "berth.yaml").write_text(before)
    step("a destroy that fails half-way forgets nothing, and goes on")
    server.sh("printf '#!/bin/sh\necho rm does not want to >&2\nexit 1\n' >/usr/local/bin/rm; "
              "chmod 755 /usr/local/bin/rm")
    out = user.run("destroy", "-auto-approve", code=3)
    check("rm does not want to" in out.stderr, "it says why", out.stderr)
    check({"server[0]", "server[0].host_key"} <=
          {line.split()[0] for line in user.run("state", "list").stdout.splitlines()}, "all is kept")
    server.sh("unlink /usr/local/bin/rm")
    step("destroy takes away what berth put there, and leaves the server")
    server.sh("echo mine >/home/me/mine.txt; mkdir /home/me/to/kept; echo edited >/home/me/to/deep/er/b.txt")
    out = user.run("destroy", "-auto-approve", code=0)
    check(server.traces() == "/home/me/to", "nothing of berth is there", server.traces(), out.stdout)
    check(server.sh("cd /home/me/to && find . | sort").split() ==
          [".", "./deep", "./deep/er", "./deep/er/b.txt", "./kept"],
          "what was edited or made there stays", server.sh("find /home/me/to"))
    server.sh("rm -r /home/me/to")
    check(server.sh("cat /home/me/mine.txt") == "mine", "all else is")
    check(server.sh("cat /home/me/back | wc -c") == "300000", "what was copied by hand too")
    left = sorted(p.name for p in (user.project / ".berth" / "mine").iterdir())
    check(not {"host_keys", "token", "id_ed25519", "journal"} & set(left), "nor in the project", left)


def can_log_in(user, why):
    user.new_project()
    check(user.plan()["server[0]"]["action"] == "adopt", why)
    changes = user.plan()
    check({c["action"] for a, c in changes.items() if a != "server[0]"} == {"create"}, why, changes)


def given_keys(user, server, at, port):
    ssh = user.home / ".ssh"
    key = ssh / "id_ed25519"
    step("a key that the spec names, relative to it")
    shutil.move(key, user.project / "mine.key")
    shutil.move(f"{key}.pub", user.project / "mine.key.pub")
    user.new_project()
    user.refused("there is no key to log in with", "ssh-copy-id")
    user.spec("me@localhost", port)
    check("names another" not in user.run("plan").stdout, "where nothing was put, host is free")
    user.spec(at, port + ", key: mine.key")
    can_log_in(user, "it logs in")
    shutil.move(user.project / "mine.key.pub", user.root / "aside.pub")
    can_log_in(user, "without its public half too")
    user.spec(at, port + ", key: none.key")
    user.new_project()
    user.refused("none.key cannot be read")

    step("a key with a passphrase: by an agent only, and it says so")
    locked = keygen(ssh / "id_ed25519", "-t", "ed25519", passphrase="a passphrase")
    server.authorize(locked)
    user.spec(at, port)
    user.new_project()
    user.refused("it has a passphrase", "ssh-add")
    agent = Agent(user)
    try:
        for name in ("a", "b", "c"): # which the server does not know
            agent.add(keygen(user.root / f"other-{name}", "-t", "ed25519"))
        agent.add(locked, "a passphrase")
        can_log_in(user, "the agent has it")
        before = server.log_count("Failed publickey")
        user.plan()
        check(server.log_count("Failed publickey") == before,
              "the key that a file names is the first to be tried")
        user.run("apply", "-auto-approve", code=0)
        check(user.run("ssh", "--", "echo", "in", code=0).stdout == "in\n", "berth ssh too")
        user.run("destroy", "-auto-approve", code=0)
        step("any other key of the agent; but none that IdentitiesOnly keeps back")
        server.authorize(user.root / "other-b")
        can_log_in(user, "the agent's other keys are tried")
        user.config("Host *\n  IdentitiesOnly yes\n")
        user.new_project()
        user.refused("the login was refused")
        user.config("Host *\n  IdentityAgent none\n")
        user.refused("it has a passphrase")
        user.config(f"Host *\n  IdentityAgent {agent.socket}\n")
        del user.env["SSH_AUTH_SOCK"]
        can_log_in(user, "IdentityAgent of the configuration")
        user.config("")
    finally:
        agent.stop()

    step("RSA: an error that says what to do, where libssh2 is too old for it")
    for name in ("id_ed25519", "id_ed25519.pub"):
        (ssh / name).unlink()
    rsa = keygen(ssh / "id_rsa", "-t", "rsa", "-b", "2048")
    server.authorize(rsa)
    user.new_project()
    out = user.run("plan")
    if "cannot log in with RSA keys" in "".join(out.stdout).replace("\n", " "):
        before = server.log_count("Accepted\\|Failed publickey")
        user.refused("libssh2", "cannot log in with RSA keys", "ssh-keygen -t ed25519", "ssh-copy-id")
        check(server.log_count("Accepted\\|Failed publickey") == before, "it was not even offered")
    else:
        can_log_in(user, "this libssh2 signs as sshd wants it")
    check(server.traces() == "", "nothing was done", server.traces())
    for name in ("id_rsa", "id_rsa.pub"):
        (ssh / name).unlink()

    step("other kinds of keys")
    server.authorize(keygen(ssh / "id_ecdsa", "-t", "ecdsa"))
    can_log_in(user, "ECDSA")
    for name in ("id_ecdsa", "id_ecdsa.pub"):
        (ssh / name).unlink()
    shutil.move(user.project / "mine.key", key)
    shutil.move(user.root / "aside.pub", f"{key}.pub")
    server.authorize(key)
    can_log_in(user, "the first again")


class Agent:
    def __init__(self, user):
        self.socket = str(user.root / "agent")
        self.process = subprocess.Popen(["ssh-agent", "-D", "-a", self.socket],
                                        stdout=subprocess.DEVNULL)
        while not os.path.exists(self.socket):
            time.sleep(0.02)
        user.env["SSH_AUTH_SOCK"] = self.socket
        self.env = dict(BARE, SSH_AUTH_SOCK=self.socket, DISPLAY="none",
                        SSH_ASKPASS_REQUIRE="force", SSH_ASKPASS=str(user.root / "askpass"))
        self.askpass = user.root / "askpass"

    def add(self, key, passphrase=""):
        self.askpass.write_text(f"#!/bin/sh\necho {shlex.quote(passphrase)}\n")
        self.askpass.chmod(0o700)
        subprocess.run(["ssh-add", "-q", key], env=self.env, check=True, stdin=subprocess.DEVNULL)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def host_keys(user, server, at, port, root, servers):
    step("a host key that changed is refused; the spec can say that it is right")
    user.apply()
    old = server.key
    server.stop()
    server.key = keygen(root / "another_key", "-t", "ed25519")
    server.start()
    user.refused(fingerprint(server.key), fingerprint(old), "somebody may be in between")
    out = user.run("ssh", "--", "true")
    check(out.returncode == 255 and "REMOTE HOST IDENTIFICATION HAS CHANGED" in out.stderr,
          "so it is by berth ssh", out.stderr)
    public = " ".join(pathlib.Path(f"{server.key}.pub").read_text().split()[:2])
    for said in (public, fingerprint(server.key)):
        user.spec(at, f'{port}, host_key: "{said}"')
        check(user.plan().get("server[0].host_key", {}).get("action") in ("create", None),
              "it is taken", user.plan())
    user.apply()
    check(user.plan() == {}, "and pinned", user.plan())
    user.spec(at, port)
    check(user.plan() == {}, "also when the spec no longer says it", user.plan())
    user.spec("me@localhost", f'{port}, host_key: "{fingerprint(server.key)}"')
    check(user.plan().get("server[0]") is None, "the same server by another name, by its fingerprint",
          user.plan())
    user.spec(at, port)

    step("a pinned key that was @revoked since is refused by all")
    known = user.home / ".ssh" / "known_hosts"
    before = known.read_text() if known.exists() else ""
    known.write_text(f"{before}@revoked * {public}\n")
    user.refused("@revoked")
    out = user.run("ssh", "--", "true")
    check(out.returncode == 255 and "REVOKED HOST KEY" in out.stderr, "by berth ssh", out.stderr)
    out = user.run("tunnel", "9")
    check(out.returncode == 1 and "@revoked" in out.stderr, "by berth tunnel", out.stderr)
    known.write_text(before)
    user.run("destroy", "-auto-approve", code=0)

    step("a spec that names another key than the host shows")
    user.spec(at, f'{port}, host_key: "{fingerprint(old)}"')
    user.new_project()
    user.refused(fingerprint(server.key), "expected was", fingerprint(old))

    step("@revoked refuses, @cert-authority is named")
    user.spec(at, port)
    known = user.home / ".ssh" / "known_hosts"
    user.forget()
    known.write_text(f"[127.0.0.1]:{server.port} {public}\n@revoked * {public}\n")
    user.new_project()
    user.refused("@revoked")
    known.write_text(f"@cert-authority [127.0.0.1]:{server.port} {public}\n")
    user.refused("known_hosts knows none for it but a @cert-authority, which berth cannot use")

    step("other kinds of host keys: what is known is asked for")
    server.stop()
    ecdsa = keygen(root / "ecdsa_key", "-t", "ecdsa")
    server.more_keys = [ecdsa]
    server.start()
    user.forget()
    user.know(Known(ecdsa, server.port))
    can_log_in(user, "ECDSA is negotiated where that is what known_hosts has")
    user.forget()
    user.spec(at, f'{port}, host_key: "{fingerprint(ecdsa)}"')
    can_log_in(user, "a fingerprint may be of any of its keys")
    user.spec(at, port)
    server.more_keys = []
    user.know(server)


class Known:
    def __init__(self, key, port):
        self.key, self.port = key, port


def ways(user, server, root, servers):
    step("a Host of ~/.ssh/config: name, user, port, key, HostKeyAlias")
    key = user.home / ".ssh" / "id_ed25519"
    odd = user.home / ".ssh" / "odd"
    shutil.copy(key, odd)
    odd.chmod(0o600)
    shutil.move(key, root / "aside")
    user.config(f"Host box\n  HostName 127.0.0.1\n  Port {server.port}\n  User me\n"
                "  IdentityFile ~/.ssh/odd\n  HostKeyAlias the-box\n")
    user.forget()
    user.spec("box")
    user.new_project()
    user.refused("known_hosts knows none")
    user.know(server, "the-box", hashed=True)
    user.new_project()
    life(user, server)
    check(user.run("output", "address", code=0).stdout.strip() == "127.0.0.1", "its address")
    check("Host mine-0 mine\n" in user.run("ssh-config", code=0).stdout, "by the name of the spec")
    user.config((user.home / ".ssh" / "config").read_text().replace("Host box", "Host box mine"))
    user.spec("mine")
    user.apply()
    check("Host mine-0\n" in user.run("ssh-config", code=0).stdout, "where that is not taken")
    user.spec("box")
    user.apply()
    user.run("ssh-config", "-install", code=0)
    user.config((user.home / ".ssh" / "config").read_text().replace("Host box", "Host other"))
    check(user.run("mine", "echo there", words=["ssh"], code=0).stdout == "there\n",
          "what ssh-config wrote stands without it")
    user.config(f"Host box\n  HostName 127.0.0.1\n  Port {server.port}\n  User me\n"
                "  IdentityFile ~/.ssh/odd\n  HostKeyAlias the-box\n")
    user.run("destroy", "-auto-approve", code=0)
    shutil.move(root / "aside", key)

    step("a mistake in ~/.ssh/config is shown")
    user.config("Host box\n  Prot 22\n")
    user.new_project()
    user.says("configuration option: prot; ", "ssh -G box")
    user.says("bad way", "configuration option: prot; ", verb="doctor")
    user.config("")

    step("through a jump host")
    jump = Server(root, "bastion")
    servers.append(jump)
    jump.authorize(key)
    jump.start()
    user.forget()
    user.know(server)
    user.spec("me@127.0.0.1", f', port: {server.port}, jump: "me@localhost:{jump.port}"')
    user.new_project()
    user.refused("no way there by me@localhost", "Host key verification failed")
    user.know(jump, f"[localhost]:{jump.port}")
    user.new_project()
    life(user, server)
    check(jump.log_count("Accepted") > 0, "the jump host was used")
    check(user.run("ssh", "--", "echo", "in", code=0).stdout == "in\n", "berth ssh goes there too")
    user.run("cp", "big", ":back", code=0)
    user.run("destroy", "-auto-approve", code=0)
    user.spec("box")
    for way in (f"ProxyJump me@localhost:{jump.port}",
                f"ProxyCommand ssh -q -W %h:%p -p {jump.port} %r@localhost"):
        user.config(f"Host box\n  HostName 127.0.0.1\n  Port {server.port}\n  User me\n  {way}\n")
        can_log_in(user, way)
    left = children(f"-W 127.0.0.1:{server.port}")
    check(left == [], "no ssh is left behind", left)
    user.config(f"Host box\n  ProxyCommand echo out of order >&2; exit 1\n")
    user.refused("no way there", "out of order")
    user.config(f"Host box\n  ProxyCommand nc %j %h\n")
    user.says("does not know a %-token")

    step("Ctrl-C ends a connection that hangs, and what carries it")
    sleep = f"sleep 9{server.port}" # as no other test does
    user.config(f"Host box\n  ProxyCommand {sleep}\n")
    plan = subprocess.Popen(user.command(user.berth, "plan"), cwd=user.project, env=user.env,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    time.sleep(1)
    for _ in range(2):
        plan.send_signal(signal.SIGINT)
        time.sleep(0.3)
    plan.communicate(timeout=30)
    for _ in range(50):
        if not children(sleep):
            break
        time.sleep(0.1)
    check(children(sleep) == [], "it ended", children(sleep))
    user.config("")


def children(what):
    """Programs that run with these words."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if what in words and path.parent.name != str(os.getpid()):
            found.append(words)
    return found


def refusals(user, server, at, port):
    step("a user whose home is elsewhere")
    user.spec(at, port)
    user.new_project()
    server.sh("sed -i s#:/home/me:#:/data/me:# /etc/passwd")
    user.refused("the home of me is /data/me there", "ln -s /data/me /home/me")
    server.sh("mkdir -p /data/me; rmdir /home/me; ln -s /data/me /home/me")
    check("server[0].files[~/to]" in user.plan(), "but a link will do", user.plan())
    server.sh("rm /home/me; mkdir /home/me; sed -i s#:/data/me:#:/home/me:# /etc/passwd")
    step("a user that the server does not know, and one without sudo")
    user.spec("nobody-such@127.0.0.1", port)
    user.new_project()
    user.refused("nobody-such@127.0.0.1", "the login was refused", "is nobody-such the right user?")
    user.spec(at, port)
    server.sh("printf '#!/bin/sh\necho sudo: a password is required >&2\nexit 1\n' "
              ">/usr/local/bin/sudo")
    user.new_project()
    user.refused("a password is required", "sudo without a password", "/etc/sudoers.d/berth")
    server.sh("rm /usr/local/bin/sudo")
    if shutil.which("sudo") is None:
        user.refused("sudo", "not found", "sudo without a password")
    step("root needs no sudo")
    server.sh("sed -i /^me:/d /etc/passwd") # whose number root has
    user.spec("root@127.0.0.1", port)
    user.new_project()
    user.apply()
    check(server.sh("cat /root/to/a.txt") == "hello", "the file is there")
    check(user.plan() == {}, "and all is done", user.plan())
    user.run("destroy", "-auto-approve", code=0)

    step("without OpenSSH's client here, the spec alone counts")
    few = user.root / "few"
    few.mkdir()
    for name in ("unshare", "sh", "mount"):
        (few / name).symlink_to(shutil.which(name))
    shutil.copytree(user.home / ".ssh", user.root / "keys")
    key = f", key: {user.root}/keys/id_ed25519"
    user.env["PATH"] = str(few)
    user.config(f"Host *\n  Port 1\n  User nobody-such\n")
    user.spec("root@127.0.0.1", port + key)
    user.new_project()
    user.refused("known_hosts knows none for it", fingerprint(server.key))
    user.spec("root@127.0.0.1", f'{port}{key}, host_key: "{fingerprint(server.key)}"')
    can_log_in(user, "key, port and host key of the spec")
    user.spec("root@127.0.0.1", f'{port}{key}, jump: "me@127.0.0.1"')
    user.says("`server.jump` needs OpenSSH's ssh", "openssh-client")
    user.env["PATH"] = BARE["PATH"]
    user.config("")
    user.spec("root@127.0.0.1", port)
    user.new_project()

    step("nobody there: at once, and with nothing of AWS in it")
    user.apply()
    server.stop()
    out = user.refused("cannot reach 127.0.0.1")
    check("access.ssh" not in out.stdout, "no advice for EC2", out.stdout)
    user.says("server[0]  unknown", "cannot reach", verb="status")
    out = user.run("destroy", "-auto-approve", code=3)
    check(user.run("state", "list", code=0).stdout != "", "nothing is forgotten")
    user.run("state", "rm", "server[0]", code=0)
    check(user.run("state", "list", code=0).stdout == "", "but for a server that is gone for good")
    user.forget()
    server.key = keygen(user.root / "fresh_key", "-t", "ed25519")
    server.start()
    server.sh("sed -i /^me:/d /etc/passwd")
    user.know(server, f"[localhost]:{server.port}")
    user.spec("root@localhost", port)
    user.apply()
    check(user.plan() == {}, "its successor is another one", user.plan())
    user.run("destroy", "-auto-approve", code=0)
    server.stop()
    server.start()
    user.spec("me@nowhere.invalid", port)
    user.new_project()
    user.refused("cannot find nowhere.invalid")


if __name__ == "__main__":
    main()
