"""Servers of the spot market. Against moto: what is asked for, what replaces them, what EC2 refuses. In the
sandbox: the request behind each, interruptions, stop and start, and that nothing of them is left.
Usage: spot_test.py BERTH [moto|sandbox]"""

import json
import sys

import berthlib
from aws_proxy import Proxy, at, refusal
from berthlib import Project, changes_of, check, step
from fieldslib import settle
from motolib import Moto, actions, tags

SPEC = """berth: 1
name: spot
provider: ec2
region: us-east-1
server:
  image: amazon-linux-2023
  type: t3.small
  count: 2
  spot: { max_price: 0.0100 }
access: { ssh: 203.0.113.7/32 }
"""
SERVERS = {"server[0]", "server[1]"}


def replaced(p, field):
    """The plan replaces both servers for this field alone; how it is shown."""
    plan = p.plan()
    check({a: c["action"] for a, c in plan.items()} == {a: "replace" for a in SERVERS}, "both", plan)
    for address in SERVERS:
        check(changes_of(plan, address) == {field: "spec"}, f"{field} alone", plan)
    shown = p.run("plan").stdout
    check("root disk and everything on it" in shown, "what is lost", shown)
    return shown


def refused(p, *args):
    result = p.run(*args, "-auto-approve", check_code=None)
    check(result.returncode != 0, "refused", result.stdout)
    return " ".join((result.stdout + result.stderr).split())


OPTIONS = "InstanceMarketOptions.SpotOptions."


def asked(p, moto, proxy):
    step("what is asked for")
    launch, = [c.form for c in settle(p, proxy) if c.action == "RunInstances"]
    check(launch["InstanceMarketOptions.MarketType"] == "spot" and launch[OPTIONS + "MaxPrice"] == "0.01"
          and launch[OPTIONS + "SpotInstanceType"] == "persistent"
          and launch[OPTIONS + "InstanceInterruptionBehavior"] == "stop", "the market", launch)
    kinds = {v: k for k, v in launch.items() if k.endswith(".ResourceType")}
    prefix = kinds["spot-instances-request"].rsplit(".", 1)[0]
    own = {launch[f"{prefix}.Tag.{i}.Key"]: launch[f"{prefix}.Tag.{i}.Value"] for i in range(1, 5)}
    check(own["berth:name"] == "spot", "its request is tagged", own)
    check("InstanceInitiatedShutdownBehavior" not in launch, "its request says what becomes of it")
    check([i.get("InstanceLifecycle") for i in moto.instances()] == ["spot"] * 2, "made so",
          str(moto.instances()))
    step("the same price written otherwise is no change; another one replaces, and another type too")
    p.edit_spec("0.0100", "0.01")
    check(p.plan() == {}, "the same", p.plan())
    p.edit_spec("0.01", "0.02")
    shown = replaced(p, "spot")
    check("0.01" in shown and "0.02" in shown, "both prices", shown)
    p.edit_spec("0.02", "0.01")
    p.edit_spec("t3.small", "t3.medium")
    replaced(p, "type")
    calls = actions(settle(p, proxy))
    check("ModifyInstanceAttribute" not in calls and calls.count("TerminateInstances") == 2
          and {i["InstanceType"] for i in moto.instances()} == {"t3.medium"}, "made anew", calls)
    step("a state that was lost: they are taken over")
    for name in ("state.json", "state.json.last"):
        (p.dir / ".berth" / "spot" / name).unlink(missing_ok=True)
    plan = p.plan()
    check({plan[a]["action"] for a in SERVERS} == {"adopt"}, "adopted", plan)
    settle(p, proxy)


def on_demand(p, moto, proxy):
    step("from spot to on demand, and back")
    p.edit_spec("{ max_price: 0.01 }", "false")
    replaced(p, "spot")
    launch = [c.form for c in settle(p, proxy) if c.action == "RunInstances"][0]
    check(not any("Market" in k for k in launch)
          and "spot-instances-request" not in launch.values(), "on demand", launch)
    check(not any("InstanceLifecycle" in i for i in moto.instances()), "made so", str(moto.instances()))
    p.edit_spec("t3.medium", "t3.small")
    plan = p.plan()
    check({plan[a]["action"] for a in SERVERS} != {"replace"}, "resized where they are", plan)
    settle(p, proxy)
    p.edit_spec("spot: false", "spot: { interruption: terminate }")
    replaced(p, "spot")
    launch = [c.form for c in settle(p, proxy) if c.action == "RunInstances"][0]
    check(launch[OPTIONS + "SpotInstanceType"] == "one-time" and OPTIONS + "MaxPrice" not in launch
          and launch[OPTIONS + "InstanceInterruptionBehavior"] == "terminate", "for once", launch)


def refusals(p, moto, proxy):
    step("one of a one-time request cannot be stopped, which is said before the call")
    proxy.take()
    said = refused(p, "stop")
    check("interruption: terminate, which EC2 does not stop" in said
          and "berth destroy -target server[1] ends it" in said, "said", said)
    check("StopInstances" not in actions(proxy.take()), "no call")
    check(p.plan() == {}, "nothing has changed", p.plan())
    step("what the market refuses: the next zone is tried, and what to do is said")
    p.edit_spec("count: 2", "count: 3")
    for code, text, zones in (("SpotMaxPriceTooLow", "raise server.spot.max_price", True),
                              ("InsufficientInstanceCapacity", "wait, or choose another type", True),
                              ("MaxSpotInstanceCountExceeded", "higher quota of spot requests", False)):
        proxy.faults[:] = [at("RunInstances", refusal(code))]
        proxy.take()
        said = refused(p, "apply")
        tried = [c.form["Placement.AvailabilityZone"] for c in proxy.take() if c.action == "RunInstances"]
        check(code in said and text in said, code, said)
        check((len(tried) > 2) == zones and ("(tried us-east-1" in said) == zones, "zones", tried, said)
    full = refusal("SpotMaxPriceTooLow")
    proxy.faults[:] = [lambda call: full if call.action == "RunInstances" and
                       call.form["Placement.AvailabilityZone"] != "us-east-1b" else None]
    settle(p, proxy)
    proxy.faults.clear()
    check(moto.instances()[-1]["Placement"]["AvailabilityZone"] == "us-east-1b", "the one that has room")
    p.edit_spec("count: 3", "count: 2")
    settle(p, proxy)


def cancels(p, moto, proxy):
    step("destroy ends the requests first, all by one call; one that is gone already is fine")

    def with_requests(call):  # which moto has none of
        if call.action != "DescribeInstances":
            return None
        status, body, _ = proxy.pass_on(call)
        for n, i in enumerate(moto.instances()):
            there = f"<instanceId>{i['InstanceId']}</instanceId>".encode()
            body = body.replace(there, there + b"<spotInstanceRequestId>sir-%d</spotInstanceRequestId>" % n)
        return status, body
    gone = refusal("InvalidSpotInstanceRequestID.NotFound",
                   "The spot instance request ID 'sir-0' does not exist")
    good = (200, b"<CancelSpotInstanceRequestsResponse/>")

    def cancel(call):
        if call.action == "CancelSpotInstanceRequests":
            return gone if "sir-0" in call.form.values() else good
        return None
    denied = refusal("UnauthorizedOperation", "no", status=403)
    proxy.faults[:] = [with_requests, at("CancelSpotInstanceRequests", denied)]
    proxy.take()
    said = refused(p, "destroy")
    check("UnauthorizedOperation" in said and "TerminateInstances" not in actions(proxy.take())
          and len(moto.instances()) == 2, "not ended while its request would launch another", said)
    proxy.faults[:] = [with_requests, cancel]
    p.run("destroy", "-auto-approve")
    calls = [c for c in proxy.take() if c.action in ("CancelSpotInstanceRequests", "TerminateInstances")]
    check(actions(calls) == ["CancelSpotInstanceRequests"] * 2 + ["TerminateInstances"], "in order",
          actions(calls))
    named = [sorted(v for k, v in c.form.items() if k.startswith("SpotInstanceRequestId.")) for c in calls]
    check(named[:2] == [["sir-0", "sir-1"], ["sir-1"]], "all, then those that are there", named)
    proxy.faults.clear()
    check(not moto.instances() and not moto.groups(), "nothing is left")


def on_moto():
    with Moto() as moto, Proxy(moto.url, moto.secret) as proxy, \
            Project(sys.argv[1], SPEC, sandbox=False) as p:
        moto.log_in(p, proxy.url)
        asked(p, moto, proxy)
        on_demand(p, moto, proxy)
        refusals(p, moto, proxy)
        cancels(p, moto, proxy)


SANDBOX = """berth: 1
name: spot
provider: sandbox
server:
  image: debian-12
  type: t3.small
  spot: true
access: { ssh: my-ip }
"""


def in_sandbox():
    from sandboxlib import World, wait_for
    with Project(sys.argv[1], SANDBOX) as p:
        w = World(p)
        w.start()

        def requests(*states):
            found = w.ec2.describe_spot_instance_requests()["SpotInstanceRequests"]
            return [r for r in found if not states or r["State"] in states]

        def live():
            return [i for i in w.instances() if i["State"]["Name"] not in ("terminated", "shutting-down")]

        step("a server of a persistent request")
        cost = p.json("plan")["cost"]
        p.apply()
        check(p.plan() == {}, "nothing is left to do", p.plan())
        one, = live()
        request, = requests("active")
        check(one["InstanceLifecycle"] == "spot" and request["Type"] == "persistent" and
              request["InstanceInterruptionBehavior"] == "stop", "as asked", str(request))
        check(tags(request)["berth:name"] == "spot" and tags(request)["berth:node"] == "server",
              "its tags", str(request))
        check(request["SpotInstanceRequestId"] in json.dumps(p.state()), "recorded", p.state())
        lifted = p.json("status")["cost"]["usd_per_hour_running"]
        check(0 < lifted < 0.0208 and 0 < cost["after"]["usd_per_hour_running"] < 0.0208,
              "it costs less than on demand", cost, str(lifted))
        step("it is stopped and started as others are")
        p.run("stop", "-auto-approve")
        check(p.plan() == {} and requests()[0]["State"] == "disabled", "stopped", p.plan())
        p.run("start")
        check(p.plan() == {} and requests()[0]["State"] == "active", "started", p.plan())

        step("EC2 takes it back: it is said, and not started by force")
        w.own("interrupt", {"instance": one["InstanceId"]})
        w.await_state(one["InstanceId"], "stopped")
        note = f"EC2 took {one['InstanceId']} back: spot capacity"
        status = p.json("status")["servers"][0]
        check(note in status["note"], "in status", status)
        plan = p.run("plan").stdout
        check(note in " ".join(plan.split()), "in the plan", plan)
        check(changes_of(p.plan(), "server[0]") == {"power": "drift"}, "no replacement", p.plan())
        said = refused(p, "apply")
        check("IncorrectSpotRequestState" in said and "starts it again when there is some" in said,
              "why it cannot be started", said)
        w.own("interrupt", {"instance": one["InstanceId"], "resume": True})
        w.await_state(one["InstanceId"], "running")
        check(set(p.plan()) <= {"access"}, "there is capacity again", p.plan())
        p.apply()

        step("somebody ends it and not its request, which launches another: both go")
        w.ec2.terminate_instances(InstanceIds=[one["InstanceId"]])
        wait_for(lambda: [i["InstanceId"] for i in live()] not in ([], [one["InstanceId"]]), "another one")
        # The sandbox gives it the tags of the first.
        w.ec2.delete_tags(Resources=[i["InstanceId"] for i in live()])
        plan = p.plan()
        check(plan.pop("server[0]")["action"] == "create" and
              [(a.startswith("orphan.i-"), c["action"]) for a, c in plan.items() if a != "access"] ==
              [(True, "destroy")], "the other is nobody's but ours", plan)
        p.apply()
        check(p.plan() == {}, "nothing is left to do", p.plan())
        two, = live()
        active, = requests("open", "active", "disabled")
        check(active["InstanceId"] == two["InstanceId"], "one of each", str(active))

        step("the same, but there is no capacity: the request that waits for it goes too")
        w.faults({"kind": "capacity", "count": 0, "zones": [f"sandbox-1{z}" for z in "abc"]})
        w.ec2.terminate_instances(InstanceIds=[two["InstanceId"]])
        wait_for(lambda: requests("open") and not live(), "it waits")
        check(p.plan()[f"orphan.{active['SpotInstanceRequestId']}"]["action"] == "destroy", "ours", p.plan())
        p.run("destroy", "-auto-approve")
        check(not requests("open", "active", "disabled") and not live(), "neither", str(requests()))
        w.faults()
        p.apply()

        step("a price that is too low, and a one-time request that is interrupted")
        p.edit_spec("spot: true", "spot: { max_price: 0.0001, interruption: terminate }")
        check(changes_of(p.plan(), "server[0]") == {"spot": "spec"}, "replaced", p.plan())
        said = refused(p, "apply")
        check("SpotMaxPriceTooLow" in said and "raise server.spot.max_price" in said, "what to do", said)
        check(not requests("open", "active", "disabled") and not live(), "the old one is gone")
        p.edit_spec("0.0001", "0.02")
        p.apply()
        check(p.plan() == {}, "nothing is left to do", p.plan())
        three, = live()
        active, = requests("active")
        check(active["Type"] == "one-time" and float(active["SpotPrice"]) == 0.02, "for once", str(active))
        w.own("interrupt", {"instance": three["InstanceId"]})
        w.await_state(three["InstanceId"], "terminated")
        note = f"EC2 took {three['InstanceId']} back: spot capacity"
        plan = p.run("plan").stdout
        check(note in " ".join(plan.split()) and p.plan()["server[0]"]["action"] == "create", "said", plan)
        check(note in " ".join(p.run("status").stdout.split()), "in status too", p.run("status").stdout)

        step("on demand; spot again; and destroy leaves neither instance nor request")
        p.edit_spec("{ max_price: 0.02, interruption: terminate }", "false")
        p.apply()
        four, = live()
        check("InstanceLifecycle" not in four and not requests("open", "active"), "on demand", str(four))
        p.edit_spec("spot: false", "spot: true\n  count: 2")
        p.apply()
        check(len(requests("active")) == 2 and len(live()) == 2, "two", str(requests()))
        p.run("destroy", "-auto-approve")
        check(not live() and not requests("open", "active", "disabled"), "neither", str(requests()))
        check({r["State"] for r in requests()} <= {"cancelled", "closed"}, "ended", str(requests()))
        wait_for(lambda: berthlib.leftovers(p.world) == [], "nothing is left")


only = sys.argv[2] if len(sys.argv) > 2 else None
if only != "sandbox":
    on_moto()
if only != "moto":
    in_sandbox()
print("good", flush=True)
