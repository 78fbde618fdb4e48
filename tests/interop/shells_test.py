"""A login user whose shell is another one: berth's commands go through it, and through what it prints
at its start. An sshd on loopback (sshd_test.py). Usage: shells_test.py BERTH_FIXED_HOST"""

import os
import pathlib
import shutil
import signal
import sys

from berthlib import check, need_program, need_root, step, wait_until
from cut_test import at_terminal, begin, kill_connections, read_terminal, session_processes
from sshd_test import Host

SHELLS = ("sh", "bash", "zsh", "fish", "tcsh")


def copies(host):
    def copy(*words):
        done = host.run("cp", *words)
        check(done.returncode == 0, f"cp {words}", done.stderr)
        return done.stderr

    there = host.root / "there"
    there.mkdir()
    for _ in range(2):
        said = copy("from", f":{there}/")
        copy("from/a.txt", f":{there}/a b")
    check("already" in said, "nothing travels twice", said)
    copy(f":{there}/from", "back")
    copy(f":{there}/a b", "file")
    check((host.project / "back/a.txt").read_text() == (host.project / "file").read_text() == "hello\n", "it is here")


def at_prompt(host):
    """While the user thinks about the plan the connection goes: the steps take another."""
    (host.project / "from/a.txt").write_text("changed\n")
    asked, terminal = at_terminal([host.berth, "apply"], host.project, host.environment())
    output = read_terminal(terminal, b"[y/N]")
    kill_connections(host)
    wait_until(lambda: not session_processes(host), "it has gone")
    os.write(terminal, b"yes\n")
    output += read_terminal(terminal, None)
    check(asked.wait(timeout=60) == 0, "it is applied", output.decode())
    check((host.to / "a.txt").read_text() == "changed\n", "and there")


def interrupt(host, through):
    """Ctrl-C has a step finished and no other begun."""
    host.stand_in("tar", f": >{host.root}/here; until [ -e {host.root}/go ]; do sleep 0.02; done; exec REAL \"$@\"\n")
    host.wrap(through)
    (host.project / "from/a.txt").write_text("again\n")
    host.spec(files=("from", "more"))
    run = begin(host)
    wait_until((host.root / "here").exists, "it is at the first step")
    run.send_signal(signal.SIGINT)
    wait_until(lambda: list((host.root / "run/berth").glob("*/gone")), "the host hears of it")
    (host.root / "go").touch()
    output = run.communicate(timeout=60)[0]
    check(run.returncode == 130 and (host.to / "a.txt").read_text() == "again\n" and not host.more.exists(),
          "one is done, the other not begun", run.returncode, output)


def main():
    need_root()
    need_program("ssh", "ssh-keygen", "unshare", "tar")
    for shell in SHELLS:
        if shutil.which(shell) is None:
            print(f"      (no {shell} here)", flush=True)
            continue
        step(f"{shell}: apply, plan, cp, another connection, Ctrl-C")
        with Host(str(pathlib.Path(sys.argv[1]).resolve())) as host:
            host.start()
            through = f'exec {shell} -c "$SSH_ORIGINAL_COMMAND"'
            host.wrap(through)
            host.apply()
            check(host.plan() == {}, "all is done", host.plan())
            copies(host)
            at_prompt(host)
            interrupt(host, through)
    print("1 passed, 0 failed")


main()
