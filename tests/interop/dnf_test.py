"""System packages by dnf and rpm: in a guest that has them from Debian, with a repository of two
packages of its own, and whose apt-get and dpkg-query are put away. Usage: dnf_test.py BERTH"""

import sys

import berthlib
from berthlib import Project, check, step

berth = sys.argv[1]
berthlib.need_root()
berthlib.need_program("mmdebstrap", "ssh")

SPEC = """\
berth: 1
name: dnf
provider: sandbox
server: { image: debian-12, type: t3.small }
packages: { system: [] }
"""
# "kite" requires "string"; rpm's database is the login user's own on Debian: ask as root.
PREPARE = r"""set -e
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends dnf rpm createrepo-c
mkdir -p /root/build /root/hidden /srv/repository /etc/yum.repos.d
cd /root/build
for name in kite string; do
    { printf 'Name: %s\nVersion: 1.0\nRelease: 1\nSummary: a test\nLicense: none\n' $name
      printf 'BuildArch: noarch\n'
      [ $name != kite ] || echo 'Requires: string'
      printf '%%description\nA test.\n%%files\n'; } >$name.spec
    rpmbuild -bb --define '_rpmdir /srv/repository' $name.spec
done
createrepo_c -q /srv/repository
printf '[test]\nname=test\nbaseurl=file:///srv/repository\ngpgcheck=0\nmetadata_expire=1\n' \
    >/etc/yum.repos.d/test.repo
mv /usr/bin/apt-get /usr/bin/dpkg-query /root/hidden/
"""
PLACE = "server[0].packages"


def wants(project, packages):
    text = project.spec_path.read_text()
    project.write_spec(text[:text.index("packages:")] + f"packages: {{ system: [{packages}] }}\n")


def installed(project):
    return set(project.ssh("sudo rpm -qa --qf '%{name} ' 2>/dev/null").stdout.split())


with Project(berth, SPEC) as project:
    step("a host with dnf")
    wants(project, "less")
    project.apply()
    result = project.run("ssh", "--", "sudo sh -s 2>&1", stdin=PREPARE)

    step("install, with what it requires")
    wants(project, "kite")
    project.apply()
    check(installed(project) == {"kite", "string"}, "both are there", sorted(installed(project)))
    check(project.plan() == {}, "then nothing is left to do")

    step("removed by hand: drift, mended")
    project.ssh("sudo rpm -e kite")
    plan = project.plan()
    check(set(plan) == {PLACE} and plan[PLACE]["why"] == "drift", "drift", plan)
    project.apply()
    check("kite" in installed(project), "it is back")

    step("one that is not there: dnf's own words")
    wants(project, "kite, none-such")
    result = project.run("apply", "-auto-approve", check_code=3)
    check("none-such" in result.stderr and "berth ssh" in result.stderr, "which, and what to do",
          result.stderr)

    step("no longer wanted: what berth installed goes, what others need stays")
    wants(project, "string")
    project.apply()
    check(installed(project) == {"string"}, "kite is gone", sorted(installed(project)))
    check(project.plan() == {}, "then nothing is left to do")
    project.run("destroy", "-auto-approve")
print("1 passed, 0 failed")
