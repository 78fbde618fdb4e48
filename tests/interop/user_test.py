"""What a user meets in a year: a word too few, a run that is killed while a server starts, a server
that is gone behind berth's back, a spec that got another name, a state of a newer berth, a project
folder that cannot be written to. In the sandbox. Usage: user_test.py BERTH"""

import json
import os
import re
import shutil
import signal
import sys

from berthlib import Project, Running, check, need_program, step, wait_until
from sandboxlib import World

SPEC = """berth: 1
name: year
provider: sandbox
server: { image: debian-12, type: t3.small }
"""
# The first that ssh is told of an option counts.
FAKE_SSH = """#!/bin/sh
for word in "$@"; do printf '%s\\n' "$word"; done
"""


def command_line(p):
    step("the command line: what is wrong, and what to do about it")
    for words, said in (
            (("keep",), "say for how long"), (("keep", "3w"), "3w is no time: say 90min"),
            (("plan", "other.yaml"), "a spec is named by -file other.yaml"),
            (("-json", "plan"), "options stand behind the verb: berth VERB -json"),
            (("state", "show"), "berth state show ADDRESS"), (("import",), "'server[0]' i-"),
            (("stat",), "did you mean berth status?"), (("sandbox", "stat"), "did you mean status?")):
        result = p.run(*words, check_code=64)
        check(said in result.stderr and result.stdout == "", said, result.stderr)
    (p.dir / "odd.yaml").write_bytes(b"berth: 1\nname: \x9b31m\xff\xc3\n")
    said = p.run("validate", "odd.yaml", check_code=1).stderr # which is decoded strictly
    check("name: ?31m??" in said, "no byte that is no text", said)
    other = p.run("init", "-file", "an other.yaml").stdout
    check("berth plan -file 'an other.yaml'" in other, "the next step names the spec", other)
    (p.dir / "an other.yaml").unlink()


def killed_while_pending(p, w):
    step("killed while the server starts: the same command again makes all of it")
    p.edit_spec("t3.small }", "t3.small, address: elastic,\n  data: { size: 1 GiB, mount: ~/work, "
                "keep: false } }")
    w.faults({"kind": "slow", "state": "pending", "ms": 4000})
    run = Running(p, "apply", "-auto-approve")
    wait_until(lambda: w.instances(), "the server is launched")
    os.killpg(run.process.pid, signal.SIGKILL)
    run.process.wait()
    check(w.instances()[0]["State"]["Name"] == "pending", "it starts still", w.instances())
    said = p.apply().stderr
    check(": connecting" in said and ": waiting\n" not in said, "no line of what has not begun", said)
    check(p.plan() == {} and len(w.instances()) == 1, "one server, as the spec says")
    w.faults()


def gone(p):
    """By another clone of the project, which takes it down."""
    step("a server that is gone: no address of it is said, and start fails")
    other = p.root / "other"
    shutil.copytree(p.dir, other)
    here, p.dir = p.dir, other
    p.run("destroy", "-auto-approve")
    p.dir = here
    status = p.run("status").stdout
    check("not there" in status and "  address  " not in status, "status", status)
    result = p.run("start", check_code=1)
    check("berth apply makes it" in result.stdout and "ssh:" not in result.stdout, "start",
          result.stdout)
    p.apply()


def by_ssh(p):
    step("berth ssh does not wait for minutes; a command without its dashes; the folder as it is")
    fake = p.root / "bin"
    fake.mkdir()
    (fake / "ssh").write_text(FAKE_SSH)
    (fake / "ssh").chmod(0o755)
    words = p.run("ssh", "--", "true", env={"PATH": f"{fake}:{os.environ['PATH']}"}).stdout
    check("ConnectTimeout=15" in words.splitlines(), "a limit", words)
    said = p.run("ssh", "uptime", check_code=1).stderr
    check("berth ssh -- uptime" in said, "what to say", said)
    check("there is server[0] alone" in p.run("ssh", "3", check_code=1).stderr, "which there are")
    known = p.dir / ".berth" / "year" / "known_hosts"
    before = known.stat().st_ino
    check(p.ssh("echo here").stdout == "here\n", "it answers")
    check(known.stat().st_ino == before, "what is as it should be is not written")
    known.write_text("nonsense\n")
    check(p.ssh("echo here").stdout == "here\n", "what is not, is")


def stopped(p):
    step("stopped: what it costs then, volume and elastic address too, and how it starts")
    cost = re.compile(r"(\S+) an hour as it stands")
    said = cost.search(p.run("stop", "-auto-approve").stdout).group(1)
    check(cost.search(p.run("status").stdout).group(1) == said, "stop and status agree", said)
    check("partial:" not in p.run("plan", "-target", "key_pair").stdout, "nothing is left out")
    for words in (("ssh",), ("tunnel", "22")):
        said = p.run(*words, check_code=1).stderr
        check("berth start brings it back" in said, words[0], said)
    result = p.run("destroy", check_code=1)
    check("the same command with -auto-approve" in result.stderr, "nobody is asked", result.stderr)
    p.run("start")


def copies(p):
    step("berth cp of little says how little, and what the server said without our script's name")
    (p.dir / "few").write_text("few")
    check("copied 3 bytes in" in p.run("cp", "few", ":").stderr, "three bytes")
    check("already: 3 bytes" in p.run("cp", "few", ":").stderr, "not again")
    said = p.run("cp", "few", ":/no/where", check_code=1).stderr
    check("cannot create /no/" in said and "berth-cp" not in said, "what is wrong", said)


def renamed(p):
    step("a spec that got another name: what was made by the old one is said to be there")
    (p.dir / "next.yaml").write_text(SPEC.replace("year", "next"))
    check("renamed" not in p.run("plan", "-file", "next.yaml").stderr, "two specs are two specs")
    (p.dir / "next.yaml").unlink()
    p.edit_spec("name: year", "name: later")
    for verb in ("plan", "status", "destroy"):
        said = p.run(verb, *(["-auto-approve"] if verb == "destroy" else [])).stderr
        check("berth destroy -name year takes that down" in said, verb, said)
    p.edit_spec("name: later", "name: year")
    check(p.plan() == {} and "renamed" not in p.run("plan").stderr, "nothing was touched")


def newer_state(p):
    step("the state of a newer berth: not the backup, but that berth")
    state = p.dir / ".berth" / "year" / "state.json"
    text = state.read_text()
    state.write_text(json.dumps(dict(json.loads(text), version=2)))
    for verb in ("plan", "apply", "destroy"):
        said = p.run(verb, check_code=1).stderr
        check("install that berth" in said and ".backup" not in said, verb, said)
    state.write_text(text[:len(text) // 2])
    (state.parent / "state.json.backup").write_text(text)
    said = p.run("plan", check_code=1).stderr
    check("state.json.backup: copy it there" in said, "one that is cut", said)
    state.write_text(text)


def main():
    need_program("ssh")
    with Project(sys.argv[1], SPEC) as p:
        w = World(p)
        command_line(p)
        w.start()
        killed_while_pending(p, w)
        by_ssh(p)
        stopped(p)
        copies(p)
        renamed(p)
        newer_state(p)
        gone(p)
        p.run("destroy", "-auto-approve")


main()
