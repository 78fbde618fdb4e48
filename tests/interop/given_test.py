"""`provider: host` against a server that berth did not make: its life, the verbs, what is refused.
given_login_test.py has the way there. Usage: given_test.py BERTH"""

import json
import os
import shutil
import signal
import socket
import subprocess

from berthlib import check, free_port, step
from givenlib import BARE, User, at_hand, can_log_in, fingerprint, keygen, life


def run(user, server):
    at = f"me@127.0.0.1"
    port = f", port: {server.port}"

    step("an unknown host key is refused, shown, and nothing is sent")
    user.spec(at, port)
    user.refused(fingerprint(server.key), "known_hosts knows none for it", "ssh to me@127.0.0.1 once")
    check(server.traces() == "", "nothing was done", server.traces())
    out = user.run("doctor", code=1)
    check(f"known_hosts has none for [127.0.0.1]:{server.port}" in out.stdout and
          fingerprint(server.key) in out.stdout, "the doctor says so too", out.stdout)
    user.new_project()

    user.know(server, hashed=True)
    life(user, server)
    verbs(user, server, at, port)
    destroyed(user, server)
    refusals(user, server, at, port)


def verbs(user, server, at, port):
    step("the verbs on such a server")
    check("provider" not in user.run("status", code=0).stderr, "status")
    user.says("running", "127.0.0.1", verb="status")
    check(user.run("ssh", "--", "echo", "there", code=0).stdout == "there\n", "ssh")
    check(json.loads(user.run("output", "-json", code=0).stdout)["servers"][0]["user"] == "me",
          "output")
    user.run("ssh-config", "-install", code=0)
    out = user.run("mine", "echo there", words=["ssh"], code=0)
    check(out.stdout == "there\n", "plain ssh by the name of the project", out.stderr)
    (user.project / "big").write_bytes(os.urandom(300000))
    user.run("cp", "big", ":back", code=0)
    user.run("cp", ":back", "again", code=0)
    check((user.project / "again").read_bytes() == (user.project / "big").read_bytes(), "cp")
    for verb, words in (("start", "cannot start it"), ("stop", "cannot stop it"),
                        ("cost", "berth does not know")):
        out = user.run(verb, code=1)
        check(words in out.stderr and "AWS" not in out.stderr, f"{verb} is refused", out.stderr)
    out = user.run("key", "export", "-format", "pem", code=1)
    check("is yours" in out.stderr, "berth has no key to export", out.stderr)
    out = user.run("import", "server[0]", "i-0123456789abcdef0", code=1)
    check("is recorded already" in out.stderr or "imported by id" in out.stderr, "import", out.stderr)
    out = user.run("plan", "-replace", "server[0]", code=1)
    check("cannot make it anew" in out.stdout, "not replaced", out.stdout, out.stderr)
    check("me@127.0.0.1" in user.run("show", code=0).stdout, "show")
    listener = free_port()
    server_port = server.port # it is there on both sides, and talks first
    tunnel = subprocess.Popen(user.command(user.berth, "tunnel", f"{listener}:{server_port}"),
                              cwd=user.project, env=user.env, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
    try:
        check(f"127.0.0.1:{listener}" in tunnel.stdout.readline(), "the tunnel stands")
        with socket.create_connection(("127.0.0.1", listener), timeout=10) as s:
            check(s.recv(4) == b"SSH-", "and carries")
    finally:
        tunnel.send_signal(signal.SIGINT)
        tunnel.communicate(timeout=20)

    out = user.run("doctor", code=0)
    for words in (f"me@127.0.0.1, port {server.port}", "pinned by an apply", "as administrator too"):
        check(words in out.stdout and "bad" not in out.stdout, f"doctor says {words}", out.stdout)
    check(json.loads(user.run("doctor", "-json", code=0).stdout)["good"], "in JSON too")
    out = user.run("doctor", "-policy", code=1)
    check("no policy of AWS" in out.stderr, "no policy", out.stderr)

    step("another project on the same server is refused, by name")
    other = User(user.berth, user.root / "second")
    shutil.copytree(user.home / ".ssh", other.home / ".ssh", dirs_exist_ok=True)
    other.spec(at, port)
    text = (other.project / "berth.yaml").read_text()
    (other.project / "berth.yaml").write_text(text.replace("name: mine", "name: other"))
    other.refused("kept by another project: mine", "one server is for one spec")
    (other.project / "berth.yaml").write_text(text)
    check({c["action"] for c in other.plan().values()} <= {"adopt", "create"},
          "a lost state is none", other.plan())

    step("another host in the spec is no other server to move to")
    user.spec("me@localhost", port)
    out = user.run("plan", code=1)
    check("names another server" in " ".join(out.stdout.split()), "it is refused", out.stdout)
    user.apply(code=1)
    step("but the same one by another name is")
    user.know(server, f"[localhost]:{server.port}")
    check(user.plan() == {}, "known by its host key", user.plan())
    user.apply()
    user.spec(at, port)
    check(user.plan() == {}, "and back", user.plan())
    user.apply()


def destroyed(user, server):
    step("protect: true holds")
    before = (user.project / "berth.yaml").read_text()
    (user.project / "berth.yaml").write_text(before.replace(" }\nfiles", ", protect: true }\nfiles"))
    out = user.run("destroy", "-auto-approve", code=1)
    check("protect: true" in out.stderr + out.stdout, "destroy is refused", out.stderr)
    (user.project / "berth.yaml").write_text(before)
    step("a destroy that fails half-way forgets nothing, and goes on")
    server.sh("printf '#!/bin/sh\necho rm does not want to >&2\nexit 1\n' >/usr/local/bin/rm; "
              "chmod 755 /usr/local/bin/rm")
    out = user.run("destroy", "-auto-approve", code=3)
    check("rm does not want to" in out.stderr, "it says why", out.stderr)
    check({"server[0]", "server[0].host_key"} <=
          {line.split()[0] for line in user.run("state", "list").stdout.splitlines()}, "all is kept")
    server.sh("unlink /usr/local/bin/rm")
    step("destroy takes away what berth put there, and leaves the server")
    server.sh("echo mine >/home/me/mine.txt; mkdir /home/me/to/kept; echo edited >/home/me/to/deep/er/b.txt")
    out = user.run("destroy", "-auto-approve", code=0)
    check(server.traces() == "/home/me/to", "nothing of berth is there", server.traces(), out.stdout)
    check(server.sh("cd /home/me/to && find . | sort").split() ==
          [".", "./deep", "./deep/er", "./deep/er/b.txt", "./kept"],
          "what was edited or made there stays", server.sh("find /home/me/to"))
    server.sh("rm -r /home/me/to")
    check(server.sh("cat /home/me/mine.txt") == "mine", "all else is")
    check(server.sh("cat /home/me/back | wc -c") == "300000", "what was copied by hand too")
    left = sorted(p.name for p in (user.project / ".berth" / "mine").iterdir())
    check(not {"host_keys", "token", "id_ed25519", "journal"} & set(left), "nor in the project", left)


def refusals(user, server, at, port):
    step("a user whose home is elsewhere")
    user.spec(at, port)
    user.new_project()
    server.sh("sed -i s#:/home/me:#:/data/me:# /etc/passwd")
    user.refused("the home of me is /data/me there", "ln -s /data/me /home/me")
    server.sh("mkdir -p /data/me; rmdir /home/me; ln -s /data/me /home/me")
    check("server[0].files[~/to]" in user.plan(), "but a link will do", user.plan())
    server.sh("rm /home/me; mkdir /home/me; sed -i s#:/data/me:#:/home/me:# /etc/passwd")
    step("a user that the server does not know, and one without sudo")
    user.spec("nobody-such@127.0.0.1", port)
    user.new_project()
    user.refused("nobody-such@127.0.0.1", "the login was refused", "is nobody-such the right user?")
    user.spec(at, port)
    server.sh("printf '#!/bin/sh\necho sudo: a password is required >&2\nexit 1\n' "
              ">/usr/local/bin/sudo")
    user.new_project()
    user.refused("a password is required", "sudo without a password", "/etc/sudoers.d/berth")
    server.sh("rm /usr/local/bin/sudo")
    if shutil.which("sudo") is None:
        user.refused("sudo", "not found", "sudo without a password")
    step("root needs no sudo")
    server.sh("sed -i /^me:/d /etc/passwd") # whose number root has
    user.spec("root@127.0.0.1", port)
    user.new_project()
    user.apply()
    check(server.sh("cat /root/to/a.txt") == "hello", "the file is there")
    check(user.plan() == {}, "and all is done", user.plan())
    user.run("destroy", "-auto-approve", code=0)

    step("without OpenSSH's client here, the spec alone counts")
    few = user.root / "few"
    few.mkdir()
    for name in ("unshare", "sh", "mount"):
        (few / name).symlink_to(shutil.which(name))
    shutil.copytree(user.home / ".ssh", user.root / "keys")
    key = f", key: {user.root}/keys/id_ed25519"
    user.env["PATH"] = str(few)
    user.config(f"Host *\n  Port 1\n  User nobody-such\n")
    user.spec("root@127.0.0.1", port + key)
    user.new_project()
    user.refused("known_hosts knows none for it", fingerprint(server.key))
    user.spec("root@127.0.0.1", f'{port}{key}, host_key: "{fingerprint(server.key)}"')
    can_log_in(user, "key, port and host key of the spec")
    user.spec("root@127.0.0.1", f'{port}{key}, jump: "me@127.0.0.1"')
    user.says("`server.jump` needs OpenSSH's ssh", "openssh-client")
    user.env["PATH"] = BARE["PATH"]
    user.config("")
    user.spec("root@127.0.0.1", port)
    user.new_project()

    step("nobody there: at once, and with nothing of AWS in it")
    user.apply()
    server.stop()
    out = user.refused("cannot reach 127.0.0.1")
    check("access.ssh" not in out.stdout, "no advice for EC2", out.stdout)
    user.says("server[0]  unknown", "cannot reach", verb="status")
    out = user.run("destroy", "-auto-approve", code=3)
    check(user.run("state", "list", code=0).stdout != "", "nothing is forgotten")
    user.run("state", "rm", "server[0]", code=0)
    check(user.run("state", "list", code=0).stdout == "", "but for a server that is gone for good")
    user.forget()
    server.key = keygen(user.root / "fresh_key", "-t", "ed25519")
    server.start()
    server.sh("sed -i /^me:/d /etc/passwd")
    user.know(server, f"[localhost]:{server.port}")
    user.spec("root@localhost", port)
    user.apply()
    check(user.plan() == {}, "its successor is another one", user.plan())
    user.run("destroy", "-auto-approve", code=0)
    server.stop()
    server.start()
    user.spec("me@nowhere.invalid", port)
    user.new_project()
    user.refused("cannot find nowhere.invalid")


with at_hand() as (user, server, _):
    run(user, server)
print("all is well")
