"""Jupyter from the user's machine: its log by `berth logs`. The server is a sandbox guest with the
real JupyterLab. Usage: tunnel_test.py BERTH"""

import os
import select
import signal
import subprocess
import sys
import time

import berthlib
from berthlib import Project, check, step

SPEC = """berth: 1
name: tunnel
provider: sandbox
server: { image: debian-12, type: t3.small }
jupyter: { root_dir: ~/ }
"""

berth = sys.argv[1]
berthlib.need_root()
berthlib.need_program("mmdebstrap", "ssh")


class Running:
    """A berth that goes on until Ctrl-C."""

    def __init__(self, project, *args):
        self.process = subprocess.Popen([project.berth, *args], cwd=project.dir, env=project.env,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, start_new_session=True)
        self.said = {"stdout": b"", "stderr": b""}

    def wait_for(self, word, stream="stdout", timeout=30):
        """Until it has said that; all that the stream said so far."""
        pipe = getattr(self.process, stream)
        until = time.monotonic() + timeout
        while word.encode() not in self.said[stream] and time.monotonic() < until:
            if select.select([pipe], [], [], 0.2)[0]:
                piece = os.read(pipe.fileno(), 65536)
                if not piece:
                    break
                self.said[stream] += piece
        said = self.said[stream].decode(errors="replace")
        check(word in said, f"it says {word!r}", said, self.said["stderr"].decode())
        return said

    def interrupt(self, code=0):
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=20)
        check(self.process.returncode == code, f"Ctrl-C ends it with {code}",
              self.process.returncode, out.decode(errors="replace"), err.decode())
        return err.decode()


def check_logs(project):
    step("logs: the last lines, and what comes")
    lines = project.run("logs", "-n", "3").stdout.splitlines()
    check(len(lines) == 3 and all("ServerApp" in line for line in lines), "three lines", lines)
    check("is running at" in project.run("logs").stdout, "more of them by default")
    follower = Running(project, "logs", "-f", "-n", "1")
    follower.wait_for("ServerApp")
    project.ssh("sudo systemctl restart berth-jupyter")
    follower.wait_for("is running at")
    check(project.ssh("pgrep -c journalctl").stdout.strip() == "1", "one journalctl follows there")
    follower.interrupt()
    for _ in range(50):
        left = project.ssh("pgrep -c journalctl; true").stdout.strip()
        if left == "0":
            break
        time.sleep(0.1)
    check(left == "0", "and none does after Ctrl-C", left)
    for words in (("-n", "many"), ("-n", "-1")):
        project.run("logs", *words, check_code=64)
    project.run("logs", "server[7]", check_code=1)


with Project(berth, SPEC) as project:
    project.apply()
    check_logs(project)
print("1 passed, 0 failed")
