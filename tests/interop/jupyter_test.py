"""Jupyter on a server in the days after: what restarts it and what does not, its extensions, another
certificate by the project or of the user's own, another address. The server is a sandbox guest with
the real JupyterLab, the browser a real Chromium. Usage: jupyter_test.py BERTH"""

import base64
import hashlib
import json
import os
import pty
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

import berthlib
import boto3
from berthlib import Project, Running, changes_of, check, free_port, step

berth = sys.argv[1]
berthlib.need_root()
berthlib.need_program("mmdebstrap", "ssh", "openssl", "chromium", "chromedriver", "certutil")
try:
    from browser import Browser
except ImportError as error:
    berthlib.skip(f"python module missing: {error}")
from authority import Authority, openssl
from wheels import lab_part, server_part, wheel

NAME = "jupyter.example.org"
SPEC = """\
berth: 1
name: lab
provider: sandbox
server: { image: debian-12, type: t3.small }
jupyter:
  root_dir: ~/work
"""
OWN = "  tls: { cert: tls/chain.pem, key: tls/key.pem }\n"


def fingerprint(address, port=8888):
    """Of what the server really shows."""
    return ssl_hash(ssl.get_server_certificate((address, port), timeout=10))


def ssl_hash(pem):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def address_of(project):
    return project.json("output")["servers"][0]["address"]


def started(project):
    """When the service was started last."""
    return project.ssh("systemctl show -p ActiveEnterTimestampMonotonic berth-jupyter").stdout.strip()


def fetch(project, path, ca=None, method="GET", base=None):
    """What Jupyter answers, verified by the project's authority."""
    base = base or project.run("output", "url").stdout.strip().split("/lab")[0]
    request = urllib.request.Request(base + path, method=method,
                                     data=b"{}" if method == "POST" else None)
    token = project.run("output", "token").stdout.strip()
    request.add_header("Authorization", f"token {token}")
    context = ssl.create_default_context(cafile=str(ca or project.dir / ".berth/lab/ca.pem"))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                         urllib.request.HTTPSHandler(context=context))
    with opener.open(request, timeout=20) as answer:
        return json.loads(answer.read())


def kernels(project):
    return [k["id"] for k in fetch(project, "/api/kernels")]


# ---- What restarts Jupyter

def change(project, name, text, restarts):
    """The spec with `text`: does the plan say that Jupyter restarts, and does it?"""
    before, running = started(project), kernels(project)
    project.write_spec(text)
    said = project.run("plan").stdout
    check(("Jupyter restarts" in said) == restarts, f"{name}: what the plan says", said)
    words = f"({len(running)} running kernel" if running else "running kernel"
    check((words in said) == (restarts and bool(running)), f"{name}: what is lost", said)
    besides = [c["besides"] for c in project.plan().values() if "besides" in c]
    check([b["address"] for b in besides[:1]] == ["server[0].jupyter.service"] * restarts and
          all("Jupyter restarts" in b["text"] for b in besides), f"{name}: and as JSON", besides)
    check(all(("at_stake" in b) == bool(running) for b in besides), f"{name}: what is lost", besides)
    project.apply()
    check((started(project) != before) == restarts, f"{name}: restarted, or not")
    check(kernels(project) == ([] if restarts else running), f"{name}: kernels", kernels(project))
    check(project.plan() == {}, f"{name}: nothing is left to do", project.plan())
    return said


def check_restarts(project):
    step("files, packages of the system, the watcher: Jupyter and its kernels run on")
    (project.dir / "notes.txt").write_text("one")
    fetch(project, "/api/kernels", method="POST")
    files = SPEC + "files: [{ from: notes.txt, to: ~/work/notes.txt }]\n"
    change(project, "files", files, False)
    (project.dir / "notes.txt").write_text("two")
    change(project, "a file", files, False)
    text = files + "packages: { system: [tree] }\n"
    change(project, "a system package", text, False)
    text = text.replace("type: t3.small }", "type: t3.small, stop: { after: 12 h } }")
    change(project, "the watcher", text, False)

    step("Python packages, settings, the folder, a password: it restarts, and the plan says so")
    text = text.replace("[tree] }", "[tree], python: { packages: [humanize] } }")
    change(project, "a Python package", text, True)
    setting = "  settings: { ServerApp: { max_body_size: 99000000 }, FileContentsManager: " \
              "{ delete_to_trash: false } }\n"
    said = change(project, "settings", text.replace("jupyter:\n", "jupyter:\n" + setting), True)
    check("max_body_size" in said and "delete_to_trash" in said, "each by its name", said)
    config = "sudo cat /etc/berth/jupyter_server_config.json"
    check(json.loads(project.ssh(config).stdout)["ServerApp"]["max_body_size"] == 99000000, "there")

    step("a setting that is changed by hand shows with both values; one that is removed goes")
    project.ssh("sudo sed -i s/99000000/77/ /etc/berth/jupyter_server_config.json")
    said = " ".join(project.run("plan").stdout.split())
    check("ServerApp.max_body_size: 77 → 99000000" in said, "from what to what", said)
    project.apply()
    said = change(project, "no settings", text, True)
    left = json.loads(project.ssh(config).stdout)
    check("max_body_size" not in left["ServerApp"] and "FileContentsManager" not in left, "gone", left)
    change(project, "the folder", text.replace("~/work\n", "~/elsewhere\n"), True)
    (project.dir / "password").write_text("open sesame")
    password = text.replace("jupyter:\n", "jupyter:\n  password: { file: password }\n")
    change(project, "a password", password, True)
    project.write_spec(SPEC)
    project.apply()
    check(project.plan() == {}, "back", project.plan())


# ---- Extensions

GOOD = ("def _jupyter_server_extension_points():\n    return [{'module': __name__}]\n"
        "def _load_jupyter_server_extension(app):\n    app.log.info('berth was here')\n")


def send_wheels(project):
    """Into a folder on the server that its pip and uv look into."""
    project.ssh("sudo mkdir -p /srv/wheels; "
                "echo UV_FIND_LINKS=/srv/wheels | sudo tee -a /etc/environment >/dev/null")
    parts = {("berth-good", "1.0"): server_part("berth-good", "1.0", GOOD) |
             lab_part("berth-good", "1.0", "*"),
             ("berth-good", "2.0"): server_part("berth-good", "2.0", GOOD) |
             lab_part("berth-good", "2.0", "^1.0.0"),
             ("berth-broken", "1.0"): server_part("berth-broken", "1.0", "import nowhere_to_be_found\n"),
             ("berth-plain", "1.0"): {"berth_plain/__init__.py": ""}}
    for (name, version), files in parts.items():
        path, data = wheel(project.dir, name, version, files)
        text = base64.b64encode(data).decode()
        project.run("ssh", "--", f"base64 -d | sudo tee /srv/wheels/{path.name} >/dev/null", stdin=text)


def extended(*names):
    return SPEC + f"  extensions: [{', '.join(names)}]\n"


def check_extensions(project):
    place = "server[0].jupyter.extensions"
    send_wheels(project)
    step("extensions: installed, enabled, restarted once; a plan starts no Jupyter for it")
    said = change(project, "an extension", extended("jupyter-resource-usage", "berth-good==1.*"), True)
    check(said.count("Jupyter restarts") == 2 and "berth-good" in said, "the plan", said)
    log = project.run("logs", "-n", "60").stdout
    check("berth was here" in log and "jupyter_resource_usage" in log, "Jupyter runs them", log)
    lists = project.ssh("/opt/berth/env/bin/jupyter labextension list 2>&1").stdout
    check("@jupyter-server/resource-usage" in lists and "berth-good v1.0" in lists, "there", lists)
    project.ssh("sudo mv /opt/berth/env/bin/jupyter /opt/berth/env/bin/jupyter.away")
    check(project.plan() == {}, "the probe reads files")
    project.ssh("sudo mv /opt/berth/env/bin/jupyter.away /opt/berth/env/bin/jupyter")

    step("extensions: switched off by hand: drift; switched off by the spec")
    project.ssh("/opt/berth/env/bin/jupyter labextension disable berth-good; "
                "/opt/berth/env/bin/jupyter server extension disable jupyter_resource_usage")
    plan = project.plan()
    check(set(plan) == {place} and plan[place]["why"] == "drift", "drift", plan)
    said = project.run("plan").stdout
    check(said.count("enabled in part → enabled") == 2, "which, and how", said)
    project.apply()
    check(project.plan() == {}, "mended", project.plan())
    off = extended("jupyter-resource-usage", "{ name: berth-good==1.*, enabled: false }")
    said = change(project, "one off", off, True)
    check("berth-good: enabled → disabled" in said, "the plan", said)
    lists = project.ssh("/opt/berth/env/bin/jupyter labextension list 2>&1; "
                        "/opt/berth/env/bin/jupyter server extension list 2>&1").stdout
    check("berth-good" in lists.split("Disabled extensions:")[1], "Jupyter says so", lists)

    step("extensions: one that does not work is told in Jupyter's own words")
    for names, words in ((("berth-broken",), ("berth_broken of berth-broken does not work",
                                              "nowhere_to_be_found")),
                         (("berth-good==2.*",), ("berth-good of berth-good does not work",
                                                 "@jupyterlab/application",
                                                 "incompatible with the current version")),
                         (("berth-plain",), ("berth-plain brings no extension",))):
        project.write_spec(extended(*names))
        result = project.run("apply", "-auto-approve", check_code=3)
        text = result.stdout + result.stderr
        check(all(w in text for w in words), f"{names}: {words}", text)
        check(project.plan()[place]["action"] in ("create", "update"), "it is still to be done")
    check("version" in fetch(project, "/api"), "Jupyter runs all the same")

    step("extensions: no longer wanted")
    project.write_spec(SPEC)
    plan = project.plan()
    check(plan[place]["action"] == "destroy", "it goes", plan)
    project.apply()
    check(project.plan() == {}, "nothing is left to do", project.plan())
    lists = project.ssh("/opt/berth/env/bin/jupyter labextension list 2>&1; "
                        "ls /etc/berth /srv/wheels").stdout
    check("berth-good v" not in lists and "\nextensions\n" not in lists, "gone", lists)


# ---- Another address

def check_address(project):
    step("stopped and started: another address, and all that has it in it follows")
    ca, home = project.dir / ".berth/lab/ca.pem", project.root / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    project.run("ssh-config", "-install", env={"HOME": str(home)})
    authority, old, here = ca.read_bytes(), address_of(project), free_port()
    tunnel = Running(project, "tunnel", f"{here}:8888")
    tunnel.wait_for(f"127.0.0.1:{here}")
    through = f"https://127.0.0.1:{here}"
    check("version" in fetch(project, "/api", base=through), "a tunnel stands")
    project.run("stop", "-auto-approve")
    tunnel.wait_for("is stopped", "stderr")
    # Somebody else gets the address meanwhile.
    started = project.run("start").stdout
    new = address_of(project)
    check(new != old and f"https://{new}:8888/lab" in started, "another address", started)
    check(project.plan() == {}, "nothing is left to do", project.plan())
    check("version" in fetch(project, "/api"), "verified under the new address")
    names = openssl("/", "x509", "-noout", "-ext", "subjectAltName", "-in",
                    str(save(project, ssl.get_server_certificate((new, 8888), timeout=10))))
    check(new in names and old not in names, "its certificate is for the new one", names)
    check(ca.read_bytes() == authority, "by the same authority")
    entries = (project.dir / ".berth/lab/ssh_config").read_text()
    check(new in entries and old not in entries, "ssh finds it by name", entries)
    tunnel.wait_for("connected again", "stderr", timeout=60)
    check("version" in fetch(project, "/api", base=through), "the tunnel leads there now")

    step("stopped and started by somebody else: no state says so, the tunnel asks")
    info, old = project.json("sandbox", "status"), new
    ec2 = boto3.client("ec2", endpoint_url=info["endpoint"], region_name=info["region"],
                       aws_access_key_id=info["access_key"],
                       aws_secret_access_key=info["secret_key"])
    ids = [next(n for n in project.state()["nodes"] if n["address"] == "server[0]")["id"]]
    tunnel.said["stderr"] = b""
    for call, state in ((ec2.stop_instances, "instance_stopped"),
                        (ec2.start_instances, "instance_running")):
        call(InstanceIds=ids)
        ec2.get_waiter(state).wait(InstanceIds=ids, WaiterConfig={"Delay": 1})
    tunnel.wait_for("connected again", "stderr", timeout=90)
    check("version" in fetch(project, "/api", base=through), "the tunnel leads there now")
    check(address_of(project) == old, "though no berth was told")
    tunnel.interrupt()
    project.run("start")
    check(address_of(project) != old and project.plan() == {}, "berth start takes it over")


def save(project, text):
    path = project.root / "shown.pem"
    path.write_text(text)
    return path


# ---- A certificate of one's own

def check_mistakes(project, authority):
    tls = project.dir / "tls"
    project.write_spec(SPEC + OWN)
    said = project.run("plan", check_code=1).stderr
    check("berth.yaml:7:16" in said and "does not exist" in said, "at its place", said)
    authority.issue(tls, [NAME])
    openssl(tls, "pkey", "-in", "key.pem", "-aes256", "-passout", "pass:sesame", "-out", "sealed.pem")
    project.write_spec(SPEC + OWN.replace("key.pem", "sealed.pem"))
    said = project.run("plan", check_code=1).stderr
    check("has a passphrase" in said and "openssl pkey" in said, "what to do", said)
    authority.issue(tls, [NAME], days="5")
    project.write_spec(SPEC + OWN)
    said = project.run("plan").stderr
    check("ends on" in said and "days" in said, "a warning: soon", said)


def check_own(project, authority):
    step("a certificate of one's own: mistakes are told before anything is touched")
    before = started(project)
    check_mistakes(project, authority)
    check(started(project) == before, "nothing was touched")

    step("a certificate of one's own: the plan names what differs, Jupyter restarts with it")
    tls = project.dir / "tls"
    authority.issue(tls, [NAME, "second.example.org"])
    plan = project.plan()
    check(set(plan) == {"server[0].tls", "server[0].jupyter.health"}, "these alone", plan)
    text = project.run("plan").stdout
    for word in ("subject", "CN=leaf", "CN=middle", "fingerprint", "not_after", NAME, "Jupyter restarts"):
        check(word in text, f"the plan says {word}", text)
    key = (tls / "key.pem").read_text().split("\n")[1]
    project.run("plan", "-out", "P")
    time.sleep(1.1)  # the clock is an input of the plan
    applied = project.run("apply", "P")
    check(key not in text + applied.stdout + applied.stderr, "the key is shown nowhere")
    check(key not in (project.dir / ".berth/lab/state.json").read_text(), "nor is it in the state")
    check(started(project) != before and project.plan() == {}, "applied", project.plan())
    leaf = (authority.folder / "leaf.pem").read_text()
    check(ssl_hash(leaf) == fingerprint(address_of(project)), "the server shows it")
    check(project.ssh("sudo stat -c '%a %U' /etc/berth/tls/key.pem").stdout.split() ==
          ["600", "admin"], "its key is private there")
    check(f"https://{NAME}:8888/lab" in applied.stdout and "Trust" not in applied.stdout,
          "it is opened by name", applied.stdout)
    check(project.json("status")["servers"][0]["jupyter"] == "answering",
          "it is asked at its address, whatever DNS says")

    step("a certificate of one's own: Chromium by its name")
    opened = project.run("open")
    url = next(w for w in opened.stdout.split() if w.startswith("https://"))
    check(f"https://{NAME}:8888/lab?token=" in url, "berth open has the name", opened.stdout)
    check("hosts file" in opened.stderr and address_of(project) in opened.stderr,
          "it says that the name does not lead there", opened.stderr)
    with Browser(authority.folder / "root.pem", hosts={NAME: address_of(project)}) as driver:
        driver.get(url)
        check("Jupyter" in driver.title, "the page opens without a warning", driver.title)

    step("a certificate of one's own: another server with a good one is not taken for ours")
    authority.sign("other", "middle", f"subjectAltName=DNS:{NAME}")
    other = (authority.folder / "other.pem").read_text()
    otherkey = (authority.folder / "other.key").read_text()
    project.run("ssh", "--", "sudo tee /etc/berth/tls/key.pem >/dev/null", stdin=otherkey)
    project.run("ssh", "--", "sudo tee /etc/berth/tls/cert.pem >/dev/null; "
                "sudo systemctl restart berth-jupyter", stdin=other)
    berthlib.wait_until(lambda: fingerprint_or_none(address_of(project)) == ssl_hash(other),
                        "it shows the other one")
    plan = project.plan()
    check(set(plan) == {"server[0].tls", "server[0].jupyter.health"} and
          {"subject", "fingerprint", "key_hash", "chain"} <= set(changes_of(plan, "server[0].tls")) and
          "answering" in changes_of(plan, "server[0].jupyter.health"), "drift, by name", plan)
    project.apply()
    check(project.plan() == {} and fingerprint(address_of(project)) == ssl_hash(leaf), "mended")

    step("a certificate of one's own: renewed; the same again restarts nothing")
    before = started(project)
    project.apply()
    check(started(project) == before, "nothing changed: no restart")
    authority.issue(tls, [NAME])
    plan = project.plan()
    check("server[0].tls" in plan, "a new file shows", plan)
    project.apply()
    check(started(project) != before and project.plan() == {}, "sent, restarted")
    said = project.run("jupyter", "rotate", "certificate", "-auto-approve", check_code=1).stderr
    check("is yours" in said and "tls/chain.pem" in said, "rotate leaves it to its owner", said)

    step("a certificate of one's own: through a tunnel")
    project.write_spec(SPEC + OWN + "access: { jupyter: tunnel }\n")
    project.apply()
    check(project.plan() == {}, "applied", project.plan())
    check(project.json("status")["servers"][0]["jupyter"] == "answering", "asked through SSH")

    step("and back to the project's own")
    project.write_spec(SPEC)
    project.apply()
    check(project.plan() == {}, "applied", project.plan())
    ca = project.dir / ".berth/lab/ca.pem"
    check("version" in fetch(project, "/api"), "verified by the project's authority")


def fingerprint_or_none(address):
    try:
        return fingerprint(address)
    except OSError:
        return None


def kill_at_the_question(project, *args):
    """A berth that asks, and is no more before anybody answers."""
    keyboard, terminal = pty.openpty()
    asking = subprocess.Popen([project.berth, *args], cwd=project.dir, env=project.env, stdin=terminal,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = b""
    while b"[y/N]" not in said:
        more = asking.stderr.read1()
        check(more != b"", f"berth {' '.join(args)} asks", said)
        said += more
    asking.kill()
    asking.wait()
    for fd in (keyboard, terminal):
        os.close(fd)


def check_rotate(project):
    step("rotate certificate: another key by the same authority")
    ca = project.dir / ".berth/lab/ca.pem"
    authority, address = ca.read_bytes(), address_of(project)
    first = fingerprint(address)
    project.run("jupyter", "rotate", "certificate", check_code=1)  # nobody is there to agree
    check(project.plan() == {} and fingerprint(address) == first, "the old one stays")
    for what in ("token", "certificate", "authority"):
        before = project.run("output", "token").stdout
        kill_at_the_question(project, "jupyter", "rotate", what)
        check(project.run("output", "token").stdout == before and ca.read_bytes() == authority
              and project.plan() == {}, f"killed at the question about the {what}: nothing was done")
    said = project.run("jupyter", "rotate", "certificate", "-auto-approve").stdout
    check("(rotate)" in said and "(spec)" not in said, "and why", said)
    check("issue" in said and "Jupyter restarts" in said and "1 to update" in said,
          "the plan says what it does", said)
    check(fingerprint(address) != first, "another one is shown")
    check(ca.read_bytes() == authority, "the authority is the same")
    check("version" in fetch(project, "/api"), "and vouches for it")
    check(project.plan() == {}, "nothing is left to do", project.plan())
    project.run("jupyter", "rotate", "nothing", check_code=64)

    step("rotate authority: another one, and what it signs")
    project.run("jupyter", "rotate", "authority", check_code=1)
    check(project.plan() == {} and ca.read_bytes() == authority, "the old one stays")
    said = project.run("jupyter", "rotate", "authority", "-auto-approve")
    check("ca:" in said.stdout and "Jupyter restarts" in said.stdout and "import" in said.stderr,
          "what it does, and what is left to do", said.stdout, said.stderr)
    check(ca.read_bytes() != authority and ca.stat().st_mode & 0o777 == 0o644, "another")
    check("version" in fetch(project, "/api") and project.plan() == {}, "it vouches for Jupyter")
    old = project.root / "old.pem"
    old.write_bytes(authority)
    try:
        fetch(project, "/api", ca=old)
        check(False, "the old one does not")
    except urllib.error.URLError as error:
        check("CERTIFICATE_VERIFY_FAILED" in str(error), "the old one does not", str(error))


with Project(berth, SPEC) as project:
    step("a server with JupyterLab")
    project.apply()
    check(project.plan() == {}, "nothing is left to do")
    check_restarts(project)
    check_extensions(project)
    check_address(project)
    check_rotate(project)
    check_own(project, Authority(project.root / "authority"))
    project.run("destroy", "-auto-approve")
print("1 passed, 0 failed")
