"""berth beside its peers, in one run on one machine, against moto on loopback: wall time, processor
time, peak memory, API calls. A peer that is not installed is skipped, loudly.

Usage: bench.py BERTH [-n RUNS] [-o FILE.json]   (with the Python of build-test/venv)"""

import argparse
import http.server
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

SPEC = """berth: 1
name: bench
provider: ec2
region: us-east-1
server: {{ image: {ami}, type: t3.micro }}
access: {{ ssh: 203.0.113.7/32 }}
"""
TERRAFORM = """terraform {{
  required_providers {{
    aws = {{ source = "hashicorp/aws" }}
  }}
}}
provider "aws" {{
  region = "us-east-1"
  skip_credentials_validation = true
  skip_requesting_account_id = true
  skip_metadata_api_check = true
  endpoints {{
    ec2 = "{endpoint}"
    sts = "{endpoint}"
  }}
}}
resource "aws_key_pair" "k" {{
  key_name = "bench-terraform"
  public_key = "{key}"
}}
resource "aws_security_group" "g" {{
  name = "bench-terraform"
  ingress {{
    from_port = 22
    to_port = 22
    protocol = "tcp"
    cidr_blocks = ["203.0.113.7/32"]
  }}
}}
resource "aws_instance" "i" {{
  ami = "{ami}"
  instance_type = "t3.micro"
  key_name = aws_key_pair.k.key_name
  vpc_security_group_ids = [aws_security_group.g.id]
}}
"""


class Counter(http.server.ThreadingHTTPServer):
    """Passes calls on to moto and counts them: the judge of everybody's number of calls."""

    def __init__(self, target):
        self.target, self.calls = target, 0
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.server.calls += 1
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
        request = urllib.request.Request(self.server.target, body, headers, method="POST")
        try:
            answer = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request)
        except urllib.error.HTTPError as error:
            answer = error
        content = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "text/xml"))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_moto():
    port = free_port()
    program = pathlib.Path(sys.executable).parent / "moto_server"
    process = subprocess.Popen([str(program), "-H", "127.0.0.1", "-p", str(port)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return process, f"http://127.0.0.1:{port}"
        except OSError:
            time.sleep(0.1)
    raise SystemExit("moto does not start")


# The kernel keeps a process's peak memory over exec, so a child of this large interpreter would show
# ours. A bare interpreter (about 9 MB, the floor of what can be told) starts and watches the command.
WATCH = """
import json, os, sys, time
null = os.open(os.devnull, os.O_RDWR)
started = time.perf_counter()
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=[
    (os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1)])
_, status, usage = os.wait4(pid, 0)
print(json.dumps([time.perf_counter() - started, usage.ru_utime + usage.ru_stime,
                  usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status)]))
"""


def measure(argv, cwd, env, runs, counter=None, good=(0,)):
    """Medians of wall and processor seconds, the largest peak in MB, calls of the last run."""
    walls, cpus, peak, calls = [], [], 0, 0
    for _ in range(runs):
        before = counter.calls if counter else 0
        watch = subprocess.run([sys.executable, "-I", "-S", "-c", WATCH, *argv], cwd=cwd, env=env,
                               text=True, capture_output=True)
        wall, cpu, megabytes, code = json.loads(watch.stdout)
        if code not in good:
            raise SystemExit(f"{' '.join(argv)} failed:\n{watch.stderr}")
        walls.append(wall)
        cpus.append(cpu)
        peak = max(peak, megabytes)
        calls = counter.calls - before if counter else 0
    return {"wall_s": statistics.median(walls), "cpu_s": statistics.median(cpus), "peak_mb": peak,
            "calls": calls, "runs": runs}


def bench_berth(berth, folder, env, ami, counter, direct, runs):
    project = folder / "berth"
    project.mkdir()
    (project / "berth.yaml").write_text(SPEC.format(ami=ami))
    counted = dict(env, AWS_ENDPOINT_URL=counter.url)
    plain = dict(env, AWS_ENDPOINT_URL=direct)
    rows = {"berth --version": measure([berth, "--version"], project, env, 30)}
    rows["berth first apply"] = measure([berth, "apply", "-auto-approve"], project, counted, 1,
                                        counter)
    row = measure([berth, "plan", "-detailed-exitcode"], project, plain, runs)
    row["calls"] = measure([berth, "plan"], project, counted, 1, counter)["calls"]
    rows["berth no-op plan"] = row
    rows["berth destroy"] = measure([berth, "destroy", "-auto-approve"], project, counted, 1, counter)
    return rows


def bench_terraform(folder, env, ami, counter, key, runs):
    if shutil.which("terraform") is None:
        print("SKIPPED: terraform is not installed", file=sys.stderr)
        return {}
    project = folder / "terraform"
    project.mkdir()
    (project / "main.tf").write_text(TERRAFORM.format(endpoint=counter.url, key=key, ami=ami))
    quiet = dict(env, TF_IN_AUTOMATION="1", CHECKPOINT_DISABLE="1")
    init = subprocess.run(["terraform", "init", "-input=false"], cwd=project, env=quiet, text=True,
                          capture_output=True)
    if init.returncode != 0:
        print(f"SKIPPED: terraform init failed (no provider to be had?): {init.stderr[-300:]}",
              file=sys.stderr)
        return {}
    rows = {"terraform first apply": measure(
        ["terraform", "apply", "-input=false", "-auto-approve"], project, quiet, 1, counter)}
    rows["terraform no-op plan"] = measure(
        ["terraform", "plan", "-input=false", "-detailed-exitcode"], project, quiet, runs, counter)
    rows["terraform destroy"] = measure(
        ["terraform", "destroy", "-input=false", "-auto-approve"], project, quiet, 1, counter)
    return rows


def bench_boto(folder, env, counter, runs):
    """What a script by hand does for the same plan: three describes, one after another."""
    script = folder / "plan.py"
    script.write_text(
        "import boto3\nec2 = boto3.client('ec2')\nec2.describe_instances()\n"
        "ec2.describe_key_pairs()\nec2.describe_security_groups()\n")
    counted = dict(env, AWS_ENDPOINT_URL=counter.url)
    return {"boto3, three describes": measure([sys.executable, str(script)], folder, counted, runs,
                                              counter)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("berth")
    parser.add_argument("-n", type=int, default=9)
    parser.add_argument("-o")
    options = parser.parse_args()
    berth = str(pathlib.Path(options.berth).resolve())
    env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    env.update(AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench", AWS_REGION="us-east-1",
               AWS_DEFAULT_REGION="us-east-1", AWS_EC2_METADATA_DISABLED="true", NO_COLOR="1")
    moto, direct = start_moto()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="berth-bench-"))
    try:
        counter = Counter(direct)
        threading.Thread(target=counter.serve_forever, daemon=True).start()
        import boto3
        ec2 = boto3.client("ec2", endpoint_url=direct, region_name="us-east-1",
                           aws_access_key_id="bench", aws_secret_access_key="bench")
        ami = ec2.describe_images()["Images"][0]["ImageId"]
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"],
                       check=True)
        key = (folder / "key.pub").read_text().strip()
        rows = bench_berth(berth, folder, env, ami, counter, direct, options.n)
        rows |= bench_boto(folder, env, counter, 3)
        rows |= bench_terraform(folder, env, ami, counter, key, 3)
        stripped = folder / "stripped"
        subprocess.run(["strip", "-o", stripped, berth], check=True)
        size = stripped.stat().st_size
    finally:
        moto.terminate()
        moto.wait()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{'':28}{'wall':>10}{'cpu':>10}{'peak':>10}{'calls':>7}")
    for name, row in rows.items():
        print(f"{name:28}{row['wall_s'] * 1000:8.1f}ms{row['cpu_s'] * 1000:8.1f}ms"
              f"{row['peak_mb']:8.1f}MB{row['calls']:7}")
    print(f"stripped binary: {size / 1024:.0f} KiB")
    if options.o:
        pathlib.Path(options.o).write_text(json.dumps(
            {"rows": rows, "stripped_bytes": size, "cpus": os.cpu_count()}, indent=2) + "\n")


main()
