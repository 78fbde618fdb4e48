"""moto, an EC2 that others wrote, with its signature checks on, and boto3 to judge by."""

import json
import os
import pathlib
import socket
import stat
import subprocess
import sys
import time

from berthlib import check, free_port, skip

moto_server = pathlib.Path(sys.executable).parent / "moto_server"
if not moto_server.exists():
    skip(f"{moto_server} is not there (./test installs it)")

import boto3  # noqa: E402

SPEC = """berth: 1
name: moto
provider: ec2
region: us-east-1
server:
  image: amazon-linux-2023
  type: t3.small
  count: 1
  tags: { team: growth }
access: { ssh: [203.0.113.7/32, "2001:DB8:0::/64"] }
"""
SETUP_CALLS = 4  # before moto checks signatures: those that make the user whose keys we take


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

    def log_in(self, project, url):
        """The project's runs are this user's, at that endpoint, and know of no other."""
        for name in [n for n in project.env if n.startswith("AWS_")]:
            del project.env[name]
        project.env.update(AWS_ACCESS_KEY_ID=self.key, AWS_SECRET_ACCESS_KEY=self.secret,
                           AWS_ENDPOINT_URL=url, HOME=str(project.root))

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


def rules_of(group):
    return sorted(f"{p['IpProtocol']} {p['FromPort']}-{p['ToPort']} {source}"
                  for p in group["IpPermissions"]
                  for source in [r["CidrIp"] for r in p["IpRanges"]] +
                  [r["CidrIpv6"] for r in p["Ipv6Ranges"]])


def memory_of(p, url, *args):
    """Peak resident size in KB of one run, by a child of our own: rusage keeps the largest of all.
    And what it said on stderr."""
    script = ("import resource, subprocess, sys; "
              "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL); "
              "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
    result = subprocess.run([sys.executable, "-c", script, p.berth, *args], cwd=p.dir, text=True,
                            env=dict(p.env, AWS_ENDPOINT_URL=url), capture_output=True, check=True)
    return int(result.stdout), result.stderr


def public_half(path):
    """What ssh-keygen makes of a private key file."""
    check(stat.S_IMODE(path.stat().st_mode) == 0o600, "the private half is ours alone")
    return subprocess.run(["ssh-keygen", "-y", "-P", "", "-f", path], text=True, check=True,
                          capture_output=True).stdout.split()[:2]
