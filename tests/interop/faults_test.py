"""berth itself among the sandbox's faults: a plain server with an elastic address is planned, applied
and destroyed while answers are lost, calls throttled, transitions slow or failing, and what was just
made not yet seen. Whatever happened, it ends in the same world. Usage: faults_test.py BERTH"""

import sys

import berthlib
from berthlib import Project, check, step
from sandboxlib import World

SPEC = """berth: 1
name: faults
provider: sandbox
server:
  image: debian-12
  type: t3.small
  address: elastic
key_pair: { type: ed25519 }
access: { ssh: [203.0.113.7/32, 198.51.100.0/24] }
"""
WANTED = {"instances": ["running"], "groups": 1, "keys": 1, "addresses": 1, "volumes": 1}
NOTHING = {"instances": [], "groups": 0, "keys": 0, "addresses": 0, "volumes": 0}


def seen(w):
    w.faults()
    alive = [i for i in w.instances() if i["State"]["Name"] != "terminated"]
    groups = w.ec2.describe_security_groups()["SecurityGroups"]
    return {"instances": [i["State"]["Name"] for i in alive],
            "groups": len([g for g in groups if g["GroupName"] != "default"]),
            "keys": len(w.ec2.describe_key_pairs()["KeyPairs"]),
            "addresses": len(w.ec2.describe_addresses()["Addresses"]),
            "volumes": len(w.ec2.describe_volumes()["Volumes"])}


def lose(action, **more):
    return dict(action=action, kind="lose", **more)


def fault(action, kind, **more):
    return dict(action=action, kind=kind, **more)


# What happens while it is made; whether that run is to succeed (None: either way, the next one does),
# and what it must say.
MAKING = [
    ("the answer of RunInstances is lost", [lose("RunInstances")], True, ""),
    ("the answer of CreateSecurityGroup is lost", [lose("CreateSecurityGroup")], True, ""),
    ("the answer of ImportKeyPair is lost", [lose("ImportKeyPair")], True, ""),
    ("the answer of AllocateAddress is lost", [lose("AllocateAddress")], True, ""),
    ("the answer of AssociateAddress is lost", [lose("AssociateAddress")], True, ""),
    ("the answer of Authorize… is lost", [lose("AuthorizeSecurityGroupIngress")], True, ""),
    ("each of them is lost", [lose(a) for a in (
        "RunInstances", "CreateSecurityGroup", "ImportKeyPair", "AllocateAddress", "AssociateAddress",
        "AuthorizeSecurityGroupIngress")], True, ""),
    ("an answer is lost until berth gives up", [lose("RunInstances", count=6)], None, ""),
    ("calls are throttled", [fault(a, "throttle", count=2) for a in (
        "DescribeInstances", "RunInstances", "CreateSecurityGroup", "ImportKeyPair")], True, ""),
    ("EC2 has internal errors", [fault("RunInstances", "internal"),
                                 fault("DescribeInstances", "internal")], True, ""),
    ("EC2 has no time for what takes no token", [fault("AllocateAddress", "unavailable")], None, ""),
    ("this machine's clock is wrong", [dict(kind="skew", seconds=-7200)], True, ""),
    ("EC2 is slow", [fault("*", "slow", state="pending", ms=4000)], True, ""),
    ("what is made is not seen at once", [
        fault("RunInstances", "hide", calls=2), fault("CreateSecurityGroup", "hide", calls=1),
        fault("ImportKeyPair", "hide", calls=1), fault("AllocateAddress", "hide", calls=1)], True, ""),
    ("a launch comes to nothing", [
        dict(kind="fail", state="pending", code="Server.InternalError",
             message="Server.InternalError: Internal error on launch")], False,
     "Server.InternalError"),
    ("it is not permitted", [fault("RunInstances", "unauthorized", count=0)], False,
     "ec2:RunInstances"),
    ("no zone has capacity", [dict(kind="capacity", count=0)], False, "InsufficientInstanceCapacity"),
    ("the first zone has no capacity", [dict(kind="capacity", zones=["sandbox-1a"], count=0)], True,
     "it goes to sandbox-1a; without capacity there, to sandbox-1b, sandbox-1c"),
    ("its answer is lost in the second zone", [dict(kind="capacity", zones=["sandbox-1a"], count=0),
                                               lose("RunInstances")], True,
     "trying sandbox-1b"),
    ("there is no address left", [dict(action="AllocateAddress", code="AddressLimitExceeded",
                                       message="The maximum number of addresses has been reached.")],
     False, "AddressLimitExceeded"),
]

# And while it is destroyed.
ENDING = [
    ("the answer of TerminateInstances is lost", [lose("TerminateInstances")], True, ""),
    ("the answers of deletes are lost", [lose(a) for a in (
        "ReleaseAddress", "DeleteSecurityGroup", "DeleteKeyPair")], True, ""),
    ("calls are throttled", [fault(a, "throttle", count=2) for a in (
        "TerminateInstances", "DescribeInstances", "DeleteSecurityGroup")], True, ""),
    ("EC2 is slow", [fault("*", "slow", state="shutting-down", ms=4000)], True, ""),
    ("the group is in use a while longer", [dict(
        action="DeleteSecurityGroup", code="DependencyViolation", count=2,
        message="resource sg-1 has a dependent object")], True, ""),
    ("it is not permitted", [fault("TerminateInstances", "unauthorized", count=0)], False,
     "ec2:TerminateInstances"),
]


def run(w, verb, faults, good, text):
    w.faults(*faults)
    result = w.project.run(verb, "-auto-approve", check_code=None)
    met = w.taken()
    said = result.stdout + result.stderr
    check(all(n or f.get("kind") == "skew" for n, f in zip(met, faults)), "the faults were met", met, said)
    if good is not None:
        check((result.returncode == 0) == good, f"{verb} {'works' if good else 'fails'}", said)
    check(text in said, f"it says {text}", said)
    w.faults()
    if result.returncode != 0:
        w.project.run(verb, "-auto-approve")


def settled(w):
    found = seen(w)
    check(found == WANTED, "the wanted world, and nothing beside it", found)
    check(w.project.plan() == {}, "the plan is empty")
    address = w.ec2.describe_addresses()["Addresses"][0]
    rules = [r for g in w.ec2.describe_security_groups()["SecurityGroups"]
             if g["GroupName"] != "default" for p in g["IpPermissions"] for r in p["IpRanges"]]
    check("InstanceId" in address and len(rules) == 2, "all of it", str(address), str(rules))


def gone(w):
    found = seen(w)
    check(found == NOTHING, "nothing is left", found)


with Project(sys.argv[1], SPEC) as project:
    world = World(project)
    world.start()
    for name, faults, good, text in MAKING:
        step(f"apply: {name}")
        run(world, "apply", faults, good, text)
        settled(world)
        project.run("destroy", "-auto-approve")
        gone(world)
    for name, faults, good, text in ENDING:
        step(f"destroy: {name}")
        project.run("apply", "-auto-approve")
        run(world, "destroy", faults, good, text)
        gone(world)
    check(berthlib.leftovers(project.world) == [], "nothing of the guests either")
print("1 passed, 0 failed")
