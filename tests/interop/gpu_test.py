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
BROKEN = """#!/bin/sh
echo 'Failed to initialize NVML: Driver/library version mismatch'
exit 18
"""
HANGS = """#!/bin/sh
sleep 100000 &
wait
"""


def stand_in(project, text):
    """In front of the image's own, which answers as a good one does."""
    project.run("ssh", "--", "sudo tee /usr/local/bin/nvidia-smi >/dev/null && sudo chmod 755 "
                "/usr/local/bin/nvidia-smi", stdin=text)


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

    step("a driver that works")
    project.edit_spec("debian-12", "deep-learning-ubuntu-24.04")
    result = project.run("plan")
    check("no driver" not in result.stdout + result.stderr and PLACE in result.stdout, "the image has one",
          result.stdout, result.stderr)
    project.apply()
    check(project.plan() == {}, "nothing is left to do", project.run("plan").stdout)
    node = next(n for n in project.state()["nodes"] if n["address"] == PLACE)
    check(node["attributes"]["gpus"] == ["Tesla T4"], "its GPU is known", node)
    check(project.ssh("command -v nvidia-smi").stdout.strip() == "/usr/bin/nvidia-smi", "where a stand-in hides it")

    step("work of a GPU is work")
    project.ssh("echo 50 | sudo tee /run/sandbox-gpu")
    check(last_activity(project)["what"] == "a GPU", "one that is used", last_activity(project))
    project.ssh("echo 3 | sudo tee /run/sandbox-gpu")
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
    project.ssh("sudo rm /usr/local/bin/nvidia-smi")
    project.apply()
    check(project.plan() == {}, "nothing is left to do")
    project.run("destroy", "-auto-approve")
print("1 passed, 0 failed")
