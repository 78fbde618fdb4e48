"""Jupyter on a server in the days after: a certificate of the user's own, another one by the project,
another address. The server is a sandbox guest with the real JupyterLab, the browser a real Chromium.
Usage: jupyter_test.py BERTH"""

import hashlib
import json
import ssl
import subprocess
import sys
import urllib.request

import berthlib
from berthlib import Project, changes_of, check, step

berth = sys.argv[1]
berthlib.need_root()
berthlib.need_program("mmdebstrap", "ssh", "openssl", "chromium", "chromedriver", "certutil")
try:
    from browser import Browser
except ImportError as error:
    berthlib.skip(f"python module missing: {error}")

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


def openssl(folder, *args):
    answer = subprocess.run(["openssl", *args], cwd=folder, capture_output=True, text=True)
    check(answer.returncode == 0, f"openssl {' '.join(args)}", answer.stderr)
    return answer.stdout


class Authority:
    """One that is not berth's, as a company has it: a root, and an intermediate that signs."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        for name, issuer, more in (("root", None, "CA:TRUE"), ("middle", "root", "CA:TRUE,pathlen:0")):
            self.sign(name, issuer, f"basicConstraints=critical,{more}\nkeyUsage=keyCertSign")

    def sign(self, name, issuer, extensions, days="90"):
        f = self.folder
        (f / "ext").write_text(extensions + "\n")
        openssl(f, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out",
                f"{name}.key")
        openssl(f, "req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out", "csr")
        by = ["-signkey", f"{name}.key"] if issuer is None else [
            "-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-CAcreateserial"]
        openssl(f, "x509", "-req", "-in", "csr", *by, "-days", days, "-extfile", "ext", "-out",
                f"{name}.pem")

    def issue(self, to, names, days="90"):
        """chain.pem and key.pem into that folder."""
        to.mkdir(exist_ok=True)
        alt = ",".join(f"DNS:{n}" for n in names)
        self.sign("leaf", "middle", f"subjectAltName={alt}\nextendedKeyUsage=serverAuth", days)
        (to / "chain.pem").write_text((self.folder / "leaf.pem").read_text() +
                                      (self.folder / "middle.pem").read_text())
        (to / "key.pem").write_bytes((self.folder / "leaf.key").read_bytes())


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


def fetch(project, path, ca):
    url = project.run("output", "url").stdout.strip().split("/lab")[0]
    request = urllib.request.Request(url + path)
    token = project.run("output", "token").stdout.strip()
    request.add_header("Authorization", f"token {token}")
    context = ssl.create_default_context(cafile=str(ca))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                         urllib.request.HTTPSHandler(context=context))
    with opener.open(request, timeout=20) as answer:
        return json.loads(answer.read())


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
    applied = project.apply()
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
    check("version" in fetch(project, "/api", ca), "verified by the project's authority")


def fingerprint_or_none(address):
    try:
        return fingerprint(address)
    except OSError:
        return None


def check_rotate(project):
    step("rotate certificate: another key by the same authority")
    ca = project.dir / ".berth/lab/ca.pem"
    authority, address = ca.read_bytes(), address_of(project)
    first = fingerprint(address)
    project.run("jupyter", "rotate", "certificate", check_code=1)  # nobody is there to agree
    check(project.plan() == {} and fingerprint(address) == first, "the old one stays")
    said = project.run("jupyter", "rotate", "certificate", "-auto-approve").stdout
    check("issue" in said and "Jupyter restarts" in said and "1 to update" in said,
          "the plan says what it does", said)
    check(fingerprint(address) != first, "another one is shown")
    check(ca.read_bytes() == authority, "the authority is the same")
    check("version" in fetch(project, "/api", ca), "and vouches for it")
    check(project.plan() == {}, "nothing is left to do", project.plan())
    project.run("jupyter", "rotate", "nothing", check_code=64)


with Project(berth, SPEC) as project:
    step("a server with JupyterLab")
    project.apply()
    check(project.plan() == {}, "nothing is left to do")
    check_rotate(project)
    check_own(project, Authority(project.root / "authority"))
    project.run("destroy", "-auto-approve")
print("1 passed, 0 failed")
