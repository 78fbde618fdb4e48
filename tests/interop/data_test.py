"""Data volumes. Against moto: each field of the EC2 half, changed in the spec and by boto3, a lost state,
two that say the same of themselves, a server that comes back in another zone's default. In the sandbox:
the files on the volume, through a replacement, growth, destroy and apply, a foreign file system.
Usage: data_test.py BERTH [moto|sandbox]"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import berthlib
from aws_proxy import Proxy, at, once, refusal
from berthlib import Project, changes_of, check, step
from motolib import Moto, actions, tags

EC2 = """berth: 1
name: keeps
provider: ec2
region: us-east-1
server:
  image: amazon-linux-2023
  type: t3.small
  data: { size: 10 GiB, mount: ~/work, type: gp2 }
access: { ssh: 203.0.113.7/32 }
"""
SANDBOX = """berth: 1
name: keeps
provider: sandbox
server:
  image: debian-12
  type: t3.small
  swap: 1 GiB
  data: { size: 1 GiB, mount: ~/work }
access: { ssh: my-ip }
files:
  - { from: nb/, to: ~/work/nb }
  - { from: nb/, to: ~/elsewhere }
"""


class Half(Project):
    """Of the spec the EC2 half alone: nobody answers SSH behind moto."""

    def applies(self, *args):
        return self.run("apply", "-auto-approve", "-target", "data[0]", *args)

    def data(self):
        """What the plan does to the volume; None: nothing."""
        plan = json.loads(self.run("plan", "-json", "-target", "data[0]").stdout)
        found = [c for c in plan["changes"] if c["address"] == "data[0]" and c["action"] != "no-op"]
        return found[0] if found else None

    def only(self, *fields, why="spec", action="update"):
        change = self.data()
        check(change is not None and change["action"] == action, action, change)
        got = changes_of({"data[0]": change}, "data[0]")
        check(got == {f: why for f in fields}, f"{fields} by {why}", got)


def volumes(moto):
    return [v for v in moto.ec2.describe_volumes()["Volumes"] if tags(v).get("berth:node") == "data"]


def volume(moto):
    found = volumes(moto)
    check(len(found) == 1, "one volume", str(found))
    return found[0]


def server(moto):
    return moto.instances()[0]


def attached_to(moto):
    return [a["InstanceId"] for a in volume(moto)["Attachments"]]


def made(p, moto, proxy):
    step("made in the server's zone, with a token and all tags, and attached")
    proxy.take()
    p.applies()
    calls = [c for c in proxy.take() if not c.action.startswith(("Describe", "Get"))]
    check(actions(calls)[-2:] == ["CreateVolume", "AttachVolume"], "after the server", actions(calls))
    form = calls[-2].form
    check(form["ClientToken"].startswith("berth-") and form["Encrypted"] == "true", "the call", form)
    v = volume(moto)
    check(v["AvailabilityZone"] == server(moto)["Placement"]["AvailabilityZone"], "its zone", str(v))
    check(v["Size"] == 10 and v["VolumeType"] == "gp2" and v["Encrypted"], "as asked", str(v))
    check(attached_to(moto) == [server(moto)["InstanceId"]], "attached", str(v))
    check(tags(v)["berth:index"] == "0" and tags(v)["berth:name"] == "keeps", "tags", tags(v))
    check(p.data() is None, "then nothing is left to do")


def changed(p, moto, proxy):
    step("each field: the plan shows that alone, and then nothing")
    first = volume(moto)["VolumeId"]
    for old, new, field, action in (("10 GiB", "12 GiB", "size", "ModifyVolume"),
                                    ("gp2", "gp3", "type", "ModifyVolume"),
                                    ("  data:", "  tags: { team: a }\n  data:", "tags", "CreateTags")):
        p.edit_spec(old, new)
        p.only(field)
        proxy.take()
        p.applies()
        calls = [c for c in proxy.take() if c.form.get("VolumeId", c.form.get("ResourceId.1")) == first]
        check(action in actions(calls), action, actions(calls))
        check(p.data() is None, "then nothing is left to do", p.data())
    v = volume(moto)
    check(v["Size"] == 12 and v["VolumeType"] == "gp3" and tags(v)["team"] == "a", "as asked", str(v))

    step("what would lose it is refused, with what to do")
    for old, new in (("12 GiB", "11 GiB"), ("type: gp3", "type: gp3, encrypted: false")):
        p.edit_spec(old, new)
        shown = p.run("plan", "-target", "data[0]", check_code=None)
        check("keep: false" in shown.stdout + shown.stderr, "what to do", shown.stdout, shown.stderr)
        refusal_ = p.run("apply", "-auto-approve", "-target", "data[0]", check_code=None)
        check(refusal_.returncode != 0 and volume(moto)["VolumeId"] == first, "nothing was done",
              refusal_.stdout, refusal_.stderr)
        p.edit_spec(new, old)
    check(p.data() is None, "as it was")


def drifted(p, moto, proxy):
    step("what somebody did by hand is shown, and mended")
    v, instance = volume(moto)["VolumeId"], server(moto)["InstanceId"]
    moto.ec2.detach_volume(VolumeId=v, InstanceId=attached_to(moto)[0])
    p.only("attached_to", why="drift")
    p.applies()
    check(attached_to(moto) == [instance], "attached again")
    moto.ec2.create_tags(Resources=[v], Tags=[dict(Key="team", Value="b"), dict(Key="x", Value="y")])
    p.only("tags", why="drift")
    p.applies()
    check(tags(volume(moto))["team"] == "a" and "x" not in tags(volume(moto)), "mended")
    moto.ec2.delete_tags(Resources=[v], Tags=[dict(Key="berth:name"), dict(Key="berth:node")])
    p.only("tagged", why="drift")  # found by its recorded id
    p.applies()
    check(p.data() is None and volume(moto)["VolumeId"] == v, "mended")
    moto.ec2.modify_volume(VolumeId=v, Size=20)
    shown = p.run("plan", "-target", "data[0]", check_code=None).stdout
    check("20 GiB" in shown, "grown by hand is shown", shown)
    p.edit_spec("12 GiB", "20 GiB")
    check(p.data() is None, "the spec may say so")

    step("attached to somebody else's instance: it comes back")
    ami = server(moto)["ImageId"]
    other = moto.ec2.run_instances(ImageId=ami, MinCount=1, MaxCount=1, InstanceType="t3.small",
                                   Placement=server(moto)["Placement"])["Instances"][0]["InstanceId"]
    moto.ec2.detach_volume(VolumeId=v, InstanceId=attached_to(moto)[0])
    moto.ec2.attach_volume(VolumeId=v, InstanceId=other, Device="/dev/sdh")
    p.only("attached_to", why="drift")
    p.applies()
    check(attached_to(moto) == [instance], "back")
    moto.ec2.terminate_instances(InstanceIds=[other])


def survives(p, moto, proxy):
    step("a server that is made anew goes into its zone, and has it again")
    v, zone, instance = volume(moto)["VolumeId"], volume(moto)["AvailabilityZone"], server(moto)["InstanceId"]
    proxy.take()
    moto.ec2.terminate_instances(InstanceIds=[instance])
    p.applies()
    launch = next(c for c in proxy.take() if c.action == "RunInstances")
    check(launch.form.get("Placement.AvailabilityZone") == zone, "its zone", launch.form)
    check(server(moto)["InstanceId"] != instance, "another server")
    check(volume(moto)["VolumeId"] == v and attached_to(moto) == [server(moto)["InstanceId"]],
          "the same volume")

    step("a lost state: all is found again by tag")
    shutil.rmtree(p.dir / ".berth")
    change = p.data()
    check(change["action"] == "adopt", "taken over", change)
    p.applies()
    check(p.data() is None and volume(moto)["VolumeId"] == v, "the same volume")

    step("two that both say that they are data[0], and no state: nobody but the user knows")
    shutil.rmtree(p.dir / ".berth")
    copy = moto.ec2.create_volume(AvailabilityZone=zone, Size=1, TagSpecifications=[
        {"ResourceType": "volume", "Tags": volume(moto)["Tags"]}])["VolumeId"]
    shown = p.run("plan", "-target", "data[0]", check_code=None)
    said = shown.stdout + shown.stderr
    check(v in said and copy in said and "berth:node" in said, "both, and what to do", said)
    moto.ec2.delete_volume(VolumeId=copy)
    p.applies()
    check(volume(moto)["VolumeId"] == v, "it is the same still")

    step("an attach whose answer is lost, a refusal, a token that was used otherwise")
    moto.ec2.detach_volume(VolumeId=v, InstanceId=attached_to(moto)[0])
    proxy.faults.append(once(at("AttachVolume", refusal("InvalidVolume.ZoneMismatch"))))
    result = p.run("apply", "-auto-approve", "-target", "data[0]", check_code=None)
    check(result.returncode != 0 and "ZoneMismatch" in result.stderr and zone in result.stderr
          and "-replace" in result.stderr, "what to do", result.stderr)
    p.applies()
    check(attached_to(moto) == [server(moto)["InstanceId"]], "attached")

    step("destroy keeps it and says so; apply brings it back; destroy -data takes it")
    shown = p.run("destroy", "-auto-approve")
    check(f"{v}, 20 GiB" in shown.stdout and "destroy -data" in shown.stdout, "kept", shown.stdout)
    check(not moto.instances() and volume(moto)["State"] == "available", "it alone is there")
    shown = p.run("plan").stdout
    check(f"it goes to {zone}, where its data volume is" in " ".join(shown.split()), "where to", shown)
    proxy.faults.append(lambda call: (200, (
        "<DescribeInstanceTypeOfferingsResponse><instanceTypeOfferingSet><item><instanceType>t3.small"
        "</instanceType><location>us-east-1f</location></item></instanceTypeOfferingSet>"
        "</DescribeInstanceTypeOfferingsResponse>").encode())
        if call.action == "DescribeInstanceTypeOfferings" else None)
    refused = p.run("plan", check_code=None)
    check(f"not offered in {zone}" in " ".join((refused.stdout + refused.stderr).split()),
          "a type that its zone lacks is refused", refused.stdout, refused.stderr)
    proxy.faults.pop()
    p.applies()
    check(volume(moto)["VolumeId"] == v and attached_to(moto) == [server(moto)["InstanceId"]],
          "it is back")
    p.run("destroy", "-auto-approve", "-data")
    check(not volumes(moto) and not moto.instances(), "nothing is left")

    step("keep: false goes with the rest; what no state knows of is kept")
    p.edit_spec("type: gp3 }", "type: gp3, keep: false }")
    p.applies()
    p.run("destroy", "-auto-approve")
    check(not volumes(moto) and not moto.instances(), "nothing is left")
    p.edit_spec(", keep: false }", " }")
    proxy.faults.append(once(at("CreateVolume", refusal("IdempotentParameterMismatch"))))
    p.applies()
    shutil.rmtree(p.dir / ".berth")
    p.run("destroy", "-auto-approve")
    check(len(volumes(moto)) == 1 and not moto.instances(), "kept")
    p.run("destroy", "-auto-approve", "-data")
    check(not volumes(moto), "an orphan, until -data")


def against_moto(berth):
    with Moto() as moto, Proxy(moto.url, moto.secret) as proxy, Half(berth, EC2, sandbox=False) as p:
        moto.log_in(p, proxy.url)
        made(p, moto, proxy)
        changed(p, moto, proxy)
        drifted(p, moto, proxy)
        survives(p, moto, proxy)


# ---- In the sandbox


def sh(p, command, check_code=0):
    return p.ssh(command, check_code=check_code).stdout.strip()


def tried(p, command):
    """The same to a host that may be about to go: its connections hang then."""
    try:
        return p.run("ssh", "--", command, check_code=None, timeout=5).stdout.strip()
    except subprocess.TimeoutExpired:
        return ""


def gib_of(p, folder):
    return int(sh(p, f"df --output=size -k {folder} | tail -1")) / 2**20


def id_of(p):
    nodes = {n["address"]: n for n in p.state()["nodes"]}
    return nodes["data[0]"]["id"]


def wait_for(condition, what, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, what)
        time.sleep(0.1)


def files(p):
    step("formatted, mounted, the user's own; what the spec puts below it comes after it")
    p.apply()
    plan = p.run("plan")
    check("No changes" in plan.stdout and "no swap" in plan.stdout + plan.stderr,
          "nothing is left to do; that there is no swap is said", plan.stdout, plan.stderr)
    check(sh(p, "cat work/nb/a.txt; findmnt -no TARGET -T work/nb/a.txt") ==
          "a\n/home/admin/work", "on the volume")
    check(sh(p, "findmnt -no TARGET -T elsewhere/a.txt") == "/", "not on the volume")
    sh(p, "echo mine > work/file; mkdir work/folder")
    before = id_of(p)

    step("the mount went, the line went: drift, and mended")
    sh(p, "sudo umount work && sudo sed -i /x-berth/d /etc/fstab")
    plan = p.plan()
    check(set(plan) >= {"server[0].data"} and changes_of(plan, "server[0].data") ==
          {"mounted": "drift", "at_boot": "drift"}, "shown", plan)
    p.apply()
    check(p.plan() == {} and sh(p, "cat work/file") == "mine", "mended")

    step("over a reboot")
    boot = sh(p, "stat -c %Y /proc/1; cat /proc/1/stat")
    tried(p, "sudo systemctl reboot")
    wait_for(lambda: tried(p, "stat -c %Y /proc/1; cat /proc/1/stat") not in ("", boot),
             "it comes up again")
    wait_for(lambda: tried(p, "cat work/file") == "mine", "mounted at boot")
    check(p.plan() == {}, "as the spec says", p.plan())

    step("a replaced server has the files")
    p.run("apply", "-auto-approve", "-replace", "server[0]")
    check(id_of(p) == before and sh(p, "cat work/file") == "mine", "the same volume")
    check(p.plan() == {}, "as the spec says", p.plan())

    step("grown in place from 1 to 2 GiB, also while somebody stands in it")
    check(gib_of(p, "work") < 1, "1 GiB to begin with")
    p.edit_spec("data: { size: 1 GiB", "data: { size: 2 GiB")
    plan = p.plan()
    check({a: changes_of(plan, a) for a in plan} == {"data[0]": {"size": "spec"},
                                                     "server[0].data": {"size": "spec"}},
          "the size alone", plan)
    p.ssh("cd work; nohup sleep 600 >/dev/null 2>&1 & echo $! >/tmp/sleeper")
    busy = p.run("apply", "-auto-approve", check_code=None)
    check(busy.returncode != 0 and "in use" in busy.stdout + busy.stderr, "busy, and what to do",
          busy.stdout, busy.stderr)
    check(sh(p, "cat work/file") == "mine", "and it is mounted still")
    sh(p, "kill $(cat /tmp/sleeper)")
    p.apply()
    check(p.plan() == {} and id_of(p) == before and sh(p, "cat work/file") == "mine", "the same")
    check(1.8 < gib_of(p, "work") < 2, "df shows it", gib_of(p, "work"))

    step("another folder")
    p.write_spec(p.spec_path.read_text().replace("~/work", "/srv/data"))
    p.apply()
    check(p.plan() == {} and sh(p, "cat /srv/data/file; ls work; grep -c x-berth /etc/fstab") ==
          "mine\n1", "moved", sh(p, "cat /srv/data/file; ls work; grep -c x-berth /etc/fstab"))
    sh(p, "sudo rm -rf /srv/data/nb; sudo mkdir -p /srv/data/nb/sub; "
          "sudo touch /srv/data/nb/a.txt /srv/data/nb/sub/b.txt")
    p.write_spec(p.spec_path.read_text().replace("/srv/data", "~/work"))
    p.apply()
    check(p.plan() == {} and set(sh(p, "find work/nb -printf '%u\\n'").split()) == {"admin"},
          "in a home it is the user's, also where root had made it", sh(p, "ls -lR work/nb"))

    step("destroy keeps it; apply brings it back")
    shown = p.run("destroy", "-auto-approve").stdout
    check(before in shown and "destroy -data" in shown, "kept, and what to do", shown)
    p.apply()
    check(id_of(p) == before and sh(p, "cat work/file") == "mine", "the same files")

    step("left out of the spec it is unmounted and kept; -data takes it while the server stays")
    spec = p.spec_path.read_text()
    line = next(x for x in spec.splitlines() if x.startswith("  data:")) + "\n"
    p.write_spec(spec.replace(line, "").replace("~/work", "~/other"))
    p.apply()
    check(p.ssh("findmnt -no TARGET -M ~/work", check_code=None).stdout == "", "unmounted")
    p.write_spec(spec)
    p.apply()
    check(id_of(p) == before and sh(p, "cat work/file") == "mine" and p.plan() == {}, "back")
    return before


def foreign(p):
    step("a volume that is not blank is never formatted, and it is said what is on it")
    device = "$(readlink -f /dev/disk/by-id/nvme-Amazon*)"
    sh(p, f"sudo umount work && sudo wipefs -qa {device} && sudo mkswap -q {device} 2>/dev/null || "
       f"sudo mkswap {device}")
    uuid = sh(p, f"sudo blkid -p -o value -s UUID {device}")
    failed = p.run("apply", "-auto-approve", check_code=None)
    said = failed.stdout + failed.stderr
    check(failed.returncode != 0 and "on the volume is swap" in said and "wipefs" in said,
          "what is there, and what to do", said)
    check(sh(p, f"sudo blkid -p -o value -s UUID {device}") == uuid, "it is untouched")
    table = r"\0\40\41\0\203\376\377\377\0\10\0\0\0\0\20\0"  # one partition, in the first sector
    sh(p, f"sudo wipefs -qa {device}; for part in '446 {table}' '510 \\125\\252'; do printf \"${{part#* }}\" | "
       f"sudo dd of={device} bs=1 seek=${{part% *}} conv=notrunc status=none; done")
    failed = p.run("apply", "-auto-approve", check_code=None)
    check(failed.returncode != 0 and "no file system" in failed.stdout + failed.stderr,
          "a partition table is not blank", failed.stdout, failed.stderr)
    check("dos" in sh(p, f"sudo blkid -p -o value -s PTTYPE {device}"), "it is untouched")
    sh(p, f"sudo wipefs -qa {device}")
    p.apply()
    check(p.plan() == {} and sh(p, "ls -A work") != "", "blank again: formatted", p.plan())


def in_sandbox(berth):
    berthlib.need_root()
    berthlib.need_program("mmdebstrap", "ssh")
    for device in ("/dev/loop-control", "/dev/fuse"):
        if not os.path.exists(device):
            berthlib.skip(f"no {device}")
    with Project(berth, SANDBOX) as p:
        step("where there is no FUSE, a spec with data says so before anything begins")
        (p.dir / "nb/sub").mkdir(parents=True)
        for name in ("a.txt", "sub/b.txt"):
            (p.dir / "nb" / name).write_text("a\n")
        bare = ("mount -t tmpfs tmpfs /dev && mknod /dev/null c 1 3 && mknod /dev/urandom c 1 9 && "
                "mknod /dev/loop-control c 10 237 && exec \"$@\"")
        without = p.run("plan", check_code=None, prefix=("unshare", "-m", "sh", "-c", bare, "sh"))
        check(without.returncode != 0 and "/dev/fuse" in without.stderr and "modprobe" in without.stderr,
              "what is missing, and what to do", without.stdout, without.stderr)
        check(not (p.world / "world.json").exists(), "nothing was begun")
        files(p)
        foreign(p)
        step("destroy -data leaves nothing")
        p.run("destroy", "-auto-approve", "-data")
        check(list((p.world / "v").iterdir()) == [], "no volume", str(list((p.world / "v").iterdir())))
        check(berthlib.leftovers(p.world) == [], "nothing is left", berthlib.leftovers(p.world))


halves = {"moto": against_moto, "sandbox": in_sandbox}
for name in sys.argv[2:] or halves:
    halves[name](pathlib.Path(sys.argv[1]))
print("good", flush=True)
