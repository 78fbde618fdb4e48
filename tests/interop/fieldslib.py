"""For the tests of single fields against moto: what the plan shows of one, and what settles it."""

from berthlib import changes_of, check

SPEC = """berth: 1
name: fields
provider: ec2
region: us-east-1
server:
  image: amazon-linux-2023
  type: t3.small
  disk: { size: 10 GiB, type: gp2 }
access: { ssh: 203.0.113.7/32 }
"""


def only(p, address, *fields, why="spec", action="update"):
    """The plan changes this one thing, in these fields; how it is shown."""
    plan = p.plan()
    check(set(plan) == {address}, f"{address} alone", plan)
    check(plan[address]["action"] == action, action, plan)
    check(changes_of(plan, address) == {f: why for f in fields}, f"{fields} by {why}", plan)
    return p.run("plan").stdout


def settle(p, proxy):
    """Applies, and the next plan is empty; the calls that changed something."""
    proxy.take()
    p.apply()
    calls = [c for c in proxy.take() if not c.action.startswith(("Describe", "Get"))]
    check(p.plan() == {}, "then nothing is left to do", p.plan())
    return calls
