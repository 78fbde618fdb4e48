"""A converge that is cut off from its host at ten points, by a lost connection or a berth that is
killed: what was begun goes on there, the next apply joins it or takes its result, nothing runs
twice, and the world is that of an undisturbed run. Then two at once on one host.

The host is sshd_test's, with stand-ins for dpkg, apt-get and tar that write down what they do and
wait at the point of the cut. Usage: cut_test.py BERTH_FIXED_HOST"""

import os
import pathlib
import pty
import shutil
import signal
import subprocess
import sys
import time

from berthlib import check, need_program, need_root, step
from sshd_test import Host

# Each real piece of work is three points: before it, in its middle, after it.
WORK = ("install", "unpack-one", "unpack-two")
POINTS = ["start"] + [f"{moment} {work}" for work in WORK for moment in ("before", "in", "after")]
POINT = """point() {
  echo "$*" >>ROOT/log
  [ "$*" = "$(cat ROOT/stop-at)" ] || return 0
  : >ROOT/there
  until [ -e ROOT/go ]; do sleep 0.02; done
}
"""


def prepare(host):
    root = str(host.root)
    point = POINT.replace("ROOT", root)
    (host.root / "db").touch()
    (host.root / "stop-at").write_text("nowhere")
    host.stand_in("dpkg-query", f"""shift 3
for p; do if grep -qx -e "$p" {root}/db; then printf 'ii %s;' "$p"; fi; done
""")
    host.stand_in("apt-get", point + f"""for last; do :; done
point before install
echo half >{root}/half
point in install
rm {root}/half
echo "$last" >>{root}/db
point after install
""")
    host.stand_in("tar", point + f"""name=two
case " $* " in *" -x"*) ;; *) exec REAL "$@";; esac
cat >{root}/archive
if REAL -tf {root}/archive | grep -q /one/; then name=one; fi
point before unpack-$name
point in unpack-$name
REAL "$@" <{root}/archive
point after unpack-$name
""")
    host.stand_in("dpkg", "exec REAL \"$@\"\n")
    host.stand_in("setsid", point + 'point start\nexec REAL "$@"\n')


def make_ready(host):
    """Stand-ins, and what is to be converged: a package, and files of two folders."""
    for name in ("one", "two"):
        (host.project / name).mkdir()
        (host.project / name / f"{name}.txt").write_text(f"this is {name}\n")
    prepare(host)
    (host.root / "state").mkdir()
    host.stand_ins += f"mount --bind {host.root}/state /var/lib\n"
    host.wrap('exec sh -c "$SSH_ORIGINAL_COMMAND"')
    host.start()
    (host.project / "berth.yaml").write_text(
        "berth: 1\nname: sshd\nprovider: ec2\nserver: { image: debian-12, type: t3.small }\n"
        "packages: { system: [kite] }\nfiles:\n"
        + "".join(f"  - {{ from: {n}, to: {host.root}/{n} }}\n" for n in ("one", "two")))


def check_once(host, point, how):
    """Everything ran, and nothing twice."""
    log = (host.root / "log").read_text().splitlines()
    runs = [log.count(f"{moment} {work}") for work in WORK for moment in ("before", "in", "after")]
    check(runs == [1] * 9, f"everything ran once ({point}, {how})", log)


def begin(host, output=subprocess.PIPE):
    return subprocess.Popen([host.berth, "apply", "-auto-approve"], cwd=host.project,
                            env=host.environment(), text=True, stdout=output,
                            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)


def said(host):
    """What the runs on the host have said."""
    files = (host.root / "run" / "berth").rglob("*")
    return "".join(f"{p}:\n{p.read_text()}\n" for p in files if p.is_file() and p.name != "script")


def wait_for(condition, what, *details):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    check(False, what, *[said(d) if isinstance(d, Host) else d for d in details])


def hear(process, word):
    """The line with that word."""
    for line in process.stdout:
        if word in line:
            return line
    return check(False, f"it says {word!r}")


def session_processes(host):
    """The sessions of sshd, not what they have started."""
    pid = host.process.pid
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children]


def kill_connections(host):
    pids = session_processes(host)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return len(pids)


def is_busy(host):
    lock = host.root / "run" / "berth" / "lock"
    return lock.exists() and subprocess.run(["flock", "-n", lock, "true"]).returncode != 0


def world(host):
    files = {str(p.relative_to(host.root)): p.read_text()
             for folder in (host.root / "one", host.root / "two") if folder.is_dir()
             for p in sorted(folder.rglob("*")) if p.is_file()}
    return files, (host.root / "db").read_text(), (host.root / "half").exists()


def fresh(host):
    """As it was before the converge that is cut; the host itself is known already. A file of `to`
    is to go in it: removals are a batch of their own."""
    for name in ("one", "two"):
        shutil.rmtree(host.root / name, ignore_errors=True)
    (host.root / "db").write_text("")
    shutil.rmtree(host.root / "state" / "berth", ignore_errors=True)
    for name in ("log", "there", "go"):
        (host.root / name).unlink(missing_ok=True)
    (host.root / "log").touch()
    text = (host.project / "berth.yaml").read_text()
    host.spec(files=())
    host.apply()
    (host.project / "berth.yaml").write_text(text)
    (host.root / "log").write_text("")


def cut(host, point, how):
    """`how`: what is cut, and whether the next apply finds the work going on or done."""
    fresh(host)
    (host.root / "stop-at").write_text(point)
    first = begin(host)
    wait_for((host.root / "there").exists, f"it comes to {point}")
    if "killed" in how:
        first.kill()
        first.wait()
    check(kill_connections(host) > 0 or "killed" in how, "there was a connection")
    if "joins" in how:
        second = begin(host)
        if point != "start": # before it there is no lock yet
            check("(berth apply, process" in hear(second, "waiting for"), "it says for whom")
        (host.root / "go").touch()
        output, _ = second.communicate(timeout=60)
        code = second.returncode
    else:
        (host.root / "go").touch()
        if "killed" in how:
            # At the start it may be the batch of the removal that was cut.
            wait_for(lambda: not is_busy(host) and (point == "start" or "after unpack-two" in
                     (host.root / "log").read_text()), "the host ends its work", host)
        else:
            output, _ = first.communicate(timeout=60)
            check(first.returncode == (3 if point == "start" else 0),
                  "the connection is made again", output)
        result = host.run("apply", "-auto-approve")
        code, output = result.returncode, result.stdout + result.stderr
    if code != 0 and point == "start":
        check("changed this host after the plan was made" in output, "it says who came between",
              output)
        code = host.run("apply", "-auto-approve").returncode
    check(code == 0, f"the next apply after {point} ends well", output)
    (host.root / "stop-at").write_text("nowhere")
    check_once(host, point, how)
    check(host.plan() == {}, "nothing is left to do", host.plan())


def at_terminal(command, folder, environment):
    master, slave = pty.openpty()
    process = subprocess.Popen(command, cwd=folder, env=dict(environment, COLUMNS="400"),
                               stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    return process, master


def read_terminal(terminal, until):
    output = b""
    while until is None or until not in output:
        try:
            output += os.read(terminal, 4096)
        except OSError: # nobody writes to it any more
            break
    return output


def main():
    need_root()
    need_program("ssh-keygen", "unshare", "tar", "dpkg-query", "apt-get", "flock", "setsid")
    host = Host(str(pathlib.Path(sys.argv[1]).resolve()))
    try:
        make_ready(host)

        step("undisturbed")
        host.apply()
        wanted = world(host)
        check(wanted[1] == "kite\n" and len(wanted[0]) == 2, "the world", str(wanted))

        hows = ("connection, takes", "killed, joins", "killed, takes")
        for number, point in enumerate(POINTS):
            for how in (hows if number % 3 == 0 else (hows[number % 3],)):
                step(f"cut: {point} ({how})")
                cut(host, point, how)
                check(world(host) == wanted, "the same world", str(world(host)))

        step("what berth installed is known although no word of it came back: it goes again")
        text = (host.project / "berth.yaml").read_text()
        (host.project / "berth.yaml").write_text(text.replace("system: [kite]", "system: []"))
        host.write(host.root / "fake-dpkg", f"#!/bin/sh\necho removed $2 >>{host.root}/log\n")
        host.apply()
        check("removed kite" in (host.root / "log").read_text(), "kite goes")
        (host.project / "berth.yaml").write_text(text)

        step("two at once: plan says who, apply waits")
        fresh(host)
        (host.project / "berth.yaml").write_text(text.replace(
            "files:\n", f"files:\n  - {{ from: from, to: {host.to} }}\n"))
        (host.root / "stop-at").write_text("in install")
        first = begin(host)
        wait_for((host.root / "there").exists, "it installs")
        other = host.root / "other"
        shutil.copytree(host.project, other)
        look = subprocess.run([host.berth, "plan"], cwd=other, env=host.environment(), text=True,
                              capture_output=True, stdin=subprocess.DEVNULL)
        text = " ".join(look.stdout.split())
        check("(berth apply, process" in text and "at server[0].packages" in text
              and "No changes" not in text, "plan says who, and at what", look.stdout, look.stderr)
        second = subprocess.Popen([host.berth, "apply", "-auto-approve"], cwd=other,
                                  env=host.environment(), text=True, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        check("(berth apply, process" in hear(second, "waiting for"), "the second waits")
        (host.root / "go").touch()
        check(first.wait(timeout=60) == 0, "the first ends well", first.stdout.read())
        output, _ = second.communicate(timeout=60)
        check(second.returncode == 0, "then the second", output)
        log = (host.root / "log").read_text().splitlines()
        check(log.count("in install") == 1, "which had nothing to install", log)
        check(world(host) == wanted, "the same world", str(world(host)))

        step("somebody changes the host between a plan and its apply: that plan is not carried out")
        (host.root / "stop-at").write_text("nowhere")
        (host.root / "one" / "one.txt").write_text("by hand\n")
        asked, terminal = at_terminal([host.berth, "apply"], other, host.environment())
        output = read_terminal(terminal, b"[y/N]")
        host.apply()
        os.write(terminal, b"yes\n")
        output = read_terminal(terminal, None)
        check(asked.wait(timeout=60) == 3 and b"after the plan was made" in output, "it says who",
              output.decode())

        step("one that waits for its turn is interrupted: that is nothing to the one that has it")
        fresh(host)
        (host.root / "stop-at").write_text("in install")
        asked, terminal = at_terminal([host.berth, "apply"], other, host.environment())
        output = read_terminal(terminal, b"[y/N]")
        first = begin(host)
        wait_for((host.root / "there").exists, "it installs")
        os.write(terminal, b"yes\n")
        output += read_terminal(terminal, b"waiting for")
        asked.send_signal(signal.SIGINT)
        output += read_terminal(terminal, b"finishing what is in flight")
        wait_for(lambda: list((host.root / "run" / "berth").glob("*/gone")), "the host hears of it", host)
        (host.root / "go").touch()
        output += read_terminal(terminal, None)
        check(asked.wait(timeout=60) == 130, "it was interrupted", output.decode())
        check(first.wait(timeout=60) == 0, "the other ends well", first.stdout.read())
        check(world(host) == wanted, "and did all", str(world(host)))

        step("what could not be installed is not berth's: installed by hand it stays")
        fresh(host)
        host.write(host.root / "fake-apt-get", "#!/bin/sh\nexit 1\n")
        check(host.run("apply", "-auto-approve").returncode == 3, "it fails")
        (host.root / "db").write_text("kite\n")
        text = (host.project / "berth.yaml").read_text()
        (host.project / "berth.yaml").write_text(text.replace("system: [kite]", "system: []"))
        host.apply()
        check("removed kite" not in (host.root / "log").read_text(), "kite stays")
        check(host.plan() == {}, "and nothing is left to do", host.plan())
    finally:
        (host.root / "go").touch()
        host.stop()
        shutil.rmtree(host.root, ignore_errors=True)
    print("all is well")


if __name__ == "__main__":
    main()
