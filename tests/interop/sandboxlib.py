"""What the tests of the sandbox's endpoint share: a world of their own with boto3 and the AWS CLI before
it. Nothing here decides what is right."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import berthlib
from berthlib import check, skip

berthlib.need_root()
berthlib.need_program("mmdebstrap", "ssh", "ssh-keygen")
try:
    import boto3
    import botocore.config
    import botocore.exceptions
except ImportError as error:
    skip(f"python module missing: {error}")

AMI = "ami-0deb1a0120000000a"
AWS = pathlib.Path(sys.executable).parent / "aws"


class World:
    def __init__(self, project):
        self.project = project

    def start(self):
        self.project.run("sandbox", "start")
        self.info = self.project.json("sandbox", "status")
        self.ec2 = self.client("ec2")
        self.port = int(self.info["endpoint"].rsplit(":", 1)[1])

    def client(self, service, key=None, secret=None):
        return boto3.client(
            service, endpoint_url=self.info["endpoint"], region_name=self.info["region"],
            aws_access_key_id=key or self.info["access_key"],
            aws_secret_access_key=secret or self.info["secret_key"],
            config=botocore.config.Config(retries={"max_attempts": 0}, read_timeout=30,
                                          parameter_validation=False))

    def kill(self):
        """The daemon, as a crash would."""
        os.kill(self.info["pid"], signal.SIGKILL)
        wait_for(lambda: not pathlib.Path(f"/proc/{self.info['pid']}").exists(), "the daemon ends")

    def run(self, **more):
        wanted = dict(ImageId=AMI, MinCount=1, MaxCount=1, InstanceType="t3.small")
        return self.ec2.run_instances(**dict(wanted, **more))

    def instances(self, **more):
        return [i for r in self.ec2.describe_instances(**more)["Reservations"]
                for i in r["Instances"]]

    def state(self, instance):
        return self.instances(InstanceIds=[instance])[0]["State"]["Name"]

    def await_state(self, instance, state):
        wait_for(lambda: self.state(instance) == state, f"{instance} is {state}")

    def groups(self):
        """The cgroups of its guests: one is there as long as anything runs in a guest."""
        return berthlib.guest_groups(self.project.world)

    def aws(self, *args):
        environment = dict(os.environ, AWS_ACCESS_KEY_ID=self.info["access_key"],
                           AWS_SECRET_ACCESS_KEY=self.info["secret_key"],
                           AWS_DEFAULT_REGION=self.info["region"], AWS_PAGER="",
                           AWS_EC2_METADATA_DISABLED="true")
        answer = subprocess.run([str(AWS), "--endpoint-url", self.info["endpoint"], "--output",
                                 "json", *args], env=environment, capture_output=True, text=True)
        check(answer.returncode == 0, f"aws {' '.join(args)}", answer.stderr)
        return json.loads(answer.stdout) if answer.stdout.strip() else None

    def own(self, path, body=None):
        """What no AWS has: faults, interruptions."""
        request = urllib.request.Request(
            self.info["endpoint"] + "/_berth/" + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-Berth-Secret": self.info["secret_key"], "Connection": "close"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def faults(self, *faults):
        """These and no others from now on."""
        self.own("faults", list(faults))

    def taken(self):
        """How often each has happened."""
        return [int(f.get("taken", 0)) for f in self.own("faults")]

    def raw(self, data, half_close=True, timeout=10):
        """The bytes that come back for these bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout) as s:
            try:
                s.sendall(data)
                if half_close:
                    s.shutdown(socket.SHUT_WR)
                answer = b""
                while chunk := s.recv(65536):
                    answer += chunk
                return answer
            except (ConnectionError, TimeoutError):
                return b""


def make_key(project):
    """A key pair of this test: (file, public half)."""
    path = project.root / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return str(path), pathlib.Path(f"{path}.pub").read_bytes()


def ssh(key_file, address, command, good=True, user="admin"):
    answer = subprocess.run(
        ["ssh", "-i", key_file, "-o", "StrictHostKeyChecking=no", "-o",
         "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=1",
         "-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2", f"{user}@{address}",
         command], capture_output=True, text=True)
    check(not good or answer.returncode == 0, f"ssh {command}", answer.stderr)
    return answer.stdout.strip()


def wait_for(condition, what, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, what)
        time.sleep(0.02)


def refused(code, call, **arguments):
    try:
        answer = call(**arguments)
    except botocore.exceptions.ClientError as error:
        check(error.response["Error"]["Code"] == code, f"{code} is the code",
              str(error.response["Error"]))
        return error.response
    check(False, f"{code} was to come", str(answer))
    return None
