"""A system whose own Python is too old and whose /tmp is small, as on Amazon Linux: berth takes another
one and other room; a version that is asked for, one that a project asks for, and one that is nowhere
to be had. Usage: old_python_test.py BERTH"""

import sys

import berthlib
from berthlib import Project, check, step

berth = sys.argv[1]
berthlib.need_root()
berthlib.need_program("mmdebstrap", "ssh")

SPEC = """\
berth: 1
name: old
provider: sandbox
server: { image: amazon-linux-2023, type: t3.small }
packages:
  system: [less]
"""
# A source package whose building needs room for its files; and a guest with little in /tmp.
LARGE = r"""set -e
[ -e /opt/berth ] || [ -e /var/lib/berth ]
mkdir -p /srv/links/large-1.0
cd /srv/links
cat >large-1.0/setup.py <<'EOF'
import tempfile
from setuptools import setup
with tempfile.TemporaryFile() as f:
    f.write(b"x" * 4000000)
setup(name="large", version="1.0")
EOF
printf 'Metadata-Version: 1.0\nName: large\nVersion: 1.0\n' >large-1.0/PKG-INFO
tar czf large-1.0.tar.gz large-1.0
echo PIP_FIND_LINKS=/srv/links >>/etc/environment
mount -t tmpfs -o size=64k,mode=1777 tmpfs /tmp
"""
PACKAGES = "server[0].python.packages"
PYPROJECT = '[project]\nname = "p"\nversion = "1"\nrequires-python = "%s"\ndependencies = ["humanize"]\n'


def versions(project):
    """Of the system's Python, and of the environment's."""
    return project.ssh("python3 --version; /opt/berth/env/bin/python --version").stdout.split()[1::2]


with Project(berth, SPEC) as project:
    step("a host without Python of berth's")
    project.apply()
    project.run("ssh", "--", "sudo sh -s", stdin=LARGE)

    step("the distribution's newer one, and no room in /tmp")
    project.write_spec(SPEC + "  python:\n    packages: [humanize, large]\n")
    project.apply()
    system, own = versions(project)
    check(system.startswith("3.9.") and own.startswith("3.11."), "the system's is left alone", system, own)
    check(project.plan() == {}, "nothing is left to do")
    check(project.ssh("df --output=size /tmp | tail -1").stdout.strip() == "64", "/tmp is small")

    step("one that neither the system nor uv has: all that uv says, what to do, and nothing is lost")
    for version in ("3.2", "3.12"):
        project.write_spec(SPEC + f'  python:\n    version: "{version}"\n    packages: [humanize, large]\n')
        plan = project.plan()
        check(set(plan) == {"server[0].python", PACKAGES}, "the packages are to be installed anew", plan)
        result = project.run("apply", "-auto-approve", check_code=None)
        if result.returncode == 0 and version == "3.12": # where uv may fetch one
            continue
        check(result.returncode == 3 and f"nor uv has Python {version}: ask for another in packages.python.version"
              in result.stderr and "error:" in result.stderr, "it is said", result.stderr)
        check(versions(project)[1].startswith("3.11."), "what was there is there")

    step("the old one, where that is asked for: its packages are installed anew")
    project.write_spec(SPEC + '  python:\n    version: "3.9"\n    packages: [humanize, large]\n')
    project.apply()
    check(versions(project)[1].startswith("3.9."), "it is that one")
    check(project.plan() == {}, "nothing is left to do", project.run("plan").stdout)
    project.ssh("/opt/berth/env/bin/python -c 'import humanize'")

    step("a project says which it needs: without a version it decides")
    (project.dir / "pyproject.toml").write_text(PYPROJECT % ">=3.11")
    project.write_spec(SPEC + "  python:\n    project: .\n")
    plan = project.plan()
    check(set(plan) == {"server[0].python", PACKAGES}, "3.9 will not do", plan)
    project.apply()
    check(versions(project)[1].startswith("3.11."), "it is the first that will do and is there")
    check(project.plan() == {}, "nothing is left to do", project.run("plan").stdout)

    step("a patch level that is not to be had")
    (project.dir / "pyproject.toml").write_text(PYPROJECT % ">=3.11.99,<3.12")
    result = project.run("apply", "-auto-approve", check_code=3)
    check("asks for Python >=3.11.99,<3.12" in result.stderr and "is Python 3.11." in result.stderr, "it is said",
          result.stderr)
    (project.dir / "pyproject.toml").write_text(PYPROJECT % ">=3.11")
    project.apply()
    check(project.plan() == {}, "nothing is left to do", project.run("plan").stdout)
    project.run("destroy", "-auto-approve")
print("1 passed, 0 failed")
