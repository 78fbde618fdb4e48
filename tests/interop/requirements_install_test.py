"""Files of requirements that uv makes, on a guest: what their markers and hashes say is there, in the
main environment and in a kernel's; what does not match its hash is not; constraints hold; by uv and
by pip alone. Usage: requirements_install_test.py BERTH"""

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
name: requirements
provider: sandbox
server: { image: debian-12, type: t3.small }
packages:
  python:
    requirements: made/main.txt
    packages: [toolz]
"""
KERNEL = """\
jupyter:
  kernels:
    - { name: words, requirements: made/kernel.txt }
"""
# redis needs async-timeout on Pythons before 3.11.3 alone, and Debian 12 has 3.11.2.
LIST = "humanize==4.9.*\ntabulate\nredis>=5\nrequests[socks]\ncolorama; sys_platform == 'win32'\n"
PYPROJECT = """\
[project]
name = "words"
version = "1"
requires-python = ">=3.10"
dependencies = ["humanize==4.9.*", "redis>=5"]
"""
MAIN, WORDS = "/opt/berth/env", "/opt/berth/kernels/words"
PLACE = "server[0].kernels[words]"


def compiled(project, text):
    folder = project.dir / "made"
    (folder / "x.in").write_text(text)
    return uv(folder, "pip", "compile", "-q", "--universal", "--no-strip-extras", "--python-version", "3.10",
              "--generate-hashes", "x.in")


def exported(project, text):
    folder = project.dir / "made"
    (folder / "pyproject.toml").write_text(text)
    uv(folder, "lock", "-q")
    return uv(folder, "export", "-q", "--format", "requirements-txt", "--no-emit-project")


def named(text):
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[[a-z]*\])?==([^ ]+)", text, re.M))


def installed(project, env):
    text = project.ssh(f"{env}/bin/python -m pip list --format freeze 2>/dev/null").stdout
    return {k.lower(): v for k, v in (line.split("==") for line in text.split())}


def has(project, env, want):
    have = installed(project, env)
    check(want.items() <= have.items(), "it is there", have, want)
    return have


def words(project):
    return " ".join(project.run("plan").stdout.split())


with Project(berth, SPEC) as project:
    (project.dir / "made").mkdir()
    main, kernel = project.dir / "made/main.txt", project.dir / "made/kernel.txt"
    main.write_text(compiled(project, LIST))
    want = named(main.read_text())
    check(want.pop("colorama", None) and "async-timeout" in want and "requests[socks]==" in main.read_text() and "--hash=" in main.read_text(), "what uv makes", main.read_text())

    step("before there is a server: which Python it has decides")
    check("packages: (known after apply)" in words(project), "so it is said", project.run("plan").stdout)

    step("a plan that was written down is not good for other hashes")
    text = main.read_text()
    project.run("plan", "-out", "x.plan")
    main.write_text(re.sub(r"sha256:[0-9a-f]{8}", "sha256:00000000", text, count=1))
    result = project.run("apply", "x.plan", check_code=None)
    check(result.returncode != 0 and "moved since the plan was made" in result.stderr, "it is refused", result.stderr)
    main.write_text(text)

    step("what a list by uv pip compile says, for this Python")
    project.apply()
    have = has(project, MAIN, want)
    check("toolz" in have and "colorama" not in have, "and what is asked for besides", have)
    check(project.plan() == {}, "nothing is left to do", project.run("plan").stdout)

    step("a file that is not the one of the hash, by uv")
    newer = compiled(project, LIST.replace("4.9.*", "4.10.*"))
    spoiled = re.sub(r"^(humanize==.*\n(    --hash=.*\n)+)", lambda m: re.sub(r":[0-9a-f]{8}", ":00000000", m[0]), newer, flags=re.M)
    check(spoiled != newer, "the hashes are others")
    main.write_text(spoiled)
    check("humanize: 4.9.0 → 4.10.0" in words(project), "from which to which", words(project))
    result = project.run("apply", "-auto-approve", check_code=3)
    check("ash mismatch" in result.stderr and "humanize" in result.stderr, "uv's words", result.stderr)
    has(project, MAIN, want)

    step("by pip alone, where uv cannot be had")
    project.ssh("sudo mv /opt/berth/uv/bin/uv /opt/berth/uv/bin/gone")
    result = project.run("apply", "-auto-approve", check_code=3)
    check("DO NOT MATCH THE HASHES" in result.stderr and "humanize" in result.stderr, "pip's words", result.stderr)
    has(project, MAIN, want)
    main.write_text(newer)
    project.apply()
    has(project, MAIN, {"humanize": "4.10.0"})
    check(project.plan() == {}, "nothing is left to do", project.run("plan").stdout)

    step("what is needed and has no hash, by pip and by uv")
    text = compiled(project, "redis==5.0.1\n")
    main.write_text(re.sub(r"^async-timeout==.*\n(    (--hash|#).*\n)+", "", text, flags=re.M))
    check(main.read_text() != text, "it is left out", text)
    result = project.run("apply", "-auto-approve", check_code=3)
    check("async-timeout" in result.stderr and "--require-hashes" in result.stderr, "pip's words", result.stderr)
    project.ssh("sudo mv /opt/berth/uv/bin/gone /opt/berth/uv/bin/uv")
    result = project.run("apply", "-auto-approve", check_code=3)
    check("no trusted hash was provided for: `async-timeout`" in result.stderr, "uv's words", result.stderr)
    has(project, MAIN, {"humanize": "4.10.0"})

    step("without hashes: constraints, markers and further files")
    main.write_text("-c limits.txt\n-r more.txt\nhumanize\nrequests[socks]\nidna<3; python_version < '3.9'\n")
    (project.dir / "made/limits.txt").write_text("humanize==4.9.0\nurllib3<2\ntabulate<0.9; python_version >= '3.11'\n")
    (project.dir / "made/more.txt").write_text("tabulate # of which 0.9.0 is the newest\n")
    project.apply()
    have = has(project, MAIN, {"humanize": "4.9.0"})
    check(have["urllib3"] < "2" and have["tabulate"] < "0.9" and "pysocks" in have and "redis" not in have, "they hold", have)
    check(project.plan() == {}, "nothing is left to do", project.run("plan").stdout)

    step("a kernel by uv export, for its own Python")
    kernel.write_text(exported(project, PYPROJECT))
    want = named(kernel.read_text())
    project.write_spec(project.spec_path.read_text() + KERNEL)
    check("packages: (known after apply)" in words(project), "which is not made yet", words(project))
    project.apply()
    check("async-timeout" in want, "the marker matters", want)
    have = has(project, WORDS, want)
    check("ipykernel" in have, "and it is a kernel", have)
    check(project.plan() == {}, "nothing is left to do", project.run("plan").stdout)

    step("its changes, and drift")
    kernel.write_text(exported(project, PYPROJECT.replace("4.9.*", "4.10.*").replace(', "redis>=5"', "")))
    text = words(project)
    check(PLACE in text and "humanize: 4.9.0 → 4.10.0" in text and "- redis" in text and "known after" not in text,
          "the diff", project.run("plan").stdout)
    project.apply()
    have = has(project, WORDS, {"humanize": "4.10.0"})
    check("redis" not in have and project.plan() == {}, "it is made so", have)
    project.ssh(f"sudo /opt/berth/uv/bin/uv pip install -q --python {WORDS}/bin/python humanize==4.9.0")
    check("humanize: 4.9.0 → 4.10.0" in words(project), "drift", words(project))
    project.apply()
    has(project, WORDS, {"humanize": "4.10.0"})
    project.run("destroy", "-auto-approve")
print("1 passed, 0 failed")
