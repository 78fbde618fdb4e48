"""The faults that a test can have of the sandbox's endpoint, with boto3 as who meets them.
Usage: sandbox_faults_test.py BERTH"""

import email.utils
import json
import re
import sys
import time
import urllib.error

import botocore.exceptions

import berthlib
from berthlib import Project, check, step
from sandboxlib import World, make_key, refused, wait_for


def own_status(w, path, body):
    try:
        w.own(path, body)
        return 200
    except urllib.error.HTTPError as error:
        return error.code


def asking(w):
    step("how faults are asked for, counted and left")
    w.faults({"action": "DescribeInstances", "kind": "throttle", "count": 2})
    for _ in range(2):
        answer = refused("RequestLimitExceeded", w.ec2.describe_instances)
        check(answer["ResponseMetadata"]["HTTPStatusCode"] == 503, "status 503", answer)
    w.ec2.describe_instances()
    check(w.taken() == [2], "counted", w.taken())
    w.faults({"action": "Describe*", "code": "InternalError", "status": 500, "nth": 2},
             {"action": "DescribeVpcs", "kind": "unavailable", "count": 0})
    w.ec2.describe_instances()
    answer = refused("InternalError", w.ec2.describe_key_pairs)
    check(answer["ResponseMetadata"]["HTTPStatusCode"] == 500, "status 500", answer)
    for _ in range(3):
        refused("Unavailable", w.ec2.describe_vpcs)
    w.kill()
    w.start()
    check(w.taken()[0] == 1, "they outlive the daemon", w.taken())
    w.faults({"action": "CreateSecurityGroup", "match": {"GroupName": "bad*"},
              "code": "InvalidParameterValue", "message": "no"})
    made = w.ec2.create_security_group(GroupName="good", Description="d")["GroupId"]
    refused("InvalidParameterValue", w.ec2.create_security_group, GroupName="bad1", Description="d")
    w.ec2.delete_security_group(GroupId=made)
    w.faults({"action": "GetParameters", "kind": "throttle"},
             {"action": "GetProducts", "kind": "unauthorized"},
             {"action": "DecodeAuthorizationMessage", "kind": "unauthorized"})
    refused("ThrottlingException", w.client("ssm").get_parameters, Names=["x"])
    answer = refused("AccessDeniedException", w.client("pricing").get_products,
                     ServiceCode="AmazonEC2")
    check("perform: pricing:GetProducts" in answer["Error"]["Message"], "what was refused", answer)
    refused("AccessDenied", w.client("sts").decode_authorization_message, EncodedMessage="x")
    w.faults()
    for bad in ({"kind": "throttle"}, [{"kind": "meteor"}], ["x"], "x"):
        check(own_status(w, "faults", bad) == 400, f"{bad} is refused")
    check(own_status(w, "interrupt", {"instance": "i-0"}) == 404, "nobody to interrupt")
    check(own_status(w, "nothing", []) == 404, "nothing else is there")
    w.info["secret_key"], secret = "x", w.info["secret_key"]
    check(own_status(w, "faults", []) == 403, "by the world's owner only")
    w.info["secret_key"] = secret


def permissions(w):
    step("what is not permitted, also by a dry run, with a message that STS decodes")
    w.faults({"action": "RunInstances", "kind": "unauthorized", "count": 0})
    for dry in (False, True):
        answer = refused("UnauthorizedOperation", w.run, DryRun=dry)
        check(answer["ResponseMetadata"]["HTTPStatusCode"] == 403, "status 403", answer)
    encoded = re.search(r"Encoded authorization failure message: (\S+)", answer["Error"]["Message"])
    decoded = json.loads(w.client("sts").decode_authorization_message(
        EncodedMessage=encoded.group(1))["DecodedMessage"])
    check(decoded["allowed"] is False and decoded["context"]["action"] == "ec2:RunInstances", "decoded",
          decoded)
    w.faults({"action": "*", "kind": "throttle", "count": 0})
    refused("DryRunOperation", w.run, DryRun=True)  # it meets only what forbids it
    w.faults()
    answer = refused("DryRunOperation", w.ec2.allocate_address, DryRun=True)
    check(answer["ResponseMetadata"]["HTTPStatusCode"] == 412, "status 412", answer)
    check(w.ec2.describe_addresses()["Addresses"] == [], "a dry run does nothing")


def clocks(w):
    step("a clock that is an hour ahead: the date says so, and who goes by it is heard")
    w.faults({"kind": "skew", "seconds": 3600})
    answer = refused("RequestExpired", w.ec2.describe_instances)["ResponseMetadata"]["HTTPHeaders"]
    ahead = email.utils.parsedate_to_datetime(answer["date"]).timestamp() - time.time()
    check(3500 < ahead < 3700, "its Date", answer)
    w.faults()
    answer = w.ec2.describe_instances()["ResponseMetadata"]["HTTPHeaders"]
    check(abs(email.utils.parsedate_to_datetime(answer["date"]).timestamp() - time.time()) < 60, "right",
          answer)


def lost_answers(w):
    step("an answer is lost, the action is done")
    def lost(action, call, **arguments):
        w.faults({"action": action, "kind": "lose"})
        try:
            call(**arguments)
            check(False, f"the answer of {action} was to be lost")
        except (botocore.exceptions.ConnectionClosedError, botocore.exceptions.HTTPClientError):
            pass
    lost("CreateSecurityGroup", w.ec2.create_security_group, GroupName="lost", Description="d")
    refused("InvalidGroup.Duplicate", w.ec2.create_security_group, GroupName="lost", Description="d")
    lost("AllocateAddress", w.ec2.allocate_address)
    left = w.ec2.describe_addresses()["Addresses"]
    check(len(left) == 1, "one address", str(left))
    w.ec2.release_address(AllocationId=left[0]["AllocationId"])
    lost("RunInstances", w.run, ClientToken="once")
    again = w.run(ClientToken="once")["Instances"][0]["InstanceId"]
    check([i["InstanceId"] for i in w.instances()] == [again], "one instance")
    w.ec2.terminate_instances(InstanceIds=[again])
    w.ec2.delete_security_group(GroupId=w.ec2.describe_security_groups(
        GroupNames=["lost"])["SecurityGroups"][0]["GroupId"])


def capacity(w):
    step("zones without capacity")
    w.faults({"kind": "capacity", "zones": ["sandbox-1a", "sandbox-1b"], "count": 0})
    answer = refused("InsufficientInstanceCapacity", w.run,
                     Placement={"AvailabilityZone": "sandbox-1a"})
    check(answer["ResponseMetadata"]["HTTPStatusCode"] == 500, "status 500", answer)
    one = w.run()["Instances"][0]
    check(one["Placement"]["AvailabilityZone"] == "sandbox-1c", "one that has it, when none is named",
          str(one))
    w.await_state(one["InstanceId"], "running")
    w.ec2.stop_instances(InstanceIds=[one["InstanceId"]])
    w.await_state(one["InstanceId"], "stopped")
    w.faults({"action": "StartInstances", "kind": "capacity"})
    refused("InsufficientInstanceCapacity", w.ec2.start_instances, InstanceIds=[one["InstanceId"]])
    w.ec2.start_instances(InstanceIds=[one["InstanceId"]])
    w.await_state(one["InstanceId"], "running")
    return one["InstanceId"]


def transitions(w, one):
    step("slow transitions, and one that fails")
    w.faults({"kind": "slow", "state": "stopping", "ms": 1500},
             {"kind": "slow", "state": "pending", "ms": 2500},
             {"kind": "slow", "state": "shutting-down", "ms": 1500})

    def takes(call, during, until):
        started = time.monotonic()
        call(InstanceIds=[one])
        check(w.state(one) == during, f"{during} for a while", w.state(one))
        w.await_state(one, until)
        return time.monotonic() - started
    check(takes(w.ec2.stop_instances, "stopping", "stopped") > 1.4, "a slow stop")
    check(takes(w.ec2.start_instances, "pending", "running") > 2.4, "a slow start")
    check(takes(w.ec2.terminate_instances, "shutting-down", "terminated") > 1.4, "a slow end")
    code = "Server.InsufficientInstanceCapacity"
    w.faults({"kind": "fail", "state": "pending", "code": code, "message": f"{code}: none left"})
    failed = w.run()["Instances"][0]["InstanceId"]
    w.await_state(failed, "terminated")
    reason = w.instances(InstanceIds=[failed])[0]["StateReason"]
    check(reason == {"Code": code, "Message": f"{code}: none left"}, "why", reason)
    two = w.run()["Instances"][0]["InstanceId"]
    w.await_state(two, "running")
    w.ec2.stop_instances(InstanceIds=[two])
    w.await_state(two, "stopped")
    w.faults({"kind": "fail", "state": "pending"})
    w.ec2.start_instances(InstanceIds=[two])
    w.await_state(two, "stopped")
    reason = w.instances(InstanceIds=[two])[0]["StateReason"]
    check(reason["Code"] == "Server.InternalError", "a start that fails stops", reason)
    w.ec2.terminate_instances(InstanceIds=[two])


def not_seen_yet(w, public_key):
    step("what was made just now is not seen yet")
    w.faults({"action": "RunInstances", "kind": "hide", "calls": 2},
             {"action": "CreateSecurityGroup", "kind": "hide", "ms": 700},
             {"action": "ImportKeyPair", "kind": "hide"})
    one = w.run(MinCount=2, MaxCount=2)
    ids = [i["InstanceId"] for i in one["Instances"]]
    for _ in range(2):
        refused("InvalidInstanceID.NotFound", w.ec2.describe_instances, InstanceIds=ids)
    check([i["InstanceId"] for i in w.instances(InstanceIds=ids)] == ids, "then it is, in its place")
    group = w.ec2.create_security_group(GroupName="late", Description="d")["GroupId"]
    names = [g["GroupName"] for g in w.ec2.describe_security_groups()["SecurityGroups"]]
    check(names == ["default"], "nor listed", names)
    refused("InvalidGroup.NotFound", w.run, SecurityGroupIds=[group])
    refused("InvalidGroup.Duplicate", w.ec2.create_security_group, GroupName="late", Description="d")
    wait_for(lambda: len(w.ec2.describe_security_groups()["SecurityGroups"]) == 2, "listed later")
    w.ec2.import_key_pair(KeyName="late", PublicKeyMaterial=public_key)
    refused("InvalidKeyPair.NotFound", w.run, KeyName="late")
    check(w.ec2.describe_key_pairs(KeyNames=["late"])["KeyPairs"][0]["KeyName"] == "late", "a key too")
    w.ec2.terminate_instances(InstanceIds=ids)
    w.ec2.delete_security_group(GroupId=group)
    for instance in ids:
        w.await_state(instance, "terminated")


with Project(sys.argv[1], "") as project:
    world = World(project)
    world.start()
    asking(world)
    permissions(world)
    clocks(world)
    lost_answers(world)
    transitions(world, capacity(world))
    not_seen_yet(world, make_key(project)[1])
    wait_for(lambda: berthlib.leftovers(project.world) == [], "nothing is left")
print("1 passed, 0 failed")
