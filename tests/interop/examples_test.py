"""Every example is planned and applied, in the sandbox: only `provider` is changed. Where it has a
password, the login page takes that and no other. Usage: examples_test.py BERTH EXAMPLES"""

import http.cookiejar
import pathlib
import re
import shutil
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

import berthlib
from berthlib import Project, check, step

berth, examples = sys.argv[1], pathlib.Path(sys.argv[2])
berthlib.need_root()
berthlib.need_program("mmdebstrap", "ssh")
PASSWORD = "a pass phrase, with ünusual letters"


def log_in(base, ca, password):
    """The login form, as a browser fills it in. Is /api/status open to it then?"""
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar),
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(ca))))
    opener.open(f"{base}/login", timeout=10).read()
    token = next(c.value for c in jar if c.name == "_xsrf")
    form = urllib.parse.urlencode({"_xsrf": token, "password": password}).encode()
    try:
        opener.open(f"{base}/login", form, timeout=10).read()
        return opener.open(f"{base}/api/status", timeout=10).status == 200
    except urllib.error.HTTPError as error:
        check(error.code in (401, 403), "a refusal", str(error))
        return False


# e2e_test.py has the first; the other is of a server that there is none of here: given_test.py.
specs = sorted(p for p in examples.glob("*.yaml") if p.stem not in ("quickstart", "own-server"))
check(specs, "there are examples")
for path in specs:
    step(f"{path.name}: plan, apply, plan")
    spec, changed = re.subn(r"(?m)^provider: .*", "provider: sandbox", path.read_text())
    check(changed == 1, "it names a provider")
    with Project(berth, spec) as project:
        project.env["JUPYTER_PASSWORD"] = PASSWORD
        shutil.copytree(examples / "notebooks", project.dir / "notebooks")
        plan = project.plan()
        check(plan and all(c["action"] == "create" for c in plan.values()), "all is new", plan)
        project.apply()
        check(project.plan() == {}, "then it is as the spec says")
        servers = project.json("output")["servers"]
        if "password:" in spec:
            step(f"{path.name}: the password logs in, on every server")
            ca = next((project.dir / ".berth").iterdir()) / "ca.pem"
            for server in servers:
                base = server["url"].split("/lab")[0]
                check(log_in(base, ca, PASSWORD), "the password logs in", server)
                check(not log_in(base, ca, "guess"), "another does not", server)
            state = project.run("show", "-json").stdout
            check(PASSWORD not in state and "argon2" not in re.sub("argon2_hash", "", state),
                  "neither password nor its hash is in the state")
            project.env["JUPYTER_PASSWORD"] = "another pass phrase"
            plan = project.plan()
            check({c["action"] for c in plan.values()} == {"update"} and
                  all(a.endswith(".jupyter") for a in plan), "a new password is a change", plan)
            project.apply()
            check(log_in(base, ca, "another pass phrase"), "the new one logs in")
            check(not log_in(base, ca, PASSWORD), "the old one does not")
        project.run("destroy", "-auto-approve")
        check(berthlib.leftovers(project.world) == [], "nothing is left",
              berthlib.leftovers(project.world))
step("own-server.yaml: planned; nobody is there")
with Project(berth, (examples / "own-server.yaml").read_text(), sandbox=False) as project:
    shutil.copytree(examples / "notebooks", project.dir / "notebooks")
    project.run("validate")
    # Of RFC 5737's addresses none answers; one of this machine says so at once.
    project.edit_spec("me@192.0.2.7", "me@127.0.0.2")
    project.edit_spec("# port: 22", "port: 1")
    plan = project.plan()
    check(plan["server[0]"]["action"] == "adopt" and len(plan) > 5, "all of it is planned", plan)
    check({c["action"] for a, c in plan.items() if a != "server[0]"} == {"unknown"},
          "but not known, and never called as wanted", plan)
print("1 passed, 0 failed")
