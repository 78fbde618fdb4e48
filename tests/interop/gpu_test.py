"""GPUs, with a stand-in for nvidia-smi on the guest: an image without a driver is said before anything
is made; a driver that works, is broken, or never answers; and work of a GPU keeps a server from
stopping. Usage: gpu_test.py BERTH"""

import json
import sys

import berthlib
from berthlib import Project, check, step

berth = sys.argv[1]
berthlib.need_root()
berthlib.need_program("mmdebstrap", "ssh")

SPEC = """\
berth: 1
name: gpu
provider: sandbox
server: { image: debian-12, type: g4dn.xlarge, stop: { idle: 2 h } }
packages: { system: [less] }
"""
PLACE = "server[0].gpu"
# The package that a driver comes with, as far as dpkg knows.
PACKAGE = r"""set -e
mkdir -p /tmp/nvidia-stand-in/DEBIAN
printf 'Package: nvidia-stand-in\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.com>\nDescription: x\n' \
    >/tmp/nvidia-stand-in/DEBIAN/control
dpkg-deb -b /tmp/nvidia-stand-in >/dev/null
dpkg -i /tmp/nvidia-stand-in.deb >/dev/null
"""
WORKS = """#!/bin/sh
case $1 in -L) echo 'GPU 0: Tesla T4 (UUID: GPU-1)'; echo 'GPU 1: NVIDIA A10G (UUID: GPU-2)';;
*) printf '0\\n%s\\n' "$(cat /tmp/used)";; esac
"""
BROKEN = """#!/bin/sh
echo 'Failed to initialize NVML: Driver/library version mismatch'
exit 18
"""
HANGS = """#!/bin/sh
sleep 100000 &
wait
"""


def stand_in(project, text):
    project.run("ssh", "--", "sudo tee /usr/bin/nvidia-smi >/dev/null && sudo chmod 755 "
                "/usr/bin/nvidia-smi", stdin=text)


def last_activity(project):
    """What the watcher, asked now, saw last."""
    project.run("ssh", "--", "sudo rm -f /run/berth-stop.json && sudo /opt/berth/watch", timeout=100)
    return json.loads(project.ssh("cat /run/berth-stop.json").stdout)


with Project(berth, SPEC) as project:
    step("an image without a driver is said before anything is made")
    result = project.run("plan")
    check("no driver" in result.stdout + result.stderr and "deep-learning-ubuntu-24.04" in
          result.stdout + result.stderr and PLACE not in result.stdout, "so it is", result.stdout, result.stderr)
    project.edit_spec("g4dn.xlarge", "t3.small")
    result = project.run("plan")
    check("NVIDIA" not in result.stdout + result.stderr, "of a type with GPUs alone", result.stdout)
    project.edit_spec("t3.small", "g4dn.xlarge")
    project.apply()

    step("a driver that works")
    project.run("ssh", "--", "sudo sh -s", stdin=PACKAGE)
    stand_in(project, WORKS)
    project.edit_spec("[less]", "[less, nvidia-stand-in]")
    result = project.run("plan")
    check("no driver" not in result.stdout + result.stderr and PLACE in result.stdout, "one is brought",
          result.stdout, result.stderr)
    project.apply()
    check(project.plan() == {}, "nothing is left to do", project.run("plan").stdout)
    node = next(n for n in project.state()["nodes"] if n["address"] == PLACE)
    check(node["attributes"]["gpus"] == ["Tesla T4", "NVIDIA A10G"], "its GPUs are known", node)

    step("work of a GPU is work")
    project.ssh("echo 50 >/tmp/used")
    check(last_activity(project)["what"] == "a GPU", "one that is used", last_activity(project))
    project.ssh("echo 3 >/tmp/used")
    check(last_activity(project)["what"] != "a GPU", "one that is hardly used is not", last_activity(project))

    step("a driver that is broken: its words, as drift and when it is to be mended")
    stand_in(project, BROKEN)
    plan = project.plan()
    check(set(plan) == {PLACE} and plan[PLACE]["why"] == "drift", "drift", plan)
    text = " ".join(project.run("plan").stdout.split())
    check("does not work: Failed to initialize NVML: Driver/library version mismatch" in text, "its words", text)
    result = project.run("apply", "-auto-approve", check_code=3)
    check("Driver/library version mismatch" in result.stderr and "reboot" in result.stderr, "and what to do",
          result.stderr)
    check(last_activity(project)["what"] != "a GPU", "no work")

    step("a driver that never answers keeps nobody")
    stand_in(project, HANGS)
    text = " ".join(project.run("plan").stdout.split())
    check("nvidia-smi does not answer" in text, "it is said", text)
    state = last_activity(project)
    check(state["what"] != "a GPU" and state["end"] > 0, "the watcher goes on", state)

    step("it works again")
    stand_in(project, WORKS)
    project.apply()
    check(project.plan() == {}, "nothing is left to do")
    project.run("destroy", "-auto-approve")
print("1 passed, 0 failed")
