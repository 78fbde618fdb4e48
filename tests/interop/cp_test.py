"""berth cp against a sandbox guest: files and folders both ways, modes, odd names, what is cut and
goes on. Usage: cp_test.py BERTH"""

import hashlib
import os
import pathlib
import signal
import stat
import subprocess
import sys
import time

import berthlib
from berthlib import Project, check, step

SPEC = """berth: 1
name: cp
provider: sandbox
server: { image: debian-12, type: t3.small }
"""
ODD = ["plain.txt", "with a blank", "-dash", "quote ' and \" and $HOME", "back\\slash", "line\nbreak",
       "ünïcode", "~", "colon:name"]

berth = sys.argv[1]
berthlib.need_root()
berthlib.need_program("mmdebstrap", "ssh", "tar", "nsenter")


def mode_of(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def picture(folder):
    """All that is in a folder: {path: what}."""
    found = {}
    for path in sorted(pathlib.Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = ("link", os.readlink(path))
        elif path.is_dir():
            found[name] = ("folder", mode_of(path))
        else:
            found[name] = (hashlib.sha256(path.read_bytes()).hexdigest(), mode_of(path))
    return found


def check_files(project):
    step("a file, there and back, with its mode")
    here = project.dir / "data.bin"
    here.write_bytes(os.urandom(3_000_000))
    here.chmod(0o640)
    said = project.run("cp", "data.bin", ":").stderr
    check("copied 3.0 MB" in said, "it says how much", said)
    check(project.ssh("stat -c '%a %s' data.bin").stdout == "640 3000000\n", "mode and size")
    project.run("cp", "0:data.bin", "back.bin")
    check((project.dir / "back.bin").read_bytes() == here.read_bytes(), "the same bytes")
    check(mode_of(project.dir / "back.bin") == 0o640, "the same mode")
    for command in (("data.bin", "server:data.bin"), ("server[0]:data.bin", "back.bin")):
        said = project.run("cp", *command).stderr
        check("all of it is there already" in said, "nothing travels twice", said)

    step("where it goes: a new name, into a folder, into one that is to be made")
    project.ssh("mkdir folder")
    for there, wanted in ((":other.bin", "other.bin"), (":folder", "folder/data.bin"),
                          (":~/new/er/", "new/er/data.bin"), (":/tmp/x.bin", "/tmp/x.bin")):
        project.run("cp", "data.bin", there)
        check(project.ssh(f"stat -c %s {wanted}").stdout == "3000000\n", f"{there} is {wanted}")
    (project.dir / "into").mkdir()
    project.run("cp", ":/tmp/x.bin", "into")
    check((project.dir / "into" / "x.bin").stat().st_size == 3_000_000, "into a folder here")
    check(project.ssh("ls -A | grep part; true").stdout == "", "no part is left over")

    step("names as odd as they come, and an empty file")
    (project.dir / "odd").write_text("of nothing")
    project.run("cp", "odd", ":odd/none", check_code=1)  # there is no such folder yet
    project.ssh("mkdir odd")
    for name in ODD:
        (project.dir / "odd").write_text(f"of {name}")
        project.run("cp", "odd", f":odd/{name}")
        project.run("cp", f":odd/{name}", "odd.back")
        check((project.dir / "odd.back").read_text() == f"of {name}", f"{name!r}")
    (project.dir / "empty").touch()
    project.run("cp", "empty", ":")
    project.run("cp", ":empty", "empty.back")
    check((project.dir / "empty.back").read_bytes() == b"", "empty")

    step("mistakes")
    for words, code, text in (((":none", "x"), 1, "there is no"), (("none", ":x"), 1, "read none"),
                              (("data.bin", "x"), 64, "on a server"), ((":a", ":b"), 64, "one of the"),
                              (("data.bin",), 64, "where to"), (("data.bin", "7:x"), 1, "no server 7"),
                              ((":data.bin", "none/"), 1, "no folder none/"),
                              (("data.bin", ":/proc/x"), 1, "proc"),
                              (("/dev/null", ":x"), 1, "neither a file")):
        result = project.run("cp", *words, check_code=code)
        check(text in result.stderr, f"{words}", result.stderr)
    check(not (project.dir / "x").exists() and not (project.dir / "none").exists(), "nothing is made")


def check_folders(project):
    step("a folder, there and back: modes, links, empty folders, odd names")
    tree = project.dir / "tree"
    (tree / "sub" / "empty").mkdir(parents=True)
    for i, name in enumerate(ODD):
        (tree / "sub" / name).write_bytes(os.urandom(1000 * i))
    (tree / "run.sh").write_text("#!/bin/sh\n")
    (tree / "run.sh").chmod(0o755)
    (tree / "secret").write_text("s")
    (tree / "secret").chmod(0o600)
    (tree / "link").symlink_to("run.sh")
    (tree / "sub" / "dangling").symlink_to("/none/such")
    (tree / ("long" * 60)).write_text("a long name")
    project.run("cp", "tree", ":")
    project.run("cp", ":tree", "again")
    check(picture(project.dir / "again") == picture(tree), "the same picture",
          picture(tree), picture(project.dir / "again"))

    step("only what differs travels")
    said = project.run("cp", "tree", ":").stderr
    check("all of it is there already" in said, "nothing", said)
    (tree / "run.sh").write_text("#!/bin/sh\necho changed\n")
    (tree / "secret").write_text("t")  # of the same size
    project.ssh("echo extra >tree/extra")
    said = project.run("cp", "tree", ":").stderr
    check("were there already" in said, "the rest stays", said)
    check(project.ssh("cat tree/secret; tail -n 1 tree/run.sh; cat tree/extra").stdout ==
          "techo changed\nextra\n", "changed there; what is only there is left alone")
    project.ssh("rm tree/extra")
    project.run("cp", ":tree/", "again/..")  # into the folder: again's neighbour, tree itself
    project.run("cp", ":tree", "third")
    check(picture(project.dir / "third") == picture(tree), "the same picture")
    (project.dir / "file").write_text("f")
    check("no folder" in project.run("cp", "tree", ":data.bin", check_code=1).stderr,
          "a folder does not replace a file")


def cut(project, words, grown, signal_number=None):
    """Starts a copy, and cuts it once `grown` says that some of it is there: the link below it, or
    with Ctrl-C."""
    process = subprocess.Popen([project.berth, "cp", *words], cwd=project.dir, env=project.env,
                               stderr=subprocess.PIPE, text=True, start_new_session=True)
    for _ in range(3000):
        if grown() or process.poll() is not None:
            break
        time.sleep(0.002)
    if signal_number:
        process.send_signal(signal_number)
    else:
        pid = next(project.world.glob("i/*/pid")).read_text().split()[0]
        subprocess.run(["nsenter", "-t", pid, "-a", "pkill", "-f", "sshd: admin"], check=False)
    said = process.communicate(timeout=60)[1]
    check(process.returncode == (130 if signal_number else 1), "it was cut", process.returncode, said)
    check("goes on from there" in said, "and says what to do", said)


def check_resume(project):
    size = 200_000_000
    big, back = project.dir / "big", project.dir / "big.back"
    with open(big, "wb") as f:
        for _ in range(size // 1_000_000):
            f.write(os.urandom(1_000_000))
    upper = next(project.world.glob("i/*/u"))

    def part_there():
        # Files lie in the guest's own layer, which can be looked at from here.
        parts = [p for p in upper.glob("home/admin/.big.berth-part")]
        return bool(parts) and parts[0].stat().st_size > 20_000_000

    def part_here():
        part = project.dir / ".big.back.berth-part"
        return part.exists() and part.stat().st_size > 20_000_000

    for number in (None, signal.SIGINT):
        step(f"cut on its way there, by {'Ctrl-C' if number else 'the connection'}, and taken up again")
        cut(project, ("big", ":"), part_there, number)
        check(project.ssh("ls big 2>&1; true").stdout != "big\n", "no half file has the name")
        said = project.run("cp", "big", ":").stderr
        check("were there already" in said, "it goes on", said)
        there = project.ssh("sha256sum <big").stdout.split()[0]
        check(there == hashlib.sha256(big.read_bytes()).hexdigest(), "whole and right")
        project.ssh("mv big kept")
    step("cut on its way here, and taken up again")
    for number in (None, signal.SIGINT):
        cut(project, (":kept", "big.back"), part_here, number)
        check(not back.exists(), "no half file has the name")
        said = project.run("cp", ":kept", "big.back").stderr
        check("were there already" in said, "it goes on", said)
        check(hashlib.sha256(back.read_bytes()).digest() == hashlib.sha256(big.read_bytes()).digest(),
              "whole and right")
        back.unlink()

    step("a part of something else does not count")
    (project.dir / ".big.back.berth-part").write_bytes(os.urandom(1_000_000))
    project.ssh("head -c 1000000 /dev/urandom >.big.berth-part")
    for words in ((":kept", "big.back"), ("big", ":")):
        said = project.run("cp", *words).stderr
        check("already" not in said, "all of it travels", said)
    check(back.read_bytes() == big.read_bytes(), "right here")
    there = project.ssh("sha256sum <big; ls -A | grep -c part; true").stdout.split()
    check(there == [hashlib.sha256(big.read_bytes()).hexdigest(), "-", "0"], "right there", there)


with Project(berth, SPEC) as project:
    project.apply()
    check_files(project)
    check_folders(project)
    check_resume(project)
print("1 passed, 0 failed")
