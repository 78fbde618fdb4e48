"""What has no end, ends early or runs out: a host that answers for ever or not to the end, more
connections through a tunnel than this process may have files. An sshd on loopback (sshd_test.py).
Usage: limits_test.py BERTH_FIXED_HOST"""

import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

from berthlib import check, free_port, need_program, need_root, step
from sshd_test import PLAIN, Host

FILES = 24


def check_endless(host):
    for what, command in (("lines", "yes nonsense"), ("one line", "cat /dev/zero"),
                          ("facts", "yes 'server[0].files[/x]\tthere\tx'")):
        step(f"an answer that has no end: {what}")
        host.wrap(f"cat >/dev/null & exec {command}")
        said = "".join(host.run("plan").stdout.split())
        check("couldnotberead" in said and "toolong" in said, "it is cut, and says so", said)
    host.wrap(PLAIN)
    check(host.plan() == {}, "and all is well again")


def check_early_end(host):
    step("an answer that ends early, as if all were well: what was not said is not taken for gone")
    for how in ("exit 0", 'sh -c "$SSH_ORIGINAL_COMMAND" | head -n 2'):
        host.wrap(how)
        host.unreadable("stopped before it had said all")
        host.apply(code=3)
    host.wrap(PLAIN)
    check(host.plan() == {}, "and all is well again", host.plan())


class Echo:
    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        threading.Thread(target=self.serve, daemon=True).start()

    @property
    def port(self):
        return self.socket.getsockname()[1]

    def serve(self):
        while True:
            peer = self.socket.accept()[0]
            threading.Thread(target=self.talk, args=(peer,), daemon=True).start()

    @staticmethod
    def talk(peer):
        while text := peer.recv(4096):
            peer.sendall(text)


def answers(peer):
    peer.sendall(b"hello")
    peer.settimeout(30)
    return peer.recv(5) == b"hello"


def seconds_of(pid):
    """Of CPU."""
    words = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, words[11:13])) / os.sysconf("SC_CLK_TCK")


def check_files_run_out(host):
    step("more connections through a tunnel than there are files for: they wait, and berth sleeps")
    echo, here = Echo(), free_port()
    tunnel = subprocess.Popen([host.berth, "tunnel", f"{here}:{echo.port}"], cwd=host.project,
                              env=host.environment(), text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES)))
    try:
        said = tunnel.stdout.readline()
        check(str(here) in said, "it stands", said)
        peers = [socket.create_connection(("127.0.0.1", here)) for _ in range(2 * FILES)]
        check(answers(peers[0]), "the first goes through")
        before, began = seconds_of(tunnel.pid), time.monotonic()
        time.sleep(3)
        spent, passed = seconds_of(tunnel.pid) - before, time.monotonic() - began
        check(spent < 0.2 * passed, "it does not spin", f"{spent} s of {passed} s")
        for peer in peers[:-1]:
            peer.close()
        check(answers(peers[-1]), "the last gets its turn")
    finally:
        tunnel.send_signal(signal.SIGINT)
    check(tunnel.wait(timeout=30) == 0, "Ctrl-C ends it")


def main():
    need_root()
    need_program("ssh-keygen", "unshare", "tar")
    with Host(str(pathlib.Path(sys.argv[1]).resolve())) as host:
        host.start()
        host.apply()
        check_endless(host)
        check_early_end(host)
        check_files_run_out(host)
    print("1 passed, 0 failed")


main()
