"""What a user's own programs get of berth: ssh, scp, rsync and what tunnels by `ssh -W` through
`berth ssh-config`. The peers are the real programs, the servers are sandbox guests.
Usage: client_test.py BERTH"""

import hashlib
import os
import pathlib
import shutil
import stat
import subprocess
import sys

import berthlib
from berthlib import Project, check, step

SPEC = """berth: 1
name: client
provider: sandbox
server: { image: debian-12, type: t3.small, count: COUNT }
files: [{ from: hello.txt, to: ~/hello.txt }]
"""

berth = sys.argv[1]
berthlib.need_root()
berthlib.need_program("mmdebstrap", "ssh", "scp", "rsync", "ssh-keygen")


def mode_of(path):
    return stat.S_IMODE(pathlib.Path(path).stat().st_mode)


def peer(*argv, code=0, **options):
    """A real program; its output."""
    result = subprocess.run([str(a) for a in argv], capture_output=True, stdin=subprocess.DEVNULL,
                            timeout=120, **options)
    check(result.returncode == code, f"{argv[0]} ends with {code}", result.returncode,
          result.stdout.decode(errors="replace"), result.stderr.decode(errors="replace"))
    return result.stdout


def check_config(project):
    step("ssh-config: nothing is printed before there is a server")
    project.run("ssh-config", check_code=1)
    project.apply()

    step("ssh, scp, rsync and ssh -W by name")
    text = project.run("ssh-config").stdout
    config = project.root / "config"
    project.run("ssh-config", "-out", str(config))
    check(config.read_text() == text and mode_of(config) == 0o600, "-out writes the same")
    for name in ("client", "client-0"):
        said = peer("ssh", "-F", config, name, "id -un; cat hello.txt").decode()
        check(said.split() == ["admin", "hello"], f"ssh {name}", said)
    payload = os.urandom(300_000)
    (project.root / "up.bin").write_bytes(payload)
    peer("scp", "-F", config, project.root / "up.bin", "client:up.bin")
    peer("scp", "-F", config, "client:up.bin", project.root / "down.bin")
    check((project.root / "down.bin").read_bytes() == payload, "scp there and back")
    folder = project.root / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a b.txt").write_text("with a blank\n")
    project.ssh("command -v rsync >/dev/null || sudo apt-get install -y rsync >/dev/null 2>&1")
    # rsync splits -e at blanks itself: the file must not have any.
    peer("rsync", "-a", "-e", f"ssh -F {config}", f"{folder}/", "client:synced/")
    said = project.ssh("cat 'synced/sub/a b.txt'").stdout
    check(said == "with a blank\n", "rsync", said)
    # A second login through the first, as an editor's remote development does it.
    inner = peer("ssh", "-F", config, "-o", f"ProxyCommand=ssh -F {config} -W 127.0.0.1:22 client",
                 "client", "cat up.bin")
    check(hashlib.sha256(inner).digest() == hashlib.sha256(payload).digest(), "ssh -W")
    peer("ssh", "-F", config, "-G", "client")

    step("the pinned key, and no other")
    known = next(project.dir.glob(".berth/client/known_hosts"))
    pinned = known.read_text()
    other = project.root / "other"
    peer("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other)
    known.write_text(pinned.split()[0] + " " + other.with_suffix(".pub").read_text())
    result = subprocess.run(["ssh", "-F", config, "client", "true"], capture_output=True, text=True,
                            stdin=subprocess.DEVNULL)
    check(result.returncode == 255 and "verification failed" in result.stderr, "another is refused",
          result.stderr)
    project.run("ssh-config")
    check(known.read_text() == pinned, "ssh-config brings the pinned one back")
    peer("ssh", "-F", config, "client", "true")

    step("what somebody else wrote is not overwritten")
    mine = project.root / "mine"
    mine.write_text("Host example\n")
    result = project.run("ssh-config", "-out", str(mine), check_code=1)
    check("left alone" in result.stderr and mine.read_text() == "Host example\n", "left alone",
          result.stderr)

    step("-install: in ~/.ssh/config, once, and apply keeps it up to date")
    home = project.root / "home"
    (home / "dot").mkdir(parents=True)
    (home / ".ssh").mkdir(mode=0o700)
    (home / "dot" / "config").write_text("Host example\n    User somebody\n")
    (home / "dot" / "config").chmod(0o640)
    (home / ".ssh" / "config").symlink_to("../dot/config")
    for _ in range(2):
        project.run("ssh-config", "-install", env={"HOME": str(home)})
    whole = (home / ".ssh" / "config").read_text()
    check(whole.count("Include") == 1 and whole.index("Include") < whole.index("Host example"),
          "included once, at the top", whole)
    check((home / ".ssh" / "config").is_symlink() and mode_of(home / "dot" / "config") == 0o640,
          "a link stays a link, and its mode is kept")
    said = peer("ssh", "-F", home / ".ssh" / "config", "client", "id -un").decode()
    check(said == "admin\n", "ssh by the user's own configuration", said)
    user = peer("ssh", "-F", home / ".ssh" / "config", "-G", "example").decode()
    check("\nuser somebody\n" in f"\n{user}", "and what stood there counts as before", user)
    project.edit_spec("count: 1", "count: 2")
    project.apply()
    for name in ("client-0", "client-1"):
        peer("ssh", "-F", home / ".ssh" / "config", name, "true")
    names = [peer("ssh", "-F", home / ".ssh" / "config", f"client-{i}", "cat /etc/hostname")
             for i in range(2)]
    check(names[0] != names[1], "two servers", [n.decode() for n in names])
    project.edit_spec("count: 2", "count: 1")
    project.apply()
    text = project.run("ssh-config").stdout
    check("client-1" not in text, "the second is gone", text)


with Project(berth, SPEC.replace("COUNT", "1")) as project:
    # A blank and a per cent sign: OpenSSH takes both for its own.
    project.dir = project.dir.rename(project.root / "my project 50%h")
    (project.dir / "hello.txt").write_text("hello\n")
    check_config(project)
print("1 passed, 0 failed")
