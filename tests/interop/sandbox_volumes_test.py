"""The sandbox's volumes, with boto3 as the judge of the API, and a guest's own tools (mkfs, mount,
blkid, resize2fs) as judges of the devices. Usage: sandbox_volumes_test.py BERTH"""

import os
import subprocess
import sys

import berthlib
from berthlib import Project, check, skip, step
from sandboxlib import World, make_key, refused, wait_for

for device in ("/dev/loop-control", "/dev/fuse"):
    if not os.path.exists(device):
        skip(f"no {device}")


class Storage(World):
    def __init__(self, project):
        super().__init__(project)
        self.key, public = make_key(project)
        self.start()
        self.ec2.import_key_pair(KeyName="k", PublicKeyMaterial=public)

    def launch(self, **more):
        return self.run(KeyName="k", **more)["Instances"][0]["InstanceId"]

    def instance(self, id):
        return self.instances(InstanceIds=[id])[0]

    def create(self, size=1, **more):
        id = self.ec2.create_volume(AvailabilityZone=self.zone, Size=size, VolumeType="gp3",
                                    **more)["VolumeId"]
        self.await_volume(id, "available")
        return id

    def volume(self, id):
        return self.ec2.describe_volumes(VolumeIds=[id])["Volumes"][0]

    def await_volume(self, id, state):
        wait_for(lambda: self.volume(id)["State"] == state, f"{id} is {state}")

    def attach(self, volume, instance, device="/dev/sdf"):
        self.ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device=device)
        wait_for(lambda: self.volume(volume)["Attachments"][0]["State"] == "attached", "attached")

    def found(self, **filters):
        wanted = [{"Name": n.replace("_", "-"), "Values": [v]} for n, v in filters.items()]
        return sorted(v["VolumeId"] for v in self.ec2.describe_volumes(Filters=wanted)["Volumes"])

    def ssh(self, instance, command, good=True):
        address = self.instance(instance)["PrivateIpAddress"]
        answer = subprocess.run(
            ["ssh", "-i", self.key, "-o", "StrictHostKeyChecking=no", "-o",
             "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=2",
             f"admin@{address}", f"sudo sh -c '{command}'"], capture_output=True, text=True)
        check(not good or answer.returncode == 0, f"ssh {command}", answer.stdout, answer.stderr)
        return answer.stdout.strip() if good else answer


def by_id(volume):
    return f"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{volume.replace('-', '')}"


def the_api(w, one):
    step("made once a token, found, paged, deleted; what is refused")
    ec2 = w.ec2
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "role", "Value": "data"}]}]
    asked = dict(AvailabilityZone=w.zone, Size=2, VolumeType="gp3", Encrypted=True,
                 ClientToken="v1", TagSpecifications=tags)
    made = ec2.create_volume(**asked)
    data = made["VolumeId"]
    check(made["State"] == "creating" and made["Iops"] == 3000 and made["Throughput"] == 125
          and made["Encrypted"] and made["Tags"] == tags[0]["Tags"], "what was made", str(made))
    check(ec2.create_volume(**asked)["VolumeId"] == data, "the same token, the same volume")
    refused("IdempotentParameterMismatch", ec2.create_volume, **dict(asked, Size=3))
    w.await_volume(data, "available")
    refused("MissingParameter", ec2.create_volume, Size=1)
    refused("MissingParameter", ec2.create_volume, AvailabilityZone=w.zone)
    refused("InvalidZone.NotFound", ec2.create_volume, AvailabilityZone="moon-1a", Size=1)
    refused("UnknownVolumeType", ec2.create_volume, AvailabilityZone=w.zone, Size=1,
            VolumeType="gp9")
    for size in (0, 99999, "x"):
        refused("InvalidParameterValue", ec2.create_volume, AvailabilityZone=w.zone, Size=size)
    refused("UnsupportedOperation", ec2.create_volume, AvailabilityZone=w.zone, Size=1,
            SnapshotId="snap-1")
    refused("InvalidVolume.NotFound", ec2.describe_volumes, VolumeIds=["vol-0"])
    refused("InvalidParameterValue", ec2.describe_volumes, VolumeIds=["x"])
    refused("InvalidParameterValue", ec2.describe_volumes, Filters=[{"Name": "no", "Values": ["x"]}])
    refused("InvalidParameterCombination", ec2.describe_volumes, MaxResults=5, VolumeIds=[data])
    refused("InvalidVolume.NotFound", ec2.delete_volume, VolumeId="vol-0")
    refused("DryRunOperation", ec2.delete_volume, VolumeId=data, DryRun=True)

    step("the root disk is one of them")
    root = w.instance(one)["BlockDeviceMappings"][0]
    check(root["DeviceName"] == "/dev/xvda" and root["Ebs"]["DeleteOnTermination"]
          and root["Ebs"]["Status"] == "attached", "the mapping", str(root))
    disk = w.volume(root["Ebs"]["VolumeId"])
    check(disk["Size"] == 20 and disk["VolumeType"] == "gp3" and disk["State"] == "in-use"
          and disk["Tags"] == [{"Key": "role", "Value": "root"}], "the root disk", str(disk))
    refused("OperationNotPermitted", ec2.detach_volume, VolumeId=disk["VolumeId"])
    refused("VolumeInUse", ec2.delete_volume, VolumeId=disk["VolumeId"])
    refused("InvalidBlockDeviceMapping", w.run, BlockDeviceMappings=[
        {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 3}}])
    refused("UnsupportedOperation", w.run, BlockDeviceMappings=[
        {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 3}}])

    filters = [{"tag:role": "data"}, {"status": "available"}, {"volume-id": data},
               {"size": "2"}, {"encrypted": "true"}, {"availability-zone": w.zone, "tag-key": "role",
                                                      "volume-type": "gp3", "size": "2"}]
    for wanted in filters:
        check(w.found(**wanted) == [data], f"found by {wanted}", w.found(**wanted))
    check(w.found(**{"attachment.instance-id": one}) == [disk["VolumeId"]], "by its instance")
    more = [w.create() for _ in range(6)]
    first = ec2.describe_volumes(MaxResults=5)
    rest = ec2.describe_volumes(MaxResults=5, NextToken=first["NextToken"])
    ids = [v["VolumeId"] for v in first["Volumes"] + rest["Volumes"]]
    check(sorted(ids) == sorted([data, disk["VolumeId"], *more]) and "NextToken" not in rest,
          "pages", ids)
    ec2.create_tags(Resources=[data], Tags=[{"Key": "x", "Value": "y"}])
    check(w.found(**{"tag:x": "y"}) == [data], "tagged later")
    refused("InvalidVolume.NotFound", ec2.create_tags, Resources=["vol-0"],
            Tags=[{"Key": "x", "Value": "y"}])
    for volume in more:
        ec2.delete_volume(VolumeId=volume)
    wait_for(lambda: w.found() == sorted([data, disk["VolumeId"]]), "deleted ones go")
    left = sorted(p.name for p in (w.project.world / "v").iterdir())
    check(left == [data], "their files too", left)
    return data


def a_device(w, one, data):
    step("attached while it runs: a block device with EBS's name, formatted and mounted by UUID")
    ec2 = w.ec2
    refused("InvalidInstanceID.NotFound", ec2.attach_volume, VolumeId=data, InstanceId="i-0",
            Device="/dev/sdf")
    refused("InvalidVolume.NotFound", ec2.attach_volume, VolumeId="vol-0", InstanceId=one,
            Device="/dev/sdf")
    refused("InvalidParameterValue", ec2.attach_volume, VolumeId=data, InstanceId=one,
            Device="/dev/nvme9")
    w.attach(data, one)
    refused("VolumeInUse", ec2.attach_volume, VolumeId=data, InstanceId=one, Device="/dev/sdg")
    refused("VolumeInUse", ec2.delete_volume, VolumeId=data)
    zones = [z["ZoneName"] for z in ec2.describe_availability_zones()["AvailabilityZones"]]
    elsewhere = ec2.create_volume(AvailabilityZone=next(z for z in zones if z != w.zone), Size=1)
    w.await_volume(elsewhere["VolumeId"], "available")
    refused("InvalidVolume.ZoneMismatch", ec2.attach_volume, VolumeId=elsewhere["VolumeId"],
            InstanceId=one, Device="/dev/sdg")
    ec2.delete_volume(VolumeId=elsewhere["VolumeId"])
    second = w.create()
    refused("InvalidParameterValue", ec2.attach_volume, VolumeId=second, InstanceId=one,
            Device="/dev/sdf")
    ec2.delete_volume(VolumeId=second)
    devices = [m["DeviceName"] for m in w.instance(one)["BlockDeviceMappings"]]
    check(devices == ["/dev/xvda", "/dev/sdf"], "the instance shows it", devices)
    check(w.ssh(one, f"readlink -f /dev/nvme1n1; readlink -f {by_id(data)}").split()[0].startswith(
        "/dev/loop"), "its names")
    check(w.ssh(one, f"blockdev --getsize64 {by_id(data)}") == str(2 << 30), "its size")
    check(w.ssh(one, f"blkid {by_id(data)}", good=False).returncode == 2, "it is blank")
    w.ssh(one, f"mkfs.ext4 -q {by_id(data)}; mkdir -p /srv/data; echo UUID=$(blkid -o value -s UUID "
          f"{by_id(data)}) /srv/data ext4 defaults,nofail 0 2 >>/etc/fstab; mount /srv/data; "
          "chown admin /srv/data; echo kept >/srv/data/file; sync")
    check("loop" in w.ssh(one, "findmnt -no SOURCE /srv/data"), "mounted by its UUID")

    step("a guest cannot make its loop device another's, and mounts nothing by the kernel")
    other = w.ssh(one, f"truncate -s 1M /x; losetup -d {by_id(data)}; losetup -f /x", good=False)
    check(other.returncode != 0 and "not permitted" in other.stderr, "EPERM", other.stderr)
    check(w.ssh(one, "cat /srv/data/file") == "kept", "it is still there")
    check(w.ssh(one, "mount -i -t ext4 /dev/nvme1n1 /mnt", good=False).returncode != 0, "refused")


def reboots(w, one, data):
    step("over a reboot, a stop and a start, and a kill -9 of the daemon")
    before = w.ssh(one, "stat -c %Y /proc/1; cat /proc/1/stat")
    w.ec2.reboot_instances(InstanceIds=[one])
    wait_for(lambda: w.ssh(one, "stat -c %Y /proc/1; cat /proc/1/stat", good=False).stdout.strip()
             not in ("", before), "it comes up again")
    wait_for(lambda: w.ssh(one, "cat /srv/data/file", good=False).stdout == "kept\n", "mounted again")
    check(w.ssh(one, "systemctl is-system-running --wait") == "running", "systemd is content")
    w.ec2.stop_instances(InstanceIds=[one])
    w.await_state(one, "stopped")
    check(berthlib.loop_devices(w.project.world) == {}, "no loop device while it is stopped")
    w.ec2.start_instances(InstanceIds=[one])
    w.await_state(one, "running")
    check(w.ssh(one, "cat /srv/data/file") == "kept", "mounted again")
    w.kill()
    check(list(berthlib.loop_devices(w.project.world).values()) == [data], "the guest lives on")
    w.start()
    check(w.ssh(one, "cat /srv/data/file") == "kept", "and keeps its volume")
    check(list(berthlib.loop_devices(w.project.world).values()) == [data], "with one loop device")


def growth(w, one, data):
    step("grown in place")
    refused("InvalidParameterValue", w.ec2.modify_volume, VolumeId=data, Size=1)
    refused("InvalidVolume.NotFound", w.ec2.modify_volume, VolumeId="vol-0", Size=9)
    answer = w.ec2.modify_volume(VolumeId=data, Size=3)["VolumeModification"]
    check(answer["ModificationState"] == "modifying" and answer["OriginalSize"] == 2
          and answer["TargetSize"] == 3, "what is under way", str(answer))
    refused("IncorrectModificationState", w.ec2.modify_volume, VolumeId=data, Size=4)

    def state():
        found = w.ec2.describe_volumes_modifications(VolumeIds=[data])["VolumesModifications"]
        return found[0]["ModificationState"]
    wait_for(lambda: state() == "completed", "completed")
    check(w.volume(data)["Size"] == 3, "its size")
    check(w.ssh(one, f"blockdev --getsize64 {by_id(data)}") == str(3 << 30), "in the guest")
    w.ssh(one, f"umount /srv/data; e2fsck -fp {by_id(data)}; resize2fs {by_id(data)}; mount /srv/data",
          )
    blocks = int(w.ssh(one, "df --output=size -k /srv/data | tail -1"))
    check(blocks > 2.8 * (1 << 20), "the file system has grown", blocks)
    check(w.ssh(one, "cat /srv/data/file") == "kept", "the file is there")
    w.ec2.modify_volume(VolumeId=data, VolumeType="gp2")
    wait_for(lambda: state() == "completed", "completed")
    check(w.volume(data)["VolumeType"] == "gp2" and "Throughput" not in w.volume(data), "the type")


def moves(w, one, data):
    step("detached when nobody has it mounted, and into another guest")
    refused("InvalidAttachment.NotFound", w.ec2.detach_volume, VolumeId=data, InstanceId="i-0")
    w.ec2.detach_volume(VolumeId=data)
    wait_for(lambda: w.volume(data)["Attachments"][0]["State"] == "busy", "busy while it is mounted")
    check(w.ssh(one, "cat /srv/data/file") == "kept", "and still there")
    w.ssh(one, "umount /srv/data")
    w.await_volume(data, "available")
    refused("IncorrectState", w.ec2.detach_volume, VolumeId=data)
    check(w.ssh(one, "ls /dev/nvme* /dev/loop* /dev/disk/by-id/*", good=False).stdout == "",
          "its device is gone")
    check(berthlib.loop_devices(w.project.world) == {}, "its loop device too")
    two = w.launch()
    w.await_state(two, "running")
    w.attach(data, two)
    w.ssh(two, "mkdir /srv/data; mount /dev/nvme1n1 /srv/data")
    check(w.ssh(two, "cat /srv/data/file; echo late >/srv/data/late") == "kept", "the same data")

    step("an instance that is terminated writes what it holds, and lets go of it")
    root = w.instance(two)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    w.ec2.terminate_instances(InstanceIds=[two])
    w.await_state(two, "terminated")
    w.await_volume(data, "available")
    wait_for(lambda: root not in w.found(), "its root disk is gone")
    w.ec2.stop_instances(InstanceIds=[one])
    w.await_state(one, "stopped")
    w.attach(data, one)  # before it starts
    w.ec2.start_instances(InstanceIds=[one])
    w.await_state(one, "running")
    check(w.ssh(one, "cat /srv/data/file /srv/data/late").split() == ["kept", "late"], "all there")
    w.ssh(one, "mkdir /two; mount --bind /dev/nvme1n1 /two 2>/dev/null || { touch /second; "
          "mount --bind $(readlink -f /dev/nvme1n1) /second; }")
    w.ec2.detach_volume(VolumeId=data, Force=True)
    w.await_volume(data, "available")
    again = w.ssh(one, "head -c 1 /second", good=False)
    check(again.returncode != 0, "a second mount of the node is closed", again.stdout)


def ends(w, one, data):
    step("reset after a kill -9 frees everything")
    w.attach(data, one)
    w.kill()
    w.project.run("sandbox", "reset", "-auto-approve")
    check(berthlib.loop_devices(w.project.world) == {}, "no loop device is left")
    check(berthlib.leftovers(w.project.world) == [], "nothing is left",
          berthlib.leftovers(w.project.world))
    check(not w.project.world.exists(), "the world is gone")


with Project(sys.argv[1], "") as project:
    world = Storage(project)
    step("start")
    root_disk = [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20, "VolumeType": "gp3"}}]
    first = world.launch(BlockDeviceMappings=root_disk, TagSpecifications=[
        {"ResourceType": "volume", "Tags": [{"Key": "role", "Value": "root"}]}])
    world.await_state(first, "running")
    world.zone = world.instance(first)["Placement"]["AvailabilityZone"]
    volume = the_api(world, first)
    a_device(world, first, volume)
    reboots(world, first, volume)
    growth(world, first, volume)
    moves(world, first, volume)
    ends(world, first, volume)
print("1 passed, 0 failed")
