"""berth at a terminal, and under valgrind, against moto on loopback: the question, the live lines,
Ctrl-C, exit codes; no leak and no bad access on plan, apply and destroy. Usage: terminal.py BERTH"""

import fcntl
import http.server
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import urllib.error
import urllib.request

from checklib import SKIP

berth = str(pathlib.Path(sys.argv[1]).resolve())
moto_server = pathlib.Path(sys.executable).parent / "moto_server"
if not moto_server.exists():
    print(f"SKIPPED: {moto_server} is not there (./test installs it)")
    sys.exit(SKIP)

SPEC = """berth: 1
name: terminal
provider: ec2
region: us-east-1
server: {{ image: {ami}, type: t3.micro, count: 2 }}
access: {{ ssh: 203.0.113.7/32 }}
"""
DELAY_S = 1.5  # of every call that changes something: long enough for live lines


class Slow(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if b"Action=Describe" not in body:
            time.sleep(DELAY_S)
        headers = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
        request = urllib.request.Request(direct, body, headers, method="POST")
        try:
            answer = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request)
        except urllib.error.HTTPError as error:
            answer = error
        content = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


def at_terminal(args, script, env):
    """Run berth on a terminal of 80 columns. `script` is a list of (wait for this text, then do):
    do is text to type or a signal. Returns (exit code, all that was shown)."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execve(berth, [berth, *args], env)
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    shown, steps, seen = "", list(script), 0
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if steps and re.search(steps[0][0], shown[seen:]):
            what = steps.pop(0)[1]
            seen = len(shown)
            if isinstance(what, str):
                os.write(fd, what.encode())
            else:
                os.kill(pid, what)
        if select.select([fd], [], [], 0.1)[0]:
            try:
                data = os.read(fd, 65536)
            except OSError:
                break
            if not data:
                break
            shown += data.decode()
    assert not steps, f"never shown: {steps[0][0]}\n{shown}"
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown


def plain(*args, code=0, prefix=()):
    result = subprocess.run([*prefix, berth, *args], cwd=folder, env=fast, text=True,
                            capture_output=True, stdin=subprocess.DEVNULL, timeout=300)
    assert result.returncode == code, f"{args}: {result.returncode}\n{result.stdout}{result.stderr}"
    return result


with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    port = s.getsockname()[1]
direct = f"http://127.0.0.1:{port}"
moto = subprocess.Popen([str(moto_server), "-H", "127.0.0.1", "-p", str(port)],
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
folder = pathlib.Path(tempfile.mkdtemp(prefix="berth-terminal-"))
try:
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            break
        except OSError:
            time.sleep(0.1)
    slow = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=slow.serve_forever, daemon=True).start()
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "NO_COLOR", "COLUMNS"))}
    env.update(AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b", TERM="xterm", LANG="C.UTF-8",
               LC_ALL="C.UTF-8", AWS_ENDPOINT_URL=f"http://127.0.0.1:{slow.server_address[1]}")
    fast = dict(env, AWS_ENDPOINT_URL=direct)
    import boto3
    ec2 = boto3.client("ec2", endpoint_url=direct, region_name="us-east-1", aws_access_key_id="a",
                       aws_secret_access_key="b")
    ami = ec2.describe_images()["Images"][0]["ImageId"]
    (folder / "berth.yaml").write_text(SPEC.format(ami=ami))

    code, shown = at_terminal(["apply"], [(r"changes\? \[y/N\]", "no\n")], env)
    assert code == 1 and "nothing was changed" in shown, (code, shown)
    assert "\033[32m+\033[0m" in shown, f"colours at a terminal\n{shown}"
    code, shown = at_terminal(["apply", "-no-color"], [(r"\[y/N\]", "\n")], env)
    assert code == 1 and "\033[3" not in shown, (code, shown)
    assert not ec2.describe_key_pairs()["KeyPairs"], "nothing was made"

    # Ctrl-C while the key pair and the group are made: they are finished, the servers not begun.
    code, shown = at_terminal(["apply"], [(r"\[y/N\]", "y\n"), ("creating, 1 s", signal.SIGINT),
                                          ("finishing what is in flight", "")], env)
    assert code == 130, (code, shown)
    assert re.search(r"Stopped part-way: 2 done, 0 failed, 2 not done", shown), shown
    assert len(ec2.describe_key_pairs()["KeyPairs"]) == 1
    code, shown = at_terminal(["apply", "-auto-approve"], [("creating, 1 s", "")], env)
    assert code == 0 and "Done: 2 changes" in shown, (code, shown)
    assert "No changes." in plain("plan", "-detailed-exitcode").stdout
    live = [i for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]
            if i["State"]["Name"] == "running"]
    assert len(live) == 2, live
    code, shown = at_terminal(["destroy"], [("taken for yes:", "y\n")], env)
    assert code == 1 and "lost for good" in shown, (code, shown)
    code, shown = at_terminal(["destroy"], [("taken for yes:", "yes\n")], env)
    assert code == 0, (code, shown)

    # Whoever reads the progress may go away (| tee, and Ctrl-C): the run goes on.
    apply = subprocess.Popen([berth, "apply", "-auto-approve"], cwd=folder, env=env, text=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE)
    assert "creating" in apply.stderr.readline()
    apply.stderr.close()
    assert apply.wait(60) == 0, apply.returncode
    assert not (folder / ".berth/terminal/journal").exists(), "the state was written"
    assert "No changes." in plain("plan", "-detailed-exitcode").stdout
    plain("destroy", "-auto-approve")

    # A run that died before its last word: what it did is written down by the next one.
    private = folder / ".berth/terminal"
    lineage = json.loads((private / "state.json").read_text())["lineage"]
    (private / "journal").write_text(json.dumps({"lineage": lineage, "name": "terminal",
                                                 "provider": "ec2", "region": "us-east-1"}) + "\n")
    assert "Nothing to destroy." in plain("destroy", "-auto-approve").stdout
    assert not (private / "journal").exists()

    if shutil.which("valgrind") is None:
        print("note: valgrind is not installed")
    else:
        valgrind = ("valgrind", "-q", "--leak-check=full", "--error-exitcode=99")
        plain("plan", prefix=valgrind)
        plain("apply", "-auto-approve", prefix=valgrind)
        plain("plan", "-json", prefix=valgrind)
        plain("status", prefix=valgrind)
        plain("destroy", "-auto-approve", prefix=valgrind)
    print("good")
finally:
    moto.terminate()
    moto.wait()
    shutil.rmtree(folder, ignore_errors=True)
