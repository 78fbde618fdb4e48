"""A project with a uv.lock on a guest: exactly what is locked is there, its changes are shown version
by version, and a file that is not the one that was locked is refused. Usage: lock_test.py BERTH"""

import re
import sys

import berthlib
from berthlib import Project, check, step
from uvlib import uv

berth = sys.argv[1]
berthlib.need_root()
berthlib.need_program("mmdebstrap", "ssh")

SPEC = """\
berth: 1
name: lock
provider: sandbox
server: { image: debian-12, type: t3.small }
packages:
  python:
    project: analysis
    packages: [toolz]
"""
# redis needs async-timeout on Pythons before 3.11.3 alone, and Debian 12 has 3.11.2.
PYPROJECT = """\
[project]
name = "analysis"
version = "1"
requires-python = ">=3.11"
dependencies = ["humanize==4.9.*", "tabulate", "redis>=5"]
[project.optional-dependencies]
more = ["six"]
"""
# An index on the guest: six, and another humanize than the one that is locked.
INDEX = r"""set -e
mkdir -p /srv/index/simple/six /srv/index/simple/humanize
/opt/berth/env/bin/python -m pip download -q --no-deps -d /srv/index/simple/six six==%s
/opt/berth/env/bin/python -m pip download -q --no-deps -d /srv/index/simple/humanize humanize==4.9.0
cat >/srv/index/serve <<'EOF'
import functools, http.server, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, form, *args):
        with open("/srv/index/log", "a") as f:
            f.write(form %% args + "\n")
http.server.HTTPServer(("127.0.0.1", 8099), functools.partial(Handler, directory="/srv/index")).serve_forever()
EOF
touch /srv/index/log
systemd-run -q --unit index python3 /srv/index/serve
"""
PLACE = "server[0].python.packages"


def lock(project, text):
    folder = project.dir / "analysis"
    folder.mkdir(exist_ok=True)
    (folder / "pyproject.toml").write_text(text)
    uv(folder, "lock")
    return folder / "uv.lock"


def locked(text):
    """{name: version} of all packages in the lock but the project."""
    return {name: version for name, version in
            re.findall(r'^name = "(.*)"\nversion = "(.*)"\nsource = \{ registry', text, re.M)}


def installed(project):
    text = project.ssh("/opt/berth/env/bin/python -m pip list --format freeze 2>/dev/null").stdout
    have = dict(line.split("==") for line in text.split())
    return {k.lower(): v for k, v in have.items() if k not in ("pip", "setuptools", "wheel", "packaging")}


def words(project, *args):
    return " ".join(project.run("plan", *args).stdout.split())


with Project(berth, SPEC) as project:
    file = lock(project, PYPROJECT)

    step("before there is a server: which Python it has decides")
    check("packages: (known after apply)" in words(project), "so it is said", project.run("plan").stdout)

    step("a plan that was written down is not good for another lock")
    project.run("plan", "-out", "x.plan")
    text = file.read_text()
    file.write_text(re.sub(r'(redis-[^"]*", hash = "sha256:)[0-9a-f]{8}', r"\g<1>00000000", text))
    result = project.run("apply", "x.plan", check_code=None)
    check(result.returncode != 0 and "moved since the plan was made" in result.stderr, "it is refused", result.stderr)
    file.write_text(text)

    step("exactly what is locked, and what is asked for besides")
    project.apply()
    have = installed(project)
    want = locked(file.read_text())
    del want["six"] # an extra that nobody asked for
    toolz = have.pop("toolz", None)
    check("async-timeout" in want and have == want and toolz, "it is there", have, want)
    check(project.plan() == {}, "nothing is left to do", project.run("plan").stdout)

    step("another version in the lock: from which to which; one that is gone, one that is new")
    file = lock(project, PYPROJECT.replace("4.9.*", "4.10.*").replace('"tabulate", ', ""))
    project.edit_spec("    packages: [toolz]", "    extras: [more]\n    packages: [toolz]")
    want = locked(file.read_text())
    text = words(project)
    check("humanize: 4.9.0 → 4.10.0" in text and "- tabulate" in text
          and f"+ six: {want['six']}" in text and "redis" not in text, "the diff", project.run("plan").stdout)
    project.apply()
    have = installed(project)
    del have["toolz"]
    check(have == want, "it is made so", have, want)
    check(project.plan() == {}, "nothing is left to do")

    step("changed by hand: drift, and back to what is locked")
    project.ssh("sudo /opt/berth/uv/bin/uv pip install -q --python /opt/berth/env/bin/python "
                "humanize==4.9.0 && sudo /opt/berth/uv/bin/uv pip uninstall -q --python "
                "/opt/berth/env/bin/python six")
    text = words(project)
    check("humanize: 4.9.0 → 4.10.0" in text and "+ six" in text and "(drift)" in text, "drift", text)
    project.apply()
    have = installed(project)
    del have["toolz"]
    check(have == want, "it is back", have, want)

    step("a file that is not the one that was locked")
    file = lock(project, PYPROJECT.replace("4.9.*", "4.11.*").replace('"tabulate", ', ""))
    text = file.read_text()
    file.write_text(re.sub(r'(humanize-[^"]*", hash = "sha256:)[0-9a-f]{8}', r"\g<1>00000000", text))
    result = project.run("apply", "-auto-approve", check_code=3)
    check("ash mismatch" in result.stderr and "humanize" in result.stderr, "uv's words", result.stderr)
    check(installed(project)["humanize"] == "4.10.0", "it is not there")
    file.write_text(text)

    step("by pip alone, where uv cannot be had")
    project.ssh("sudo mv /opt/berth/uv/bin/uv /opt/berth/uv/bin/gone")
    project.apply()
    check(installed(project)["humanize"] == "4.11.0", "it does the same")
    check(project.plan() == {}, "nothing is left to do")

    step("a package of another index, which has others' packages too")
    project.ssh("sudo mv /opt/berth/uv/bin/gone /opt/berth/uv/bin/uv")
    project.run("ssh", "--", "sudo sh -s", stdin=INDEX % want["six"])
    file.write_text(re.sub(r'(name = "six"\nversion = ".*"\nsource = \{ registry = ")[^"]*',
                           r"\g<1>http://127.0.0.1:8099/simple", text))
    for tool in ("uv", "pip"):
        project.ssh("sudo rm /srv/index/log; /opt/berth/env/bin/python -m pip uninstall -q -y six humanize")
        if tool == "pip":
            project.ssh("sudo mv /opt/berth/uv/bin/uv /opt/berth/uv/bin/gone")
        project.apply()
        have = installed(project)
        check(have["six"] == want["six"] and have["humanize"] == "4.11.0", f"all is there by {tool}", have)
        check("GET /simple/six/" in project.ssh("cat /srv/index/log").stdout, "from there")
    project.ssh("sudo mv /opt/berth/uv/bin/gone /opt/berth/uv/bin/uv")

    step("a version that it is already")
    project.edit_spec("    project:", '    version: "3.11"\n    project:')
    check(project.plan() == {}, "nothing is to be done")
    project.run("destroy", "-auto-approve")
print("1 passed, 0 failed")
