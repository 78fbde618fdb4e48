"""berth beside its peers, in one run on one machine, against moto on loopback, at 1, 10, 100 and 1,000
servers: wall time and of it the emulator's, processor time, peak memory, API calls, for a plan without
changes, the first apply, and destroy. A peer that is not installed is skipped, loudly.

A read that moto has answered is answered from memory when it comes again and nothing was changed since:
at 1,000 servers moto takes half a minute for one DescribeInstances, which would hide everybody's own
time. Creating and destroying goes to moto itself; its time is told apart.

Usage: bench.py BERTH [-n RUNS] [-sizes 1,10,100,1000] [-o FILE.json]   (with the Python of
build-test/venv)"""

import argparse
import collections
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
import urllib.parse
import urllib.request

import boto3

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "interop"))
from pricinglib import products  # noqa: E402

SPEC = """berth: 1
name: bench
provider: ec2
region: us-east-1
server: {{ image: {ami}, type: t3.micro, count: {count} }}
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
  count = {count}
  ami = "{ami}"
  instance_type = "t3.micro"
  key_name = aws_key_pair.k.key_name
  vpc_security_group_ids = [aws_security_group.g.id]
}}
"""


BOTO = """import sys
import boto3
action, count, ami = sys.argv[1], int(sys.argv[2]), sys.argv[3]
ec2 = boto3.client("ec2")
MINE = [{"Name": "tag:bench", "Values": ["boto3"]}]
def instances():
    pages = ec2.get_paginator("describe_instances").paginate(Filters=MINE + [
        {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}])
    return [i["InstanceId"] for p in pages for r in p["Reservations"] for i in r["Instances"]]
def waited(name, ids):
    ec2.get_waiter(name).wait(InstanceIds=ids, WaiterConfig={"Delay": 1, "MaxAttempts": 600})
if action == "plan":
    assert len(instances()) == count
    ec2.describe_key_pairs(KeyNames=["bench-boto3"])
    ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["bench-boto3"]}])
    list(ec2.get_paginator("describe_volumes").paginate(Filters=MINE))
elif action == "create":
    ec2.import_key_pair(KeyName="bench-boto3", PublicKeyMaterial=open("key.pub", "rb").read())
    group = ec2.create_security_group(GroupName="bench-boto3", Description="bench")["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=group, IpProtocol="tcp", FromPort=22, ToPort=22,
                                         CidrIp="203.0.113.7/32")
    tags = [{"ResourceType": t, "Tags": [{"Key": "bench", "Value": "boto3"}]}
            for t in ("instance", "volume", "network-interface")]
    made = ec2.run_instances(ImageId=ami, InstanceType="t3.micro", MinCount=count, MaxCount=count,
                             KeyName="bench-boto3", SecurityGroupIds=[group], TagSpecifications=tags)
    waited("instance_running", [i["InstanceId"] for i in made["Instances"]])
else:
    ids = instances()
    ec2.terminate_instances(InstanceIds=ids)
    waited("instance_terminated", ids)
    groups = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["bench-boto3"]}])
    ec2.delete_security_group(GroupId=groups["SecurityGroups"][0]["GroupId"])
    ec2.delete_key_pair(KeyName="bench-boto3")
"""


class Counter(http.server.ThreadingHTTPServer):
    """Passes calls on to moto, counts them and its time: the judge of everybody's number of calls."""

    daemon_threads = True

    def __init__(self, target):
        self.target, self.lock = target, threading.Lock()
        self.known = {}  # reads since the last change
        self.at_moto = 0
        self.reset()
        super().__init__(("127.0.0.1", 0), Handler)

    def reset(self):
        with self.lock:
            self.calls, self.busy, self.since = collections.Counter(), 0.0, time.perf_counter()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def working(self, step):
        """Time in which at least one call is at moto."""
        with self.lock:
            now = time.perf_counter()
            if self.at_moto > 0:
                self.busy += now - self.since
            self.at_moto += step
            self.since = now

    def pass_on(self, body, headers):
        headers = {k: v for k, v in headers.items() if k.lower() != "connection"}
        request = urllib.request.Request(self.target, body, headers, method="POST")
        self.working(1)
        try:
            answer = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request)
        except urllib.error.HTTPError as error:
            answer = error
        content = answer.read()
        self.working(-1)
        return answer.status, answer.headers.get("Content-Type", "text/xml"), content

    def answer(self, body, headers):
        target = headers.get("X-Amz-Target", "")
        action = target.split(".")[-1] or urllib.parse.parse_qs(body.decode())["Action"][0]
        reads = action.startswith(("Describe", "Get"))
        with self.lock:
            self.calls[action] += 1
            if not reads:
                self.known.clear()
            known = self.known.get((target, body))
        if action == "GetProducts":  # moto has no price list
            content = json.dumps({"PriceList": products(json.loads(body))}).encode()
            return 200, "application/x-amz-json-1.1", content
        if known is None:
            known = self.pass_on(body, headers)
            with self.lock:
                if reads:
                    self.known[target, body] = known
                else:
                    self.known.clear()
        return known


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, kind, content = self.server.answer(body, self.headers)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        try:
            self.wfile.write(content)
        except BrokenPipeError:  # moto took longer than the caller waits
            pass

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


def measure(argv, cwd, env, counter, runs=1, good=(0,)):
    """Medians of wall, moto's and processor seconds, the largest peak in MB, calls of the last run."""
    walls, motos, cpus, peak = [], [], [], 0
    for _ in range(runs):
        counter.reset()
        watch = subprocess.run([sys.executable, "-I", "-S", "-c", WATCH, *argv], cwd=cwd, env=env,
                               text=True, capture_output=True)
        wall, cpu, megabytes, code = json.loads(watch.stdout)
        if code not in good:
            raise SystemExit(f"{' '.join(argv)} failed with {code}:\n{watch.stderr}")
        walls.append(wall)
        motos.append(counter.busy)
        cpus.append(cpu)
        peak = max(peak, megabytes)
    return {"wall_s": statistics.median(walls), "moto_s": statistics.median(motos),
            "cpu_s": statistics.median(cpus), "peak_mb": peak, "calls": sum(counter.calls.values()),
            "by_action": dict(counter.calls), "runs": runs}


def measure_all(commands, cwd, env, counter, runs):
    """Create, plan (once more first: moto answers it then), destroy."""
    rows = {"create": measure(commands["create"], cwd, env, counter)}
    measure(commands["plan"], cwd, env, counter)
    rows["no-op plan"] = measure(commands["plan"], cwd, env, counter, runs)
    rows["destroy"] = measure(commands["destroy"], cwd, env, counter)
    return rows


def bench_berth(berth, folder, env, ami, counter, count, runs):
    (folder / "berth.yaml").write_text(SPEC.format(ami=ami, count=count))
    commands = {"plan": [berth, "plan", "-detailed-exitcode"],
                "create": [berth, "apply", "-auto-approve"],
                "destroy": [berth, "destroy", "-auto-approve"]}
    return measure_all(commands, folder, env, counter, runs)


def bench_boto(folder, env, ami, counter, count, runs):
    """What a script by hand does for the same, without looking at more than it must."""
    (folder / "script.py").write_text(BOTO)
    commands = {name: [sys.executable, "script.py", name, str(count), ami]
                for name in ("plan", "create", "destroy")}
    return measure_all(commands, folder, env, counter, min(runs, 3))


def bench_terraform(folder, env, ami, counter, count, runs):
    key = (folder / "key.pub").read_text().strip()
    (folder / "main.tf").write_text(TERRAFORM.format(endpoint=counter.url, key=key, ami=ami, count=count))
    quiet = dict(env, TF_IN_AUTOMATION="1", CHECKPOINT_DISABLE="1")
    init = subprocess.run(["terraform", "init", "-input=false"], cwd=folder, env=quiet, text=True,
                          capture_output=True)
    if init.returncode != 0:
        print(f"SKIPPED: terraform init failed (no provider to be had?): {init.stderr[-300:]}",
              file=sys.stderr)
        return {}
    commands = {"plan": ["terraform", "plan", "-input=false", "-detailed-exitcode"],
                "create": ["terraform", "apply", "-input=false", "-auto-approve"],
                "destroy": ["terraform", "destroy", "-input=false", "-auto-approve"]}
    return measure_all(commands, folder, quiet, counter, min(runs, 3))


def show(name, row):
    print(f"{name:34}{row['wall_s'] * 1000:10.0f}{row['moto_s'] * 1000:10.0f}"
          f"{max(0.0, row['wall_s'] - row['moto_s']) * 1000:10.0f}{row['cpu_s'] * 1000:9.0f}"
          f"{row['peak_mb']:9.1f}{row['calls']:7}", flush=True)


def with_moto(env, bench, project, count, runs):
    """A moto of its own for each: it keeps what was terminated, and grows slow of it."""
    moto, direct = start_moto()
    try:
        counter = Counter(direct)
        threading.Thread(target=counter.serve_forever, daemon=True).start()
        ec2 = boto3.client("ec2", endpoint_url=direct, region_name="us-east-1",
                           aws_access_key_id="bench", aws_secret_access_key="bench")
        ami = ec2.describe_images()["Images"][0]["ImageId"]
        return bench(project, dict(env, AWS_ENDPOINT_URL=counter.url), ami, counter, count, runs)
    finally:
        moto.terminate()
        moto.wait()


def run_all(options, env, folder):
    peers = {"berth": lambda *a: bench_berth(str(pathlib.Path(options.berth).resolve()), *a),
             "boto3": bench_boto}
    if shutil.which("terraform") is None:
        print("SKIPPED: terraform is not installed", file=sys.stderr)
    else:
        peers["terraform"] = bench_terraform
    rows = {}
    print(f"{'':34}{'wall ms':>10}{'moto ms':>10}{'rest ms':>10}{'cpu ms':>9}{'peak MB':>9}{'calls':>7}")
    for count in options.sizes:
        for peer, bench in peers.items():
            project = folder / f"{peer}-{count}"
            project.mkdir()
            for name in ("key", "key.pub"):
                shutil.copy(folder / name, project / name)
            for what, row in with_moto(env, bench, project, count, options.n).items():
                rows[f"{peer} {what} {count}"] = row
                show(f"{peer}, {what}, {count}", row)
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("berth")
    parser.add_argument("-n", type=int, default=9)
    parser.add_argument("-sizes", type=lambda s: [int(n) for n in s.split(",")], default=[1, 10, 100, 1000])
    parser.add_argument("-o")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="berth-bench-"))
    try:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "BERTH_"))}
        env.update(AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench", AWS_REGION="us-east-1",
                   AWS_DEFAULT_REGION="us-east-1", AWS_EC2_METADATA_DISABLED="true", NO_COLOR="1",
                   HOME=str(folder), XDG_CACHE_HOME=str(folder / "cache"))
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"],
                       check=True)
        rows = run_all(options, env, folder)
        rows["berth --version"] = measure([options.berth, "--version"], folder, env, Counter(""), 30)
        show("berth --version", rows["berth --version"])
        stripped = folder / "stripped"
        subprocess.run(["strip", "-o", stripped, options.berth], check=True)
        size = stripped.stat().st_size
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"stripped binary: {size / 1024:.0f} KiB")
    if options.o:
        pathlib.Path(options.o).write_text(json.dumps(
            {"rows": rows, "stripped_bytes": size, "cpus": os.cpu_count()}, indent=2) + "\n")


main()
