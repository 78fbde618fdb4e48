"""Each field of a server and of what belongs to it, against moto: changed in the spec, the plan shows that
field alone, apply makes it so, the next plan is empty; changed by boto3, it is drift, and mended.
ec2_address_test.py has the elastic address. Usage: ec2_fields_test.py BERTH"""

import sys

from berthlib import Project, changes_of, check, step
from aws_proxy import Proxy, at, once, refusal
from fieldslib import SPEC, only, settle
from motolib import Moto, actions, tags

def root_volume(moto, index=0):
    server = moto.instances()[index]["InstanceId"]
    return moto.ec2.describe_volumes(
        Filters=[dict(Name="attachment.instance-id", Values=[server])])["Volumes"][0]


def disk(p, moto, proxy):
    step("the root disk grows and changes its type in place")
    server = moto.instances()[0]["InstanceId"]
    p.edit_spec("10 GiB", "12 GiB")
    only(p, "server[0]", "disk")
    calls = settle(p, proxy)
    check(actions(calls) == ["ModifyVolume"], "one call", actions(calls))
    check("VolumeType" not in calls[0].form, "the size alone", calls[0].form)
    check(root_volume(moto)["Size"] == 12, "its size", str(root_volume(moto)))
    p.edit_spec("gp2", "gp3")
    only(p, "server[0]", "disk")
    calls = settle(p, proxy)
    check("Size" not in calls[0].form and root_volume(moto)["VolumeType"] == "gp3", "its type",
          calls[0].form)
    step("a disk that was changed by hand is drift")
    moto.ec2.modify_volume(VolumeId=root_volume(moto)["VolumeId"], VolumeType="gp2")
    only(p, "server[0]", "disk", why="drift")
    settle(p, proxy)
    check(root_volume(moto)["VolumeType"] == "gp3", "mended")
    moto.ec2.modify_volume(VolumeId=root_volume(moto)["VolumeId"], Size=20)
    shown = only(p, "server[0]", "disk", why="drift", action="replace")
    check("20 GiB root disk and everything on it" in shown, "what a smaller one would lose", shown)
    p.edit_spec("12 GiB", "20 GiB")
    settle(p, proxy)
    check(moto.instances()[0]["InstanceId"] == server, "it is the same server all along")
    step("what EC2 says to a change that it does not take")
    p.edit_spec("20 GiB", "30 GiB")
    for code, text in (("VolumeModificationRateExceeded", "some hours later"),
                       ("IncorrectModificationState", "optimizes it for hours")):
        proxy.faults.append(at("ModifyVolume", refusal(code)))
        result = p.run("apply", "-auto-approve", check_code=None)
        check(result.returncode != 0 and code in result.stderr and text in result.stderr, code,
              result.stderr)
        proxy.faults.clear()
    failed = (200, b"<DescribeVolumesModificationsResponse><volumeModificationSet><item>"
              b"<modificationState>failed</modificationState><statusMessage>out of luck"
              b"</statusMessage></item></volumeModificationSet></DescribeVolumesModificationsResponse>")
    proxy.faults.append(at("DescribeVolumesModifications", failed))
    proxy.faults.append(at("ModifyVolume", (200, b"<ModifyVolumeResponse/>")))
    result = p.run("apply", "-auto-approve", check_code=None)
    check("out of luck" in result.stderr, "its reason", result.stderr)
    proxy.faults.clear()
    step("it is waited for while it is being modified, and until EC2 shows the change at all")
    pending = (200, failed[1].replace(b"failed", b"modifying"))
    missing = refusal("InvalidVolumeModification.NotFound")
    proxy.faults += [once(at("DescribeVolumesModifications", missing)),
                     once(at("DescribeVolumesModifications", pending))]
    settle(p, proxy)
    check(root_volume(moto)["Size"] == 30, "grown", str(root_volume(moto)))


def all_tags(moto):
    return [tags(t) for t in (moto.keys()[0], moto.groups()[0], moto.instances()[0], root_volume(moto))]


def own_tags(p, moto, proxy):
    step("tags of one's own are on everything, compared and mended")
    everything = {"key_pair", "access", "server[0]"}
    for old, new, want in (("  disk:", "  tags: { team: growth, cost: a }\n  disk:",
                            {"team": "growth", "cost": "a"}),
                           ("{ team: growth, cost: a }", "{ team: b }", {"team": "b"})):
        p.edit_spec(old, new)
        plan = p.plan()
        check({a: changes_of(plan, a) for a in plan} == {a: {"tags": "spec"} for a in everything},
              "tags alone", plan)
        settle(p, proxy)
        for found in all_tags(moto):
            own = {k: v for k, v in found.items() if not k.startswith("berth:") and k != "Name"}
            check(own == want, "these and no others", found)
    group, key = moto.groups()[0]["GroupId"], moto.keys()[0]["KeyPairId"]
    server, volume = moto.instances()[0]["InstanceId"], root_volume(moto)["VolumeId"]
    moto.ec2.create_tags(Resources=[group, key, server], Tags=[dict(Key="team", Value="c")])
    moto.ec2.create_tags(Resources=[server], Tags=[dict(Key="more", Value="d")])
    plan = p.plan()
    check({a: changes_of(plan, a).get("tags") for a in plan} == {a: "drift" for a in everything},
          "drift", plan)
    settle(p, proxy)
    check({t["team"] for t in all_tags(moto)} == {"b"} and "more" not in all_tags(moto)[2], "mended",
          str(all_tags(moto)))
    for key in ("berth:name", "berth:node", "team"):
        moto.ec2.delete_tags(Resources=[volume], Tags=[dict(Key=key)])
        if key == "berth:name":  # then nothing finds it by tag: it is not asked for
            moto.ec2.create_tags(Resources=[volume], Tags=[dict(Key=key, Value="fields")])
            continue
        only(p, "server[0]", "tagged", why="drift")
        settle(p, proxy)
        check(key in tags(root_volume(moto)), "the disk's tag is back", str(root_volume(moto)))
    p.edit_spec("  tags: { team: b }\n", "")
    settle(p, proxy)


def rules(moto):
    """{source: description} of what may come in to port 22; and nothing else may."""
    found = {}
    for permission in moto.groups()[0]["IpPermissions"]:
        check((permission["FromPort"], permission["ToPort"]) == (22, 22), "ssh alone", str(permission))
        for r in permission["IpRanges"] + permission["Ipv6Ranges"]:
            found[r.get("CidrIp", r.get("CidrIpv6"))] = r.get("Description")
    return found


def access(p, moto, proxy):
    step("who may come in: several blocks, of both families, described")
    own = "ssh (kept by berth)"
    check(rules(moto) == {"203.0.113.7/32": own}, "berth's own words", rules(moto))
    p.edit_spec("{ ssh: 203.0.113.7/32 }", """
  ssh:
    - 203.0.113.7/32
    - { cidr: 198.51.100.0/24, description: the office }
    - "2001:db8:1::/48"
    - { cidr: "2001:db8:2::/48", description: "home, IPv6" }""")
    shown = only(p, "access", "rules")
    check("198.51.100.0/24: the office" in shown, "shown", shown)
    calls = settle(p, proxy)
    check(actions(calls) == ["AuthorizeSecurityGroupIngress"], "one call", actions(calls))
    want = {"203.0.113.7/32": own, "198.51.100.0/24": "the office", "2001:db8:1::/48": own,
            "2001:db8:2::/48": "home, IPv6"}
    check(rules(moto) == want, "as asked", rules(moto))
    step("other words for a rule: it is described anew, and never shut out")
    p.edit_spec("the office", "the new office")
    only(p, "access", "rules")
    calls = settle(p, proxy)
    check(actions(calls) == ["UpdateSecurityGroupRuleDescriptionsIngress"], "one call", actions(calls))
    want["198.51.100.0/24"] = "the new office"
    check(rules(moto) == want, "as asked", rules(moto))
    step("drift: other words, one more rule by hand, one less")
    group = moto.groups()[0]["GroupId"]
    ssh = dict(IpProtocol="tcp", FromPort=22, ToPort=22)
    moto.ec2.update_security_group_rule_descriptions_ingress(GroupId=group, IpPermissions=[
        dict(ssh, IpRanges=[dict(CidrIp="198.51.100.0/24", Description="x")])])
    shown = only(p, "access", "rules", why="drift")
    settle(p, proxy)
    check(rules(moto) == want, "mended", rules(moto))
    moto.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[
        dict(IpProtocol="tcp", FromPort=80, ToPort=90, IpRanges=[dict(CidrIp="0.0.0.0/0",
                                                                      Description="by hand")]),
        dict(IpProtocol="-1", UserIdGroupPairs=[dict(GroupId=group)]),
        dict(IpProtocol="icmp", FromPort=-1, ToPort=-1, Ipv6Ranges=[dict(CidrIpv6="::/0")])])
    moto.ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[
        dict(ssh, IpRanges=[dict(CidrIp="203.0.113.7/32")])])
    shown = only(p, "access", "rules", why="drift")
    for text in ("tcp 80-90 0.0.0.0/0", f"all {group}", "icmp -1 ::/0", "tcp 22 203.0.113.7/32"):
        check(text in shown, text, shown)
    calls = settle(p, proxy)
    check(actions(calls) == ["AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress"],
          "let in, then shut out", actions(calls))
    check(rules(moto) == want, "mended", rules(moto))
    step("a group that somebody else uses says who does")
    used = (200, b"<DescribeNetworkInterfacesResponse><networkInterfaceSet><item><networkInterfaceId>"
            b"eni-7</networkInterfaceId><attachment><instanceId>i-7</instanceId></attachment></item>"
            b"</networkInterfaceSet></DescribeNetworkInterfacesResponse>")
    with Project(sys.argv[1], SPEC.replace("name: fields", "name: used"), sandbox=False) as q:
        q.env.update(p.env)
        q.apply()
        proxy.faults += [at("DeleteSecurityGroup", refusal("DependencyViolation")),
                         at("DescribeNetworkInterfaces", used)]
        result = q.run("destroy", "-auto-approve", check_code=None)
        proxy.faults.clear()
        check("eni-7 of i-7 uses it" in result.stderr and "DependencyViolation" in result.stderr,
              "who uses it", result.stderr)
        q.run("destroy", "-auto-approve")
    p.write_spec(SPEC)
    p.edit_spec("10 GiB, type: gp2", "30 GiB, type: gp3")
    settle(p, proxy)


def zones(p, moto, proxy):
    step("a zone that has no room: the next one is tried, with a token of its own")
    with Project(sys.argv[1], SPEC.replace("name: fields", "name: zones"), sandbox=False) as q:
        q.env.update(p.env)
        shown = q.run("plan").stdout
        check("it goes to us-east-1a; without capacity there, to us-east-1b" in shown, "said", shown)
        full = refusal("InsufficientInstanceCapacity", "no room here", status=500)
        proxy.take()
        proxy.faults.append(lambda call: full if call.action == "RunInstances" and
                            call.form["Placement.AvailabilityZone"] in ("us-east-1a", "us-east-1b") else None)
        q.apply()
        launches = [c.form for c in proxy.take() if c.action == "RunInstances"]
        places = [f["Placement.AvailabilityZone"] for f in launches]
        check(places == ["us-east-1a", "us-east-1b", "us-east-1c"], "one after the other", places)
        check(len({f["ClientToken"] for f in launches}) == 3, "a token each", str(launches))
        made = next(i for i in moto.instances() if tags(i)["berth:name"] == "zones")
        check(made["Placement"]["AvailabilityZone"] == "us-east-1c", "there", str(made))
        check(q.plan() == {}, "nothing to do")
        step("a run that was cut asks again for the same to the byte, in the zone that it was in")
        q.edit_spec("type: t3.small", "type: t3.small\n  count: 2")
        proxy.after.append(at("RunInstances", (0, b"")))
        q.run("apply", "-auto-approve", check_code=None)
        proxy.after.clear()
        first = [c.form for c in proxy.take() if c.action == "RunInstances"][-1]
        check(first["Placement.AvailabilityZone"] == "us-east-1c", "the last one tried", first)
        lost = [i["InstanceId"] for i in moto.instances() if tags(i)["berth:index"] == "1"]
        moto.ec2.terminate_instances(InstanceIds=lost)
        q.apply()
        again = [c.form for c in proxy.take() if c.action == "RunInstances"][0]
        check(again == first, "the same request", str(first), str(again))
        check(q.plan() == {}, "nothing to do")
        step("none has room: which ones were tried")
        q.edit_spec("count: 2", "count: 3")
        proxy.faults[:] = [at("RunInstances", full)]
        result = q.run("apply", "-auto-approve", check_code=None)
        proxy.faults.clear()
        check("tried us-east-1a, us-east-1b, us-east-1c" in result.stderr and
              "InsufficientInstanceCapacity" in result.stderr, "said", result.stderr)
        q.edit_spec("count: 3", "count: 2")
        q.apply()
        step("a type that there is not, or not where the server is")
        q.edit_spec("t3.small", "t3.smal")
        result = q.run("plan", check_code=None)
        said = result.stdout + result.stderr
        check("us-east-1 has no instance type t3.smal" in said and "did you mean t3.small?" in said,
              "at plan time", said)
        result = q.run("apply", "-auto-approve", check_code=None)
        check(result.returncode != 0 and "StopInstances" not in actions(proxy.take()), "and not stopped for it")
        q.edit_spec("t3.smal", "t3.medium")
        elsewhere = (200, b"<DescribeInstanceTypeOfferingsResponse><instanceTypeOfferingSet><item>"
                     b"<location>us-east-1f</location></item></instanceTypeOfferingSet>"
                     b"</DescribeInstanceTypeOfferingsResponse>")
        proxy.faults.append(at("DescribeInstanceTypeOfferings", elsewhere))
        result = q.run("plan", check_code=None)
        said = result.stdout + result.stderr
        check("t3.medium is not offered in us-east-1c, where it is" in said, "said", said)
        proxy.faults[:] = [at("DescribeInstanceTypeOfferings", refusal("UnauthorizedOperation", status=403))]
        q.edit_spec("count: 2", "count: 3")
        q.apply()  # EC2 chooses where nobody may ask
        proxy.faults.clear()
        check(q.plan() == {}, "nothing to do")
        q.run("destroy", "-auto-approve")


def profile(p, moto, proxy):
    step("an instance profile: given, changed, taken away, and its drift")
    iam = moto.client("iam", moto.key, moto.secret)
    for name in ("readers", "writers"):
        iam.create_instance_profile(InstanceProfileName=name, Path="/team/")

    def now():
        return moto.instances()[0].get("IamInstanceProfile", {}).get("Arn", "").split("/")[-1]
    p.edit_spec("  type: t3.small", "  type: t3.small\n  iam_profile: readers")
    only(p, "server[0]", "iam_profile")
    settle(p, proxy)
    check(now() == "readers", "given", now())
    p.edit_spec("readers", "writers")
    only(p, "server[0]", "iam_profile")
    proxy.take()
    p.apply()
    check("ReplaceIamInstanceProfileAssociation" in actions(proxy.take()), "in place of the other")
    # moto keeps the old one with the instance then: its own list is asked.
    [association] = moto.ec2.describe_iam_instance_profile_associations()["IamInstanceProfileAssociations"]
    check(association["IamInstanceProfile"]["Arn"].endswith("/writers"), "changed", str(association))
    moto.ec2.disassociate_iam_instance_profile(AssociationId=association["AssociationId"])
    only(p, "server[0]", "iam_profile", why="drift")
    settle(p, proxy)
    check(now() == "writers", "mended", now())
    p.edit_spec("\n  iam_profile: writers", "")
    only(p, "server[0]", "iam_profile")
    settle(p, proxy)
    check(now() == "", "taken away", now())


def subnet(p, moto, proxy):
    step("a subnet: its VPC is the group's, an unknown one is said in the plan")
    vpc = moto.ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    ours, other = [moto.ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.7.{i}.0/24")["Subnet"]["SubnetId"]
                   for i in (1, 2)]
    away = moto.ec2.describe_subnets(Filters=[dict(Name="default-for-az", Values=["true"])])["Subnets"][0]
    iam = moto.client("iam", moto.key, moto.secret)
    iam.create_instance_profile(InstanceProfileName="born")
    spec = SPEC.replace("name: fields", "name: subnet").replace(
        "  type: t3.small", f"  type: t3.small\n  iam_profile: born\n  subnet: {ours}")
    with Project(sys.argv[1], spec.replace(ours, "subnet-00000000"), sandbox=False) as q:
        q.env.update(p.env)
        result = q.run("plan", check_code=None)
        said = result.stdout + result.stderr
        check("there is no subnet subnet-00000000 in us-east-1" in said, "at plan time", said)
        q.write_spec(spec)
        q.apply()
        made = next(i for i in moto.instances() if tags(i)["berth:name"] == "subnet")
        check(made["SubnetId"] == ours and made["VpcId"] == vpc, "there", str(made))
        check(made["IamInstanceProfile"]["Arn"].endswith("/born"), "born with its profile", str(made))
        check(q.plan() == {}, "nothing to do")
        proxy.take()
        q.plan()
        check("DescribeSubnets" not in actions(proxy.take()), "nor to ask")
        q.edit_spec(ours, other)
        shown = only(q, "server[0]", "subnet", action="replace")
        check("root disk and everything on it" in shown, "what is lost", shown)
        settle(q, proxy)
        q.edit_spec(other, away["SubnetId"])
        result = q.run("plan", check_code=None)
        said = " ".join((result.stdout + result.stderr).split())
        check(f"{away['SubnetId']} is in {away['VpcId']}, and the security group" in said and vpc in said,
              "another VPC", said)
        q.edit_spec(away["SubnetId"], other)
        check(q.plan() == {}, "nothing to do")
        q.run("destroy", "-auto-approve")


def main():
    with Moto() as moto, Proxy(moto.url, moto.secret) as proxy, \
            Project(sys.argv[1], SPEC, sandbox=False) as p:
        moto.log_in(p, proxy.url)
        p.apply()
        check(p.plan() == {}, "the first apply leaves nothing to do")
        disk(p, moto, proxy)
        own_tags(p, moto, proxy)
        access(p, moto, proxy)
        profile(p, moto, proxy)
        subnet(p, moto, proxy)
        zones(p, moto, proxy)
        p.run("destroy", "-auto-approve")
        check(not moto.instances() and not moto.groups() and not moto.keys(), "nothing is left")
    print("good", flush=True)


main()
