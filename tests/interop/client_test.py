"""What a user's own programs get of berth: ssh, scp, rsync and what tunnels by `ssh -W` through
`berth ssh-config`, and the private key by `berth key export`. The peers are the real programs, the
servers are sandbox guests. Usage: client_test.py BERTH"""

import hashlib
import os
import pathlib
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
berthlib.need_program("mmdebstrap", "ssh", "scp", "rsync", "ssh-keygen",
                     "puttygen", "plink", "openssl")


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


def key_line(text):
    """Type and base64, without a comment."""
    return text.decode().split()[:2]


def export(project, name, *options):
    path = project.root / name
    project.run("key", "export", "-out", str(path), *options)
    check(mode_of(path) == 0o600, f"{name} is 0600")
    return path


def check_putty(project, private, public, version):
    root = project.root
    form = "ppk" if version == "3" else "ppk2"
    plain = export(project, f"plain{version}.ppk", "-format", form)
    comment = plain.read_text().split("\n")[2].removeprefix("Comment: ")
    peer("puttygen", private, "-O", "private", "-o", root / "reference.ppk", "-C", comment,
         "--ppk-param", f"version={version}")
    check(plain.read_text() == (root / "reference.ppk").read_text(),
          f"version {version} is what puttygen itself writes")
    sealed = export(project, f"sealed{version}.ppk", "-format", form, "-passphrase-file",
                    str(root / "passphrase"))
    text = sealed.read_text()
    check(f"PuTTY-User-Key-File-{version}:" in text and "aes256-cbc" in text, "encrypted", text)
    for word, code in (("right", 0), ("wrong", 1)):
        opened = root / f"opened{version}-{word}"
        peer("puttygen", sealed, "--old-passphrase", root / word, "--new-passphrase",
             root / "empty", "-O", "private-openssh-new", "-o", opened, code=code)
        check(opened.exists() == (code == 0), f"the {word} passphrase")
    check(key_line(peer("ssh-keygen", "-y", "-f", root / f"opened{version}-right")) == public,
          "it is the same key")


def check_pem(project, public, rsa):
    root = project.root
    pem = export(project, "key.pem", "-format", "pem")
    head = "-----BEGIN RSA " if rsa else "-----BEGIN "
    check(pem.read_text().startswith(head + "PRIVATE KEY-----"), "as OpenSSL writes it")
    form = ["-traditional"] if rsa else []
    check(peer("openssl", "pkey", "-in", pem, *form) == pem.read_bytes(), "openssl agrees")
    sealed = export(project, "sealed.pem", "-format", "pem", "-passphrase-file",
                    str(root / "passphrase"))
    check(sealed.read_text().startswith("-----BEGIN ENCRYPTED "), "encrypted")
    opened = peer("openssl", "pkey", "-in", sealed, "-passin", f"file:{root / 'right'}", *form)
    check(opened == pem.read_bytes(), "openssl decrypts it")
    if rsa:
        check(key_line(peer("ssh-keygen", "-y", "-f", pem)) == public, "ssh-keygen reads it")
    return pem


def check_formats(project, private, kind):
    """Each format read by the programs that it is for. `private` is the project's own file."""
    root = project.root
    for name, text in (("passphrase", "correct horse\nnot this line\n"), ("right", "correct horse\n"),
                       ("wrong", "wrong horse\n"), ("empty", "")):
        (root / name).write_text(text)
    public = key_line(peer("ssh-keygen", "-y", "-f", private))

    step(f"{kind}: PuTTY's formats")
    for version in ("3", "2"):
        check_putty(project, private, public, version)
    endpoint = project.json("output")["servers"][0]
    project.run("ssh-config")
    known = next(project.dir.glob(".berth/*/known_hosts"))
    fingerprint = peer("ssh-keygen", "-l", "-f", known).decode().split()[1]
    said = peer("plink", "-batch", "-noagent", "-i", root / "plain3.ppk", "-hostkey", fingerprint,
                f"{endpoint['user']}@{endpoint['address']}", "id -un").decode()
    check(said.split() == [endpoint["user"]], "plink logs in", said)

    step(f"{kind}: OpenSSL's and OpenSSH's formats")
    pem = check_pem(project, public, kind == "rsa")
    openssh = export(project, "key.openssh", "-format", "openssh")
    check(openssh.read_text().startswith("-----BEGIN OPENSSH "), "OpenSSH's own")
    check(key_line(peer("ssh-keygen", "-y", "-P", "", "-f", openssh)) == public, "the same key")
    peer("puttygen", openssh, "-O", "private", "-o", root / "from-openssh.ppk")

    step(f"{kind}: nothing is overwritten, nothing is exported by half")
    before, none = pem.read_bytes(), root / "none"
    result = project.run("key", "export", "-format", "ppk", "-out", str(pem), check_code=1)
    check("left alone" in result.stderr and pem.read_bytes() == before, "left alone", result.stderr)
    pem.chmod(0o644)
    project.run("key", "export", "-format", "ppk", "-out", str(pem), "-force")
    check(pem.read_text().startswith("PuTTY-User-Key-File-3") and mode_of(pem) == 0o600, "-force")
    for form, passphrase, words in (("openssh", "passphrase", "ssh-keygen -p"),
                                    ("pem", "empty", "is empty")):
        result = project.run("key", "export", "-format", form, "-out", str(none),
                             "-passphrase-file", str(root / passphrase), check_code=1)
        check(words in result.stderr and not none.exists(), "it says what to do", result.stderr)
    for arguments in (("export",), ("export", "-format", "der"), ("-format", "ppk"), ()):
        project.run("key", *arguments, check_code=64)


def check_other_keys():
    spec = SPEC.replace("files:", "#").replace("COUNT", "1")
    with Project(berth, spec + "key_pair: { type: rsa }\n") as project:
        project.apply()
        check_formats(project, next(project.dir.glob(".berth/*/id_rsa")), "rsa")
    for kind, passphrase in (("rsa", ""), ("ed25519", ""), ("ed25519", "secret")):
        with Project(berth, spec + "key_pair: { public_key: ../mine.pub }\n") as project:
            mine = project.root / "mine"
            peer("ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "me at home", "-f", mine)
            project.apply()
            if not passphrase:
                check_formats(project, mine, kind)
                text = (project.root / "plain3.ppk").read_text()
                check("\nComment: me at home\n" in text, "its own comment is kept", text)
                continue
            step("a key of one's own with a passphrase")
            result = project.run("key", "export", "-format", "ppk", check_code=1)
            check("has a passphrase" in result.stderr and "puttygen" in result.stderr,
                  "says what to do", result.stderr)


with Project(berth, SPEC.replace("COUNT", "1")) as project:
    # A blank and a per cent sign: OpenSSH takes both for its own.
    project.dir = project.dir.rename(project.root / "my project 50%h")
    (project.dir / "hello.txt").write_text("hello\n")
    check_config(project)
    check_formats(project, next(project.dir.glob(".berth/*/id_ed25519")), "ed25519")
    project.run("key", "export", "--format", "ppk")
    check(mode_of(project.dir / "client.ppk") == 0o600, "its name by default")
check_other_keys()
print("1 passed, 0 failed")
