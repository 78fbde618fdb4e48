"""Key pairs of berth against moto: RSA, another type, one that was deleted by hand.
Usage: moto_keys_test.py BERTH"""

import json
import subprocess
import sys

from berthlib import Project, changes_of, check, step
from motolib import SPEC, Moto, public_half, tags

from aws_proxy import Proxy, at, refusal


def rsa(p, moto, proxy):
    step("an RSA key pair; another type; servers keep the key that they were made with")
    spec = SPEC.replace("name: moto", "name: rsa") + "key_pair: { type: rsa }\n"
    with Project(sys.argv[1], spec, sandbox=False) as q:
        q.env.update(p.env)
        folder = q.dir / ".berth" / "rsa"
        private, other = folder / "id_rsa", folder / "id_ed25519"

        def key():
            return next(k for k in moto.keys() if k["KeyName"] == "berth-rsa")
        q.apply()
        check(key()["KeyType"] == "rsa" and q.plan() == {}, "an RSA key, nothing left to do")
        made, public = private.read_bytes(), public_half(private)
        check(public == key()["PublicKey"].split()[:2], "EC2 has its public half", public)
        size = subprocess.run(["ssh-keygen", "-l", "-f", folder / "id_rsa.pub"], text=True,
                              check=True, capture_output=True).stdout.split()
        check(size[0] == "4096" and size[-1] == "(RSA)", "of a size that EC2 takes", size)
        check(q.run("output", "key").stdout.endswith(".berth/rsa/id_rsa\n"), "its path")
        check(not other.exists(), "and no other")
        (folder / "id_rsa.pub").unlink()
        q.apply()
        check(q.plan() == {} and private.read_bytes() == made, "never overwritten")
        q.edit_spec("type: rsa", "type: ed25519")
        plan = q.plan()
        check(set(plan) == {"key_pair"} and plan["key_pair"]["action"] == "replace" and
              changes_of(plan, "key_pair").get("type") == "spec", "the pair is replaced", plan)
        check("let in that one only" in q.run("plan").stdout, "and what that means is said")
        # What cannot be made takes nothing with it.
        other.mkdir()
        q.run("apply", "-auto-approve", check_code=None)
        check(key()["KeyType"] == "rsa", "the old pair is still there")
        other.rmdir()
        q.edit_spec("count: 1", "count: 2")
        q.apply()
        check(q.plan() == {} and key()["KeyType"] == "ed25519", "replaced")
        check(public_half(other) == key()["PublicKey"].split()[:2], "EC2 has the new one")
        check(private.read_bytes() == made, "the old one is kept")
        servers = {n["address"]: n["attributes"] for n in q.state()["nodes"]}
        check([servers[f"server[{i}]"]["key_type"] for i in (0, 1)] == ["rsa", "ed25519"],
              "which key each lets in", servers)
        check(q.run("output", "key").stdout.endswith("/id_rsa\n"), "of the first server")
        q.edit_spec("type: ed25519", "type: rsa")
        q.apply()
        check(public == key()["PublicKey"].split()[:2] and private.read_bytes() == made,
              "back again: the same key")
        proxy.take()
        with open(q.spec_path, "a") as file:
            file.write("packages: { system: [git] }\n")
        result = q.run("plan", check_code=None)
        if "cannot log in with RSA keys" in result.stderr:  # libssh2 before 1.11
            check(result.returncode == 1 and "berth.yaml:11:19" in result.stderr and
                  not proxy.take(), "refused before anything is asked", result.stderr)
        q.edit_spec("packages: { system: [git] }\n", "")
        q.edit_spec("{ type: rsa }", "{ type: rsa, public_key: mine.pub }")
        (q.dir / "mine.pub").write_text("ssh-ed25519 AAAA me\n")
        result = q.run("plan", check_code=1)
        check("the public key is no RSA key" in result.stderr, "one of another type", result.stderr)
        q.edit_spec("{ type: rsa, public_key: mine.pub }", "{ type: rsa }")
        q.run("destroy", "-auto-approve")
        check(not [f for f in folder.iterdir() if f.name.startswith("id_")], "no key is left",
              str(list(folder.iterdir())))
    check(moto.instances() and "berth-rsa" not in [k["KeyName"] for k in moto.keys()],
          "and nothing else is gone")


def vanished_key(p, moto, proxy):
    step("the key pair was deleted by hand: destroy takes its files too, but no key of a server")
    with Project(sys.argv[1], SPEC.replace("name: moto", "name: gone"), sandbox=False) as q:
        q.env.update(p.env)
        folder = q.dir / ".berth" / "gone"
        private, state = folder / "id_ed25519", folder / "state.json"

        def refused(text):
            result = q.run("destroy", "-auto-approve", check_code=None)
            check(result.returncode != 0 and text in result.stderr, text, result.stderr)
            check(private.exists(), "the private half is kept")
            return result
        # Cut after the intent: the pair was never imported, its files are there.
        proxy.faults.append(at("ImportKeyPair", refusal("UnauthorizedOperation", status=403)))
        q.run("apply", "-auto-approve", check_code=None)
        proxy.faults.clear()
        check(private.exists(), "made before it is imported")
        q.run("destroy", "-auto-approve")
        check(not private.exists(), "nothing of a pair that EC2 never had")
        q.apply()
        moto.ec2.delete_key_pair(KeyName="berth-gone")
        proxy.faults.append(at("TerminateInstances", refusal("UnauthorizedOperation", status=403)))
        result = refused("UnauthorizedOperation")
        check("the record goes, and its private key" in result.stdout, "said", result.stdout)
        proxy.faults.clear()
        # One that has neither tags nor a record.
        server = next(i for i in moto.instances() if tags(i)["berth:name"] == "gone")["InstanceId"]
        known = json.loads(state.read_text())
        known["nodes"] = [n for n in known["nodes"] if n["address"] != "server[0]"]
        state.write_text(json.dumps(known))
        moto.ec2.delete_tags(Resources=[server], Tags=[dict(Key="berth:name")])
        refused(server)
        moto.ec2.terminate_instances(InstanceIds=[server])
        q.run("destroy", "-auto-approve")
        check(not [f for f in folder.iterdir() if f.name.startswith("id_")], "no key is left",
              str(list(folder.iterdir())))
        result = q.run("destroy", "-auto-approve")
        check("orget" not in result.stdout, "and no record", result.stdout)


with Moto() as moto, Proxy(moto.url, moto.secret) as proxy, \
        Project(sys.argv[1], SPEC, sandbox=False) as p:
    moto.log_in(p, proxy.url)
    p.apply()
    rsa(p, moto, proxy)
    vanished_key(p, moto, proxy)
print("good", flush=True)
