"""The program that stops an idle server, beside what breaks on servers: a Jupyter that answers
nonsense or never ends, names that are no text, full disks, state that is none, a clock that is set.
It neither lets a server run for ever for it nor stops one that works. In a process namespace of its
own. Usage: watch_test.py HOST_SCRIPT"""

import fcntl
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from berthlib import check, need_program, need_root, step, wait_until

need_root()
need_program("unshare")
if os.environ.get("WATCH_TEST_INSIDE") is None:
    os.environ["WATCH_TEST_INSIDE"] = "1"
    os.execvp("unshare", ["unshare", "-m", "-p", "-f", "--mount-proc", sys.executable, *sys.argv])

IDLE = 3600
FAR = 10_000_000  # seconds: the system is made out to be that old
ROOT = pathlib.Path(tempfile.mkdtemp(prefix="berth-watch-"))
STATE, LAST, OFF = ROOT / "run/berth-stop.json", ROOT / "var/stopped", ROOT / "off"
TEXT = subprocess.run([sys.argv[1], "watch"], check=True, capture_output=True, text=True).stdout
for path, stand_in in (("/run/berth", ROOT / "run/berth"), ("/var/lib/berth", ROOT / "var"),
                       ("/etc/berth", ROOT / "etc")):
    check(path in TEXT, f"it is about {path}")
    TEXT = TEXT.replace(path, str(stand_in))
check("ASK_S, ANSWER_MAX = 10," in TEXT, "it waits for so long")
TEXT = TEXT.replace("ASK_S, ANSWER_MAX = 10,", "ASK_S, ANSWER_MAX = 2,")
# The clocks that it reads, before it reads any.
CLOCKS = f"""import os, time
real_time, real_clock = time.time, time.clock_gettime
time.time = lambda: real_time() + float(os.environ.get("SET", 0)) + float(os.environ.get("LATER", 0))
time.clock_gettime = lambda id: real_clock(id) + {FAR} + float(os.environ.get("LATER", 0))
"""


def program(name, text):
    path = ROOT / "bin" / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def begin(*args, **env):
    return subprocess.Popen([sys.executable, ROOT / "watch", *args], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT,
                            env={**os.environ, "PATH": f"{ROOT}/bin:{os.environ['PATH']}", **env})


def look(*args, **env):
    """Does it power off?"""
    OFF.unlink(missing_ok=True)
    said = begin(*args, **env).communicate(timeout=60)[0]
    return OFF.exists(), said


def was_active(seconds_ago, **more):
    STATE.write_text(json.dumps({"what": "before", **more, "active": time.time() - seconds_ago}))


def stops(text, **env):
    off, said = look(**env)
    check(off, text, said)


def stays(text, **env):
    off, said = look(**env)
    check(not off, text, said)


class Jupyter:
    """Says the same to everyone; `drip`: a byte at a time, for ever, or for so many seconds."""

    def __init__(self, answer, drip=0.0):
        self.answer, self.drip, self.asked = answer, drip, threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0))
        (ROOT / "etc/jupyter_server_config.json").write_text(
            json.dumps({"ServerApp": {"port": self.socket.getsockname()[1]}}))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                peer = self.socket.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.talk, args=(peer,), daemon=True).start()

    def talk(self, peer):
        with peer:
            peer.recv(65536)
            self.asked.set()
            until = time.monotonic() + self.drip
            try:
                peer.sendall(self.answer)
                while time.monotonic() < until:
                    peer.sendall(b" ")
                    time.sleep(0.05)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        (ROOT / "etc/jupyter_server_config.json").unlink()


def http(body):
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body


def main():
    for folder in "bin", "run", "run/berth", "var", "etc":
        (ROOT / folder).mkdir()
    program("systemctl", f'[ "$1" != poweroff ] || : >{OFF}')
    program("ss", "exit 0")
    program("nvidia-smi", "echo '[N/A]'")
    (ROOT / "watch").write_text(CLOCKS + TEXT)
    (ROOT / "etc/stop").write_text(f"{IDLE} 0\n")

    step("idle for long enough, and not")
    was_active(IDLE + 60)
    stops("idle")
    check("idle for" in LAST.read_text(), "it notes why", LAST.read_text())
    was_active(IDLE - 600)
    stays("not for long enough")

    step("a process whose name is no text, as one cut in the middle of a character")
    odd = ROOT.joinpath(b"caf\xc3".decode(errors="surrogateescape"))
    shutil.copy(shutil.which("sleep"), odd)
    process = subprocess.Popen([odd, "600"])
    program("ss", r"printf 'x users:((\"caf\303\",pid=1))\n'")
    was_active(IDLE + 60)
    stops("idle all the same")
    process.kill()
    process.wait()
    program("ss", "exit 0")

    step("SSH with a command counts; what only forwards does not, whatever goes through it")
    for command, counts in (["sleep", "600"], False), (["sh", "-c", "sleep 600; :"], True):
        session = subprocess.Popen(command)
        children = pathlib.Path(f"/proc/{session.pid}/task/{session.pid}/children")
        wait_until(lambda: bool(children.read_text()) is counts, "it has begun")
        program("ss", f"""printf 'ESTAB 0 0 192.0.2.1:22 192.0.2.2:9 users:(("sshd",pid={session.pid},fd=4))\\n'
printf '\\t cubic lastsnd:5 lastrcv:2000 pacing\\n'""")
        was_active(IDLE + 60)
        (stays if counts else stops)(" ".join(command))
        for pid in [*children.read_text().split(), session.pid]:
            os.kill(int(pid), signal.SIGKILL)
        session.wait()
    program("ss", "exit 0")

    step("a Jupyter that answers something else")
    for answer in (b"\x00\xff\r\n\r\n", b"", b"HTTP/1.1 999999 \r\n\r\n", http(b"{}"), http(b"null"),
                   http(b'"kernels"'), http(b"[1, null, []]"), http(b"\xff\xfe["), http(b"[" * 100_000),
                   http(b'[{"id": null, "last_activity": null}]'),
                   http(b'[{"id": "x", "last_activity": "9999-12-31T23:59:59Z"}]')):
        with Jupyter(answer) as jupyter:
            was_active(IDLE + 60)
            stops("idle", SAID=repr(answer[:80]))
            check(jupyter.asked.is_set(), "it was asked")
    step("one that never ends its answer")
    with Jupyter(http(b"["), drip=600):
        was_active(IDLE + 60)
        stops("idle")
    (ROOT / "etc/jupyter_server_config.json").write_text('["nonsense"]')
    was_active(IDLE + 60)
    stops("with a configuration that is none")
    (ROOT / "etc/jupyter_server_config.json").write_text('{"ServerApp": {"port": "x"}}')
    was_active(IDLE + 60)
    stops("with a port that is none")

    step("one that does not answer while its kernel works")
    burn = subprocess.Popen([sys.executable, "-c", "while True: pass", "-f", "kernel-0a1b2c3d-ffff.json"])
    with Jupyter(b"", drip=600):
        was_active(60)
        stays("not for long enough")
        was_active(IDLE + 60, **{k: v for k, v in json.loads(STATE.read_text()).items() if k != "active"})
        time.sleep(1)
        stays("its kernel counts")
        check(json.loads(STATE.read_text())["what"] == "a kernel", "it is what goes on")
    burn.kill()
    burn.wait()

    step("disks that are full")
    LAST.unlink(missing_ok=True)
    LAST.mkdir()  # as bad as no room for it
    was_active(IDLE + 60)
    stops("without a word of why")
    LAST.rmdir()
    new = STATE.with_name(STATE.name + ".new")
    new.mkdir()
    was_active(IDLE + 60)
    stops("without room for what it saw")
    code = begin("keep", "60")
    said = code.communicate(timeout=60)[0]
    check(code.returncode != 0 and "at the earliest" not in said, "keep does not say that it holds", said)
    new.rmdir()

    step("state that is none")
    for text in ("", "[]", "null", "{", '{"active": "x"}', '{"active": 1, "steady": null, "at": 1}',
                 '{"cpu": [], "keep": {}}', "\0" * 100):
        STATE.write_text(text)
        stops("idle since it was started", SAID=repr(text))

    step("a clock that is set, forward and back, moves nothing")
    for by in (5 * 3600, -5 * 3600, 400 * 86400):
        was_active(10)
        stays("before")
        stays("set", SET=str(by))
        check(look(SET=str(by), LATER=str(IDLE // 2))[0] is False, "half the time later")
        stops("all the time later", SET=str(by), LATER=str(IDLE + 60))
        was_active(IDLE + 60)
        check(look("keep", str(2 * IDLE))[0] is False, "kept")
        stays("kept, and set", SET=str(by))
        stays("kept, and later", SET=str(by), LATER=str(2 * IDLE - 60))
        stops("no longer kept", SET=str(by), LATER=str(2 * IDLE + 60))

    step("to keep it while it looks")
    with Jupyter(http(b"["), drip=1.5) as jupyter:
        was_active(60)
        looking = begin()
        check(jupyter.asked.wait(30), "it looks")
        off, said = look("keep", str(3 * IDLE))
        looking.communicate(timeout=60)
    check(json.loads(STATE.read_text())["end"] > time.time() + 2 * IDLE, "it is kept", STATE.read_text())
    check("at the earliest" in said, "and says so", said)

    step("a run of berth counts, one that only looks does not hinder it")
    for how, counts in ((fcntl.LOCK_EX, True), (fcntl.LOCK_SH, False)):
        with open(ROOT / "run/berth/lock", "w") as lock:
            fcntl.flock(lock, how)
            was_active(IDLE + 60)
            check(look()[0] is not counts, "berth at work", how)


try:
    main()
finally:
    shutil.rmtree(ROOT, ignore_errors=True)
print("1 passed, 0 failed")
