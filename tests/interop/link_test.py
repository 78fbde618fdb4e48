"""A converge whose link goes down at ten points: packets vanish, nobody is told. What was begun goes on
on the host; berth says that nothing is heard any more, soon takes the connection for dead, and hears
the rest over another when the link is up again; or the next apply does, when it was killed meanwhile.
A link that comes back soon is not even noticed, nor is a host that is only busy. Nothing runs twice, and the world is that of an
undisturbed run.

Ten hosts side by side, cut_test's, each an sshd in a network namespace of its own at the end of a veth
pair; all of it in another namespace, so that nothing of this machine changes.
Usage: link_test.py BERTH_FIXED_HOST"""

import concurrent.futures
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

from berthlib import check, need_program, need_root, step
from cut_test import POINTS, begin, check_once, fresh, is_busy, make_ready, session_processes, wait_for, world
from sshd_test import Host

NOTICED_S = 45  # at the latest, on a machine that has other things to do; there is nothing to wait for


def ip(*words, inside=None):
    enter = [] if inside is None else ["nsenter", "-t", str(inside), "-n"]
    subprocess.run([*enter, "ip", *words], check=True)


class LinkedHost(Host):
    def __init__(self, berth, number):
        self.place = subprocess.Popen(["unshare", "-n", "sleep", "900"])
        mine = os.readlink("/proc/self/ns/net")
        wait_for(lambda: os.readlink(f"/proc/{self.place.pid}/ns/net") != mine, "a namespace")
        ip("link", "add", f"link{number}", "type", "veth", "peer", "name", "eth0", "netns",
           str(self.place.pid))
        ip("address", "add", f"198.18.{number}.1/30", "dev", f"link{number}")
        ip("link", "set", f"link{number}", "up")
        address = f"198.18.{number}.2"
        ip("address", "add", f"{address}/30", "dev", "eth0", inside=self.place.pid)
        self.link("up")
        super().__init__(berth, address, ("nsenter", "-t", str(self.place.pid), "-n"))

    def link(self, state):
        ip("link", "set", "eth0", state, inside=self.place.pid)

    def close(self):
        (self.root / "go").touch()
        self.stop()
        self.place.kill()
        self.place.wait()
        shutil.rmtree(self.root, ignore_errors=True)


class Heard:
    """What a berth has said so far, by its output in a file."""

    def __init__(self, host):
        self.path = host.root / "said"
        self.process = begin(host, output=open(self.path, "w"))

    def text(self):
        return self.path.read_text()

    def wait_for(self, word):
        end = time.monotonic() + NOTICED_S
        while word not in self.text():
            check(time.monotonic() < end and self.process.poll() is None, f"it says {word!r}",
                  self.text())
            time.sleep(0.05)

    def end(self):
        self.process.wait(timeout=120)
        return self.process.returncode, self.text()


def finish_there(host, point):
    """The host goes on without the link."""
    (host.root / "go").touch()
    # At the start it may be the batch of a removal that was cut.
    wait_for(lambda: not is_busy(host) and (point == "start" or "after unpack-two" in
             (host.root / "log").read_text()), f"the host ends its work after {point}", host)


def is_noticed(host, point):
    """The link stays down until berth says so."""
    first = Heard(host)
    wait_for((host.root / "there").exists, f"it comes to {point}")
    host.link("down")
    first.wait_for("no answer from the host for")
    if point == "start": # berth has not heard yet that it began: there is nothing to join
        first.wait_for(": failed (")
        host.link("up")
        finish_there(host, point)
        code, said = first.end()
        check(code == 3 and "the link is dead" in said, "it says why", said)
        return
    finish_there(host, point)
    first.wait_for("the connection was lost; making it again")
    host.link("up")
    code, said = first.end()
    check(code == 0, f"it hears the rest after {point}", said)


def is_killed(host, point):
    """The next apply finds the link down, and then what was done."""
    first = Heard(host)
    wait_for((host.root / "there").exists, f"it comes to {point}")
    host.link("down")
    first.process.kill()
    first.end()
    finish_there(host, point)
    code, said = Heard(host).end()
    check(code == 3 and "cannot reach" in said, "a host out of reach is no host without changes", said)
    host.link("up")


def is_short(host, point):
    """Up again before anybody knew."""
    first = Heard(host)
    wait_for((host.root / "there").exists, f"it comes to {point}")
    host.link("down")
    (host.root / "go").touch()
    time.sleep(3)
    host.link("up")
    code, said = first.end()
    check(code == 0 and "the connection was lost" not in said, "the same connection goes on", said)


def is_starved(host, point):
    """The link is well, but sshd gets no time for longer than a dead link is given: no alarm."""
    first = Heard(host)
    wait_for((host.root / "there").exists, f"it comes to {point}")
    sessions = session_processes(host)
    for pid in sessions:
        os.kill(pid, signal.SIGSTOP)
    (host.root / "go").touch()
    time.sleep(20)
    for pid in sessions:
        os.kill(pid, signal.SIGCONT)
    code, said = first.end()
    check(code == 0 and "the connection was lost" not in said and "no answer" not in said,
          "the same connection goes on", said)


HOWS = (is_noticed, is_killed, is_short, is_starved)


def cut(host, number):
    point = POINTS[number]
    how = is_noticed if point == "start" else HOWS[number % 4]
    fresh(host)
    (host.root / "stop-at").write_text(point)
    how(host, point)
    (host.root / "stop-at").write_text("nowhere")
    if host.run("apply", "-auto-approve").returncode != 0:
        check(point == "start", f"the next apply after {point} ends well")
        host.apply() # the run came to its work only now, after the plan was made
    check_once(host, point, how.__name__)
    check(host.plan() == {}, f"nothing is left to do after {point}", host.plan())
    return world(host)


def main():
    need_root()
    need_program("ssh-keygen", "unshare", "nsenter", "ip", "tar", "dpkg-query", "apt-get", "flock",
                 "setsid")
    if "inside" not in sys.argv:
        os.execvp("unshare", ["unshare", "-n", sys.executable, *sys.argv, "inside"])
    hosts = []
    try:
        step("ten hosts")
        ip("link", "set", "lo", "up")
        berth = str(pathlib.Path(sys.argv[1]).resolve())
        for number in range(len(POINTS)):
            hosts.append(LinkedHost(berth, number))
            make_ready(hosts[-1])
        step("undisturbed")
        hosts[0].apply()
        wanted = world(hosts[0])
        check(wanted[1] == "kite\n" and len(wanted[0]) == 2, "the world", str(wanted))
        step("the link of each goes down, each at another point")
        with concurrent.futures.ThreadPoolExecutor(len(hosts)) as pool:
            seen = list(pool.map(cut, hosts, range(len(hosts))))
        for point, there in zip(POINTS, seen):
            check(there == wanted, f"the same world after {point}", str(there))
    finally:
        for host in hosts:
            host.close()
    print("all is well")


if __name__ == "__main__":
    main()
