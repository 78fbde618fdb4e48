"""The whole life of a server on EC2: made, each field changed alone, drift of each field mended, stopped
and started, imported, its state lost, destroyed. The same suite on moto, which others wrote, and on
the sandbox, which is faithful where moto is not; boto3 is the judge of what is there.
Usage: life_test.py BERTH moto [static|session|role] | sandbox"""

import contextlib
import json
import sys
import time

import berthlib
from berthlib import Project, changes_of, check, step, wait_until

SPEC = """berth: 1
name: life
provider: PROVIDER
server:
  image: IMAGE
  type: t3.small
  count: 1
  disk: { size: 20 GiB, type: gp2 }
  address: dynamic
  tags: { team: growth }
access:
  ssh: [203.0.113.7/32]
"""


def tags(thing):
    return {t["Key"]: t["Value"] for t in thing.get("Tags", [])}


def wait_for(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, what)
        time.sleep(0.1)


class World:
    """What boto3 sees, by the names of this spec."""

    def __init__(self, ec2):
        self.ec2 = ec2

    def servers(self):
        found = [i for r in self.ec2.describe_instances()["Reservations"] for i in r["Instances"]
                 if i["State"]["Name"] not in ("terminated", "shutting-down")]
        return sorted(found, key=lambda i: int(tags(i).get("berth:index", 0)) + i["AmiLaunchIndex"])

    def server(self):
        found = self.servers()
        check(len(found) == 1, "one server", str(found))
        return found[0]

    def id(self):
        return self.server()["InstanceId"]

    def group(self):
        return next(g for g in self.ec2.describe_security_groups()["SecurityGroups"]
                    if g["GroupName"] == "berth-life")

    def key(self):
        return next(k for k in self.ec2.describe_key_pairs()["KeyPairs"]
                    if k["KeyName"] == "berth-life")

    def volumes(self):
        return self.ec2.describe_volumes()["Volumes"]

    def root_disk(self):
        server = self.server()
        return next(v for v in self.volumes() for a in v["Attachments"]
                    if a["InstanceId"] == server["InstanceId"] and
                    a["Device"] == server["RootDeviceName"])

    def addresses(self):
        return self.ec2.describe_addresses()["Addresses"]

    def rules(self):
        return sorted(f"{p['FromPort']} {r.get('CidrIp') or r.get('CidrIpv6')}"
                      for p in self.group()["IpPermissions"]
                      for r in p["IpRanges"] + p["Ipv6Ranges"])

    def descriptions(self):
        return {r["CidrIp"]: r.get("Description") for p in self.group()["IpPermissions"]
                for r in p["IpRanges"]}

    def other_subnet(self):
        """One that the server is not in."""
        mine = self.server()["SubnetId"]
        return next(s["SubnetId"] for s in self.ec2.describe_subnets()["Subnets"]
                    if s["SubnetId"] != mine)

    def profile(self):
        arn = self.server().get("IamInstanceProfile", {}).get("Arn", "")
        return arn.rsplit("/", 1)[-1]

    def replaces_profiles(self):
        """moto goes on showing the instance with the profile that was replaced."""
        return self.ec2.meta.region_name == "sandbox"


def settled(p, what):
    plan = p.plan()
    check(plan == {}, f"{what}: then nothing is left to do", plan)


def change(p, world, name, old, new, wanted, judge, action="update"):
    """One field of the spec: the plan shows it alone, apply makes it so, then the plan is empty."""
    step(f"{name}: {old.strip()} → {new.strip()}")
    p.edit_spec(old, new)
    plan = p.plan()
    seen = {a: changes_of(plan, a) for a in plan if plan[a]["action"] not in ("create", "destroy")}
    check(seen == {a: dict.fromkeys(fields, "spec") for a, fields in wanted.items()},
          f"{name} alone is shown", seen, plan)
    if "server[0]" in wanted:
        check(plan["server[0]"]["action"] == action, f"by {action}", plan["server[0]"])
    p.apply()
    check(judge(world), f"{name}: EC2 has it", str(world.servers()))
    settled(p, name)


def life(p, world):
    step("made")
    plan = p.plan()
    check({a: c["action"] for a, c in plan.items()} ==
          dict.fromkeys(("key_pair", "access", "server[0]"), "create"), "three to make", plan)
    p.apply()
    server, disk = world.server(), world.root_disk()
    check(server["State"]["Name"] == "running" and server["InstanceType"] == "t3.small", "it runs")
    check((disk["Size"], disk["VolumeType"], disk["Encrypted"]) == (20, "gp2", True), "its disk",
          str(disk))
    for thing in (server, disk, world.group(), world.key()):
        found = tags(thing)
        check(found.get("team") == "growth" and found.get("berth:name") == "life", "tagged", found)
    settled(p, "made")
    check(p.json("doctor")["identity"]["arn"].startswith("arn:aws:"), "who acts", p.json("doctor"))
    policy = json.loads(p.run("doctor", "-policy").stdout)
    actions = [a for s in policy["Statement"] for a in s["Action"]]
    check("ec2:RunInstances" in actions and "ec2:AllocateAddress" not in actions,
          "the policy is this spec's", policy)


def fields(p, world):
    first = world.id()
    change(p, world, "type", "t3.small", "t3.medium", {"server[0]": ["type"]},
           lambda w: w.server()["InstanceType"] == "t3.medium", "stop-update-start")
    change(p, world, "disk size", "20 GiB", "24 GiB", {"server[0]": ["disk"]},
           lambda w: w.root_disk()["Size"] == 24)
    change(p, world, "disk type", "gp2", "gp3", {"server[0]": ["disk"]},
           lambda w: w.root_disk()["VolumeType"] == "gp3")
    change(p, world, "tags", "team: growth", "team: core, stage: test",
           {a: ["tags"] for a in ("key_pair", "access", "server[0]")},
           lambda w: all(tags(x).get("stage") == "test" and tags(x)["team"] == "core"
                         for x in (w.server(), w.group(), w.key(), w.root_disk())))
    change(p, world, "access", "[203.0.113.7/32]",
           '[203.0.113.7/32, 198.51.100.0/24, "2001:db8::/64"]', {"access": ["rules"]},
           lambda w: w.rules() == ["22 198.51.100.0/24", "22 2001:db8::/64", "22 203.0.113.7/32"])
    change(p, world, "access description", "[203.0.113.7/32, ",
           "[{ cidr: 203.0.113.7/32, description: office }, ", {"access": ["rules"]},
           lambda w: "office" in w.descriptions()["203.0.113.7/32"])
    change(p, world, "elastic address", "address: dynamic", "address: elastic",
           {"server[0]": ["elastic_ip"]},
           lambda w: [a["InstanceId"] for a in w.addresses()] == [w.id()] and
           w.server()["PublicIpAddress"] == w.addresses()[0]["PublicIp"])
    kept = world.addresses()[0]["PublicIp"]
    change(p, world, "IAM profile", "address: elastic", "address: elastic\n  iam_profile: reader",
           {"server[0]": ["iam_profile"]}, lambda w: w.profile() == "reader")
    if world.replaces_profiles():
        change(p, world, "another IAM profile", "reader", "writer",
               {"server[0]": ["iam_profile"]}, lambda w: w.profile() == "writer")
    check(world.id() == first, "all of it on the same instance")
    change(p, world, "subnet", "\n  iam_profile", f"\n  subnet: {world.other_subnet()}\n  iam_profile",
           {"server[0]": ["subnet"]}, lambda w: w.server()["SubnetId"] in p.spec_path.read_text(),
           "replace")
    check(world.id() != first, "another instance")
    check([a["PublicIp"] for a in world.addresses()] == [kept] and
          world.server()["PublicIpAddress"] == kept, "its address stayed", str(world.addresses()))
    profile = "writer" if world.replaces_profiles() else "reader"
    change(p, world, "no IAM profile", f"\n  iam_profile: {profile}", "",
           {"server[0]": ["iam_profile"]}, lambda w: w.profile() == "")
    second = world.id()
    change(p, world, "spot", "count: 1", "count: 1\n  spot: true", {"server[0]": ["spot"]},
           lambda w: w.server().get("InstanceLifecycle") == "spot", "replace")
    change(p, world, "no spot", "\n  spot: true", "", {"server[0]": ["spot"]},
           lambda w: "InstanceLifecycle" not in w.server(), "replace")
    check(world.id() != second, "another instance again")
    change(p, world, "dynamic address", "address: elastic", "address: dynamic",
           {"server[0]": ["elastic_ip"]}, lambda w: w.addresses() == [])
    change(p, world, "count", "count: 1", "count: 3", {}, lambda w: len(w.servers()) == 3)
    change(p, world, "count again", "count: 3", "count: 1", {}, lambda w: len(w.servers()) == 1)


def drift_of(p, world, name, act, wanted, judge):
    """Done by hand: the plan shows these fields as drift and no others, apply mends them."""
    step(f"drift: {name}")
    act()
    plan = p.plan()
    seen = {a: changes_of(plan, a) for a in plan}
    check(seen == {a: dict.fromkeys(fields, "drift") for a, fields in wanted.items()},
          f"{name} is shown as drift", seen, plan)
    p.apply()
    check(judge(world), f"{name} is mended", str(world.servers()), str(world.group()))
    settled(p, name)


def drift(p, world):
    ec2 = world.ec2
    p.edit_spec("address: dynamic", "address: elastic\n  iam_profile: reader")
    p.apply()
    group, server, disk = world.group()["GroupId"], world.id(), world.root_disk()["VolumeId"]
    address = world.addresses()[0]
    rule = dict(IpProtocol="tcp", FromPort=22, ToPort=22)

    def permission(cidr, **more):
        return [dict(dict(rule, **more), IpRanges=[dict(CidrIp=cidr)])]

    def stop():
        ec2.stop_instances(InstanceIds=[server])
        wait_for(lambda: world.server()["State"]["Name"] == "stopped", "it stops")

    def resize():
        stop()
        ec2.modify_instance_attribute(InstanceId=server, InstanceType=dict(Value="t3.large"))
        ec2.start_instances(InstanceIds=[server])
        wait_for(lambda: world.server()["State"]["Name"] == "running", "it starts")

    def change_profile():
        found = ec2.describe_iam_instance_profile_associations(
            Filters=[dict(Name="instance-id", Values=[server])])
        ec2.replace_iam_instance_profile_association(
            AssociationId=found["IamInstanceProfileAssociations"][0]["AssociationId"],
            IamInstanceProfile=dict(Name="writer"))

    def add_group():
        other = ec2.create_security_group(GroupName="other", Description="x")["GroupId"]
        ec2.modify_instance_attribute(InstanceId=server, Groups=[group, other])

    rules = world.rules()
    drift_of(p, world, "a rule more",
             lambda: ec2.authorize_security_group_ingress(
                 GroupId=group, IpPermissions=permission("0.0.0.0/0", FromPort=3389, ToPort=3390)),
             {"access": ["rules"]}, lambda w: w.rules() == rules)
    drift_of(p, world, "a rule less",
             lambda: ec2.revoke_security_group_ingress(
                 GroupId=group, IpPermissions=permission("203.0.113.7/32")),
             {"access": ["rules"]},
             lambda w: w.rules() == rules and "office" in w.descriptions()["203.0.113.7/32"])
    drift_of(p, world, "a rule's description",
             lambda: ec2.update_security_group_rule_descriptions_ingress(
                 GroupId=group, IpPermissions=[
                     dict(rule, IpRanges=[dict(CidrIp="203.0.113.7/32", Description="x")])]),
             {"access": ["rules"]}, lambda w: "office" in w.descriptions()["203.0.113.7/32"])
    for address_of, thing in (("server[0]", server), ("access", group),
                              ("key_pair", world.key()["KeyPairId"])):
        drift_of(p, world, f"tags of {address_of}",
                 lambda thing=thing: ec2.create_tags(Resources=[thing], Tags=[
                     dict(Key="team", Value="x"), dict(Key="more", Value="1")]),
                 {address_of: ["tags"]},
                 lambda w: all(tags(x)["team"] == "core" and "more" not in tags(x)
                               for x in (w.server(), w.group(), w.key())))
    drift_of(p, world, "IMDSv2",
             lambda: ec2.modify_instance_metadata_options(
                 InstanceId=server, HttpTokens="optional", HttpEndpoint="enabled"),
             {"server[0]": ["imds"]},
             lambda w: w.server()["MetadataOptions"]["HttpTokens"] == "required")
    drift_of(p, world, "another group beside", add_group, {"server[0]": ["group"]},
             lambda w: [g["GroupId"] for g in w.server()["SecurityGroups"]] == [group])
    drift_of(p, world, "type", resize, {"server[0]": ["type"]},
             lambda w: w.server()["InstanceType"] == "t3.medium")
    drift_of(p, world, "power", stop, {"server[0]": ["power"]},
             lambda w: w.server()["State"]["Name"] == "running")
    if world.replaces_profiles():
        drift_of(p, world, "IAM profile", change_profile, {"server[0]": ["iam_profile"]},
                 lambda w: w.profile() == "reader")
    drift_of(p, world, "the address",
             lambda: ec2.disassociate_address(AssociationId=address["AssociationId"]),
             {"server[0]": ["elastic_ip"]},
             lambda w: w.server()["PublicIpAddress"] == address["PublicIp"])
    drift_of(p, world, "the disk",
             lambda: ec2.modify_volume(VolumeId=disk, VolumeType="gp2"),
             {"server[0]": ["disk"]}, lambda w: w.root_disk()["VolumeType"] == "gp3")
    check(world.id() == server, "all of it on the same instance")

    step("drift: the server is gone")
    ec2.terminate_instances(InstanceIds=[server])
    plan = p.plan()
    check(plan["server[0]"]["action"] == "create" and plan["server[0]"]["why"] == "drift",
          "to be made anew, and that it was there is said", plan)
    p.apply()
    check(world.id() != server and world.server()["PublicIpAddress"] == address["PublicIp"],
          "another one, with its address")
    settled(p, "gone")


def power(p, world):
    step("stopped and started by berth")
    server = world.id()
    p.run("stop", "-auto-approve")
    check(world.server()["State"]["Name"] == "stopped", "EC2 says so")
    settled(p, "stopped")
    status = p.json("status")
    check(status["servers"][0]["power"] == "stopped", "status says so", status)
    said = p.run("ssh", "--", "true", check_code=1).stderr
    check("was stopped" in said and "berth start" in said, "no login that hangs", said)
    p.run("start")
    check(world.server()["State"]["Name"] == "running" and world.id() == server, "it runs again")
    check(p.json("status")["servers"][0]["power"] == "running", "status says so")
    settled(p, "started")


def imported(p, world):
    step("imported: a server that the state does not know and no tag names")
    server = world.id()
    p.run("state", "rm", "server[0]")
    ec2 = world.ec2
    ec2.delete_tags(Resources=[server], Tags=[dict(Key=f"berth:{k}")
                                              for k in ("name", "lineage", "node", "index")])
    check(p.plan()["server[0]"]["action"] == "create", "berth knows nothing of it")
    p.run("import", "server[0]", server)
    plan = p.plan()
    check(set(plan) == {"server[0]"} and "tagged" in changes_of(plan, "server[0]") and
          plan["server[0]"]["action"] == "update", "it is ours but for the tags", plan)
    p.apply()
    check(world.id() == server and tags(world.server())["berth:name"] == "life", "tagged again")
    settled(p, "imported")


def lost_state(p, world):
    step("the state is lost: all is taken over by its tags")
    before = [i["InstanceId"] for i in world.servers()]
    for name in ("state.json", "state.json.backup", "journal"):
        (p.dir / ".berth" / "life" / name).unlink(missing_ok=True)
    plan = p.plan()
    check({c["action"] for c in plan.values()} == {"adopt"} and len(plan) == 4, "adopted", plan)
    p.apply()
    check([i["InstanceId"] for i in world.servers()] == before, "nothing is made anew")
    settled(p, "adopted")


def destroyed(p, world):
    step("destroyed, the state being lost: nothing is left")
    for name in ("state.json", "state.json.backup", "journal"):
        (p.dir / ".berth" / "life" / name).unlink(missing_ok=True)
    p.run("destroy", "-auto-approve")
    def left():
        return [f"{kind} {thing}" for kind, things in (
            ("instance", world.servers()), ("volume", world.volumes()),
            ("address", world.addresses()),
            ("group", world.ec2.describe_security_groups()["SecurityGroups"]),
            ("key", world.ec2.describe_key_pairs()["KeyPairs"])) for thing in things
                if kind in ("instance", "volume", "address") or "berth:name" in tags(thing)]
    # A root disk is there for a moment more after its server has ended, being deleted.
    check(all("'State': 'deleting'" in thing for thing in left()), "nothing stays", left())
    wait_until(lambda: left() == [], "boto3 sees nothing of it")
    p.run("destroy", "-auto-approve")


def role_of(moto):
    """A role that the user may take: its ARN."""
    iam = moto.client("iam", moto.key, moto.secret)
    allow = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}
    role = iam.create_role(RoleName="berth", AssumeRolePolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": [allow]}))["Role"]
    iam.put_role_policy(RoleName="berth", PolicyName="all", PolicyDocument=json.dumps(
        {"Version": "2012-10-17",
         "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}))
    return role["Arn"]


def login(p, moto, credentials):
    """What a user of such credentials has in the environment and the home folder."""
    p.env.update(AWS_ENDPOINT_URL=moto.url, AWS_EC2_METADATA_DISABLED="true", HOME=str(p.root))
    if credentials == "session":
        got = moto.client("sts", moto.key, moto.secret).assume_role(
            RoleArn=role_of(moto), RoleSessionName="life")["Credentials"]
        p.env.update(AWS_ACCESS_KEY_ID=got["AccessKeyId"], AWS_SECRET_ACCESS_KEY=got["SecretAccessKey"],
                     AWS_SESSION_TOKEN=got["SessionToken"])
    elif credentials == "role":
        folder = p.root / ".aws"
        folder.mkdir()
        (folder / "credentials").write_text(
            f"[base]\naws_access_key_id = {moto.key}\naws_secret_access_key = {moto.secret}\n")
        (folder / "config").write_text(
            f"[profile work]\nrole_arn = {role_of(moto)}\nsource_profile = base\n")
        p.env["AWS_PROFILE"] = "work"
    else:
        p.env.update(AWS_ACCESS_KEY_ID=moto.key, AWS_SECRET_ACCESS_KEY=moto.secret)


@contextlib.contextmanager
def on_moto(berth, credentials="static"):
    from aws_proxy import Proxy
    from motolib import Moto
    spec = SPEC.replace("PROVIDER", "ec2\nregion: us-east-1").replace("IMAGE", "amazon-linux-2023")
    with Moto() as moto, Proxy(moto.url, moto.secret) as proxy, \
            Project(berth, spec, sandbox=False) as p:
        for name in list(p.env):
            if name.startswith("AWS_"):
                del p.env[name]
        login(p, moto, credentials)
        if credentials == "static":  # botocore's signer is a judge beside moto's
            p.env["AWS_ENDPOINT_URL"] = proxy.url
        iam = moto.client("iam", moto.key, moto.secret)
        for name in ("reader", "writer"):
            iam.create_instance_profile(InstanceProfileName=name)
        yield p, World(moto.ec2)
        proxy.take()


@contextlib.contextmanager
def on_sandbox(berth):
    import boto3
    berthlib.need_root()
    berthlib.need_program("mmdebstrap")
    spec = SPEC.replace("PROVIDER", "sandbox").replace("IMAGE", "debian-12")
    with Project(berth, spec) as p:
        p.run("sandbox", "start")
        info = p.json("sandbox", "status")
        yield p, World(boto3.client(
            "ec2", endpoint_url=info["endpoint"], region_name=info["region"],
            aws_access_key_id=info["access_key"], aws_secret_access_key=info["secret_key"]))


def main():
    backend = {"moto": on_moto, "sandbox": on_sandbox}[sys.argv[2]]
    with backend(sys.argv[1], *sys.argv[3:]) as (p, world):
        for part in (life, fields, drift, power, imported, lost_state, destroyed):
            part(p, world)
    print("good", flush=True)


main()
