"""berth cp from servers that answer otherwise than berth's own commands would: taken over by somebody,
they must not write anywhere but into the folder that was named, nor for ever; and from one with very
many files. An sshd on loopback (sshd_test.py), or what the test makes of it. Usage: cp_peer_test.py
BERTH_FIXED_HOST"""

import io
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tarfile

from berthlib import check, need_program, need_root, step
from sshd_test import PLAIN, Host

MANY = 25_000


def entry(name, type=tarfile.REGTYPE, content=b"", link="", mode=0o644):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname, info.mode = type, len(content), link, mode
    return info, content


def archive(*entries, format=tarfile.GNU_FORMAT, **more):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format, **more) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


class Peer:
    """Says what it is told to, instead of doing what it is asked for."""

    def __init__(self, host):
        self.host = host
        self.here = host.project / "here"
        self.outside = host.root / "outside"

    def fresh(self):
        for folder in self.here, self.outside:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        (self.outside / "kept").write_text("mine\n")

    def folder(self, listed, sent, more=""):
        """As in cmd/copy_folder.c: what is listed, no hashes, the archive."""
        said = self.host.root / "said"
        said.write_bytes(b"dir\n" + b"".join(f"{kind} {size} {name}\0".encode("utf-8", "surrogateescape")
                                             for kind, size, name in listed) + b"e -1 \0")
        (self.host.root / "sent").write_bytes(sent)
        self.host.wrap(f"cat {said}; read -r n; head -c $n >/dev/null; echo end; cat {self.host.root}/sent; {more}")

    def copy(self, *words):
        return self.host.run("cp", *words, timeout=300)

    def refused(self, why, listed, sent):
        self.folder(listed, sent)
        done = self.copy(":folder", "here")
        check(done.returncode == 1, why, done.stdout, done.stderr)
        check("it had not listed" in done.stderr or "the server sent" in done.stderr
              or "leads out" in done.stderr, why, done.stderr)
        check(sorted(os.listdir(self.outside)) == ["kept"], why, os.listdir(self.outside))
        check((self.outside / "kept").read_text() == "mine\n", why)
        left = {p.name for p in self.host.project.iterdir()}
        check(left <= {".berth", "berth.yaml", "from", "here"}, why, sorted(left))
        return done


def check_folders(peer):
    here, outside = peer.here / "folder", peer.outside
    plain = [("d", 0, "sub"), ("f", 2, "sub/a"), ("l", 1, "link")]

    step("what is listed and sent as berth asks for it")
    peer.fresh()
    peer.folder(plain, archive(entry("sub/", tarfile.DIRTYPE, mode=0o2775), entry("sub/a", content=b"a\n", mode=0o4755),
                               entry("link", tarfile.SYMTYPE, link=str(outside))))
    done = peer.copy(":folder", "here")
    check(done.returncode == 0, "it is taken", done.stderr)
    check((here / "sub/a").read_text() == "a\n" and os.readlink(here / "link") == str(outside), "all of it")
    check(stat.S_IMODE((here / "sub/a").stat().st_mode) == 0o755 and
          stat.S_IMODE((here / "sub").stat().st_mode) == 0o775, "but nothing runs as its owner")

    step("a link that came before is no way out")
    for listed in (plain[:2] + [("d", 0, "link"), ("f", 2, "link/evil")], [("f", 2, "link/evil")],
                   [("l", 1, "link"), ("f", 2, "link/evil")]):
        peer.folder(listed, archive(entry("link/evil", content=b"x\n")))
        peer.copy(":folder", "here")
        check(sorted(os.listdir(outside)) == ["kept"], "nothing is outside", listed, os.listdir(outside))
    peer.fresh()
    here.mkdir()
    (here / "mine").symlink_to(outside)
    peer.refused("nor is one of the user's", plain, archive(entry("mine/evil", content=b"x\n")))
    check((here / "mine").is_symlink(), "which stays")

    step("nor is one that comes with it, whatever it is called")
    evil = entry("link/evil", content=b"x\n")
    for name, sent in {
            "a link, then below it": [entry("link", tarfile.SYMTYPE, link=str(outside)), evil],
            "a folder that is sent as a link": [entry("sub", tarfile.SYMTYPE, link=str(outside)),
                                                entry("sub/a", content=b"x\n")],
            "a file that is sent as a link": [entry("sub/a", tarfile.SYMTYPE, link=str(outside))],
            "what was not listed": [entry("other", content=b"x\n")],
            "above": [entry("../evil", content=b"x\n")],
            "absolute": [entry(f"{outside}/evil", content=b"x\n")],
            "a second name of a file outside": [entry("sub/a", tarfile.LNKTYPE, link=f"{outside}/kept")],
            "a device": [entry("sub/a", tarfile.CHRTYPE)],
            "a pipe": [entry("sub/a", tarfile.FIFOTYPE)],
            "a long name": [entry("sub/" + "x" * 200, content=b"x\n")]}.items():
        peer.fresh()
        peer.refused(name, plain, archive(*sent))
    pax = {"path": f"{outside}/evil"}
    for format, headers in ((tarfile.PAX_FORMAT, pax), (tarfile.USTAR_FORMAT, None)):
        peer.fresh()
        info, content = entry("sub/a", content=b"x\n")
        info.pax_headers = headers or {}
        peer.refused("another format", plain, archive((info, content), format=format))
    good = archive(entry("sub/a", content=b"x\n"))
    for at, byte in ((0, b"/"), (124, b"\x81"), (136, b"z"), (148, b"9"), (156, b"S"), (257, b"U")):
        peer.fresh()
        peer.refused(f"a header that is wrong at {at}", plain, good[:at] + byte + good[at + 1:])

    step("names that lead out, or that are listed twice")
    for listed in ([("f", 2, "../evil")], [("f", 2, "/evil")], [("f", 2, "sub//a")], [("f", 2, "./a")],
                   [("d", 0, "link"), ("l", 1, "link"), ("f", 2, "link/evil")]):
        peer.fresh()
        peer.refused("they are refused", listed, archive(entry("link", tarfile.SYMTYPE, link=str(outside)), evil))

    step("a name above the folder that it goes to")
    peer.fresh()
    (peer.here / "in").mkdir()
    peer.folder([("f", 2, "b")], archive(entry("b", content=b"b\n")))
    done = peer.copy(":..", "here/in")
    check(done.returncode == 0 and (peer.here / "in/b").exists() and not (peer.here / "b").exists(),
          "goes into it", done.stderr, sorted(map(str, peer.here.rglob("*"))))


def check_files(peer):
    step("a file that has no end")
    peer.fresh()
    peer.host.wrap("echo 10 644; read -r w n; cat /dev/zero")
    done = peer.copy(":x", "here/x")
    check(done.returncode == 1 and "became longer than 10 bytes" in done.stderr, "it is cut", done.stderr)
    check(not (peer.here / "x").exists(), "and has not the name")
    step("one that is shorter than it was")
    peer.host.wrap("echo 10 644; read -r w n; echo 1")
    done = peer.copy(":x", "here/x")
    check(done.returncode == 1 and "became shorter than 10 bytes" in done.stderr, "it is none", done.stderr)
    step("answers that are none")
    for said in ("x\n", "-1 644\n", "99999999999999999999 644\n", "\n", "", "dir\nf x\\0", "dir\nf 1 a\\0",
                 "dir\nf 1 a\n", "dir\ne -1 \\0"):
        peer.host.wrap(f"printf '{said}'")
        done = peer.copy(":x", "here/x")
        check(done.returncode == 1 and "error:" in done.stderr, f"{said!r} is refused", done.returncode, done.stderr)


def check_config(peer):
    step("what ~/.ssh/config has for people does not change bytes")
    host, home = peer.host, peer.host.root / "home"
    host.wrap(PLAIN)
    peer.fresh()
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    (home / ".ssh/config").write_text("Host *\n  RequestTTY force\n  RemoteCommand echo hello\n")
    bytes = b"a\nb\r\n\3\4\0\xff"
    (peer.here / "odd").write_bytes(bytes)
    for words in (["here/odd", f":{peer.outside}/odd"], [f":{peer.outside}/odd", "here/back"]):
        done = subprocess.run(["unshare", "-m", "sh", "-c", f'mount --bind {home} /root && exec "$@"', "sh",
                               host.berth, "cp", *words], cwd=host.project, env=host.environment(),
                              text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
        check(done.returncode == 0, "it is copied", done.stderr)
    check((peer.here / "back").read_bytes() == bytes, "as it was")


def check_many(peer):
    host = peer.host
    host.wrap(PLAIN)
    peer.fresh()
    there = host.root / "many"
    there.mkdir()
    for i in range(MANY):
        (there / f"{i:06}-{'x' * 240}").write_text(str(i % 10))
    os.mkfifo(there / "pipe")
    step(f"{MANY} files with long names come, and are compared, without both ends waiting for each other")
    done = peer.copy(f":{there}", "here")
    check(done.returncode == 0, "they come", done.stderr)
    check(len(os.listdir(peer.here / "many")) == MANY, "all but the pipe")
    done = peer.copy(f":{there}", "here")
    check(done.returncode == 0 and "there already" in done.stderr, "none comes again", done.stderr)
    (host.root / "again").mkdir()
    done = peer.copy("here/many", f":{host.root}/again")
    check(done.returncode == 0, "they go", done.stderr)
    done = peer.copy("here/many", f":{host.root}/again")
    check(done.returncode == 0 and "there already" in done.stderr, "none goes again", done.stderr)


def main():
    need_root()
    need_program("ssh", "ssh-keygen", "unshare", "tar")
    with Host(str(pathlib.Path(sys.argv[1]).resolve())) as host:
        host.start()
        host.apply()
        peer = Peer(host)
        check_folders(peer)
        check_files(peer)
        check_config(peer)
        check_many(peer)
    print("1 passed, 0 failed")


main()
