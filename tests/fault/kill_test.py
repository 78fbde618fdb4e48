"""kill -9 of apply at many points, then the same command: the same world as undisturbed, nothing
twice, nothing orphaned. The points are spread evenly over the calls that matter (kill_at.c: each
fsync, rename, connect and send of the run), either just before the call or just after it, when its
answer is lost. Usage: kill_test.py BERTH KILL_AT.so before|after [POINTS]"""

import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "interop"))
import berthlib
from berthlib import Project, check, step

berth, kill_at = sys.argv[1], str(pathlib.Path(sys.argv[2]).resolve())
before = sys.argv[3] == "before"
points = int(sys.argv[4]) if len(sys.argv) > 4 else 12
berthlib.need_root()
berthlib.need_program("mmdebstrap")
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


def watched_apply(project, number=0):
    """apply, killed at that call (before it; after it when negative): (was it killed, calls made).
    The sandbox's daemon is running by now, so that it is not among the killed."""
    count = project.root / "calls"
    count.unlink(missing_ok=True)
    result = project.run("apply", "-auto-approve", check_code=None, env={
        "LD_PRELOAD": kill_at, "KILL_COUNT": str(count), "KILL_AT": str(number)})
    if result.returncode == 0:
        return False, int(count.read_text())
    check(result.returncode == -signal.SIGKILL, f"apply was killed at call {number}",
          str(result.returncode), result.stdout, result.stderr)
    return True, None


with Project(berth, SPEC) as project:
    (project.dir / "note.txt").write_text("kept\n")

    step("undisturbed")
    project.apply()
    wanted = shape(world_of(project))
    check(wanted == {"instances": 2, "states": ["running"] * 2, "groups": 1, "keys": 1},
          "the undisturbed world", wanted)
    project.run("destroy", "-auto-approve")
    _, calls = watched_apply(project)
    project.run("destroy", "-auto-approve")
    check(calls > points, f"{calls} points to choose from")
    print(f"      {calls} calls that matter")

    killed = 0
    for i in range(points):
        # A run makes a few calls more or less than another: it polls. "after" lies between.
        at = i if before else i + 0.5
        number = 1 + round(at * (calls - 1) * 0.97 / (points - 0.5))
        number = number if before else -number
        step(f"killed {'before' if number > 0 else 'after'} call {abs(number)}")
        hit, made = watched_apply(project, number)
        killed += hit
        if not hit:
            print(f"      (the run ended before that point, with {made} calls)")
        project.apply()
        seen = world_of(project)
        check(shape(seen) == wanted, "the same world as undisturbed", seen)
        nodes = {n["address"]: n for n in project.state()["nodes"]}
        check(sorted(nodes[f"server[{n}]"]["id"] for n in (0, 1)) == seen["instances"],
              "the state knows just these servers", nodes, seen)
        check(all(n["status"] == "ok" for n in nodes.values()), "nothing is half-way", nodes)
        check(project.plan() == {}, "the plan is empty")
        check(project.ssh("cat ~/note.txt", server="server[1]").stdout == "kept\n", "the file is there")
        project.run("destroy", "-auto-approve")
        check(not any(shape(world_of(project)).values()), "destroy left nothing",
              world_of(project))
    check(killed >= points - 2, f"{killed} of {points} points were hit")
    print(f"killed at {killed} points")
print("1 passed, 0 failed")
