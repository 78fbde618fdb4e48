"""The sandbox's endpoint, with boto3, botocore's signer and the AWS CLI as judges, and one guest: what
EC2 answers, what a hostile peer gets, and that nothing is lost or left over when things end in the
wrong moment. Usage: sandbox_api_test.py BERTH"""

import concurrent.futures
import datetime
import json
import os
import pathlib
import random
import socket
import subprocess
import sys
import time

import berthlib
from berthlib import Project, check, step
from sandboxlib import AMI, AWS, World, make_key, refused, wait_for
import sandboxlib

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.exceptions


def who_asks(w):
    step("who asks: signatures, keys and clocks")
    response = refused("AuthFailure", w.client("ec2", key="SBOX00000000").describe_instances)
    check(response["ResponseMetadata"]["HTTPStatusCode"] == 401, "status 401", response)
    response = refused("SignatureDoesNotMatch", w.client("ec2", secret="no").describe_instances)
    check(response["ResponseMetadata"]["HTTPStatusCode"] == 403, "status 403", response)
    names = {"Names": ["x"]}
    refused("UnrecognizedClientException", w.client("ssm", key="X").get_parameters, **names)
    refused("InvalidSignatureException", w.client("ssm", secret="no").get_parameters, **names)
    check(b"AuthFailure" in w.raw(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 26\r\n\r\n"
                                  b"Action=DescribeInstances&a"), "no signature, no answer")
    request = botocore.awsrequest.AWSRequest(
        "POST", w.info["endpoint"] + "/", data=b"Action=DescribeInstances&Version=2016-11-15",
        headers={"Content-Type": "application/x-www-form-urlencoded"})
    old = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=20)
    request.context["timestamp"] = old.strftime("%Y%m%dT%H%M%SZ")
    signer = botocore.auth.SigV4Auth(botocore.credentials.Credentials(
        w.info["access_key"], w.info["secret_key"]), "ec2", w.info["region"])
    signer._inject_signature_to_request(
        request, signer.signature(signer.string_to_sign(request, ""), request))
    request.headers["X-Amz-Date"] = request.context["timestamp"]
    prepared = request.prepare()
    head = "".join(f"{k}: {v}\r\n" for k, v in prepared.headers.items())
    answer = w.raw(f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{w.port}\r\n{head}\r\n".encode()
                   + prepared.body)
    check(b"RequestExpired" in answer, "an old request", answer.decode())
    listening = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True).stdout
    own = [line.split()[3] for line in listening.splitlines() if f"pid={w.info['pid']}," in line]
    check(all(a.startswith("127.0.0.1:") for a in own), "it listens on loopback only", own)


def what_is_private(w):
    for path in w.project.world.iterdir():
        mode = path.stat().st_mode & 0o777
        check(mode == {"i": 0o755, "v": 0o700}.get(path.name, 0o600), f"{path.name} is private", oct(mode))
    check(w.project.world.stat().st_mode & 0o777 == 0o700, "the world is 0700")


def names_and_codes(w, public_key):
    step("key pairs, groups, tags, parameters, images: AWS's answers and codes")
    ec2 = w.ec2
    key = ec2.import_key_pair(KeyName="k", PublicKeyMaterial=public_key)
    refused("InvalidKeyPair.Duplicate", ec2.import_key_pair, KeyName="k",
            PublicKeyMaterial=public_key)
    refused("InvalidKey.Format", ec2.import_key_pair, KeyName="k2", PublicKeyMaterial=b"ssh-x no")
    refused("InvalidKeyPair.NotFound", ec2.describe_key_pairs, KeyNames=["none"])
    refused("InvalidKeyPair.NotFound", ec2.describe_key_pairs, KeyPairIds=["key-0"])
    ec2.import_key_pair(KeyName="other", PublicKeyMaterial=public_key)
    found = ec2.describe_key_pairs(KeyPairIds=[key["KeyPairId"]])["KeyPairs"]
    check([k["KeyName"] for k in found] == ["k"], "a key pair by its id", str(found))
    ec2.delete_key_pair(KeyName="other")
    ec2.delete_key_pair(KeyName="other")

    group = ec2.create_security_group(GroupName="g", Description="d")["GroupId"]
    other = ec2.create_security_group(GroupName="h", Description="d")["GroupId"]
    refused("InvalidGroup.Duplicate", ec2.create_security_group, GroupName="g", Description="d")
    rule = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22,
             "IpRanges": [{"CidrIp": "203.0.113.0/24"}],
             "Ipv6Ranges": [{"CidrIpv6": "2001:db8::/64"}]}]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=rule)
    refused("InvalidPermission.Duplicate", ec2.authorize_security_group_ingress, GroupId=group,
            IpPermissions=rule)
    rule[0]["IpRanges"] = [{"CidrIp": "203.0.113.0/33"}]
    refused("InvalidParameterValue", ec2.authorize_security_group_ingress, GroupId=group,
            IpPermissions=rule)
    refused("InvalidGroup.NotFound", ec2.authorize_security_group_ingress, GroupId="sg-0",
            IpPermissions=rule)
    rule[0]["IpRanges"] = [{"CidrIp": "203.0.113.0/24"}]
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=rule)
    refused("InvalidPermission.NotFound", ec2.revoke_security_group_ingress, GroupId=group,
            IpPermissions=rule)
    found = ec2.describe_security_groups(GroupNames=["h"])["SecurityGroups"]
    check([g["GroupId"] for g in found] == [other], "a group by its name", str(found))
    ec2.delete_security_group(GroupId=other)
    refused("InvalidGroup.NotFound", ec2.delete_security_group, GroupId=other)

    odd = "ä€😀 <&> \x01 \r\n" + "x" * 60
    ec2.create_tags(Resources=[group], Tags=[{"Key": "odd", "Value": odd}])
    tags = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["Tags"]
    check(tags[0]["Value"] == odd.replace("\x01", "\ufffd"), "odd tags come back", str(tags))
    refused("InvalidInstanceID.NotFound", ec2.create_tags, Resources=[group, "i-0"],
            Tags=[{"Key": "half", "Value": "done"}])
    tags = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["Tags"]
    check(len(tags) == 1, "tags on all or on none", str(tags))

    name = "/aws/service/debian/release/12/latest/amd64"
    answer = w.client("ssm").get_parameters(Names=[name, "/none"])
    check(answer["Parameters"][0]["Value"] == AMI and answer["InvalidParameters"] == ["/none"],
          "the image's parameter", str(answer))
    check(ec2.describe_images(ImageIds=[AMI])["Images"][0]["RootDeviceName"] == "/dev/xvda",
          "the image")
    check(ec2.describe_images(Filters=[{"Name": "name", "Values": ["al2023*"]}])["Images"] == [],
          "no other image")

    for call in (ec2.describe_instances, ec2.describe_security_groups, ec2.describe_key_pairs):
        refused("InvalidParameterValue", call, Filters=[{"Name": "no-such", "Values": ["x"]}])
    refused("InvalidInstanceID.NotFound", ec2.terminate_instances, InstanceIds=["i-0123"])
    refused("InvalidInstanceID.Malformed", ec2.describe_instances, InstanceIds=["x"])
    refused("InvalidAMIID.NotFound", w.run, ImageId="ami-1")
    refused("InvalidGroup.NotFound", w.run, SecurityGroupIds=["sg-0"])
    refused("InvalidKeyPair.NotFound", w.run, KeyName="none")
    refused("InvalidParameterValue", w.run, UserData="x" * 16385)
    refused("InvalidParameterValue", w.run, MinCount=3, MaxCount=2)
    refused("InvalidParameterValue", ec2.describe_instances, NextToken="x")
    refused("InvalidParameterCombination", ec2.describe_instances, MaxResults=5,
            InstanceIds=["i-0"])
    refused("DryRunOperation", w.run, DryRun=True)
    refused("InvalidAction", ec2.describe_snapshots)
    return group


def hostile_peers(w):
    step("hostile peers: malformed, oversized, slow, half-closed, very many")

    def status(data, **more):
        return w.raw(data, **more).split(b"\r\n")[0]

    check(b" 400 " in status(b"nonsense\r\n\r\n"), "nonsense is a 400")
    check(b" 413 " in status(b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n"), "413")
    check(b" 431 " in status(b"POST / HTTP/1.1\r\nX: " + b"a" * 34000), "431")
    check(b" 411 " in status(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), "411")
    dice = random.Random(20)
    seed = (b"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: AWS4-HMAC-SHA256 Credential="
            + w.info["access_key"].encode() + b"/20260101/r/ec2/aws4_request, SignedHeaders=host;"
            b"x-amz-date, Signature=00\r\nX-Amz-Date: 20260101T000000Z\r\nContent-Length: 8\r\n\r\n"
            b"Action=X")

    def mutate(_):
        data = bytearray(seed)
        for _ in range(dice.randrange(1, 20)):
            at = dice.randrange(len(data))
            choice = dice.randrange(4)
            if choice == 0:
                data[at] = dice.randrange(256)
            elif choice == 1:
                del data[at:at + dice.randrange(1, 30)]
            elif choice == 2:
                data[at:at] = bytes(dice.randrange(256) for _ in range(dice.randrange(1, 30)))
            else:
                data[at:at] = dice.choice([b"\r\n", b"\0", b":", b"%", b"=" * 500, b"/" * 99, b";"])
        return w.raw(bytes(data))

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(mutate, range(600)))
    silent = [socket.create_connection(("127.0.0.1", w.port)) for _ in range(80)]
    for s in silent:
        s.sendall(b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + b"a" * 1000)
    started = time.monotonic()
    w.instances()
    check(time.monotonic() - started < 2, "silent peers hold nobody up")
    many = []
    for _ in range(400):
        try:
            many.append(socket.create_connection(("127.0.0.1", w.port), 1))
        except OSError:
            break
    time.sleep(0.2)
    for s in silent + many:
        s.close()
    wait_for(lambda: can(w.instances), "it answers again")
    check(w.project.json("sandbox", "status")["pid"] == w.info["pid"], "the daemon lives")
    memory = pathlib.Path(f"/proc/{w.info['pid']}/status").read_text()
    resident = int(memory.split("VmRSS:")[1].split()[0])
    check(resident < 100_000, "its memory is bounded", f"{resident} KB")


def can(call):
    try:
        call()
        return True
    except botocore.exceptions.BotoCoreError:
        return False


def one_guest(w, group, key_file):
    step("one guest: token, states, reboot, stop and start, what it may reach")
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "one"}]}]
    wanted = dict(ClientToken="t1", KeyName="k", SecurityGroupIds=[group], TagSpecifications=tags)
    launched = w.run(**wanted)["Instances"][0]
    one, address = launched["InstanceId"], launched["PublicIpAddress"]
    check(launched["State"] == {"Code": 0, "Name": "pending"}, "pending at first", str(launched))
    check(w.run(**wanted)["Instances"][0]["InstanceId"] == one, "the same token, the same instance")
    refused("IdempotentParameterMismatch", w.run, **dict(wanted, InstanceType="t3.large"))
    refused("IncorrectInstanceState", w.ec2.stop_instances, InstanceIds=[one])
    w.await_state(one, "running")
    refused("DependencyViolation", w.ec2.delete_security_group, GroupId=group)
    refused("IncorrectInstanceState", w.ec2.modify_instance_attribute, InstanceId=one,
            InstanceType={"Value": "t3.large"})

    def ssh(command, good=True):
        return sandboxlib.ssh(key_file, address, command, good)

    check(ssh("systemctl is-system-running --wait") == "running", "systemd is content")
    with socket.socket() as host:
        host.bind(("0.0.0.0", 0))
        host.listen(8)
        port = host.getsockname()[1]
        gateway = w.info["client_address"]
        check(ssh(f"curl -s -m 1 --noproxy '*' http://{gateway}:{port}/ || echo $?") == "28",
              "no way to this machine's services by its link")
        for target in (gateway, "[::ffff:127.0.0.1]", "0.0.0.0", "10.0.0.1", "169.254.1.1",
                       "[fd00::1]", "[64:ff9b::7f00:1]"):
            code = ssh("curl -s -g -m 5 --noproxy none -x http://127.0.0.1:3128 -o /dev/null "
                       f"-w '%{{http_code}}' http://{target}:{port}/")
            check(code == "403", f"the proxy refuses {target}", code)
    check(str(w.project.world) not in ssh("sudo cat /proc/1/environ /proc/1/mountinfo | tr '\\0' ' '"),
          "nothing of the world is seen inside")

    boot = ssh("cat /proc/sys/kernel/random/boot_id; sudo touch /kept; stat -c %Y /proc/1")
    for how in (lambda: w.ec2.reboot_instances(InstanceIds=[one]),
                lambda: ssh("sudo systemctl reboot", good=False)):
        before = ssh("stat -c %Y /proc/1; cat /proc/1/stat")
        how()
        wait_for(lambda: ssh("stat -c %Y /proc/1; cat /proc/1/stat", good=False)
                 not in ("", before), "it comes up again")
        check(w.state(one) == "running", "a reboot is no stop", w.state(one))
    check(boot and ssh("ls /kept") == "/kept", "the disk is kept")
    w.ec2.stop_instances(InstanceIds=[one])
    check(w.state(one) in ("stopping", "stopped"), "it takes its time")
    w.await_state(one, "stopped")
    check(w.groups() == [], "nothing of it runs", w.groups())
    check("PublicIpAddress" not in w.instances()[0], "no address while it is stopped")
    w.ec2.modify_instance_attribute(InstanceId=one, InstanceType={"Value": "t3.large"})
    w.ec2.start_instances(InstanceIds=[one])
    w.await_state(one, "running")
    address = w.instances()[0]["PublicIpAddress"]
    check(ssh("ls /kept") == "/kept", "the disk is kept")
    return one


def by_hand(w, one, group):
    step("the AWS CLI by hand")
    if not AWS.exists():
        check("CI" not in os.environ, "awscli is there on CI")
        print("      (no awscli here)")
        return
    found = w.aws("ec2", "describe-instances", "--filters", "Name=tag:Name,Values=o?e",
                  "Name=instance-state-name,Values=running,pending", "--query",
                  "Reservations[].Instances[].[InstanceId,InstanceType,State.Name]")
    check(found == [[one, "t3.large", "running"]], "describe-instances", found)
    w.aws("ec2", "authorize-security-group-ingress", "--group-id", group, "--protocol", "tcp",
          "--port", "8888", "--cidr", "198.51.100.0/24")
    found = w.aws("ec2", "describe-security-groups", "--group-ids", group)["SecurityGroups"][0]
    ports = [p.get("FromPort") for p in found["IpPermissions"]]
    check(8888 in ports and found["GroupName"] == "g", "describe-security-groups", found)


def ends(w, one):
    step("ends in the wrong moment: terminate while it boots, kill -9, stop, two starts at once")
    for wait in (0, 0.1, 0.25):
        instance = w.run()["Instances"][0]["InstanceId"]
        time.sleep(wait)
        w.ec2.terminate_instances(InstanceIds=[instance])
        w.await_state(instance, "terminated")
    check(w.groups() == [one], "only the first is left", w.groups())
    refused("IdempotentParameterMismatch", w.run, ClientToken="t1")
    two = w.run(MaxCount=2, MinCount=2)
    ids = [i["InstanceId"] for i in two["Instances"]]
    check([i["AmiLaunchIndex"] for i in two["Instances"]] == [0, 1], "launch indexes", str(two))
    found = [r for r in w.ec2.describe_instances()["Reservations"]
             if r["ReservationId"] == two["ReservationId"]]
    check(len(found) == 1 and len(found[0]["Instances"]) == 2, "one reservation of two", str(found))
    time.sleep(0.1)
    w.kill()  # while they boot
    starts = [subprocess.Popen([w.project.berth, "sandbox", "start"], env=w.project.env,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
              for _ in range(3)]
    for start in starts:
        check(start.wait() == 0, "each start works", start.stderr.read().decode())
        start.stderr.close()
    w.start()
    for instance in [one, *ids]:
        w.await_state(instance, "running")
    check(w.groups() == sorted([one, *ids]), "each guest once", w.groups())
    w.ec2.terminate_instances(InstanceIds=ids)
    w.ec2.stop_instances(InstanceIds=[one])
    w.kill()  # while they end
    w.project.run("sandbox", "stop")
    check(w.groups() == [], "stop ends guests without their daemon, too", w.groups())
    w.start()
    states = {i["InstanceId"]: i["State"]["Name"] for i in w.instances(InstanceIds=[one, *ids])}
    check(states == {one: "stopped", ids[0]: "terminated", ids[1]: "terminated"}, "what had begun",
          states)
    left = [p.name for p in (w.project.world / "i").iterdir()]
    check(left == [one], "terminated ones left no file", left)
    w.ec2.start_instances(InstanceIds=[one])
    time.sleep(0.1)
    w.project.run("sandbox", "stop")  # while it boots
    check(w.groups() == [], "nothing runs", w.groups())
    w.start()
    w.await_state(one, "running")
    w.ec2.terminate_instances(InstanceIds=[one])
    w.await_state(one, "terminated")


def overdue(w):
    step("what took too long to end with its guest ends later")
    subnet = json.loads((w.project.world / "world.json").read_text())["subnet"]
    folder = next(root for root in (pathlib.Path("/sys/fs/cgroup"), pathlib.Path("/sys/fs/cgroup/unified"))
                  if (root / "cgroup.procs").exists()) / f"berth-sandbox-{subnet}"
    (folder / "i-0123456789abcdef0" / "inner").mkdir(parents=True)
    # It joins by itself before it sleeps: the group may be ended at any moment.
    sleeper = subprocess.Popen(["sh", "-c", 'echo $$ >"$1/cgroup.procs"; exec sleep 600', "sh",
                                folder / "i-0123456789abcdef0" / "inner"], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: w.groups() == [], "its group is removed")
    finally:
        sleeper.kill()
        sleeper.wait()


with Project(sys.argv[1], "") as project:
    world = World(project)
    step("start")
    world.start()
    key_file, public_key = make_key(project)
    who_asks(world)
    group = names_and_codes(world, public_key)
    hostile_peers(world)
    one = one_guest(world, group, key_file)
    what_is_private(world)
    by_hand(world, one, group)
    ends(world, one)
    overdue(world)
    world.ec2.delete_security_group(GroupId=group)
    check(berthlib.leftovers(project.world) == [], "nothing is left",
          berthlib.leftovers(project.world))
    step("reset removes what is its own, and nothing else")
    (project.world / "logs").mkdir()
    (project.world / "thesis").write_text("mine")
    check(berthlib.interfaces(project.world) == [], "no interface is left",
          berthlib.interfaces(project.world))
    project.run("sandbox", "reset", "-auto-approve")
    left = sorted(p.name for p in project.world.iterdir())
    check(left == ["logs", "thesis"], "the user's own files are there", left)
print("1 passed, 0 failed")
