"""The Python environment in a guest: what somebody installs by hand, what an install says when it
fails, and one that a reboot cuts. Usage: python_test.py BERTH"""

import subprocess
import sys
import time

import berthlib
from berthlib import Project, check, step

berth = sys.argv[1]
berthlib.need_root()
berthlib.need_program("mmdebstrap", "ssh")

SPEC = """\
berth: 1
name: python
provider: sandbox
server: { image: debian-12, type: t3.small }
packages:
  python:
    packages: [humanize, "tabulate==0.9.*", jinja2]
"""
PLACE = "server[0].python.packages"
UV = "sudo /opt/berth/uv/bin/uv pip %s --python /opt/berth/env/bin/python %s"


def installed(project):
    return project.ssh(UV % ("list -q", "")).stdout


def stand_in(project, text):
    """A uv of our own; the real one lies beside it."""
    project.run("ssh", "--", "cd /opt/berth/uv/bin && { [ -e real ] || sudo mv uv real; } && "
                "sudo tee uv >/dev/null && sudo chmod 755 uv", stdin="#!/bin/sh\n" + text)


with Project(berth, SPEC) as project:
    step("an environment")
    project.apply()
    check(project.plan() == {}, "nothing is left to do")
    text = project.run("plan").stdout
    check("markupsafe" in installed(project).lower() and "by hand" not in text,
          "what came with jinja2 is nobody's", text)

    step("installed by hand: said and kept; another version: shown from, to")
    project.ssh(UV % ("install -q", "six tabulate==0.8.10"))
    plan = project.plan()
    check(set(plan) == {PLACE} and plan[PLACE]["why"] == "drift", "drift", plan)
    text = project.run("plan").stdout
    check("tabulate: 0.8.10" in text and "==0.9.*" in text, "from which to which", text)
    words = " ".join(text.split())
    check(": six 1." in words and "installed by hand, not in the spec: kept" in words,
          "and what else, alone", text)
    check("Jupyter" not in text, "there is no Jupyter to restart", text)
    project.apply()
    check("six" in installed(project) and project.plan() == {}, "it is kept")

    step("exact: true removes it, and says so before")
    project.edit_spec("    packages:", "    exact: true\n    packages:")
    text = project.run("plan").stdout
    check("- six" in text, "it is named", text)
    project.apply()
    left = installed(project).lower()
    check("six" not in left and "humanize" in left and "markupsafe" in left, "it alone is gone", left)
    check(project.plan() == {}, "nothing is left to do")

    step("what the installer says when it fails is shown whole")
    stand_in(project, "for i in $(seq 200); do echo reason $i; done\nexit 1\n")
    project.edit_spec("[humanize,", "[humanize, six,")
    result = project.run("apply", "-auto-approve", check_code=3)
    lines = [line.strip(" |") for line in result.stderr.splitlines()]
    check(all(f"reason {i}" in lines for i in range(1, 201)), "every line", result.stderr)
    project.edit_spec("[humanize, six,", "[humanize,")

    step("a reboot in the middle of an install: the next apply does it anew, and knows its host")
    stand_in(project, "/opt/berth/uv/bin/real \"$@\" || exit\n"
             "[ -e /var/tmp/fast ] || { touch /var/tmp/there; sleep 600; }\n")
    project.edit_spec("[humanize,", "[humanize, six,")
    cut = subprocess.Popen([project.berth, "apply", "-auto-approve"], cwd=project.dir,
                           env=project.env, text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    for _ in range(300):
        if project.ssh("test -e /var/tmp/there", check_code=None).returncode == 0:
            break
        time.sleep(0.2)
    project.ssh("sudo touch /var/tmp/fast; sudo systemctl reboot", check_code=None)
    output, _ = cut.communicate(timeout=200)
    check(cut.returncode == 3, "that apply says that it failed", output)
    plan = project.plan()
    check(set(plan) == {PLACE}, "what is half there does not count", plan)
    project.apply()
    check("six" in installed(project) and project.plan() == {}, "all is there")
    project.run("destroy", "-auto-approve")
print("1 passed, 0 failed")
