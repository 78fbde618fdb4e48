"""Each field of a server and of what belongs to it, against moto: changed in the spec, the plan shows that
field alone, apply makes it so, the next plan is empty; changed by boto3, it is drift, and mended.
Usage: ec2_fields_test.py BERTH"""

import json
import sys

from berthlib import Project, changes_of, check, step
from aws_proxy import Proxy, at, once, refusal
from motolib import Moto, actions, tags

SPEC = """berth: 1
name: fields
provider: ec2
region: us-east-1
server:
  image: amazon-linux-2023
  type: t3.small
  disk: { size: 10 GiB, type: gp2 }
access: { ssh: 203.0.113.7/32 }
"""


def only(p, address, *fields, why="spec", action="update"):
    """The plan changes this one thing, in these fields; how it is shown."""
    plan = p.plan()
    check(set(plan) == {address}, f"{address} alone", plan)
    check(plan[address]["action"] == action, action, plan)
    check(changes_of(plan, address) == {f: why for f in fields}, f"{fields} by {why}", plan)
    return p.run("plan").stdout


def settle(p, proxy):
    """Applies, and the next plan is empty; the calls that changed something."""
    proxy.take()
    p.apply()
    calls = [c for c in proxy.take() if not c.action.startswith(("Describe", "Get"))]
    check(p.plan() == {}, "then nothing is left to do", p.plan())
    return calls


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


def main():
    with Moto() as moto, Proxy(moto.url, moto.secret) as proxy, \
            Project(sys.argv[1], SPEC, sandbox=False) as p:
        for name in list(p.env):
            if name.startswith("AWS_"):
                del p.env[name]
        p.env.update(AWS_ACCESS_KEY_ID=moto.key, AWS_SECRET_ACCESS_KEY=moto.secret,
                     AWS_ENDPOINT_URL=proxy.url, HOME=str(p.root))
        p.apply()
        check(p.plan() == {}, "the first apply leaves nothing to do")
        disk(p, moto, proxy)
        own_tags(p, moto, proxy)
        p.run("destroy", "-auto-approve")
        check(not moto.instances() and not moto.groups() and not moto.keys(), "nothing is left")
    print("good", flush=True)


main()
