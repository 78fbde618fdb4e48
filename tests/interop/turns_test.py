"""How often berth has to wait for a host: the turns of the conversation, counted by a relay between it
and sshd that passes on what one side has said only when it has stopped talking. A plan is key
exchange, login and one exec; an apply of one change is one turn more. What the machine's other work
does to it: a side that pauses is passed on in two parts, so the least of several counts is the count.
Usage: turns_test.py BERTH_FIXED_HOST"""

import pathlib
import select
import socket
import sys
import threading

from berthlib import check, need_program, need_root, step
from sshd_test import Host

QUIET_S = 0.15
TRIES = 8
# What the host hears before it can answer what is wanted. With TCP's own it is one more.
PLAN = ("version", "algorithms and key exchange", "new keys and service", "public key", "signature",
        "channel", "command", "script")
APPLY = (*PLAN, "steps")


class Relay:
    """Takes one connection after another to the host's port, and counts the turns of each."""

    def __init__(self, port):
        self.port, self.counts = port, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            here, _ = self.listener.accept()
            there = socket.create_connection(("127.0.0.1", self.port))
            self.counts.append(0)
            threading.Thread(target=self.pass_on, args=(here, there, len(self.counts) - 1),
                             daemon=True).start()

    def pass_on(self, here, there, number):
        """Round by round: all that berth says, and then all that the host does. berth's last words
        are a goodbye that it does not wait for: a round counts once it was answered."""
        asked = False
        while True:
            said = self.listen(here, there)
            if said is None:
                break
            there.sendall(said)
            asked = asked or said != b""
            said = self.listen(there, here)
            if said is None:
                break
            here.sendall(said)
            if asked and said:
                self.counts[number] += 1
                asked = False
        here.close()
        there.close()

    @staticmethod
    def listen(one, other):
        """What it says until it is quiet; b"" when it is the other's turn, None when it has hung up."""
        said = b""
        while True:
            ready, _, _ = select.select([one] if said else [one, other], [], [],
                                        QUIET_S if said else None)
            if one not in ready:
                return said
            chunk = one.recv(1 << 20)
            if chunk == b"":
                return said or None
            said += chunk


def check_turns(relay, run, wanted):
    counts = []
    while not counts or counts[-1] > len(wanted):
        check(len(counts) < TRIES, f"no more turns than {len(wanted)}", counts, wanted)
        relay.counts.clear()
        run()
        check(len(relay.counts) == 1, "one connection", relay.counts)
        counts.append(relay.counts[0])
    print(f"      {counts[-1]} turns", flush=True)


def main():
    need_root()
    need_program("ssh-keygen", "unshare", "base64", "tar")
    with Host(str(pathlib.Path(sys.argv[1]).resolve())) as host:
        host.start()
        host.apply()
        relay = Relay(host.port)
        host.port = relay.address # berth's; sshd has its own
        host.apply()

        step("a plan without changes")
        check_turns(relay, host.plan, PLAN)

        step("an apply of one changed file")

        def change():
            change.number += 1
            (host.project / "from" / "a.txt").write_text(f"hello {change.number}\n")
            host.apply()

        change.number = 0
        check_turns(relay, change, APPLY)
        check((host.to / "a.txt").read_text() == f"hello {change.number}\n", "and the file is there")
    print("all is well")


if __name__ == "__main__":
    main()
