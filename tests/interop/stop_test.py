"""A server that stops itself: not while a kernel works, but with a page left open and a kernel that is
stuck; at its time limit whatever it does; not while it is kept. Started again, all is there.
Usage: stop_test.py BERTH"""

import json
import ssl
import sys
import time
import urllib.error
import urllib.request

import berthlib
from berthlib import Project, Running, check, step
from browser import Browser

berth = sys.argv[1]
berthlib.need_root()
berthlib.need_program("mmdebstrap", "ssh", "chromium", "chromedriver", "certutil")

IDLE = 30
SPEC = """\
berth: 1
name: stop
provider: sandbox
server: { image: debian-12, type: t3.small, stop: { idle: 30 s, after: 12 h } }
jupyter: { root_dir: ~/work }
"""
# On the server, without SSH: a kernel of Jupyter's is told to run something.
TELL = """cat >/tmp/tell.py <<'END'
import glob, sys, jupyter_client
files = [f for f in glob.glob("/home/*/.local/share/jupyter/runtime/kernel-*.json")
         if sys.argv[1] in f]
client = jupyter_client.BlockingKernelClient(connection_file=files[0])
client.load_connection_file()
client.start_channels()
client.wait_for_ready(timeout=60)
client.execute(sys.argv[2])
END
/opt/berth/env/bin/python /tmp/tell.py %s '%s'"""


class Server:
    def __init__(self, project):
        self.project = project
        self.ca = next((project.dir / ".berth").iterdir()) / "ca.pem"

    def look(self):
        return self.project.json("status")["servers"][0]

    def ask(self, path, method="GET", token=None):
        url = self.project.run("output", "url").stdout.strip().split("/lab")[0].rstrip("/")
        request = urllib.request.Request(url + path, method=method, data=b"{}" if method == "POST"
                                         else None)
        token = token or self.project.run("output", "token").stdout.strip()
        request.add_header("Authorization", f"token {token}")
        context = ssl.create_default_context(cafile=str(self.ca))
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                             urllib.request.HTTPSHandler(context=context))
        with opener.open(request, timeout=20) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def kernel(self, code):
        kernel = self.ask("/api/kernels", "POST")["id"]
        self.project.ssh(TELL % (kernel, code))
        return kernel

    def runs(self):
        return bool(berthlib.guest_groups(self.project.world))

    def wait_for_stop(self, limit_s):
        """Without looking into it: a look is activity."""
        started = time.monotonic()
        while self.runs() and time.monotonic() - started < limit_s:
            time.sleep(0.5)
        took = time.monotonic() - started
        check(not self.runs(), f"it stops within {limit_s} s")
        print(f"      it stopped after {took:.0f} s", flush=True)


with Project(berth, SPEC) as project:
    step("a server with a watcher")
    project.apply()
    check(project.plan() == {}, "nothing is left to do")
    server = Server(project)
    project.ssh("echo mine >~/work/notes.txt")

    step("status shows the countdown, keep puts it off")
    said = project.run("keep", "2h").stdout
    check("stops at" in said, "keep says until when", said)
    seen = server.look()
    check(7000 < seen["stops_in_s"] <= 7200, "two hours", seen)
    text = project.run("status").stdout
    check("stops    in 1 h 59 min" in text or "stops    in 2 h" in text, "for people too", text)
    check("90" in project.run("keep", "90", check_code=64).stderr, "a time without a unit is refused")
    project.ssh("sudo rm /run/berth-stop.json")

    step("another token: shown first, then the old one is worth nothing")
    old = project.run("output", "token").stdout.strip()
    project.run("jupyter", "rotate", check_code=1) # nobody is there to agree
    check(project.run("output", "token").stdout.strip() == old, "the old one stays")
    result = project.run("jupyter", "rotate", "-auto-approve")
    check("token_hash" in result.stdout and "Jupyter restarts" in result.stdout
          and "1 to update" in result.stdout, "the plan says what it does", result.stdout)
    new = project.run("output", "token").stdout.strip()
    check(new != old and old not in result.stdout + result.stderr
          and new not in result.stdout + result.stderr, "another, and none is printed")
    check(server.ask("/api/status")["kernels"] == 0, "the new one logs in")
    try:
        server.ask("/api/status", token=old)
        check(False, "the old one is refused")
    except urllib.error.HTTPError as error:
        check(error.code == 403, "the old one is refused", str(error))
    check(project.plan() == {}, "nothing is left to do", project.plan())

    step("it is kept by a kernel that works")
    kernel = server.kernel("while True: pass")
    time.sleep(2 * IDLE)
    check(server.runs(), "it still runs")
    check(server.look()["last_activity"] == "a kernel", "because of it", server.look())
    server.ask(f"/api/kernels/{kernel}", "DELETE")

    step("it stops with a page and a tunnel left open and a kernel that is stuck")
    stuck = server.kernel("import time; time.sleep(100000)")
    tunnel = Running(project, "tunnel", "22")
    tunnel.wait_for("127.0.0.1:")
    login = next(w for w in project.run("open").stdout.split() if w.startswith("https://"))
    with Browser(server.ca) as page:
        page.get(login)
        check([k["execution_state"] for k in server.ask("/api/kernels")] == ["busy"], "it is busy")
        server.wait_for_stop(6 * IDLE)
    tunnel.interrupt()

    step("that is no drift: plan and apply leave it")
    for _ in range(100): # powering off takes a moment
        seen = server.look()
        if seen["power"] == "stopped":
            break
        time.sleep(0.2)
    check(seen["power"] == "stopped" and "stopped itself" in seen["note"], "status says it", seen)
    check(project.plan() == {}, "no changes", project.plan())
    check("stopped itself" in project.run("plan").stdout, "the plan says it")
    project.apply()
    check(not server.runs(), "an apply does not start it")

    step("berth start brings it back with what was on it")
    project.run("start")
    check(project.plan() == {}, "nothing is left to do", project.plan())
    check(project.ssh("cat ~/work/notes.txt; sudo cat /var/lib/berth/stopped").stdout
          .startswith("mine\n"), "the notes are there")
    check("idle for" in project.ssh("sudo cat /var/lib/berth/stopped").stdout, "and why it stopped")

    step("the time limit, whatever it does")
    project.edit_spec("stop: { idle: 30 s, after: 12 h }", "stop: { after: 60 s }")
    plan = project.plan()
    check(set(plan) == {"server[0].stop"}, "the watcher alone", plan)
    project.ssh("sudo /opt/berth/watch keep 3600") # until all stands
    server.kernel("while True: pass")
    project.apply()
    check(server.runs(), "kept")
    project.ssh("sudo rm /run/berth-stop.json")
    server.wait_for_stop(90)
    project.run("start")
    time.sleep(20)
    check(server.runs(), "counted from its start, not from the machine's")

    step("no longer wanted: the watcher goes")
    project.ssh("sudo /opt/berth/watch keep 3600")
    project.edit_spec(", stop: { after: 60 s }", "")
    project.apply()
    check(project.ssh("ls /opt/berth /etc/systemd/system /etc/berth").stdout.count("stop") == 0,
          "nothing of it is left")
    time.sleep(65)
    check(server.runs(), "it runs on")
    project.run("destroy", "-auto-approve")
print("1 passed, 0 failed")
