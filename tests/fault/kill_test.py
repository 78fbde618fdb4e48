"""kill -9 of apply at many points, then the same command: the same world as undisturbed, nothing
twice, nothing orphaned. Points are taken at system calls that matter (each fsync of the journal,
each send to the API or the host), so that they are the same on a slow and on a fast machine, and
spread over the whole run by time as well. Usage: kill_test.py BERTH [POINTS]"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "interop"))
import berthlib
from berthlib import Project, check, step

berth = sys.argv[1]
points = int(sys.argv[2]) if len(sys.argv) > 2 else 24
berthlib.need_root()
berthlib.need_program("mmdebstrap", "strace")
try:
    import boto3
except ImportError as error:
    berthlib.skip(f"python module missing: {error}")

SPEC = """\
berth: 1
name: kill
provider: sandbox
server: { image: debian-12, type: t3.small, count: 2 }
packages:
  system: [less]
  python: { packages: [humanize] }
files:
  - { from: note.txt, to: ~/note.txt }
"""


def world_of(project):
    info = project.json("sandbox", "status")
    ec2 = boto3.client("ec2", endpoint_url=info["endpoint"], region_name=info["region"],
                       aws_access_key_id=info["access_key"],
                       aws_secret_access_key=info["secret_key"])
    instances = [i for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]
                 if i["State"]["Name"] not in ("terminated", "shutting-down")]
    return {
        "instances": sorted(i["InstanceId"] for i in instances),
        "states": sorted(i["State"]["Name"] for i in instances),
        "groups": sorted(g["GroupId"] for g in ec2.describe_security_groups()["SecurityGroups"]
                         if g["GroupName"] != "default"),
        "keys": sorted(k["KeyPairId"] for k in ec2.describe_key_pairs()["KeyPairs"]),
    }


def shape(world):
    return {name: len(value) if name != "states" else value for name, value in world.items()}


def apply_killed_at(project, call, number):
    """Runs apply under strace, which kills it at the given call. False when it ended before."""
    result = subprocess.run(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
         "-e", f"inject={call}:signal=KILL:when={number}", project.berth, "apply",
         "-auto-approve"], cwd=project.dir, env=project.env, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=600)
    if result.returncode == 0:
        return False
    # strace ends as its child did: by the signal, which a shell would show as 137.
    check(result.returncode in (-signal.SIGKILL, 137), f"apply was killed at {call} {number}",
          str(result.returncode), result.stdout, result.stderr)
    return True


def apply_killed_after(project, seconds):
    process = subprocess.Popen([project.berth, "apply", "-auto-approve"], cwd=project.dir,
                               env=project.env, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True


with Project(berth, SPEC) as project:
    (project.dir / "note.txt").write_text("kept\n")

    step("undisturbed")
    project.apply()
    started = time.monotonic()
    project.run("destroy", "-auto-approve")
    project.apply()
    undisturbed = time.monotonic() - started
    wanted = shape(world_of(project))
    check(wanted == {"instances": 2, "states": ["running"] * 2, "groups": 1, "keys": 1},
          "the undisturbed world", wanted)
    project.run("destroy", "-auto-approve")
    print(f"      destroy and apply took {undisturbed:.1f} s")

    each = points // 3
    plan = [("fsync", 1 + i * 2) for i in range(each)]
    plan += [("sendto", 1 + i * 3) for i in range(each)]
    plan += [("time", undisturbed * (i + 0.5) / each) for i in range(points - len(plan))]
    killed = 0
    for kind, at in plan:
        step(f"killed at {kind} {at if kind != 'time' else f'{at:.2f} s'}")
        hit = (apply_killed_after(project, at) if kind == "time"
               else apply_killed_at(project, kind, at))
        killed += hit
        if not hit:
            print("      (the run ended before that point)")
        project.apply()
        seen = world_of(project)
        check(shape(seen) == wanted, "the same world as undisturbed", seen)
        nodes = {n["address"]: n for n in project.state()["nodes"]}
        check(sorted(nodes[f"server[{i}]"]["id"] for i in (0, 1)) == seen["instances"],
              "the state knows just these servers", nodes, seen)
        check(project.plan() == {}, "the plan is empty")
        check(project.ssh("cat ~/note.txt", server="server[1]").stdout == "kept\n", "the file is there")
        project.run("destroy", "-auto-approve")
        check(not any(shape(world_of(project)).values()), "destroy left nothing",
              world_of(project))
    check(killed >= points * 5 // 6, f"{killed} of {len(plan)} points were hit")
    print(f"killed at {killed} points")
print("1 passed, 0 failed")
