"""Files on a server where something comes in between: the connection ends between two files, others
have put links, odd names and names like patterns there. An sshd on loopback (sshd_test.py). Usage:
files_peer_test.py BERTH_FIXED_HOST"""

import os
import pathlib
import pwd
import shutil
import sys

from berthlib import check, need_program, need_root, step
from sshd_test import PLAIN, Host

# Hands on what comes until it has seen the header of that file in an archive; the rest is lost.
CUTTER = """import os, subprocess, sys
word = b"\\0" + sys.argv[1].encode() + b"\\0"
child = subprocess.Popen(["sh", "-c", sys.argv[2]], stdin=subprocess.PIPE)
seen, cut = b"", False
while piece := os.read(0, 65536):
    if cut:
        continue
    seen += piece
    at = seen.find(word)
    cut = at >= 0
    held = next(n for n in range(len(word), -1, -1) if seen.endswith(word[:n]))
    send = seen[:at + 1] if cut else seen[:len(seen) - held]
    try:
        child.stdin.write(send)
        child.stdin.flush()
    except BrokenPipeError:
        cut = True
    seen = seen[len(send):]
    if cut:
        child.stdin.close()
if not cut:
    child.stdin.write(seen)
    child.stdin.close()
sys.exit(child.wait())
"""


def check_cut(host):
    step("the connection ends between two files: what did not come is not taken for done")
    host.apply()
    cutter = host.root / "cutter"
    cutter.write_text(CUTTER)
    for name in "b.txt", "z.txt":
        (host.project / "from" / name).write_text(f"{name}\n")
    host.wrap(f'exec {sys.executable} {cutter} {str(host.to)[1:]}/z.txt "$SSH_ORIGINAL_COMMAND"')
    done = host.apply(code=3)
    said = "".join((done.stdout + done.stderr).split())
    check("notallfilescame" in said, "it says so", done.stdout, done.stderr)
    check((host.to / "b.txt").exists() and not (host.to / "z.txt").exists(), "it was between them")
    host.wrap(PLAIN)
    check(host.plan() != {}, "it is still to do")
    host.apply()
    check((host.to / "z.txt").read_text() == "z.txt\n" and host.plan() == {}, "and then done", host.plan())


def check_mirror(host):
    step("a mirror with another one's files in it, whose name is like a pattern")
    plain = (host.project / "berth.yaml").read_text()
    inner = host.to / "a[1]*?"
    (host.project / "berth.yaml").write_text(plain.replace(
        "}]", f', mirror: true }}, {{ from: from, to: "{inner}" }}]'))
    host.apply()
    check(host.plan() == {}, "they are not its to delete", host.plan())
    check((inner / "a.txt").exists(), "they are there")

    step("names that begin or end with blanks are those, and no others")
    odd = [" a.txt", "a.txt ", "\ta", "-x", "a\\b"]
    for name in odd:
        (host.to / name).write_text("theirs\n")
    (host.to / os.fsdecode(b"\xff\xe2\x80\xae")).touch() # no UTF-8
    losses = host.plan()[f"server[0].files[{host.to}]"]["loses"]
    check("4 files" in str(losses), "those whose names a line can hold", losses)
    host.apply()
    check(sorted(p.name for p in host.to.iterdir() if p.is_file()) == sorted(
        ["\ta", "a.txt", "a\\b", "b.txt", "z.txt"]), "they go, nothing else", os.listdir(host.to))
    check(host.plan() == {}, "and all is done", host.plan())
    for name in ("\ta", "a\\b"):
        (host.to / name).unlink()
    (host.project / "berth.yaml").write_text(plain)
    host.apply()


def check_links(host):
    step("a link in a file's place: what it leads to keeps its owner")
    (host.project / "berth.yaml").write_text((host.project / "berth.yaml").read_text().replace(
        "}]", ", owner: nobody }]"))
    host.apply()
    check((host.to / "b.txt").stat().st_uid == pwd.getpwnam("nobody").pw_uid, "all is nobody's")
    theirs = host.root / "theirs"
    theirs.write_text("a file of root's\n")
    shutil.copy(host.to / "b.txt", theirs)
    (host.to / "b.txt").unlink()
    (host.to / "b.txt").symlink_to(theirs)
    (host.project / "from" / "a.txt").write_text("changed\n")
    host.apply()
    check((host.to / "a.txt").read_text() == "changed\n", "the step was done")
    check(theirs.stat().st_uid == 0, "root's is root's")


def main():
    need_root()
    need_program("ssh-keygen", "unshare", "tar")
    with Host(str(pathlib.Path(sys.argv[1]).resolve())) as host:
        host.start()
        check_cut(host)
        check_mirror(host)
        check_links(host)
    print("1 passed, 0 failed")


main()
