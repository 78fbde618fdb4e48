"""The Python environment in a guest: what somebody installs by hand, what an install says when it
fails, and one that a reboot cuts. Usage: python_test.py BERTH"""

import re
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


NOISY = r"""set -e
mkdir -p /srv/links/noisy-1.0
cd /srv/links
cat >noisy-1.0/setup.py <<'END'
import sys
from setuptools import setup
if "egg_info" not in sys.argv and "dist_info" not in sys.argv:
    for i in range(300):
        print("building part", i)
    sys.exit("no compiler that noisy likes")
setup(name="noisy", version="1.0")
END
printf 'Metadata-Version: 1.0\nName: noisy\nVersion: 1.0\n' >noisy-1.0/PKG-INFO
tar czf noisy-1.0.tar.gz noisy-1.0
echo PIP_FIND_LINKS=/srv/links >>/etc/environment
"""


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
    for wish, words in (("no-such-thing-at-all", ["no-such-thing-at-all was not found", "unsatisfiable"]),
                        ('"six<1.10", "six>1.12"', ["six", "incompatible"]),
                        ("noisy", [*(f"building part {i}" for i in range(300)), "no compiler"])):
        if wish == "noisy": # a package whose building says a lot
            project.run("ssh", "--", "sudo sh -s", stdin=NOISY)
        project.edit_spec("[humanize,", f"[humanize, {wish},")
        result = project.run("apply", "-auto-approve", check_code=3)
        lines = [line.strip(" |") for line in result.stderr.splitlines()]
        check(all(any(w in line for line in lines) for w in words), f"of {wish}", result.stderr)
        check("berth ssh" in result.stderr and "not shown" not in result.stderr, "and what to do", result.stderr)
        project.edit_spec(f"[humanize, {wish},", "[humanize,")

    step("what is too much to show is said to be somewhere, and is there")
    stand_in(project, "seq -f 'reason %.0f of the many that there are' 40000\nexit 1\n")
    project.edit_spec("[humanize,", "[humanize, six,")
    result = project.run("apply", "-auto-approve", check_code=3)
    log = re.search(r"KiB of it are not shown.*\n.*(sudo cat /run/berth/\w+/log)", result.stderr)
    check(log and "reason 40000 of" in result.stderr and "reason 1 of" not in result.stderr, "its end",
          result.stderr[:2000])
    whole = project.ssh(log.group(1)).stdout
    check(whole.count(" of the many that there are\n") == 40000, "all of it is there", whole[:1000])
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
