"""A whole life with Jupyter of a server that berth did not make, as `provider: host` sees it: a Linux
with systemd and an sshd, whose key and host key its user has. (It is a guest of the sandbox, which
another project was started for.) At the end nothing of berth's is on it, and it goes on.
Usage: given_life_test.py BERTH IMAGE"""

import json
import signal
import ssl
import subprocess
import sys
import time
import urllib.request

import berthlib
from berthlib import Project, check, step

berth, image = sys.argv[1:]
berthlib.need_root()
berthlib.need_program("mmdebstrap", "ssh", "ssh-keyscan")

# A family each: who logs in, what takes away first what berth needs and its user does not have, how
# to ask for packages (it fails when one is not there) and for all that count (what apt took in with
# them is left to its autoremove), which ones berth brings.
FAMILIES = {
    "debian-12": dict(user="admin", bare="sudo dpkg --remove python3-venv python3.11-venv",
                      query="dpkg-query -W", all="apt-mark showmanual; dpkg-query -W tree python3-venv",
                      brought="python3-venv python3.11-venv tree"),
    "amazon-linux-2023": dict(user="ec2-user", bare="! rpm -q python3.11", query="rpm -q",
                              all="rpm -qa | sort", brought="python3.11 python3.11-libs tree"),
}
family = FAMILIES[image]

THEIRS = f"""berth: 1
name: theirs
provider: sandbox
server: {{ image: {image}, type: t3.small }}
access: {{ jupyter: 0.0.0.0/0 }}
"""
MINE = """berth: 1
name: mine
provider: host
server: {{ host: {user}@{address}, key: {key}, host_key: "{host_key}" }}
packages: {{ system: [tree], python: {{ packages: [tabulate] }} }}
files: [{{ from: nb, to: ~/nb }}]
jupyter: {{ root_dir: ~/nb }}
"""
# What is where it was not before, but for what runs.
LOOK = (f"sudo sh -c '{family['all']}; ls -d /opt/* /etc/berth* /var/lib/berth* /run/berth* "
        f"/etc/systemd/system/*; cat /etc/fstab; ls ~{family['user']}' 2>/dev/null")


def host_key(address):
    for _ in range(60):
        scan = subprocess.run(["ssh-keyscan", "-t", "ed25519", address], text=True,
                              capture_output=True).stdout.split()
        if scan:
            return " ".join(scan[1:3])
        time.sleep(0.5)
    check(False, "the server shows a host key")


with Project(berth, THEIRS) as theirs:
    step("somebody has a server")
    theirs.apply()
    address = theirs.run("output", "address").stdout.strip()
    key = theirs.dir / ".berth" / "theirs" / "id_ed25519"
    ssh = ["ssh", "-q", "-i", key, "-o", "StrictHostKeyChecking=no", "-o",
           f"UserKnownHostsFile={theirs.root}/known_hosts", f"{family['user']}@{address}"]
    spec = MINE.format(user=family["user"], address=address, key=key, host_key=host_key(address))
    subprocess.run([*ssh, family["bare"]], check=True, capture_output=True)
    before = subprocess.run([*ssh, LOOK], text=True, capture_output=True).stdout
    check("FSTAB" in before and len(before.splitlines()) > 20, "it can be looked at", before)
    with Project(berth, spec, sandbox=False) as mine:
        # Neither the sandbox nor AWS has a part in it.
        mine.env = {k: v for k, v in mine.env.items() if not k.startswith(("AWS_", "BERTH_"))}
        (mine.dir / "nb").mkdir()
        (mine.dir / "nb" / "a.ipynb").write_text("{}")
        step("apply: Jupyter over SSH alone")
        mine.apply()
        check(mine.plan() == {}, "then nothing is to be done")
        mine.ssh(f"{family['query']} {family['brought']}") # or it fails
        status = mine.json("status")["servers"][0]
        check(status["jupyter"] == "answering", "Jupyter answers", status)
        check("127.0.0.1:8888" in mine.ssh("ss -ltn").stdout, "on the loopback address only")

        step("berth open carries it here")
        shown = subprocess.Popen([mine.berth, "open"], cwd=mine.dir, env=mine.env, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            url, token = shown.stdout.readline().strip().split("/lab?token=")
            context = ssl.create_default_context(cafile=str(mine.dir / ".berth" / "mine" / "ca.pem"))
            ask = urllib.request.Request(f"{url}/api/status",
                                         headers={"Authorization": f"token {token}"})
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                                 urllib.request.HTTPSHandler(context=context))
            check("kernels" in json.loads(opener.open(ask, timeout=10).read()), "logged in")
        finally:
            shown.send_signal(signal.SIGINT)
            shown.communicate(timeout=20)

        step("drift there, the journal, another token")
        mine.ssh("sudo systemctl disable -q --now berth-jupyter; echo x >nb/a.ipynb")
        plan = mine.plan()
        check({"server[0].jupyter.service", "server[0].files[~/nb]"} <= set(plan), "it shows", plan)
        mine.apply()
        check(mine.plan() == {}, "and is mended")
        check("ServerApp" in mine.run("logs").stdout, "logs")
        mine.run("jupyter", "rotate", "-auto-approve")
        check(mine.plan() == {}, "rotated")

        step("open to all that the server's own firewall lets through, when the spec says so")
        mine.write_spec(spec + "access: { jupyter: 0.0.0.0/0 }\n")
        result = mine.run("apply", "-auto-approve")
        check("sets no firewall" in result.stderr, "a warning says what that means", result.stderr)
        check(f"https://{address}:8888" in mine.run("output", "url").stdout, "the URL is there")
        check("0.0.0.0:8888" in mine.ssh("ss -ltn").stdout, "it listens everywhere")
        mine.write_spec(spec)
        mine.apply()

        step("destroy: the server is as it was, and runs")
        mine.run("destroy", "-auto-approve")
        after = subprocess.run([*ssh, LOOK], text=True, capture_output=True).stdout
        check(after == before, "no trace", before, after)
        check(mine.run("state", "list", check_code=None).stdout == "", "nothing is recorded")
    check(theirs.plan() == {}, "and whoever made the server sees no difference", theirs.plan())
    theirs.run("destroy", "-auto-approve")
    check(berthlib.leftovers(theirs.world) == [], "nothing is left", berthlib.leftovers(theirs.world))
print("1 passed, 0 failed")
