"""berth against moto when EC2's answers are lost, late, old or refused. Usage: moto_faults_test.py BERTH"""

import json
import re
import sys

from berthlib import Project, changes_of, check, free_port, step
from motolib import SPEC, Moto, actions, memory_of, rules_of

from aws_proxy import Proxy, at, once, refusal

ELEMENTS, WAIT_MAX_KB = 400000, 100 * 1024  # of an answer; of all the answers of a wait


def faults(p, moto, proxy):
    step("lost answers, throttling, old tokens")
    # The answer to a call that a name makes safe is lost: sent again, and found by its tag.
    proxy.after.append(at("CreateSecurityGroup", (0, b"")))
    proxy.after.append(once(at("ImportKeyPair", (0, b""))))
    proxy.faults.append(once(at("ImportKeyPair", refusal("RequestLimitExceeded", status=503))))
    proxy.take()
    result = p.run("apply", "-auto-approve", check_code=None)
    check(result.returncode != 0 and "CreateSecurityGroup" in result.stderr, "said", result.stderr)
    sent = actions(proxy.take())
    proxy.after.clear()
    check(sent.count("CreateSecurityGroup") >= 3, "as often as AWS's SDKs", sent)
    check(sent.count("ImportKeyPair") >= 3, "throttled, then lost: sent again", sent)
    check(len(moto.keys()) == 1, "one key pair", str(moto.keys()))
    check("RunInstances" not in sent, "what depends on it was not started", sent)
    # The next run looks before EC2 shows them, and finds that they exist when it makes them.
    for what in ("KeyPairs", "SecurityGroups"):
        nothing = f"<Describe{what}Response/>".encode()
        proxy.faults.append(once(at(f"Describe{what}", (200, nothing))))
    proxy.faults.append(once(at("RunInstances", refusal("InvalidGroup.NotFound"))))
    p.apply()
    check(len(rules_of(moto.groups()[0])) == 2, "with its rules", moto.groups())
    sent = [c for c in proxy.take() if c.action == "RunInstances"]
    check(len(sent) == 2 and sent[0].body == sent[1].body, "asked again while EC2 settles", sent)
    check(len(moto.groups()) == len(moto.instances()) == len(moto.keys()) == 1, "one of each",
          str(moto.groups()))
    # The rule is there already; the other one must be sent all the same.
    group = moto.groups()[0]["GroupId"]
    p.edit_spec("203.0.113.7/32", "203.0.113.8/32, 203.0.113.9/32")
    proxy.faults.append(once(at("AuthorizeSecurityGroupIngress",
                                refusal("InvalidPermission.Duplicate"))))
    p.apply()
    check(len(rules_of(next(g for g in moto.groups() if g["GroupId"] == group))) == 3, "all rules")
    check(p.plan() == {}, "nothing left to do")
    # A token that outlived its instance is replaced by a new one, and only then.
    moto.ec2.terminate_instances(InstanceIds=[moto.instances()[0]["InstanceId"]])
    proxy.faults.append(once(at("RunInstances", refusal("IdempotentInstanceTerminated"))))
    proxy.take()
    p.apply()
    sent = [c.form["ClientToken"] for c in proxy.take() if c.action == "RunInstances"]
    check(len(set(sent)) == 2, "a new token", sent)
    check(len(moto.instances()) == 1 and p.plan() == {}, "one server, nothing left to do")


def siblings(p, moto, proxy):
    step("one of two of a launch has its record, the other ended before it got one")
    p.edit_spec("count: 1", "count: 3")
    p.apply()
    token = next(c for c in proxy.take() if c.action == "RunInstances").form["ClientToken"]
    path = p.dir / ".berth" / "moto" / "state.json"
    state = json.loads(path.read_text())
    entry = next(n for n in state["nodes"] if n["address"] == "server[2]")
    check(entry["token"] == token, "one token for the launch", entry)
    moto.ec2.terminate_instances(InstanceIds=[entry.pop("id")])
    entry["status"] = "pending"
    del entry["attributes"]
    path.write_text(json.dumps(state))

    def with_token(call):  # moto does not tell it
        if call.action != "DescribeInstances":
            return None
        return 200, proxy.pass_on(call)[1].replace(
            b"<amiLaunchIndex>", f"<clientToken>{token}</clientToken><amiLaunchIndex>".encode())
    proxy.faults += [with_token, lambda call: refusal("IdempotentParameterMismatch")
                     if call.form.get("ClientToken") == token else None]
    p.apply()
    proxy.faults.clear()
    sent = [c.form["ClientToken"] for c in proxy.take() if c.action == "RunInstances"]
    check(len(sent) == 2 and sent[0] == token != sent[1], "a new token", sent)
    check(len(moto.instances()) == 3 and p.plan() == {}, "three servers, nothing left to do")
    p.edit_spec("count: 3", "count: 1")
    p.apply()


def settling(p, moto, proxy):
    step("EC2 does not show at once what was made")
    nothing = b"<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>"
    moto.ec2.terminate_instances(InstanceIds=[moto.instances()[0]["InstanceId"]])
    launched = []
    proxy.faults.append(lambda call: launched.append(call) if call.action == "RunInstances" else
                        refusal("UnauthorizedOperation", status=403)
                        if launched and call.action == "DescribeInstances" else None)
    result = p.run("apply", "-auto-approve", check_code=None)
    check(launched and "UnauthorizedOperation" in result.stderr, "cut after the launch",
          result.stderr)
    proxy.faults.clear()
    made = moto.instances()[0]["InstanceId"]
    unseen = [once(at("DescribeInstances", (200, nothing))) for _ in range(3)]
    proxy.faults.extend(unseen)
    check(p.plan() == {}, "asked for again, not made again")
    proxy.faults.clear()

    def comes(call):  # starting still, and without its public address
        if call.action != "DescribeInstances":
            return None
        body = proxy.pass_on(call)[1].replace(b"<name>running</name>", b"<name>pending</name>")
        return 200, re.sub(rb"<ipAddress>.*?</ipAddress>", b"", body)
    proxy.faults.append(once(comes))
    plan = p.plan()
    check(set(changes_of(plan, "server[0]")) == {"power"}, "waits for it", plan)
    proxy.faults[:] = [once(comes)]
    proxy.take()
    p.apply()
    done = [a for a in actions(proxy.take()) if not a.startswith(("Describe", "Get"))]
    check(done == [], "and for nothing else", done)
    check([i["InstanceId"] for i in moto.instances()] == [made], "the same server")
    # What is seen just after a start may be what was before it; later it is the answer.
    started = []

    def no_capacity(call):
        if call.action == "StartInstances":
            started.append(call)
        if call.action != "DescribeInstances" or not started:
            return None
        body = proxy.pass_on(call)[1].replace(b"<name>running</name>", b"<name>stopped</name>")
        reason = (b"<stateReason><code>Server.InsufficientInstanceCapacity</code>"
                  b"<message>none left</message></stateReason><imageId>")
        body = re.sub(rb"(?s)<stateReason>.*?</stateReason>", b"", body)
        return 200, body.replace(b"<imageId>", b"<x/>" * ELEMENTS + reason)
    moto.ec2.stop_instances(InstanceIds=[made])
    proxy.faults[:] = [once(no_capacity)]
    p.apply()
    moto.ec2.stop_instances(InstanceIds=[made])
    started.clear()
    proxy.faults[:] = [no_capacity]
    peak, said = memory_of(p, proxy.url, "apply", "-auto-approve")
    check("none left" in said and "Server.InsufficientInstanceCapacity" in said,
          "why it did not start", said)
    check(peak < WAIT_MAX_KB, f"a wait that keeps its answers: {peak} KB")
    proxy.faults.clear()
    check("public_ip" in json.dumps(p.state()), "with its address", p.state())
    check(p.plan() == {}, "nothing left to do")


def unreadable(p, moto, proxy):
    step("what may not be read is unknown, the rest is planned")
    denied = at("DescribeKeyPairs", refusal("UnauthorizedOperation", status=403))
    proxy.faults.append(denied)
    result = p.run("plan", "-json", "-detailed-exitcode", check_code=None)
    proxy.faults.remove(denied)
    plan = {c["address"]: c["action"] for c in json.loads(result.stdout)["changes"]}
    check(plan["key_pair"] == "unknown" and plan["access"] == "no-op", "only this one", plan)
    denied = at("DescribeVolumes", refusal("UnauthorizedOperation", status=403))
    proxy.faults.append(denied)
    check(p.plan() == {}, "disks are as remembered, servers are read")
    proxy.faults.remove(denied)
    denied = at("GetParameters", refusal("AccessDeniedException", status=400))
    proxy.faults.append(denied)
    check(p.plan() == {}, "the servers are there: no AMI is needed")
    proxy.faults.remove(denied)
    down = {"AWS_ENDPOINT_URL_SSM": f"http://127.0.0.1:{free_port()}", "AWS_MAX_ATTEMPTS": "1"}
    p.run("plan", "-detailed-exitcode", env=down)
    p.edit_spec("count: 1", "count: 2")
    result = p.run("plan", "-json", "-detailed-exitcode", check_code=2, env=down)
    plan = {c["address"]: c["action"] for c in json.loads(result.stdout)["changes"]}
    check(plan["server[0]"] == "no-op" and plan["server[1]"] == "unknown", "but here it is", plan)
    result = p.run("plan", env=down)
    check(down["AWS_ENDPOINT_URL_SSM"] in result.stdout + result.stderr, "which was down",
          result.stdout, result.stderr)
    p.edit_spec("count: 2", "count: 1")
    portal = (200, b"<html><body>Log in to the hotel's network</body></html>")
    proxy.faults.append(at("DescribeInstances", portal))
    result = p.run("plan", check_code=1)
    check("not AWS's" in result.stderr and proxy.url in result.stderr, "who answered", result.stderr)
    proxy.faults.clear()
    step("a key pair of the same name that is somebody else's")
    with Project(sys.argv[1], SPEC.replace("name: moto", "name: other"), sandbox=False) as q:
        q.env.update(p.env)
        moto.ec2.create_key_pair(KeyName="berth-other")
        result = q.run("plan", check_code=1)
        check("berth-other" in result.stdout + result.stderr, "named", result.stdout, result.stderr)
        moto.ec2.delete_key_pair(KeyName="berth-other")
        q.edit_spec("amazon-linux-2023", "debian-12")
        result = q.run("plan", check_code=None)
        check("no AMI is published for debian-12" in result.stdout + result.stderr,
              "an image that is not there", result.stdout, result.stderr)
        q.edit_spec("debian-12", "deep-learning-ubuntu-24.04")
        q.edit_spec("t3.small", "t4g.small")
        result = q.run("plan", check_code=None)
        check("not published for the processors of t4g.small" in result.stdout + result.stderr,
              "said in the plan, before anything is made", result.stdout, result.stderr)


with Moto() as moto, Proxy(moto.url, moto.secret) as proxy, \
        Project(sys.argv[1], SPEC, sandbox=False) as p:
    moto.log_in(p, proxy.url)
    faults(p, moto, proxy)
    siblings(p, moto, proxy)
    settling(p, moto, proxy)
    unreadable(p, moto, proxy)
    step("and a destroy where all is well")
    p.run("destroy", "-auto-approve")
    check(not moto.instances() and not moto.groups(), "nothing is left")
    check(not moto.keys(), "no key", moto.keys())
print("good", flush=True)
