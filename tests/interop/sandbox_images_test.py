"""The sandbox's images: what names them, what is in each, and how their root file systems come to be when
that goes wrong. Usage: sandbox_images_test.py BERTH"""

import pathlib
import socket
import subprocess
import sys
import tarfile

from berthlib import Project, check, step
from sandboxlib import AMI, World, make_key, refused, ssh, wait_for

SPEC = "berth: 1\nname: images\nprovider: sandbox\nserver: { image: IMAGE, type: t3.small }\n"
# Its parameter, its user, what says which system it is, what installs, types to launch.
IMAGES = {
    "debian-12": ("/aws/service/debian/release/12/latest/amd64", "admin", "debian 12", "apt-get",
                  ["t3.small"]),
    "ubuntu-24.04": ("/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/"
                     "ami-id", "ubuntu", "ubuntu 24.04", "apt-get", ["t3.small"]),
    "amazon-linux-2023": ("/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
                          "ec2-user", "amzn 2023", "dnf", ["t3.small"]),
    "deep-learning-ubuntu-24.04": (
        "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/"
        "ami-id", "ubuntu", "ubuntu 24.04", "apt-get", ["t3.small", "g4dn.12xlarge"]),
}
LOOK = ". /etc/os-release; echo $(id -un) $ID $VERSION_ID $(sudo sh -c 'for p in apt-get dnf dpkg rpm; " \
       "do command -v $p; done' | sed 's,.*/,,')"


def named(w):
    step("each has an AMI of its own, which its parameter names")
    answer = w.client("ssm").get_parameters(Names=[row[0] for row in IMAGES.values()])
    amis = {p["Name"]: p["Value"] for p in answer["Parameters"]}
    check(answer["InvalidParameters"] == [] and len(set(amis.values())) == len(IMAGES), "all", amis)
    shown = {i["ImageId"]: i for i in w.ec2.describe_images()["Images"]}
    check(set(shown) == set(amis.values()) and AMI in shown, "shown", shown)
    one = w.ec2.describe_images(Filters=[{"Name": "name", "Values": ["amazon*"]}])["Images"]
    check([i["ImageId"] for i in one] == [amis[IMAGES["amazon-linux-2023"][0]]], "filtered", one)
    refused("InvalidAMIID.NotFound", w.ec2.describe_images, ImageIds=["ami-0123456789abcdef0"])
    return {name: amis[row[0]] for name, row in IMAGES.items()}


def launched(p, w, amis):
    step("launched: each is what it says, with the user that it has on EC2")
    key, public = make_key(p)
    w.ec2.import_key_pair(KeyName="k", PublicKeyMaterial=public)
    made = {}
    for name, (_, _, _, _, types) in IMAGES.items():
        for kind in types:
            made[name, kind] = w.run(ImageId=amis[name], InstanceType=kind,
                                     KeyName="k")["Instances"][0]["InstanceId"]
    # What is not built yet is built by the launch.
    wait_for(lambda: all(w.state(i) != "pending" for i in made.values()), "they come up", 400)
    for (name, kind), instance in made.items():
        row = IMAGES[name]
        found = w.instances(InstanceIds=[instance])[0]
        check(found["State"]["Name"] == "running" and found["ImageId"] == amis[name], "it runs",
              str(found))
        tools = "apt-get dpkg" if row[3] == "apt-get" else "dnf rpm"
        said = ssh(key, found["PublicIpAddress"], LOOK, user=row[1])
        check(said == f"{row[1]} {row[2]} {tools}", f"{name}", said)
        if not name.startswith("deep"):
            continue
        said = ssh(key, found["PublicIpAddress"], "nvidia-smi -L; echo $?; nvidia-smi "
                   "--query-gpu=name,memory.total,utilization.gpu --format=csv,noheader,nounits",
                   user=row[1], good=False).splitlines()
        if kind == "t3.small":
            check("failed" in said[0] and said[1] == "9", "no GPU", said)
        else:
            check(said[0].startswith("GPU 0: Tesla T4 (UUID: GPU-") and said[4] == "0" and
                  said[5:] == ["Tesla T4, 15360, 0"] * 4, "four GPUs", said)
    w.ec2.terminate_instances(InstanceIds=list(made.values()))


def builders(cache):
    """What a builder has begun and not brought to its end."""
    return [f for f in cache.glob("building-*") if f.is_dir()]


def going_wrong(p):
    cache = p.root / "cache"
    p.write_spec(SPEC.replace("IMAGE", "ubuntu-24.04"))
    env = dict(p.env, BERTH_CACHE_DIR=str(cache), no_proxy="", NO_PROXY="")

    def through(port):
        return dict(env, http_proxy=f"http://127.0.0.1:{port}", https_proxy="", all_proxy="")

    def begin(port):
        return subprocess.Popen([p.berth, "plan"], cwd=p.dir, env=through(port), text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE)

    step("a builder that is killed: who waits goes on, and nothing of it stays")
    with socket.create_server(("127.0.0.1", 0)) as mute: # a proxy that does not answer
        first = begin(mute.getsockname()[1])
        line = first.stderr.readline()
        check("building the root file system: Ubuntu 24.04" in line, "it says what it does", line)
        wait_for(lambda: builders(cache), "it builds")
        second = begin(mute.getsockname()[1])
        line = second.stderr.readline()
        check("waiting for another" in line and "ubuntu-24.04" in line, "the second waits", line)
        left = builders(cache)
        first.kill()
        first.wait()
        line = second.stderr.readline()
        check("building" in line, "and goes on", line)
        wait_for(lambda: builders(cache) and builders(cache) != left, "in a folder of its own")
        second.kill()
        second.wait()

    step("no way to the archive: which image, why, and what to do")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    result = p.run("plan", check_code=1, env=through(port))
    said = " ".join(result.stderr.split())
    check("the root file system of ubuntu-24.04 cannot be made" in said and "http_proxy" in said and
          str(cache / "ubuntu-24.04.log") in said, "the message", result.stderr)
    check(builders(cache) == [] and (cache / "ubuntu-24.04.log").read_text(), "only its log is left",
          [str(f) for f in cache.iterdir()])

    step("no room for it")
    small = p.root / "small"
    small.mkdir()
    said = subprocess.run(
        ["unshare", "-m", "sh", "-c", f"mount -t tmpfs -o size=64m none {small} && exec \"$@\"",
         "sh", p.berth, "plan"], cwd=p.dir, env=dict(through(port), BERTH_CACHE_DIR=str(small)),
        text=True, stdin=subprocess.DEVNULL, capture_output=True)
    check(said.returncode == 1 and "MiB left; the root file system of ubuntu-24.04 needs" in said.stderr
          and "BERTH_CACHE_DIR" in said.stderr, "how much it needs, and what to do", said.stderr)

    step("made beforehand: a folder of them, one of which is no root file system")
    tars = p.root / "tars"
    tars.mkdir()
    with tarfile.open(tars / "debian-12.tar", "w") as tar:
        tar.add("/etc/hostname", "etc/hostname")
    env["BERTH_SANDBOX_BASE_TAR"] = str(tars)
    p.write_spec(SPEC.replace("IMAGE", "debian-12"))
    result = p.run("plan", check_code=1, env=through(port))
    check(f"{tars}/debian-12.tar does not hold what a guest needs" in result.stderr, "that is said",
          result.stderr)
    env["BERTH_SANDBOX_BASE_TAR"] = str(p.root / "none")
    result = p.run("plan", check_code=1, env=through(port))
    check("BERTH_SANDBOX_BASE_TAR" in result.stderr, "none there", result.stderr)
    check(builders(cache) == [] and not any(cache.glob("debian-12-*")), "nothing is left",
          [str(f) for f in cache.iterdir()])
    check(not p.world.exists(), "no sandbox was started")
    result = p.run("sandbox", "reset", "-all", "-auto-approve", env=env)
    check(not any(cache.glob("*.log")) and not any(cache.glob("*.lock")), "reset -all removes all",
          [str(f) for f in pathlib.Path(cache).glob("*")])


with Project(sys.argv[1], SPEC) as project:
    going_wrong(project)
    world = World(project)
    world.start()
    launched(project, world, named(world))
print("good", flush=True)
