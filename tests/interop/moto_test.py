"""berth against moto, an EC2 that others wrote, with its signature checks on; boto3 is the judge, and
botocore's signer of every single request. moto_faults_test.py and moto_keys_test.py have the rest.
Usage: moto_test.py BERTH"""

import json
import pathlib
import re
import shutil
import sys
import tempfile
import time

from berthlib import Project, changes_of, check, free_port, step
from motolib import SPEC, Moto, actions, memory_of, public_half, rules_of, tags

import botocore.exceptions
from aws_proxy import Proxy, at, once, refusal

MEMORY_MAX_KB, PLAN_MAX_S, PLAN_MAX_CALLS = 15 * 1024, 0.060, 4


def forget_answers(p):
    """As if the day were over: what AWS answered is asked anew."""
    shutil.rmtree(p.root / ".cache", ignore_errors=True)


def bad_input(p, moto, proxy):
    step("what wrong credentials and endpoints get")
    result = p.run("plan", check_code=1, env={"AWS_SECRET_ACCESS_KEY": "wrong"})
    check("(credentials from the environment)" in result.stderr, "the source", result.stderr)
    check("SignatureDoesNotMatch" in result.stderr or "AuthFailure" in result.stderr,
          "AWS's own code", result.stderr)
    proxy.take_unchecked()
    result = p.run("plan", check_code=1, env={"AWS_ACCESS_KEY_ID": "AKIAXXXXXXXXXXXXXXXX"})
    check("(credentials from the environment)" in result.stderr, "the source", result.stderr)
    proxy.take_unchecked()
    with tempfile.TemporaryDirectory() as home:
        alone = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "HOME": home}
        result = p.run("plan", check_code=1, env=alone)
        check("no AWS credentials" in result.stderr and home in result.stderr, "where was looked",
              result.stderr)
        check(not proxy.take(), "nothing was sent without credentials")
        folder = pathlib.Path(home) / ".aws"
        folder.mkdir()
        (folder / "credentials").write_text(
            f"[research]\naws_access_key_id = {moto.key}\naws_secret_access_key = {moto.secret}\n")
        p.run("plan", env=dict(alone, AWS_PROFILE="research"))
        check(proxy.take(), "a shared profile works")
        (folder / "config").write_text("[profile sso]\nsso_session = corp\n")
        result = p.run("plan", check_code=1, env=dict(alone, AWS_PROFILE="sso"))
        check("sso-session corp has no sso_start_url" in result.stderr or
              "has no sso_account_id" in result.stderr, "what is missing", result.stderr)
    down = f"http://127.0.0.1:{free_port()}"
    result = p.run("plan", check_code=1, env={"AWS_ENDPOINT_URL": down, "AWS_MAX_ATTEMPTS": "2"})
    check(down in result.stderr and "after 2 tries" in result.stderr, "which endpoint, how often",
          result.stderr)
    check(not (p.dir / ".berth" / "moto" / "id_ed25519").exists(), "nothing was made")


def first_apply(p, moto, proxy):
    step("the first apply, seen by boto3")
    plan = p.plan()
    check(set(plan) == {"key_pair", "access", "server[0]"}, "three to make", plan)
    calls = proxy.take()
    check(sorted(actions(calls)) == ["DescribeAddresses", "DescribeInstanceTypeOfferings",
                                     "DescribeInstances", "DescribeKeyPairs",
                                     "DescribeSecurityGroups", "DescribeVolumes", "GetParameters"],
          "two of them for what a lost state may have left",
          actions(calls))
    start = time.monotonic()
    p.apply()
    print(f"first apply: {time.monotonic() - start:.3f} s", flush=True)
    calls = proxy.take()
    check(actions(calls).count("RunInstances") == 1, "one launch", actions(calls))
    launch = next(c for c in calls if c.action == "RunInstances")
    key, group, instance = moto.keys()[0], moto.groups()[0], moto.instances()[0]
    check(len(moto.keys()) == len(moto.groups()) == len(moto.instances()) == 1, "one of each")
    for thing, node in ((key, "key_pair"), (group, "access"), (instance, "server")):
        check(tags(thing)["berth:name"] == "moto" and tags(thing)["berth:node"] == node,
              "tags", tags(thing))
    check(tags(instance)["team"] == "growth" and tags(instance)["Name"] == "moto", "tags")
    check(rules_of(group) == ["tcp 22-22 2001:db8::/64", "tcp 22-22 203.0.113.7/32"],
          "only these may come in", group)
    check(instance["MetadataOptions"]["HttpTokens"] == "required", "IMDSv2", instance)
    check(instance["InstanceType"] == "t3.small" and instance["KeyName"] == "berth-moto", "as asked")
    check([g["GroupId"] for g in instance["SecurityGroups"]] == [group["GroupId"]], "its group")
    volume = moto.ec2.describe_volumes()["Volumes"][0]
    check(volume["Encrypted"] and volume["Size"] == 30, "the disk", str(volume))
    check(0 < len(launch.form["ClientToken"]) <= 64, "the token", launch.form["ClientToken"])
    specs = {launch.form[f"TagSpecification.{i}.ResourceType"] for i in (1, 2, 3)}
    check(specs == {"instance", "volume", "network-interface"}, "tagged by the launch", specs)
    keys_are_good(p, key, launch)
    check(moto.secret not in p.run("show", "-json").stdout, "no secret in the state")


def keys_are_good(p, key, launch):
    """ssh-keygen reads both private keys that berth wrote, and agrees on the public halves."""
    public = public_half(p.dir / ".berth" / "moto" / "id_ed25519")
    check(public == key["PublicKey"].split()[:2], "EC2 has its public half", public, str(key))
    host = re.search(r"ed25519_private: \|\n((?:    .*\n)+)  ed25519_public: (.*)\n",
                     launch.user_data)
    check(launch.user_data.startswith("#cloud-config\n") and host is not None, "user data",
          launch.user_data)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "key"
        path.write_text(re.sub("(?m)^    ", "", host.group(1)))
        path.chmod(0o600)
        public = public_half(path)
    check(public == host.group(2).split()[:2], "the host key's halves", public, host.group(2))
    state = json.dumps(p.state())
    check(public[1] in state, "the expected host key is in the state")
    check("PRIVATE KEY" not in state, "and no private one")


def no_changes(p, proxy, figures):
    step("an empty plan, what it costs")
    best = 1e9
    for _ in range(5):
        proxy.take()
        p.run("plan", "-detailed-exitcode")
        check(len(proxy.take()) <= PLAN_MAX_CALLS, f"at most {PLAN_MAX_CALLS} calls")
    for _ in range(10):  # straight at moto: the proxy's own time is not berth's
        start = time.monotonic()
        p.run("plan", "-detailed-exitcode", env={"AWS_ENDPOINT_URL": figures["direct"]})
        best = min(best, time.monotonic() - start)
    peak, _ = memory_of(p, figures["direct"], "plan")
    print(f"no-op plan: {best * 1000:.0f} ms, {peak / 1024:.1f} MB", flush=True)
    check(peak <= MEMORY_MAX_KB, f"peak memory {peak} KB")
    if best > PLAN_MAX_S:  # a figure, not a verdict: the machine may be busy
        print(f"note: over {PLAN_MAX_S * 1000:.0f} ms on this machine, now", flush=True)


def drift(p, moto, proxy):
    step("drift of every field, shown and mended")
    group, instance = moto.groups()[0]["GroupId"], moto.instances()[0]["InstanceId"]
    rule = dict(IpProtocol="tcp", FromPort=22, ToPort=22)
    moto.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[
        dict(IpProtocol="tcp", FromPort=3389, ToPort=3390,
             IpRanges=[dict(CidrIp="0.0.0.0/0")])])
    moto.ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[
        dict(rule, IpRanges=[dict(CidrIp="203.0.113.7/32")])])
    moto.ec2.create_tags(Resources=[instance], Tags=[dict(Key="team", Value="other"),
                                                     dict(Key="extra", Value="1")])
    moto.ec2.modify_instance_metadata_options(InstanceId=instance, HttpTokens="optional",
                                              HttpEndpoint="enabled")
    moto.ec2.stop_instances(InstanceIds=[instance])
    other = moto.ec2.create_security_group(GroupName="other", Description="x")["GroupId"]
    moto.ec2.modify_instance_attribute(InstanceId=instance, Groups=[group, other])
    plan = p.plan()
    check(set(plan) == {"access", "server[0]"}, "these two", plan)
    check(changes_of(plan, "access") == {"rules": "drift"}, "rules", plan["access"])
    check(set(changes_of(plan, "server[0]")) == {"tags", "imds", "power", "group"}, "fields",
          plan["server[0]"])
    check(set(changes_of(plan, "server[0]").values()) == {"drift"}, "all of it is drift")
    proxy.take()
    p.apply()
    done = [a for a in actions(proxy.take()) if not a.startswith("Describe")]
    check(done.index("AuthorizeSecurityGroupIngress") < done.index("RevokeSecurityGroupIngress"),
          "let in before shutting out", done)
    now = moto.instances()[0]
    check(now["InstanceId"] == instance and now["State"]["Name"] == "running", "started, not new")
    check(tags(now).get("team") == "growth" and "extra" not in tags(now), "tags", tags(now))
    check(now["MetadataOptions"]["HttpTokens"] == "required", "IMDSv2 again")
    check([g["GroupId"] for g in now["SecurityGroups"]] == [group], "one group again")
    check(len(rules_of(next(g for g in moto.groups() if g["GroupId"] == group))) == 2, "two rules")
    check(p.plan() == {}, "then nothing is left to do")
    moto.ec2.delete_security_group(GroupId=other)


def resize_and_scale(p, moto, proxy):
    step("another type in place; count 1, 3, 1")
    first = moto.instances()[0]["InstanceId"]
    p.edit_spec("t3.small", "t3.medium")
    plan = p.plan()
    check(plan["server[0]"]["action"] == "stop-update-start", "stops for it", plan)
    proxy.take()
    p.apply()
    done = [a for a in actions(proxy.take()) if not a.startswith("Describe") and a != "GetParameters"]
    check(done == ["StopInstances", "ModifyInstanceAttribute", "StartInstances"], "in order", done)
    check(moto.instances()[0]["InstanceType"] == "t3.medium", "the type")
    p.edit_spec("t3.medium", "t4g.medium")
    result = p.run("apply", "-auto-approve", check_code=None)
    check("processors of t4g.medium" in result.stderr, "an x86 disk does not boot on ARM",
          result.stderr)
    check("StopInstances" not in actions(proxy.take()), "and nothing stopped for it")
    p.edit_spec("t4g.medium", "t3.medium")
    p.edit_spec("count: 1", "count: 3")
    p.apply()
    launches = [c for c in proxy.take() if c.action == "RunInstances"]
    check(len(launches) == 1 and launches[0].form["MinCount"] == "2" == launches[0].form["MaxCount"],
          "two more by one launch", [c.form for c in launches])
    check([(tags(i)["berth:index"], i["AmiLaunchIndex"]) for i in moto.instances()] ==
          [("0", 0), ("1", 0), ("1", 1)], "who is who", str(moto.instances()))
    check(p.plan() == {}, "nothing left to do")
    check(len(proxy.take()) <= PLAN_MAX_CALLS, "as many calls for three servers")
    p.edit_spec("count: 3", "count: 1")
    p.apply()
    check(actions(proxy.take()).count("TerminateInstances") == 1, "one call ends both")
    check([i["InstanceId"] for i in moto.instances()] == [first], "the first stayed")


def lost_state(p, moto, proxy):
    step("the state is lost: everything is taken over by its tags")
    before = [i["InstanceId"] for i in moto.instances()]
    for name in ("state.json", "state.json.backup", "journal"):
        (p.dir / ".berth" / "moto" / name).unlink(missing_ok=True)
    first = []

    def repeat(call):  # pages that moved while they were read
        if call.action != "DescribeInstances":
            return None
        if "NextToken" in call.form:
            return 200, first[-1]
        first.append(proxy.pass_on(call)[1])
        return 200, first[-1].replace(b"<reservationSet>", b"<nextToken>x</nextToken><reservationSet>")
    proxy.faults.append(repeat)
    plan = p.plan()
    proxy.faults.remove(repeat)
    check({c["action"] for c in plan.values()} == {"adopt"} and len(plan) == 3, "adopted", plan)
    proxy.take()
    p.apply()
    done = [a for a in actions(proxy.take()) if not a.startswith(("Describe", "Get"))]
    check(done == [], "nothing is made or changed", done)
    check([i["InstanceId"] for i in moto.instances()] == before, "the same servers")
    check(p.plan() == {}, "nothing left to do")
    # What somebody took the tags off is still ours, by its id; a lost state must find it again.
    ids = [*before, moto.groups()[0]["GroupId"], moto.keys()[0]["KeyPairId"]]
    for key in ("berth:name", "berth:lineage", "berth:node"):
        moto.ec2.delete_tags(Resources=ids, Tags=[dict(Key=key)])
        plan = p.plan()
        check({a: changes_of(plan, a) for a in plan} ==
              {a: {"tagged": "drift"} for a in ("server[0]", "access", "key_pair")}, key, plan)
        check({c["action"] for c in plan.values()} == {"update"}, "in place", plan)
        proxy.take()
        p.apply()
        done = [a for a in actions(proxy.take()) if not a.startswith(("Describe", "Get"))]
        check(done == ["CreateTags"] * 3, "nothing but tags", done)
        check(p.plan() == {}, "then nothing is left to do")
    moto.ec2.create_tags(Resources=before, Tags=[dict(Key="berth:index", Value="7")])
    check(changes_of(p.plan(), "server[0]") == {"tagged": "drift"}, "another server's index")
    p.apply()
    check(tags(moto.instances()[0])["berth:index"] == "0" and p.plan() == {}, "is mended")
    lineage = p.state()["lineage"]
    for thing, node in ((moto.keys()[0], "key_pair"), (moto.groups()[0], "access"),
                        (moto.instances()[0], "server")):
        check(tags(thing)["berth:node"] == node and tags(thing)["berth:name"] == "moto" and
              tags(thing)["berth:lineage"] == lineage, "its tags", tags(thing))
    def newer(call):
        return (200, b'{"Parameters":[{"Name":"x","Value":"ami-00000000000000001"}]}') \
            if call.action == "GetParameters" else None
    proxy.faults.append(newer)
    check("newer image" not in p.run("plan").stdout, "an answer of today is good enough")
    forget_answers(p)
    result = p.run("plan", "-v")
    check("a newer image exists: ami-00000000000000001" in result.stdout, "a note of it",
          result.stdout, result.stderr)
    check(p.plan() == {}, "and nothing but a note")
    p.edit_spec("amazon-linux-2023", "debian-12")
    result = p.run("plan")
    check("newer image" not in result.stdout, "another image is no newer one", result.stdout)
    proxy.faults.remove(newer)
    forget_answers(p)
    result = p.run("apply", "-auto-approve", check_code=None)
    check("no AMI is published for debian-12" in result.stderr, "it cannot be replaced",
          result.stderr)
    check([i["InstanceId"] for i in moto.instances()] == before, "so it stays")
    p.edit_spec("debian-12", "amazon-linux-2023")
    check(p.plan() == {}, "as it was")
    step("the private half is lost: a new pair")
    (p.dir / ".berth" / "moto" / "id_ed25519").unlink()
    (p.dir / ".berth" / "moto" / "id_ed25519.pub").unlink()
    result = p.run("plan")
    check("private half is not here" in result.stdout + result.stderr, "said", result.stdout)
    p.apply()
    check(p.plan() == {}, "nothing left to do")
    public = (p.dir / ".berth" / "moto" / "id_ed25519.pub").read_text().split()[:2]
    check(public == moto.keys()[0]["PublicKey"].split()[:2], "EC2 has the new one")
    step("the public half is lost: the same pair")
    private = (p.dir / ".berth" / "moto" / "id_ed25519").read_text()
    (p.dir / ".berth" / "moto" / "id_ed25519.pub").unlink()
    p.apply()
    check(p.plan() == {}, "nothing left to do")
    check((p.dir / ".berth" / "moto" / "id_ed25519").read_text() == private, "not overwritten")
    check(public == moto.keys()[0]["PublicKey"].split()[:2], "EC2 has the same one")


def destroy(p, moto, proxy):
    step("destroy leaves nothing")
    proxy.faults.append(once(at("DeleteSecurityGroup", refusal("DependencyViolation"))))
    # Of two servers one is gone meanwhile: the other is terminated all the same.
    p.edit_spec("count: 1", "count: 2")
    p.apply()
    gone = moto.instances()[1]["InstanceId"]
    missing = refusal("InvalidInstanceID.NotFound", f"The instance ID '{gone}' does not exist")
    proxy.faults.append(lambda call: missing if call.action == "TerminateInstances" and
                        gone in call.form.values() else None)
    proxy.take()
    result = p.run("destroy", "-auto-approve", check_code=3)
    check(gone in result.stdout + result.stderr, "it is there all the same, and that is said",
          result.stdout, result.stderr)
    sent = [c.form.values() for c in proxy.take() if c.action == "TerminateInstances"]
    check(len(sent) > 2 and all(gone in ids for ids in sent[:-1]) and gone not in sent[-1],
          "asked again while EC2 settles, then without the missing one", str(sent))
    left = [i["InstanceId"] for i in moto.instances()]
    check(left == [gone], "the other is terminated", left)
    check(not moto.groups() and not moto.keys(), "no group, no key")
    check(not (p.dir / ".berth" / "moto" / "id_ed25519").exists(), "no private half")


def main():
    berth = sys.argv[1]
    with Moto() as moto, Proxy(moto.url, moto.secret) as proxy, \
            Project(berth, SPEC, sandbox=False) as p:
        moto.log_in(p, proxy.url)
        try:
            moto.client("ec2", moto.key, "wrong").describe_instances()
            check(False, "moto checks signatures")
        except botocore.exceptions.ClientError:
            pass
        p.run("validate")
        bad_input(p, moto, proxy)
        first_apply(p, moto, proxy)
        no_changes(p, proxy, {"direct": moto.url})
        drift(p, moto, proxy)
        resize_and_scale(p, moto, proxy)
        lost_state(p, moto, proxy)
        destroy(p, moto, proxy)
        step("a session token is sent and signed")
        p.run("plan", check_code=None, env={"AWS_SESSION_TOKEN": "FQoGZXIvYXdzEXAMPLE//token+="})
        calls = proxy.take()
        check(calls and all("x-amz-security-token" in c.headers for c in calls), "on every call")
    print("good", flush=True)


main()
