"""What things cost: berth against moto for EC2, and a price list of our own in AWS's shape, which also
denies, hangs and talks nonsense. Usage: cost_test.py BERTH"""

import json
import os
import re
import sys

from berthlib import Project, check, free_port, step
from motolib import Moto
from pricinglib import Pricing

SPEC = """berth: 1
name: cost
provider: ec2
region: us-east-1
server:
  image: amazon-linux-2023
  type: t3.small
  count: 2
  disk: { size: 40 GiB }
access: { ssh: 203.0.113.7/32 }
"""
HOURS = 730
INSTANCE, GIB, IPV4 = 0.0208, 0.08, 0.005
STOPPED = 2 * 40 * GIB
RUNNING = 2 * (INSTANCE + IPV4) + STOPPED / HOURS


def near(a, b):
    return a is not None and abs(a - b) < 2e-6


def cost_of(p, *args, env=None):
    result = p.run(*args, "-json", check_code=None, env=env)
    check(result.returncode == 0, f"{args} works", result.stdout, result.stderr)
    return json.loads(result.stdout)


def from_nothing(p, pricing):
    step("a plan says what it will cost")
    cost = cost_of(p, "plan")["cost"]
    check(all(v == 0 for v in cost["before"].values()), "nothing is there", cost)
    check(near(cost["after"]["usd_per_hour_running"], RUNNING), f"{RUNNING} an hour", cost)
    check(near(cost["after"]["usd_per_month_running"], RUNNING * HOURS), "a month", cost)
    check(near(cost["after"]["usd_per_month_stopped"], STOPPED), f"{STOPPED} a month", cost)
    check(cost["unknown"] == [], "all is known", cost)
    calls = pricing.take()
    check(len(calls) == 3, "one call a price, whatever the number of servers", calls)
    check(all(target == "AWSPriceListService.GetProducts" for target, _, _ in calls), "the call")
    check(all("/us-east-1/pricing/aws4_request" in a for _, _, a in calls), "signed for the list")
    filters = {f["Field"]: f["Value"] for f in next(
        b for _, b, _ in calls if any(f["Field"] == "instanceType" for f in b["Filters"]))["Filters"]}
    check(filters == {"instanceType": "t3.small", "regionCode": "us-east-1", "tenancy": "Shared",
                      "operatingSystem": "Linux", "preInstalledSw": "NA", "capacitystatus": "Used"},
          "the filters", filters)
    text = p.run("plan").stdout
    check(f"Cost: $0 -> ${RUNNING:.4f} an hour running, $0 -> ${STOPPED:.2f} a month stopped." in text,
          "in words", text)
    check(not pricing.take(), "the answers of a moment ago are kept")


def while_there(p, pricing, moto):
    step("apply and status say it too")
    text = p.run("apply", "-auto-approve").stdout
    check(text.rstrip().endswith(f"Costs ${RUNNING:.4f} an hour running, ${STOPPED:.2f} a month stopped."),
          "at the end", text)
    status = cost_of(p, "status")["cost"]
    check(near(status["usd_per_hour_now"], RUNNING), "as it stands", status)
    text = p.run("plan").stdout
    check(f"\nCost: ${RUNNING:.4f} an hour running, ${STOPPED:.2f} a month stopped.\n" in text,
          "without an arrow where nothing changes", text)
    ids = [i["InstanceId"] for i in moto.instances()]
    moto.ec2.stop_instances(InstanceIds=ids[:1])
    status = cost_of(p, "status")["cost"]
    check(near(status["usd_per_hour_now"], RUNNING - INSTANCE - IPV4), "one of two is stopped", status)
    check(near(status["usd_per_hour_running"], RUNNING), "if it ran", status)
    moto.ec2.start_instances(InstanceIds=ids[:1])
    p.apply()
    check(not pricing.take(), "still the same answers")


def stop_and_start(p):
    step("what a stop saves")
    asleep = STOPPED / HOURS
    text = p.run("stop", "-auto-approve").stdout
    check(f"Cost: ${RUNNING:.4f} -> ${asleep:.4f} an hour as it stands; ${RUNNING:.4f} an hour running, "
          in text, "falls", text)
    check(near(cost_of(p, "status")["cost"]["usd_per_hour_now"], asleep), "asleep")
    text = p.run("start").stdout
    check(f"Cost: ${asleep:.4f} -> ${RUNNING:.4f} an hour as it stands;" in text, "rises", text)


def elastic(p):
    step("an elastic address costs on when the server is stopped")
    p.edit_spec("  count: 2", "  count: 2\n  address: elastic")
    cost = cost_of(p, "plan")["cost"]
    check(near(cost["after"]["usd_per_hour_running"], RUNNING), "as much while it runs", cost)
    check(near(cost["after"]["usd_per_month_stopped"], STOPPED + 2 * IPV4 * HOURS), "stopped", cost)
    p.edit_spec("  count: 2\n  address: elastic", "  count: 2")


def sandbox(berth):
    """A second price list in AWS's shape, of other hands."""
    if os.geteuid() != 0:
        print("SKIPPED: the sandbox's prices: it needs root", flush=True)
        return
    spec = SPEC.replace("provider: ec2\nregion: us-east-1\n", "provider: sandbox\n").replace(
        "amazon-linux-2023", "debian-12")
    with Project(berth, spec) as p:
        step("the sandbox's price list")
        cost = cost_of(p, "plan")["cost"]
        check(near(cost["after"]["usd_per_hour_running"], RUNNING), f"{RUNNING} an hour", cost)
        check(near(cost["after"]["usd_per_month_stopped"], STOPPED), f"{STOPPED} a month", cost)


def table(p):
    step("berth cost")
    cost = cost_of(p, "cost")
    items = [(i["address"], i["item"]) for i in cost["items"]]
    check(items == [(f"server[{n}]", item) for n in (0, 1) for item in
                    ("instance t3.small", "root disk, 40 GiB gp3", "public IPv4 address")], "rows", items)
    check(near(sum(i["usd_per_hour_running"] for i in cost["items"]),
               cost["total"]["usd_per_hour_running"]), "the sum", cost)
    check(near(cost["total"]["usd_per_month_stopped"], STOPPED), "stopped", cost)
    text = p.run("cost").stdout
    check(re.search(r"server\[0\.\.1\], each:\n  instance t3\.small +\$0\.0208 +\$15\.18 +\$0\n", text),
          "like servers once", text)
    check(re.search(rf"\nall +\${RUNNING:.4f} +\${RUNNING * HOURS:.2f} +\${STOPPED:.2f}\n", text),
          "the last row", text)


def changes(p, pricing):
    step("before and after a change")
    p.edit_spec("type: t3.small", "type: t3.medium")
    p.edit_spec("count: 2", "count: 1")
    cost = cost_of(p, "plan")["cost"]
    after = 0.0416 + IPV4 + 40 * GIB / HOURS
    check(near(cost["before"]["usd_per_hour_running"], RUNNING), "before", cost)
    check(near(cost["after"]["usd_per_hour_running"], after), "after", cost)
    check(near(cost["after"]["usd_per_month_stopped"], 40 * GIB), "one disk less", cost)
    check(len(pricing.take()) == 1, "only the new type was asked for")
    text = p.run("plan", "-destroy").stdout
    check(f"Cost: ${RUNNING:.4f} -> $0 an hour running, ${STOPPED:.2f} -> $0 a month stopped." in text,
          "destroy ends it", text)
    p.edit_spec("type: t3.medium", "type: t3.small")
    p.edit_spec("count: 1", "count: 2")


def unknown(p, pricing, modes):
    """Whatever the price list does, the plan is there, and no price is guessed."""
    fresh = 0
    for mode, why in modes:
        step(f"a price list: {mode}: unknown, never a guess, never an error")
        pricing.mode = mode
        fresh += 1
        env = {"BERTH_CACHE_DIR": str(p.root / f"cache-{fresh}")}
        plan = cost_of(p, "plan", env=env)
        check(all(v is None for v in plan["cost"]["after"].values()), "null", plan["cost"])
        check({u["item"] for u in plan["cost"]["unknown"]} ==
              {"instance t3.small", "root disk, 40 GiB gp3", "public IPv4 address"}, "which", plan["cost"])
        check(all(re.search(why, u["why"]) for u in plan["cost"]["unknown"]), "why", plan["cost"])
        check([c["action"] for c in plan["changes"]] == ["no-op"] * 4, "the plan itself", plan)
        result = p.run("plan", "-v", env=env)
        check("Cost: unknown an hour running, unknown a month stopped." in result.stdout, "in words",
              result.stdout)
        check(re.search(f"price of instance t3.small: unknown: .*{why}", result.stderr), "why, with -v",
              result.stderr)
        check("unknown" in p.run("status", env=env).stdout, "status")
        pricing.mode = "good"
        check(near(cost_of(p, "plan", env=env)["cost"]["after"]["usd_per_hour_running"], RUNNING),
              "what went wrong was not kept")


def no_list(p):
    step("nobody there who knows prices")
    env = {"AWS_ENDPOINT_URL_PRICING": f"http://127.0.0.1:{free_port()}",
           "BERTH_CACHE_DIR": str(p.root / "cache-none")}
    cost = cost_of(p, "plan", env=env)["cost"]
    check(cost["after"]["usd_per_hour_running"] is None, "unknown", cost)
    check("cannot reach" in cost["unknown"][0]["why"], "why", cost)
    cost = cost_of(p, "plan", env={"BERTH_CACHE_DIR": "/dev/null/cache"})["cost"]
    check(near(cost["after"]["usd_per_hour_running"], RUNNING), "without a cache it is asked", cost)


def main():
    with Moto() as moto, Pricing() as pricing, Project(sys.argv[1], SPEC, sandbox=False) as p:
        moto.log_in(p, moto.url)
        for name in ("BERTH_CACHE_DIR", "XDG_CACHE_HOME"):
            p.env.pop(name, None)
        p.env.update(AWS_ENDPOINT_URL_PRICING=pricing.url, LC_ALL="C")
        from_nothing(p, pricing)
        while_there(p, pricing, moto)
        stop_and_start(p)
        elastic(p)
        table(p)
        changes(p, pricing)
        unknown(p, pricing, [("denied", "AccessDenied|not authorized"), ("cut", "not a price list"),
                             ("html", "not a price list"), ("empty", "the price list has none"),
                             ("hangs", "did not come in time")])
        no_list(p)
        p.run("destroy", "-auto-approve")
    sandbox(sys.argv[1])
    print("good", flush=True)


main()
