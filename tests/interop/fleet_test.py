"""Fleets against moto: how many calls a plan, an apply and a destroy make, to the last one. Waits for servers
(DescribeInstances by id) are not counted. Usage: fleet_test.py BERTH"""

import sys

from berthlib import Project, changes_of, check, step
from aws_proxy import Proxy, refusal
from motolib import Moto, actions, tags

SPEC = """berth: 1
name: fleet
provider: ec2
region: us-east-1
server:
  image: amazon-linux-2023
  type: t3.small
  count: 1
access: { ssh: 203.0.113.7/32 }
"""
COUNT = 1000


def taken(proxy):
    """What was called since the last time, without the waits, in order of names."""
    calls = [c for c in proxy.take()
             if not (c.action == "DescribeInstances" and "InstanceId.1" in c.form)]
    return sorted(actions(calls))


def same(found, want, text):
    check(found == sorted(want), text, f"made   {found}", f"wanted {sorted(want)}")


LOOK = ["DescribeInstances", "DescribeKeyPairs", "DescribeSecurityGroups", "DescribeVolumes"]
FIRST_LOOK = LOOK + ["DescribeAddresses", "DescribeInstanceTypeOfferings", "GetParameters"]


def made(p, moto, proxy, count):
    step(f"{count}: the first apply, and a plan that has nothing to do")
    p.edit_spec("count: 1\n", f"count: {count}\n")
    proxy.take()
    p.apply()
    same(taken(proxy), FIRST_LOOK + ["ImportKeyPair", "CreateSecurityGroup", "DescribeImages",
                                     "AuthorizeSecurityGroupIngress", "RunInstances"], "an apply")
    check(len(moto.instances()) == count, "all of them")
    proxy.take()
    check(p.plan() == {}, "nothing to do")
    same(taken(proxy), LOOK, "an empty plan")


def power(p, moto, proxy, count):
    step(f"{count}: stopped in the console, started by one call")
    ids = [i["InstanceId"] for i in moto.instances()]
    moto.ec2.stop_instances(InstanceIds=ids)
    plan = p.plan()
    check({str(changes_of(plan, a)) for a in plan} == {"{'power': 'drift'}"} and len(plan) == count,
          "drift of each", str(plan)[:2000])
    taken(proxy)
    p.apply()
    same(taken(proxy), LOOK + ["StartInstances"], "one call")
    check({i["State"]["Name"] for i in moto.instances()} == {"running"}, "all run")
    p.run("stop", "-auto-approve")
    check(taken(proxy).count("StopInstances") == 1, "one call for berth stop")
    check({i["State"]["Name"] for i in moto.instances()} == {"stopped"}, "all are stopped")
    p.run("start")
    check(taken(proxy).count("StartInstances") == 1, "one call for berth start")
    if count == 1:
        return
    chosen(p, moto, proxy, count)
    step(f"{count}: one that EC2 will not start does not hold back the others")
    p.run("stop", "-auto-approve")
    refused = refusal("IncorrectSpotRequestState", f"not {ids[0]}")
    proxy.faults.append(lambda call: refused if call.action == "StartInstances" and
                        ids[0] in call.form.values() else None)
    result = p.run("start", check_code=None)
    proxy.faults.clear()
    check(result.returncode != 0 and "spot capacity" in result.stderr, "why", result.stderr)
    states = [i["State"]["Name"] for i in moto.instances()]
    check(states == ["stopped"] + ["running"] * (count - 1), "the others run", states)
    p.run("start")
    proxy.take()


def chosen(p, moto, proxy, count):
    step(f"{count}: some of them stopped and started by name; plan and apply leave them so")

    def stopped():
        """By their place in the fleet."""
        return [n for n, i in enumerate(order) if states()[i] == "stopped"]

    def states():
        return {i["InstanceId"]: i["State"]["Name"] for i in moto.instances()}

    nodes = {n["address"]: n["id"] for n in p.state()["nodes"]}
    order = [nodes[f"server[{n}]"] for n in range(count)]
    p.run("stop", "server[1]", "3..5", "-auto-approve")
    check(stopped() == [1, 3, 4, 5], "those that were named", stopped())
    check(p.plan() == {}, "wanted so, each by itself")
    p.apply()
    p.run("start", "4")
    check(stopped() == [1, 3, 5], "one of them again", stopped())
    said = p.run("stop", f"server[{count}]", "-auto-approve", check_code=1).stderr
    check(f"server[{count}]" in said and stopped() == [1, 3, 5], "one that there is not", said)
    p.run("start")
    check(stopped() == [] and p.plan() == {}, "and all", stopped())
    proxy.take()


def tag(p, moto, proxy, count):
    step(f"{count}: a tag for all, and one that was taken off some of them")
    ids = [i["InstanceId"] for i in moto.instances()]
    p.edit_spec("  type: t3.small", "  type: t3.small\n  tags: { team: growth }")
    p.apply()
    same(taken(proxy), LOOK + ["CreateTags"] * 3, "key pair, group, and all servers with their disks")
    moto.ec2.delete_tags(Resources=ids[:count // 2 + 1], Tags=[dict(Key="berth:node")])
    p.apply()
    same(taken(proxy), LOOK + ["CreateTags"], "mended by one call")
    check(all(tags(i)["team"] == "growth" and tags(i)["berth:node"] == "server"
              for i in moto.instances()), "their tags")
    p.edit_spec("\n  tags: { team: growth }", "")
    p.apply()
    same(taken(proxy), LOOK + ["DeleteTags"] * 3, "taken off again")
    check(p.plan() == {}, "nothing to do")


def gone(p, moto, proxy, count):
    step(f"{count}: destroy")
    proxy.take()
    p.run("destroy", "-auto-approve")
    whole = LOOK + ["DescribeAddresses"]  # orphans by tag too
    # Eight, and the same look again: a destroy ends by asking what is left.
    same(taken(proxy), whole + ["TerminateInstances", "DeleteSecurityGroup", "DeleteKeyPair"] + whole,
         "a destroy")
    check(not moto.instances() and not moto.groups() and not moto.keys(), "nothing is left")
    p.edit_spec(f"count: {count}\n", "count: 1\n")


def main():
    with Moto() as moto, Proxy(moto.url, moto.secret) as proxy, \
            Project(sys.argv[1], SPEC, sandbox=False) as p:
        moto.log_in(p, proxy.url)
        for count in (1, 20):
            made(p, moto, proxy, count)
            power(p, moto, proxy, count)
            tag(p, moto, proxy, count)
            gone(p, moto, proxy, count)
        made(p, moto, proxy, COUNT)
        gone(p, moto, proxy, COUNT)
    print("good", flush=True)


main()
