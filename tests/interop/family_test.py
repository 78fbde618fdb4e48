"""The same life of a host on every family of Linux: made, drift of every kind of part made by hand, each
field of the spec changed, stopped and started at another address, destroyed.
Usage: family_test.py BERTH IMAGE"""

import json
import ssl
import subprocess
import sys
import urllib.request

import berthlib
from berthlib import Project, changes_of, check, step

berth, image = sys.argv[1:]
berthlib.need_root()
berthlib.need_program("mmdebstrap", "ssh")


class Apt:
    installed = "dpkg-query -W -f '${{db:Status-Status}}' {} 2>/dev/null | grep -qx installed"
    install = "sudo apt-get -qq -y install {} >/dev/null"
    remove = "sudo apt-get -qq -y remove {} >/dev/null"
    pinned = "tree"
    # Another apt-get that has just begun, as at the boot of a fresh instance.
    hold = ("sudo setsid python3 -c 'import fcntl, time; "
            "f = open(\"/var/cache/apt/archives/lock\", \"w\"); fcntl.lockf(f, fcntl.LOCK_EX); "
            "print(\"locked\", flush=True); time.sleep(4)' >/tmp/locked 2>&1 </dev/null & "
            "until grep -q locked /tmp/locked; do sleep 0.1; done")
    waits = "waiting for another apt-get"
    # What dnf and apt-get say of a name that they do not know.
    unknown = "Unable to locate package none-such"
    stays = "libjq1 stays: others need it"


class Dnf:
    installed = "rpm -q --quiet {}"
    install = "sudo dnf -y -q install {} >/dev/null"
    remove = "sudo dnf -y -q remove {} >/dev/null"
    pinned = "tree-2.1.0"
    # dnf's own lock is a file with the number of a process that lives.
    hold = ("sudo sh -c 'setsid sleep 4 >/dev/null 2>&1 </dev/null & "
            "for l in /var/lib/dnf/rpmdb_lock.pid /var/cache/dnf/metadata_lock.pid; do "
            "printf %s $! >$l; done'")
    waits = "Waiting for process with pid"
    unknown = "Unable to find a match: none-such"
    stays = "libjq1 stays: others need it"


# User, what /etc/os-release says, package manager, Python of the distribution.
IMAGES = {
    "debian-12": ("admin", "debian 12", Apt, "3.11"),
    "ubuntu-24.04": ("ubuntu", "ubuntu 24.04", Apt, "3.12"),
    "amazon-linux-2023": ("ec2-user", "amzn 2023", Dnf, "3.11"),
}
user, system, packages, python = IMAGES[image]

SPEC = f"""\
berth: 1
name: family
provider: sandbox
server:
  image: {image}
  type: t3.small
  data: {{ size: 1 GiB, mount: ~/work }}
  stop: {{ idle: 60 min }}
access: {{ ssh: my-ip, jupyter: my-ip }}
packages:
  system: [tree, less]
  python:
    version: "{python}"
    packages: [humanize, "tabulate==0.9.*"]
files:
  - {{ from: notes/, to: ~/notes }}
  - {{ from: study.conf, to: /etc/study.conf }}
jupyter:
  root_dir: ~/work
  kernels: [{{ name: other, packages: [attrs] }}]
"""
PLACE = "server[0]."


def has(project, name):
    return project.ssh(packages.installed.format(name), check_code=None).returncode == 0


def settled(project, what):
    plan = project.plan()
    check(plan == {}, f"{what}: then nothing is left to do", plan)


def jupyter(project):
    """It answers at the address that berth says, over a certificate that the project CA has signed."""
    url = project.run("output", "url").stdout.strip()
    base = url.split("/lab")[0].rstrip("/")
    ca = next((project.dir / ".berth").iterdir()) / "ca.pem"
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(ca))))
    with opener.open(f"{base}/api", timeout=20) as answer:
        return json.load(answer)["version"]


def another_host_key(project):
    """No part of a host is looked at behind a key that is not the pinned one."""
    guest = next(project.world.glob("i/*/pid")).read_text().strip()

    def inside(command):
        subprocess.run(["nsenter", "-t", guest, "-a", "sh", "-ec", command], check=True,
                       stdin=subprocess.DEVNULL)

    reload = "systemctl reload ssh 2>/dev/null || systemctl reload sshd"
    inside("cd /etc/ssh && mkdir kept && mv ssh_host_ed25519_key* kept/ && "
           f"ssh-keygen -q -t ed25519 -N '' -f ssh_host_ed25519_key; {reload}")
    said = project.run("plan").stdout
    check(f"{user}@" in said and "shows the host key" in said and "somebody may be in between" in said,
          "what it means is said", said)
    check({c["action"] for c in project.plan().values()} == {"unknown"}, "no part is known", said)
    said = project.run("apply", "-auto-approve", check_code=None)
    check(said.returncode != 0, "and none is changed", said.stdout, said.stderr)
    inside(f"cd /etc/ssh && mv kept/* . && rmdir kept; {reload}")
    settled(project, "the pinned key again")


def drift(project):
    """Parts are spoilt by hand, one after another: each time the plan shows one more, as drift. One
    apply mends all of them."""
    uv = "sudo /opt/berth/uv/bin/uv pip"
    env = "--python /opt/berth/env/bin/python"
    rounds = [
        [("packages", packages.remove.format("tree"), ["packages"]),
         ("python.packages", f"{uv} uninstall -q {env} humanize && "
                             f"{uv} install -q {env} tabulate==0.8.10", ["python.packages"]),
         ("files[~/notes]", "echo more >>~/notes/a.txt; rm ~/notes/deep/b.txt", ["files[~/notes]"]),
         ("files[/etc/study.conf]", "sudo chmod 600 /etc/study.conf", ["files[/etc/study.conf]"]),
         # The token is open to others.
         ("jupyter", "cd /etc/berth && sudo sed -i 's/\"port_retries\":[[:space:]]*0/"
                     "\"port_retries\": 50/' jupyter_server_config.json && "
                     "sudo chmod 644 jupyter_server_config.json", ["jupyter"]),
         ("stop", "sudo sh -c 'systemctl disable -q --now berth-stop.timer'", ["stop"]),
         ("jupyter.service", "sudo sed -i '/^Restart=/d' /etc/systemd/system/berth-jupyter.service && "
                             "sudo systemctl disable -q berth-jupyter", ["jupyter.service"]),
         ("jupyter.health", "sudo systemctl stop berth-jupyter", ["jupyter.health"]),
         ("tls", "sudo rm /etc/berth/tls/cert.pem", ["tls"])],
        [("kernels[other]", "sudo rm -rf /opt/berth/kernels/other",
          ["kernels[other]"]),
         ("data", "sudo systemctl stop berth-jupyter && sudo umount ~/work",
          ["data", "jupyter.service", "jupyter.health"]),
         ("python", "sudo rm -rf /opt/berth/env", ["python", "python.packages"])],
    ]
    for spoilt in rounds:
        seen = set()
        for what, command, wanted in spoilt:
            project.ssh(command)
            plan = project.plan()
            new = set(plan) - seen
            check(new == {PLACE + w for w in wanted}, f"{what} alone is shown", sorted(new), plan)
            check(plan[PLACE + wanted[0]]["why"] == "drift", f"{what} is drift", plan)
            seen = set(plan)
            if what == "jupyter":
                check(changes_of(plan, PLACE + what) == dict.fromkeys(("settings", "mode"), "drift"),
                      "what of it", plan)
        project.apply()
        settled(project, "mended")


def fields(project):
    """Each is changed alone: the plan shows one more, for the spec. One apply makes all of them so."""
    seen = set()
    for what, old, new in [
            ("packages", "[tree, less]", "[tree, zip]"),
            ("python.packages", "[humanize, ", "[inflection, "),
            ("files[~/notes]", "to: ~/notes }", 'to: ~/notes, mode: "0600" }'),
            ("jupyter", "root_dir: ~/work", "root_dir: ~/work/here"),
            ("stop", "idle: 60 min", "idle: 90 min")]:
        project.edit_spec(old, new)
        plan = project.plan()
        check(set(plan) - seen == {PLACE + what}, f"{what} alone is shown", plan)
        check(set(changes_of(plan, PLACE + what).values()) == {"spec"}, f"{what}: the spec", plan)
        seen = set(plan)
    project.apply()
    settled(project, "changed")
    check(has(project, "zip") and not has(project, "less"), "what berth installed has gone")
    said = project.ssh("stat -c %a ~/notes/a.txt; test -d ~/work/here && "
                       "/opt/berth/env/bin/python -c 'import inflection'").stdout
    check(said == "600\n", "as the spec says", said)


def wants(project, names):
    lines = [f"  system: [{names}]" if line.startswith("  system:") else line
             for line in project.spec_path.read_text().splitlines()]
    project.write_spec("\n".join(lines) + "\n")


def distribution(project):
    """What the package manager is asked, and what it says."""
    wants(project, "tree, libjq1")
    project.ssh(packages.hold)
    said = project.run("apply", "-auto-approve", "-v")
    check(packages.waits in said.stdout + said.stderr, "it waits for the other one", said.stdout,
          said.stderr)
    project.ssh(packages.install.format("jq bc"))
    wants(project, "tree, bc")
    said = project.run("apply", "-auto-approve", "-v")
    check(packages.stays in said.stdout + said.stderr and has(project, "libjq1"),
          "what others need stays, and that is said", said.stdout, said.stderr)
    settled(project, "others need it")
    wants(project, packages.pinned)
    project.apply()
    check(has(project, "bc") and has(project, "tree"), "what was there before is not berth's")
    settled(project, packages.pinned)
    wants(project, "tree, none-such")
    said = project.run("apply", "-auto-approve", check_code=3).stderr
    check(packages.unknown in said and "berth ssh" in said, "its own words, and what to do", said)
    wants(project, "tree")
    project.apply()


with Project(berth, SPEC) as project:
    notes = project.dir / "notes"
    (notes / "deep").mkdir(parents=True)
    (notes / "a.txt").write_text("a\n")
    (notes / "deep" / "b.txt").write_text("b\n")
    (project.dir / "study.conf").write_text("level = 1\n")

    step(f"{image}: made")
    plan = project.plan()
    check(plan and all(c["action"] == "create" for c in plan.values()), "all is new", plan)
    project.apply()
    settled(project, "made")
    server = {n["address"]: n.get("id") for n in project.state()["nodes"]}["server[0]"]
    said = project.ssh('. /etc/os-release; echo "$(id -un) $ID $VERSION_ID"').stdout.strip()
    check(said == f"{user} {system}", "the system and its user", said)
    said = project.ssh("/opt/berth/env/bin/python -c 'import sys, humanize; "
                       "print(sys.version)'; cat ~/notes/deep/b.txt /etc/study.conf").stdout
    check(said.startswith(python + ".") and said.endswith("b\nlevel = 1\n"), "all is there", said)
    check(has(project, "tree") and jupyter(project) >= "2", "packages, Jupyter")

    step("drift of every part")
    drift(project)

    step("another host key")
    another_host_key(project)

    step("fields of the spec, in place")
    fields(project)
    check({n["address"]: n.get("id") for n in project.state()["nodes"]}["server[0]"] == server,
          "the same server")

    step("packages of the distribution")
    distribution(project)

    step("stopped, and started at another address")
    project.ssh("echo mine >~/work/mine")
    before = project.run("output", "url").stdout
    project.run("stop", "-auto-approve")
    settled(project, "stopped")
    project.run("start")
    settled(project, "started")
    check(project.run("output", "url").stdout != before, "another address", before)
    check(jupyter(project) >= "2", "Jupyter answers there")
    check(project.ssh("cat ~/work/mine").stdout == "mine\n", "the work is there")

    step("destroyed")
    project.run("destroy", "-auto-approve", "-data")
    check(project.state()["nodes"] == [], "the state is empty", project.state())
    left = berthlib.leftovers(project.world) + berthlib.interfaces(project.world)
    check(left == [], "nothing is left", left)
print("good", flush=True)
