"""The elastic address of a server, against moto: given, changed by hand, lost, taken off, and what a lost
answer leaves of it. Usage: ec2_address_test.py BERTH"""

import json
import sys

from berthlib import Project, changes_of, check, step
from aws_proxy import Proxy, at, once, refusal
from fieldslib import SPEC, only, settle
from motolib import Moto, actions, tags


def addresses(moto):
    return moto.ec2.describe_addresses()["Addresses"]


def elastic(p, moto, proxy):
    step("an elastic address: allocated, given to the server, in place")
    server, dynamic = moto.instances()[0]["InstanceId"], moto.instances()[0].get("PublicIpAddress")
    p.edit_spec("  type: t3.small", "  type: t3.small\n  address: elastic")
    plan = p.plan()
    check({a: c["action"] for a, c in plan.items()} == {"address[0]": "create", "server[0]": "update"},
          "these two", plan)
    check(changes_of(plan, "server[0]") == {"elastic_ip": "spec"}, "that field alone", plan)
    calls = settle(p, proxy)
    check(actions(calls) == ["AllocateAddress", "AssociateAddress"], "two calls", actions(calls))
    [address] = addresses(moto)
    check(address["InstanceId"] == server and tags(address)["berth:node"] == "address" and
          tags(address)["berth:index"] == "0", "given, and tagged", str(address))
    state = json.dumps(p.state())
    check(address["PublicIp"] in state, "recorded", state)
    step("its drift: taken off, given to another, given back by hand, another one given to it")
    group = moto.groups()[0]["GroupId"]
    image = moto.instances()[0]["ImageId"]
    other = moto.ec2.run_instances(ImageId=image, InstanceType="t3.small", MinCount=1, MaxCount=1,
                                   SecurityGroupIds=[group])["Instances"][0]["InstanceId"]
    allocation = address["AllocationId"]
    moto.ec2.disassociate_address(AssociationId=address["AssociationId"])
    only(p, "server[0]", "elastic_ip", why="drift")
    settle(p, proxy)
    check(addresses(moto)[0]["InstanceId"] == server, "given back")
    moto.ec2.associate_address(AllocationId=allocation, InstanceId=other, AllowReassociation=True)
    only(p, "server[0]", "elastic_ip", why="drift")
    settle(p, proxy)
    check(addresses(moto)[0]["InstanceId"] == server, "taken back")
    moto.ec2.terminate_instances(InstanceIds=[other])
    strange = moto.ec2.allocate_address(Domain="vpc")["AllocationId"]
    moto.ec2.create_tags(Resources=[allocation], Tags=[dict(Key="team", Value="x")])
    moto.ec2.delete_tags(Resources=[allocation], Tags=[dict(Key="berth:node")])
    only(p, "address[0]", "tags", "tagged", why="drift")
    settle(p, proxy)
    check(tags(addresses(moto)[0])["berth:node"] == "address" and
          "team" not in tags(addresses(moto)[0]), "its tags", str(addresses(moto)))
    step("it is released by hand: a new one")
    moto.ec2.disassociate_address(AssociationId=addresses(moto)[0]["AssociationId"])
    moto.ec2.release_address(AllocationId=allocation)
    plan = p.plan()
    check(plan["address[0]"]["action"] == "create" and plan["address[0]"]["why"] == "drift", "drift", plan)
    settle(p, proxy)
    step("it stays through another type and a stop; a lost state finds it by its tags")
    [now] = [a for a in addresses(moto) if a["AllocationId"] != strange]
    p.edit_spec("type: t3.small", "type: t3.medium")
    settle(p, proxy)
    p.run("stop", "-auto-approve")
    check(p.plan() == {}, "stopped as wanted", p.plan())
    p.run("start")
    # moto gives an instance that starts a dynamic address all the same: its own list is asked.
    check([a for a in addresses(moto) if a.get("InstanceId") == server and
           a["PublicIp"] == now["PublicIp"]], "the same address", str(addresses(moto)))
    check(p.plan() == {}, "nothing to do", p.plan())
    p.edit_spec("type: t3.medium", "type: t3.small")
    settle(p, proxy)
    state = p.dir / ".berth" / "fields" / "state.json"
    kept = state.read_text()
    for name in ("state.json", "state.json.last"):
        (p.dir / ".berth" / "fields" / name).unlink(missing_ok=True)
    plan = p.plan()
    check(plan["address[0]"]["action"] == "adopt" and "orphan" not in str(plan), "adopted", plan)
    state.write_text(kept)
    step("back to a dynamic one: it is released, whoever has it")
    p.edit_spec("\n  address: elastic", "")
    plan = p.plan()
    check({a: c["action"] for a, c in plan.items()} == {"address[0]": "destroy", "server[0]": "update"},
          "these two", plan)
    check(now["PublicIp"] in p.run("plan").stdout, "which is lost")
    calls = settle(p, proxy)
    check(actions(calls) == ["DisassociateAddress", "ReleaseAddress"], "in order", actions(calls))
    check([a["AllocationId"] for a in addresses(moto)] == [strange], "somebody else's stays")
    step("an elastic one that was given by hand to a server of a dynamic one")
    moto.ec2.associate_address(AllocationId=strange, InstanceId=server)
    only(p, "server[0]", "elastic_ip", why="drift")
    settle(p, proxy)
    check(not addresses(moto)[0].get("InstanceId"), "taken off, and left alone")
    check(moto.instances()[0]["InstanceId"] == server, "the same server all along")
    moto.ec2.release_address(AllocationId=strange)


def elastic_faults(p, moto, proxy):
    step("a lost answer of AllocateAddress leaks nothing")
    p.edit_spec("  type: t3.small", "  type: t3.small\n  address: elastic")
    lost = once(at("AllocateAddress", (0, b"")))
    proxy.after.append(lost)
    settle(p, proxy)
    check(len(addresses(moto)) == 1, "the one that was made was found", str(addresses(moto)))
    proxy.after.clear()
    p.edit_spec("\n  address: elastic", "")
    settle(p, proxy)
    step("nor where the run ended there")
    p.edit_spec("  type: t3.small", "  type: t3.small\n  address: elastic")
    proxy.after.append(at("AllocateAddress", (0, b"")))
    proxy.faults.append(lambda call: refusal("UnauthorizedOperation", status=403)
                        if call.action == "DescribeAddresses" and "Filter.1.Name" in call.form else None)
    result = p.run("apply", "-auto-approve", check_code=None)
    check(result.returncode != 0, "failed")
    proxy.after.clear()
    proxy.faults.clear()
    check(len(addresses(moto)) == 1, "one was made")
    plan = p.plan()
    check(plan["address[0]"]["action"] == "adopt", "the next run takes it", plan)
    settle(p, proxy)
    check(len(addresses(moto)) == 1, "and makes no other")
    proxy.faults.append(once(at("ReleaseAddress", refusal("InvalidIPAddress.InUse"))))
    p.edit_spec("\n  address: elastic", "")
    settle(p, proxy)
    check(not addresses(moto), "released")
    p.edit_spec("  type: t3.small", "  type: t3.small\n  address: elastic")
    proxy.faults[:] = [at("AllocateAddress", refusal("AddressLimitExceeded"))]
    result = p.run("apply", "-auto-approve", check_code=None)
    check("higher quota" in result.stderr, "what to do", result.stderr)
    proxy.faults.clear()
    settle(p, proxy)  # destroy releases it


def main():
    with Moto() as moto, Proxy(moto.url, moto.secret) as proxy, \
            Project(sys.argv[1], SPEC, sandbox=False) as p:
        moto.log_in(p, proxy.url)
        p.apply()
        elastic(p, moto, proxy)
        elastic_faults(p, moto, proxy)
        p.run("destroy", "-auto-approve")
        check(not moto.instances() and not moto.groups() and not moto.keys(), "nothing is left")
        check(not addresses(moto), "no address")
    print("good", flush=True)


main()
