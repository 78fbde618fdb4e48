"""The way to a server that berth did not make, as OpenSSH has it: keys and agents, host keys, ~/.ssh/config,
jump hosts. Usage: given_login_test.py BERTH"""

import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import time

from berthlib import check, step
from givenlib import BARE, Server, at_hand, can_log_in, fingerprint, keygen, life


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


def host_keys(user, server, at, port, root):
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
    (user.project / "big").write_bytes(os.urandom(300000))
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


with at_hand() as (user, server, servers):
    at, port = "me@127.0.0.1", f", port: {server.port}"
    user.know(server, hashed=True)
    user.spec(at, port)
    given_keys(user, server, at, port)
    host_keys(user, server, at, port, user.root)
    ways(user, server, user.root, servers)
print("all is well")
