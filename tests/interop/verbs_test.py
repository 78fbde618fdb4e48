"""The verbs that look after servers and state, against moto, an EC2 that others wrote: stop, start,
-target, -replace, state, refresh, import, unlock, a lost state, what destroy leaves. boto3 is the
judge. Usage: verbs_test.py BERTH"""

import fcntl
import json
import shutil
import sys

from berthlib import Project, changes_of, check, step
from motolib import Moto, actions, tags

from aws_proxy import Proxy

SPEC = """berth: 1
name: verbs
provider: ec2
region: us-east-1
server:
  image: amazon-linux-2023
  type: t3.small
  count: 3
  tags: { team: growth }
access: { ssh: [203.0.113.7/32] }
"""
LOOKS = ("Describe", "GetParameters")


def done(proxy):
    return [a for a in actions(proxy.take()) if not a.startswith(LOOKS)]


def powers(moto):
    return [i["State"]["Name"] for i in moto.instances()]


def recorded(p, address):
    return next((n for n in p.state()["nodes"] if n["address"] == address), None)


def stop_and_start(p, moto, proxy):
    step("stop and start: nothing else moves, and a stopped server is no drift")
    p.apply()
    proxy.take()
    result = p.run("stop", check_code=1)
    check("no terminal" in result.stderr and not done(proxy), "asked before it stops",
          result.stderr)
    p.edit_spec("team: growth", "team: other")  # waits for an apply
    result = p.run("stop", "-auto-approve", "1", "server[2]")
    check("server[1..2]: running" in result.stdout, "said", result.stdout)
    check(done(proxy) == ["StopInstances"], "one call for both")
    check(powers(moto) == ["running", "stopped", "stopped"], "these two", powers(moto))
    check([tags(i)["team"] for i in moto.instances()] == ["growth"] * 3, "and only that")
    p.edit_spec("team: other", "team: growth")
    check(p.plan() == {}, "stopped as wanted")
    result = p.run("plan")
    check("server[1..2] are stopped, as is wanted" in result.stdout, "said", result.stdout)
    status = {s["server"]: s["power"] for s in p.json("status")["servers"]}
    check(status == {"server[0]": "running", "server[1]": "stopped", "server[2]": "stopped"},
          "status", status)
    check("berth start" in p.run("status").stdout, "and what brings them back")
    ids = [i["InstanceId"] for i in moto.instances()]
    moto.ec2.start_instances(InstanceIds=[ids[1]])
    moto.ec2.stop_instances(InstanceIds=[ids[0]])
    plan = p.plan()
    check({a: changes_of(plan, a) for a in plan} ==
          {"server[0]": {"power": "drift"}, "server[1]": {"power": "drift"}}, "both are drift", plan)
    proxy.take()
    p.apply()
    check(sorted(done(proxy)) == ["StartInstances", "StopInstances"], "mended")
    check(powers(moto) == ["running", "stopped", "stopped"], "as it was", powers(moto))
    result = p.run("start")
    check("server[1..2]: stopped" in result.stdout and "server[0] is running already" in
          result.stdout, "said", result.stdout)
    check(done(proxy) == ["StartInstances"], "one call")
    check(powers(moto) == ["running"] * 3 and p.plan() == {}, "all run, nothing left to do")
    check([i["InstanceId"] for i in moto.instances()] == ids, "the same ones")
    result = p.run("start")
    check("are running already" in result.stdout and not done(proxy), "nothing to do",
          result.stdout)
    for word in ("7", "server[0..2].x", "access"):
        result = p.run("stop", "-auto-approve", word, check_code=1)
        check("there is no" in result.stderr and not done(proxy), "who?", result.stderr)
    moto.ec2.stop_instances(InstanceIds=[ids[0]])
    p.run("stop", "-auto-approve", "0")  # somebody was faster: it is wanted so now
    check(not done(proxy) and p.plan() == {}, "no call, and no drift any more")
    p.run("start", "0")


def targets(p, moto, proxy):
    step("-target and -replace")
    ids = [i["InstanceId"] for i in moto.instances()]
    p.edit_spec("team: growth", "team: other")
    proxy.take()
    result = p.run("apply", "-auto-approve", "-target", "server[1..2]")
    check("partial:" in result.stdout and "1 other change" in result.stdout, "said loudly",
          result.stdout)
    check([tags(i)["team"] for i in moto.instances()] == ["growth", "other", "other"], "these two")
    check(set(p.plan()) == {"server[0]"}, "the rest waits")
    p.run("plan", "-target", "server[0]", "-out", "part")
    p.run("apply", "part")
    check(p.plan() == {}, "a saved part is done as it was saved")
    result = p.run("plan", "-target", "server[9]", check_code=1)
    check("did you mean server[" in result.stderr, "unknown addresses", result.stderr)
    result = p.run("plan", "-replace", "acess", check_code=1)
    check("did you mean access?" in result.stderr, "near names", result.stderr)
    plan = p.json("plan", "-replace", "server[1]")
    change = next(c for c in plan["changes"] if c["address"] == "server[1]")
    check(change["action"] == "replace" and "root disk" in change["loses"], "what data goes", change)
    p.run("apply", "-auto-approve", "-replace", "server[1]")
    now = [i["InstanceId"] for i in moto.instances()]
    check(len(now) == 3 and len(set(now) & set(ids)) == 2 and ids[1] not in now, "one anew", now)
    check(p.plan() == {}, "nothing left to do")
    p.edit_spec("count: 3", "count: 3\n  protect: true")
    p.apply()
    result = p.run("apply", "-auto-approve", "-replace", "server[1]", check_code=1)
    check("protect" in result.stdout, "protected", result.stdout)
    result = p.run("destroy", "-auto-approve", "-target", "server[2]", check_code=1)
    check("protect" in result.stdout and len(moto.instances()) == 3, "protected", result.stdout)
    p.edit_spec("count: 3\n  protect: true", "count: 3")
    p.apply()
    result = p.run("destroy", "-auto-approve", "-target", "server[2]")
    check(len(moto.instances()) == 2 and len(moto.keys()) == 1, "one is gone, no more")
    p.apply()
    check(len(moto.instances()) == 3 and p.plan() == {}, "and back")


def state_verbs(p, moto, proxy):
    step("state list, show, rm, mv; unlock")
    check("\nkey_pair  key-" in "\n" + p.run("state", "list").stdout, "list")
    entries = {e["address"]: e for e in p.json("state", "list")}
    check(set(entries) == {"key_pair", "access", "server[0]", "server[1]", "server[2]"}, "all",
          entries)
    check(p.json("state", "show", "server[1]")["id"] == entries["server[1]"]["id"], "one")
    check("type: t3.small" in p.run("state", "show", "server[1]").stdout, "in words")
    result = p.run("state", "show", "server[7]", check_code=1)
    check("did you mean" in result.stderr, "near names", result.stderr)
    for words in (["lsit"], [], ["show"], ["mv", "server[0]"], ["list", "x"]):
        p.run("state", *words, check_code=64)
    before = p.state()
    result = p.run("state", "rm", "server[1]", "access")
    check("goes on existing" in result.stdout and entries["server[1]"]["id"] in result.stdout,
          "said", result.stdout)
    check(len(moto.instances()) == 3 and len(moto.groups()) == 1, "nothing is gone")
    backup = json.loads((p.dir / ".berth/verbs/state.json.backup").read_text())
    check(backup == before, "the backup is the state before")
    plan = p.plan()
    check({a: c["action"] for a, c in plan.items()} == {"server[1]": "adopt", "access": "adopt"},
          "found again by tags", plan)
    p.apply()
    check(recorded(p, "server[1]")["id"] == entries["server[1]"]["id"] and p.plan() == {}, "as it was")
    p.run("state", "mv", "server[2]", "server[5]")
    plan = p.plan()
    check(plan["server[5]"]["action"] == "destroy" and plan["server[2]"]["action"] == "create",
          "another number", plan)
    p.run("state", "mv", "server[5]", "server[1]", check_code=1)
    p.run("state", "mv", "server[5]", "access", check_code=1)
    p.run("state", "mv", "server[5]", "server[2]")
    check(p.plan() == {}, "and back")
    check("not locked" in p.run("unlock").stdout, "nobody is at work")
    lock = p.dir / ".berth/verbs/lock"
    lock.write_text("berth apply, process 1 on elsewhere, since 2026-01-01 00:00:00 UTC\n")
    result = p.run("unlock")
    check("process 1 on elsewhere" in result.stdout and lock.read_text() == "", "a dead one's mark",
          result.stdout)
    with open(lock, "w") as held:
        held.write("berth apply, process 2 on here, since 2026-01-01 00:00:00 UTC\n")
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        for words in (["apply", "-auto-approve"], ["state", "rm", "access"], ["unlock"]):
            result = p.run(*words, check_code=1)
            check("process 2 on here" in result.stderr, "who holds it", result.stderr)
        p.run("unlock", "-force")
        p.apply()  # a lock of its own


def refresh(p, moto, proxy):
    step("refresh: what moved, by field, and written")
    instance = moto.instances()[0]["InstanceId"]
    check("Nothing moved" in p.run("refresh").stdout, "nothing")
    moto.ec2.create_tags(Resources=[instance], Tags=[dict(Key="team", Value="mine")])
    moto.ec2.stop_instances(InstanceIds=[instance])
    proxy.take()
    moved = p.json("refresh")
    fields = {f["name"]: f for f in moved["moved"][0]["fields"]}
    check(fields["tags"]["live"] == "{team: mine}" and fields["power"].get("kept"), "fields", moved)
    check(not done(proxy), "it only looks")
    check(recorded(p, "server[0]")["attributes"]["tags"] == {"team": "mine"}, "written")
    check(recorded(p, "server[0]")["attributes"]["power"] == "running", "but no wish is made of it")
    result = p.run("refresh")
    check("power: running" in result.stdout and "team" not in result.stdout, "said once",
          result.stdout)
    plan = p.plan()
    check(set(changes_of(plan, "server[0]")) - {"tagged"} == {"tags", "power"}, "and the spec wants it back", plan)
    p.apply()
    check(p.plan() == {} and "Nothing moved" in p.run("refresh").stdout, "nothing again")


def imports(p, moto, proxy):
    step("import by id")
    instance = moto.instances()[2]["InstanceId"]
    p.run("state", "rm", "server[2]")
    moto.ec2.delete_tags(Resources=[instance], Tags=[
        dict(Key=k) for k in ("berth:name", "berth:lineage", "berth:node", "berth:index", "team")])
    check(p.plan()["server[2]"]["action"] == "create", "berth cannot know it any more")
    for words, text in ((["server[2]", "i-0123456789abcdef0"], "us-east-1"),
                        (["server[2]", "sg-1"], "start with i-"),
                        (["server[4]", instance], "the spec wants no server[4]"),
                        (["server[1]", instance], "recorded already"),
                        (["server[2]", moto.instances()[0]["InstanceId"]], "recorded already")):
        result = p.run("import", *words, check_code=1)
        check(text in result.stderr, text, result.stderr)
    p.run("import", "server[2]", check_code=64)
    proxy.take()
    p.run("import", "server[2]", instance)
    check(not done(proxy) and recorded(p, "server[2]")["id"] == instance, "recorded, not changed")
    plan = p.plan()
    check(plan["server[2]"]["action"] == "update" and
          set(changes_of(plan, "server[2]")) == {"tags", "tagged"}, "what differs", plan)
    p.apply()
    check(p.plan() == {} and len(moto.instances()) == 3, "and mended")
    check(tags(next(i for i in moto.instances() if i["InstanceId"] == instance))["berth:name"] ==
          "verbs", "its tags")
    group = moto.groups()[0]["GroupId"]
    p.run("state", "rm", "access")
    p.run("import", "access", group)
    check(p.plan() == {}, "a group too")
    p.run("state", "rm", "key_pair")
    p.run("import", "key_pair", moto.keys()[0]["KeyPairId"])
    check(p.plan() == {}, "and a key pair")
    p.run("state", "rm", "server[2]")
    moto.ec2.create_tags(Resources=[instance], Tags=[dict(Key="berth:name", Value="others")])
    result = p.run("import", "server[2]", instance, check_code=1)
    check("another berth project: others" in result.stderr, "whose it is", result.stderr)
    p.run("import", "-force", "server[2]", instance)
    p.apply()
    check(p.plan() == {} and len(moto.instances()) == 3, "with -force")


def lost(p, moto, proxy):
    step("the state is lost, with and without the private key")
    ids = {i["InstanceId"] for i in moto.instances()}
    folder = p.dir / ".berth/verbs"
    shutil.copy(folder / "id_ed25519", p.root / "key")
    for name in ("state.json", "state.json.backup"):
        (folder / name).unlink()
    plan = p.plan()
    check({c["action"] for c in plan.values()} == {"adopt"} and len(plan) == 5, "all is found", plan)
    p.apply()
    check(p.plan() == {} and {i["InstanceId"] for i in moto.instances()} == ids, "none made anew")
    shutil.rmtree(folder)
    result = p.run("plan")
    check("its private half is not here" in result.stdout, "the key is lost, and the plan says so",
          result.stdout)
    result = p.run("destroy", "-auto-approve")
    check(not moto.instances() and not moto.groups() and not moto.keys(), "destroyed by their tags",
          result.stdout)
    p.apply()


def renumber(p, moto, proxy):
    step("the third of a launch becomes the first, and is found as that")
    p.run("destroy", "-auto-approve", "-target", "server[0]")
    third = recorded(p, "server[2]")["id"]
    p.run("state", "mv", "server[2]", "server[0]")
    p.edit_spec("count: 3", "count: 2")
    plan = p.plan()
    check(set(plan) == {"server[0]"} and changes_of(plan, "server[0]") == {"tagged": "drift"},
          "its tags say another number", plan)
    p.apply()
    check(p.plan() == {}, "mended")
    for name in ("state.json", "state.json.backup"):
        (p.dir / ".berth/verbs" / name).unlink()
    plan = p.plan()
    check({a: c["action"] for a, c in plan.items()} ==
          dict.fromkeys(("key_pair", "access", "server[0]", "server[1]"), "adopt") and
          plan["server[0]"]["id"] == third, "found by its tags", plan)
    p.apply()
    check(p.plan() == {}, "and recorded")


def end(p, moto, proxy):
    step("destroy asks again whether anything is left")
    result = p.run("destroy", "-auto-approve")
    check("Nothing of verbs is left" in result.stdout, "nothing", result.stdout)
    check(not moto.instances() and not moto.groups() and not moto.keys(), "indeed")
    p.apply()
    late = []

    def appear(call):
        """Somebody starts one more while it is destroyed."""
        if call.action == "DeleteSecurityGroup" and not late:
            image = moto.ec2.describe_images()["Images"][0]["ImageId"]
            late.append(moto.ec2.run_instances(
                ImageId=image, MinCount=1, MaxCount=1, InstanceType="t3.small",
                TagSpecifications=[{"ResourceType": "instance", "Tags": [
                    {"Key": "berth:name", "Value": "verbs"}]}])["Instances"][0]["InstanceId"])
    proxy.faults.append(appear)
    result = p.run("destroy", "-auto-approve", check_code=3)
    proxy.faults.clear()
    check(late[0] in result.stderr, "what is left is named", result.stdout, result.stderr)
    p.run("destroy", "-auto-approve")
    check(not moto.instances(), "the second one takes it")


def main():
    berth = sys.argv[1]
    with Moto() as moto, Proxy(moto.url, moto.secret) as proxy, \
            Project(berth, SPEC, sandbox=False) as p:
        moto.log_in(p, proxy.url)
        stop_and_start(p, moto, proxy)
        targets(p, moto, proxy)
        state_verbs(p, moto, proxy)
        refresh(p, moto, proxy)
        imports(p, moto, proxy)
        lost(p, moto, proxy)
        renumber(p, moto, proxy)
        end(p, moto, proxy)
    print("good", flush=True)


main()
