"""Jupyter from the user's machine: its log by `berth logs`, its port by `berth tunnel`, in a real
Chromium. The server is a sandbox guest with the real JupyterLab. Usage: tunnel_test.py BERTH"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import select
import socket
import ssl
import subprocess
import sys
import time
import urllib.request

import berthlib
from berthlib import Project, Running, check, step

SPEC = """berth: 1
name: tunnel
provider: sandbox
server: { image: debian-12, type: t3.small }
jupyter: { root_dir: ~/ }
"""

berth = sys.argv[1]
berthlib.need_root()
berthlib.need_program("mmdebstrap", "ssh", "chromium", "chromedriver", "certutil", "nsenter")
try:
    from browser import Browser
except ImportError as error:
    berthlib.skip(f"python module missing: {error}")

# On the server: one port that sends without end, one that never reads, one that sends back.
PEERS = """
import socket, threading
def source(c):
    while True:
        c.sendall(bytes(65536))
def sink(c):
    threading.Event().wait()
def echo(c):
    while b := c.recv(65536):
        c.sendall(b)
    c.close()
def serve(port, work):
    s = socket.create_server(("127.0.0.1", port))
    while True:
        c, _ = s.accept()
        threading.Thread(target=work, args=(c,), daemon=True).start()
for port, work in ((7001, source), (7002, sink), (7003, echo)):
    threading.Thread(target=serve, args=(port, work)).start()
"""
# In the page: a kernel is started, and runs a cell by a web socket.
RUN_CELL = """
const [token, done] = arguments;
const headers = {Authorization: `token ${token}`};
fetch("/api/kernels", {method: "POST", headers, body: "{}"}).then(r => r.json()).then(kernel => {
  const socket = new WebSocket(location.origin.replace("http", "ws") +
                               `/api/kernels/${kernel.id}/channels?token=${token}`);
  socket.onopen = () => socket.send(JSON.stringify({
    header: {msg_id: "1", msg_type: "execute_request", session: "s", username: "", version: "5.3"},
    parent_header: {}, metadata: {}, channel: "shell",
    content: {code: "print(6 * 7)", silent: false}}));
  socket.onmessage = m => {
    const said = JSON.parse(m.data);
    if (said.msg_type == "stream") { socket.close(); done(said.content.text); }
  };
  socket.onerror = () => done("the socket failed");
}).catch(e => done(String(e)));
"""


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
    reader = Running(project, "logs", "-f", "-n", "1").process
    check(b"ServerApp" in reader.stdout.readline(), "one line is read")
    reader.stdout.close() # as by `head -1`; Jupyter says nothing more
    check(reader.wait(timeout=60) == 0, "it ends with its reader", reader.stderr.read().decode())
    for words in (("-n", "many"), ("-n", "-1")):
        project.run("logs", *words, check_code=64)
    project.run("logs", "server[7]", check_code=1)


def fetch(url, ca=None):
    """The JSON there, with no other authority trusted than `ca`."""
    handlers = [urllib.request.ProxyHandler({})]
    if ca:
        context = ssl.create_default_context(cafile=str(ca))
        handlers.append(urllib.request.HTTPSHandler(context=context))
    with urllib.request.build_opener(*handlers).open(url, timeout=20) as answer:
        return json.load(answer)


def free_ports(n):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def echo(port, size):
    """Sends and receives at once: did that come back which was sent?"""
    sent = os.urandom(size)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
        def send():
            s.sendall(sent)
            s.shutdown(socket.SHUT_WR)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            sending = pool.submit(send)
            got = b"".join(iter(lambda: s.recv(65536), b""))
            sending.result()
    return hashlib.sha256(got).digest() == hashlib.sha256(sent).digest()


def memory_kib(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def processor_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def in_guest(project, *argv):
    """Past sshd, in the guest's own namespaces."""
    pid = next(project.world.glob("i/*/pid")).read_text().split()[0]
    subprocess.run(["nsenter", "-t", pid, "-a", *argv], check=True, stdin=subprocess.DEVNULL)


def start_peers(project):
    project.ssh("cat >peers.py <<'EOF'\n" + PEERS + "EOF\n"
                "sudo systemd-run -q -u peers python3 $PWD/peers.py; "
                "until bash -c ': </dev/tcp/127.0.0.1/7003' 2>/dev/null; do sleep 0.1; done")


def check_many(project, here, ca):
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        good = list(pool.map(lambda _: echo(here[3], 100_000), range(50)))
        versions = list(pool.map(lambda _: fetch(f"https://127.0.0.1:{here[0]}/api", ca), range(30)))
    check(all(good) and len(good) == 50, "50 at once come back as they were", good)
    check(all("version" in v for v in versions), "30 requests at once")
    check(echo(here[3], 30_000_000), "30 MB there and back at once")


def check_back_pressure(pid, here):
    idle = [socket.create_connection(("127.0.0.1", here[1])) for _ in range(3)]
    stuffed = socket.create_connection(("127.0.0.1", here[2]))
    stuffed.setblocking(False)
    sent, most = 0, 64 << 20
    while sent < most and select.select([], [stuffed], [], 1)[1]:
        try:
            sent += stuffed.send(bytes(65536))
        except BlockingIOError:
            pass
    check(sent < most, "the sender is held back", sent)
    check(echo(here[3], 1_000_000), "others go on")
    check(memory_kib(pid) < 60_000, "memory is bounded", memory_kib(pid))
    before = processor_s(pid)
    time.sleep(2)
    check(processor_s(pid) - before < 0.5, "it waits without spinning", processor_s(pid) - before)
    for s in (*idle, stuffed):
        s.close()


def check_mistakes(project, taken):
    other = Running(project, "tunnel", "1")
    local = int(other.wait_for("127.0.0.1:").split(":")[1])
    with socket.create_connection(("127.0.0.1", local), timeout=10) as s:
        check(s.recv(1) == b"", "nobody listens there: closed at once")
    other.interrupt()
    result = project.run("tunnel", "-local", str(taken), "8888", check_code=1)
    check("choose another" in result.stderr, "a port that is taken", result.stderr)
    for words in (("-local", "0"), ("-local", "1000", "1", "2")):
        project.run("tunnel", *words, check_code=64)
    for words in (("0",), ("99999",), ("a:1",), ("1:",), ("server[4]", "22")):
        project.run("tunnel", *words, check_code=1)


def check_reconnect(project, tunnel, here, ca):
    address = project.json("output")["servers"][0]["address"]
    with socket.create_connection(("127.0.0.1", here[3]), timeout=20) as held:
        held.sendall(b"x")
        check(held.recv(1) == b"x", "a connection stands")
        in_guest(project, "pkill", "-f", "sshd: admin")
        check(held.recv(1) == b"", "it ends with the connection below it")
    said = tunnel.wait_for("connected again", "stderr")
    check("was lost" in said, "with a word", said)
    check(echo(here[3], 100_000), "new ones go through")
    tunnel.said["stderr"] = b""
    in_guest(project, "systemctl", "stop", "ssh")
    in_guest(project, "pkill", "-f", "sshd: admin")
    said = tunnel.wait_for("cannot reach", "stderr")
    check(address in said, "the server is away: it says which", said)
    in_guest(project, "systemctl", "start", "ssh")
    tunnel.wait_for("connected again", "stderr")
    check("version" in fetch(f"https://127.0.0.1:{here[0]}/api", ca), "and goes on")


def check_tunnel(project):
    step("tunnel: several ports, many connections at once")
    ca = next(project.dir.glob(".berth/*/ca.pem"))
    start_peers(project)
    here = free_ports(4)
    tunnel = Running(project, "tunnel", "server[0]", f"{here[0]}:8888", f"{here[1]}:7001",
                     f"{here[2]}:7002", f"{here[3]}:7003")
    said = tunnel.wait_for(f"127.0.0.1:{here[3]}").split()
    check(said[0] == f"https://127.0.0.1:{here[0]}/lab", "the URL here", said)
    check_many(project, here, ca)
    step("tunnel: who does not read holds back nobody else, and fills no memory")
    check_back_pressure(tunnel.process.pid, here)
    step("tunnel: ports that cannot be had")
    check_mistakes(project, here[0])
    step("tunnel: the connection breaks, and is made again")
    check_reconnect(project, tunnel, here, ca)
    step("tunnel: Chromium")
    token = project.run("output", "token").stdout.strip()
    run_in_browser(f"https://127.0.0.1:{here[0]}/lab?token={token}", ca, token)
    step("tunnel: Ctrl-C ends it, also with connections open")
    with socket.create_connection(("127.0.0.1", here[1])) as s:
        check(len(s.recv(1000)) > 0, "one that is at work")
        tunnel.interrupt()
    with socket.socket() as s:
        check(s.connect_ex(("127.0.0.1", here[0])) != 0, "nobody listens any more")


def run_in_browser(url, ca, token):
    with Browser(ca) as driver:
        driver.set_script_timeout(60)
        driver.get(url)
        started = "return document.querySelector('#jp-main-dock-panel .lm-TabBar-tab') !== null"
        for _ in range(600):  # the page may load itself anew until it stands
            if driver.execute_script(started):
                break
            time.sleep(0.1)
        check("JupyterLab" in driver.title, "JupyterLab's page opens", driver.title)
        said = driver.execute_async_script(RUN_CELL, token)
        check(said.strip() == "42", "a kernel answers by a web socket", said)


def node_of(project, address):
    return next(n for n in project.state()["nodes"] if n["address"] == address)


def server_id(project):
    return node_of(project, "server[0]")["id"]


def aws_rules(project):
    """The open ports of the project's group, as its state has them."""
    return node_of(project, "access")["attributes"]["rules"]


def check_open(project, scheme, ca):
    """berth open stays, and leads to a logged-in page."""
    opened = Running(project, "open")
    url = opened.wait_for("?token=").split()[0]
    check(url.startswith(f"{scheme}://127.0.0.1:"), "an address here", url)
    base, token = url.split("/lab?token=")
    check("version" in fetch(f"{base}/api", ca), "Jupyter answers there")
    said = opened.wait_for("until Ctrl-C", "stderr")
    check(("ca.pem" in said) == (scheme == "https"), "what to trust", said)
    run_in_browser(url, ca, token)
    opened.interrupt()


def check_modes(project):
    """access.jupyter: tunnel, then without TLS as well, and all the way back."""
    address = project.json("output")["servers"][0]["address"]
    ca = next(project.dir.glob(".berth/*/ca.pem"))
    server = server_id(project)
    step("access.jupyter: tunnel: no port is open any more")
    project.write_spec(SPEC + "access: { jupyter: tunnel }\n")
    plan = project.plan()
    check("access" in plan and "server[0].jupyter" in plan and "server[0]" not in plan,
          "the group and Jupyter change, the server does not", plan)
    applied = project.apply().stdout
    check("over SSH only" in applied and "https://" not in applied, "no URL is promised", applied)
    check(project.plan() == {}, "applied")
    check([r for r in aws_rules(project) if "8888" in r] == [], "the group", aws_rules(project))
    with socket.socket() as s:
        s.settimeout(3)
        check(s.connect_ex((address, 8888)) != 0, "Jupyter listens on the server's loopback alone")
    status = project.json("status")["servers"][0]
    check(status["jupyter"] == "answering" and status["access"] == "tunnel" and "url" not in status,
          "status looks through SSH", status)
    check("berth open" in project.run("output", "url", check_code=1).stderr, "output url says how")
    check_open(project, "https", ca)
    project.ssh("sudo systemctl stop berth-jupyter")
    plan = project.plan()
    check({"server[0].jupyter.service", "server[0].jupyter.health"} <= set(plan),
          "a stopped Jupyter shows", plan)
    project.apply()

    step("jupyter.tls: none, with tunnel only")
    for access in ("", "access: { jupyter: my-ip }\n"):
        project.write_spec(SPEC.replace("root_dir: ~/", "root_dir: ~/, tls: none") + access)
        result = project.run("plan", check_code=1)
        check("travel open" in result.stderr, "it is refused", result.stderr)
    project.write_spec(SPEC.replace("root_dir: ~/", "root_dir: ~/, tls: none") +
                       "access: { jupyter: tunnel }\n")
    plan = project.plan()
    check(plan["server[0].tls"]["action"] == "destroy", "the certificate goes", plan)
    project.apply()
    check(project.plan() == {}, "applied")
    check(project.json("status")["servers"][0]["jupyter"] == "answering", "it answers")
    check(project.ssh("ls /etc/berth/tls; true").stdout.strip() == "", "no key is left there")
    check_open(project, "http", None)

    step("and back: a port is open, with TLS")
    project.write_spec(SPEC)
    project.apply()
    check(project.plan() == {}, "applied")
    check("version" in fetch(f"https://{address}:8888/api", ca), "the same authority as before")
    check(server_id(project) == server,
          "the same server throughout")


with Project(berth, SPEC) as project:
    project.apply()
    check_logs(project)
    check_tunnel(project)
    check_modes(project)
print("1 passed, 0 failed")
