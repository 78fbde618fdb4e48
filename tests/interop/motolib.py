"""moto, an EC2 that others wrote, with its signature checks on, and boto3 to judge by."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import time

from berthlib import skip

moto_server = pathlib.Path(sys.executable).parent / "moto_server"
if not moto_server.exists():
    skip(f"{moto_server} is not there (./test installs it)")

import boto3  # noqa: E402

SETUP_CALLS = 4  # before moto checks signatures: those that make the user whose keys we take


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Moto:
    def __enter__(self):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [str(moto_server), "-H", "127.0.0.1", "-p", str(port)],
            env=dict(os.environ, INITIAL_NO_AUTH_ACTION_COUNT=str(SETUP_CALLS)),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            except OSError:
                time.sleep(0.1)
        iam = self.client("iam", "setup", "setup")
        iam.create_user(UserName="berth")
        iam.put_user_policy(UserName="berth", PolicyName="all", PolicyDocument=json.dumps(
            {"Version": "2012-10-17",
             "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}))
        key = iam.create_access_key(UserName="berth")["AccessKey"]
        self.key, self.secret = key["AccessKeyId"], key["SecretAccessKey"]
        self.client("ec2", "setup", "setup").describe_images(ImageIds=[])
        self.ec2 = self.client("ec2", self.key, self.secret)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def client(self, service, key, secret):
        return boto3.client(service, endpoint_url=self.url, region_name="us-east-1",
                            aws_access_key_id=key, aws_secret_access_key=secret)

    def instances(self):
        """Those that are there, by launch."""
        found = [i for r in self.ec2.describe_instances()["Reservations"] for i in r["Instances"]
                 if i["State"]["Name"] not in ("terminated", "shutting-down")]
        return sorted(found, key=lambda i: int(tags(i).get("berth:index", 0)) + i["AmiLaunchIndex"])

    def groups(self):
        return [g for g in self.ec2.describe_security_groups()["SecurityGroups"]
                if g["GroupName"] != "default"]

    def keys(self):
        return self.ec2.describe_key_pairs(IncludePublicKey=True)["KeyPairs"]


def tags(thing):
    return {t["Key"]: t["Value"] for t in thing.get("Tags", [])}


def actions(calls):
    return [c.action for c in calls]
