"""Extra kernels on a guest: each in an environment of its own, run through Jupyter with its own
packages; drift of every sort, another main environment, and the end of one. Usage: kernels_test.py
BERTH"""

import json
import ssl
import sys
import urllib.request

import berthlib
from berthlib import Project, changes_of, check, skip, step

berth = sys.argv[1]
berthlib.need_root()
berthlib.need_program("mmdebstrap", "ssh")
try:
    import websocket
except ImportError as error:
    skip(f"python module missing: {error}")

SPEC = """\
berth: 1
name: kernels
provider: sandbox
server: { image: debian-12, type: t3.small }
jupyter:
  kernels:
    - { name: words, display_name: "Words & \\"more\\"", packages: ["humanize==4.9.*"] }
"""
PLACE = "server[0].kernels[words]"
UV = "sudo /opt/berth/uv/bin/uv pip %s -q --python /opt/berth/kernels/words/bin/python %s"
CODE = "import humanize, importlib.metadata as m, sys; print(m.version('humanize'), sys.prefix)"


class Jupyter:
    def __init__(self, project):
        self.token = project.run("output", "token").stdout.strip()
        self.url = project.run("output", "url").stdout.strip().split("/lab")[0].rstrip("/")
        self.context = ssl.create_default_context(cafile=next((project.dir / ".berth").iterdir()) / "ca.pem")

    def ask(self, path, body=None, method=None):
        request = urllib.request.Request(self.url + path, method=method,
                                         data=None if body is None else json.dumps(body).encode(),
                                         headers={"Authorization": f"token {self.token}"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                             urllib.request.HTTPSHandler(context=self.context))
        with opener.open(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def execute(self, name, code):
        """What a new kernel of that name prints."""
        kernel = self.ask("/api/kernels", {"name": name})["id"]
        channel = websocket.create_connection(
            f"{self.url.replace('https', 'wss')}/api/kernels/{kernel}/channels", timeout=60,
            header=[f"Authorization: token {self.token}"], sslopt={"context": self.context})
        channel.send(json.dumps({
            "header": {"msg_id": "1", "msg_type": "execute_request", "username": "", "session": "s",
                       "version": "5.3"},
            "parent_header": {}, "metadata": {}, "channel": "shell",
            "content": {"code": code, "silent": False}}))
        printed = ""
        while True:
            message = json.loads(channel.recv())
            kind, content = message["header"]["msg_type"], message["content"]
            if kind == "stream":
                printed += content["text"]
            elif kind == "error":
                printed += content["evalue"]
            elif kind == "execute_reply":
                reply = content["status"]
            elif kind == "status" and content["execution_state"] == "idle" \
                    and message["parent_header"].get("msg_type") == "execute_request":
                break
        channel.close()
        self.ask(f"/api/kernels/{kernel}", method="DELETE")
        return printed.strip()


with Project(berth, SPEC) as project:
    step("a server with a further kernel")
    project.apply()
    check(project.plan() == {}, "nothing is left to do", project.run("plan").stdout)
    jupyter = Jupyter(project)
    specs = jupyter.ask("/api/kernelspecs")
    check(set(specs["kernelspecs"]) == {"python3", "words"} and specs["default"] == "python3", "both are there", specs)
    shown = specs["kernelspecs"]["words"]["spec"]["display_name"]
    check(shown == 'Words & "more"', "under its name", shown)

    step("it runs with its own packages")
    printed = jupyter.execute("words", CODE)
    check(printed.startswith("4.9.") and printed.endswith(" /opt/berth/kernels/words"), "in its environment", printed)
    check("No module named 'humanize'" in jupyter.execute("python3", CODE), "the main one has them not")

    step("other versions are shown, and what was installed by hand; Jupyter runs on")
    started = project.ssh("systemctl show -p ActiveEnterTimestampMonotonic berth-jupyter").stdout
    project.ssh(UV % ("install", "six"))
    project.edit_spec("humanize==4.9.*", "humanize==4.10.0")
    text = " ".join(project.run("plan").stdout.split())
    check("humanize: 4.9.0 → 4.10.0" in text and "six 1." in text and "kept" in text
          and "restarts" not in text, "the diff", project.run("plan").stdout)
    check(set(project.plan()) == {PLACE}, "it alone", project.plan())
    project.apply()
    check(jupyter.execute("words", CODE).startswith("4.10.0 "), "the new one")
    check(project.ssh("systemctl show -p ActiveEnterTimestampMonotonic berth-jupyter").stdout == started,
          "no restart")

    step("drift: a package gone, its registration gone, its environment gone")
    for harm, fields in ((UV % ("uninstall", "humanize"), {"packages"}),
                         ("sudo rm /opt/berth/env/share/jupyter/kernels/words", {"spec"}),
                         ("echo '{}' | sudo tee /opt/berth/kernels/words/kernelspec/kernel.json", {"spec"}),
                         ("sudo rm -r /opt/berth/kernels/words", None)):
        project.ssh(harm)
        plan = project.plan()
        check(set(plan) == {PLACE} and plan[PLACE]["why"] == "drift"
              and (fields is None or set(changes_of(plan, PLACE)) == fields), "it is seen", harm, plan)
        project.apply()
        check(jupyter.execute("words", CODE).startswith("4.10.0 "), "mended", harm)

    step("the main environment is made anew: the kernel is still there")
    project.ssh("sudo rm -r /opt/berth/env")
    project.apply()
    check(project.plan() == {}, "nothing is left to do", project.run("plan").stdout)
    check(jupyter.execute("words", CODE).startswith("4.10.0 "), "and runs")

    step("another kernel beside it; a Python that is nowhere to be had")
    project.edit_spec("  kernels:\n", '  kernels:\n    - { name: plain, packages: ["tabulate==0.9.0"] }\n'
                      '    - { name: old, python: "3.2" }\n')
    result = project.run("apply", "-auto-approve", check_code=3)
    check("has Python 3.2" in result.stderr and "error:" in result.stderr.split("said:")[-1]
          and "kernels[old]" in result.stderr, "uv's words and what to do", result.stderr)
    check("0.9.0" in jupyter.execute("plain", "import tabulate; print(tabulate.__version__)"),
          "the other one is there")

    step("no longer wanted: environment and registration go")
    text = project.spec_path.read_text()
    project.write_spec(text[:text.index("  kernels:")] + "  port: 8888\n")
    plan = project.plan()
    check(plan[PLACE]["action"] == "destroy" and set(plan) >= {PLACE, "server[0].kernels[plain]"}, "it is to go", plan)
    project.apply()
    check(project.ssh("ls /opt/berth/kernels; ls /opt/berth/env/share/jupyter/kernels").stdout.split()
          == ["python3"], "nothing of them is left")
    check(set(jupyter.ask("/api/kernelspecs")["kernelspecs"]) == {"python3"}, "nor in Jupyter")
    check(project.plan() == {}, "nothing is left to do")
    project.edit_spec("  port: 8888\n", "  kernels: [{ name: a }, { name: a }]\n")
    check("`a` is written twice" in project.run("plan", check_code=1).stderr, "a name is one kernel's")
    project.run("destroy", "-auto-approve")
print("1 passed, 0 failed")
