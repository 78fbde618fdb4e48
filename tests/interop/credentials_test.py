"""Where credentials come from: berth beside botocore with the same files and the same environment;
whole lives on moto, which checks signatures, with static, session and assumed-role credentials; and
what `berth doctor` makes of it. Usage: credentials_test.py BERTH"""

import hashlib
import json
import os
import pathlib
import pty
import stat
import subprocess
import sys
import tempfile

from berthlib import Project, check, step
from motolib import Moto, actions, tags

import boto3  # noqa: E402
from aws_proxy import Proxy, at, once, refusal  # noqa: E402
from fake_aws import BEARER, SECRET, SESSION, FakeAws, key_for  # noqa: E402

SPEC = """berth: 1
name: who
provider: ec2
server: { image: amazon-linux-2023, type: t3.micro }
access: { ssh: [203.0.113.7/32] }
"""
KEYS = "aws_access_key_id = {}\naws_secret_access_key = " + SECRET + "\n"
SSO = ("sso_start_url = https://corp.example/start\nsso_region = us-east-1\n"
       "sso_account_id = 123456789012\nsso_role_name = Power+User\n")
CORP = ("[sso-session corp]\nsso_start_url = https://corp.example/start\n"
        "sso_region = us-east-1\n")
LATE, EARLY = "2098-01-01T00:00:00Z", "2001-01-01T00:00:00Z"

# What botocore takes: the access key id, or the class of its refusal.
BOTOCORE = """
import sys, botocore.session
session = botocore.session.Session(profile=sys.argv[1] or None)
try:
    found = session.get_credentials()
    print("none" if found is None else found.get_frozen_credentials().access_key)
except Exception as error:
    print("refused", type(error).__name__)
"""


class Machine:
    """A home folder with AWS's files, and an environment without anything else of AWS's."""

    def __init__(self, berth, fake):
        self.berth, self.fake = str(pathlib.Path(berth).resolve()), fake
        self.folder = tempfile.TemporaryDirectory()
        self.home = pathlib.Path(self.folder.name)
        (self.home / ".aws" / "sso" / "cache").mkdir(parents=True)
        self.base = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        self.base.update(HOME=str(self.home), NO_COLOR="1", AWS_REGION="us-east-1",
                         AWS_DEFAULT_REGION="us-east-1",  # botocore knows this one only
                         AWS_ENDPOINT_URL_STS=fake.url, AWS_ENDPOINT_URL_SSO=fake.url,
                         AWS_ENDPOINT_URL_SSO_OIDC=fake.url, AWS_EC2_METADATA_DISABLED="true",
                         AWS_STS_REGIONAL_ENDPOINTS="regional")

    def put(self, name, text):
        (self.home / ".aws" / name).write_text(text)

    def put_token(self, name, **token):
        file = hashlib.sha1(name.encode()).hexdigest() + ".json"
        (self.home / ".aws" / "sso" / "cache" / file).write_text(json.dumps(token))
        return self.home / ".aws" / "sso" / "cache" / file

    def doctor(self, profile=None, env=None, check_code=None):
        args = ["-profile", profile] if profile else []
        result = subprocess.run([self.berth, "doctor", "-json", *args], cwd=self.home, text=True,
                                env={**self.base, **(env or {})}, capture_output=True, timeout=60,
                                stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            out = json.loads(result.stdout)
        except ValueError:
            check(False, "doctor prints JSON", result.stdout, result.stderr)
        check((result.returncode == 0) == out["good"], "exit code and verdict agree", out)
        said = result.stdout + result.stderr
        check(SECRET not in said and SESSION not in said and BEARER not in said,
              "no secret is printed", said)
        return out

    def berth_takes(self, profile=None, env=None):
        """The key that signed, or "refused" with why."""
        out = self.doctor(profile, env)
        arn = out["identity"].get("arn")
        return arn.rpartition("/")[2] if arn else "refused " + out["credentials"].get(
            "error", out["place"].get("error", out["identity"].get("error")))["message"]

    def botocore_takes(self, profile=None, env=None):
        result = subprocess.run([sys.executable, "-c", BOTOCORE, profile or ""], cwd=self.home,
                                text=True, env={**self.base, **(env or {})}, capture_output=True,
                                timeout=60, stdin=subprocess.DEVNULL, start_new_session=True)
        check(result.returncode == 0, "botocore runs", result.stderr)
        return result.stdout.strip()


def alike(m):
    """(what, profile that is asked for or None, variables) for which both must take the same."""
    token = str(m.home / ".aws" / "web-token")
    yield "keys in the environment", None, {"AWS_ACCESS_KEY_ID": "AKIAENV",
                                            "AWS_SECRET_ACCESS_KEY": SECRET}
    yield "half a key", None, {"AWS_ACCESS_KEY_ID": "AKIAENV"}
    yield "the environment before AWS_PROFILE", None, {
        "AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_PROFILE": "base"}
    yield "the profile that is asked for before the environment", "base", {
        "AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": SECRET}
    yield "the default profile", None, {}
    for profile in ("base", "only-config", "both", "role", "role-named", "role-chain", "role-self",
                    "role-of-keys", "role-env", "role-box", "role-instance", "role-bad-source",
                    "role-lost", "role-none", "role-two", "role-loop", "web", "web-no-role",
                    "web-no-file", "process", "process-fails", "process-v2", "process-expired",
                    "sso", "sso-old", "sso-stale", "sso-renewed", "sso-half", "sso-lost",
                    "sso-and-keys", "half", "nowhere"):
        variables = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": m.fake.url + "/container",
                     "AWS_CONTAINER_AUTHORIZATION_TOKEN": "Basic box"} \
            if profile == "role-box" else {}
        if profile == "role-instance":
            variables = {"AWS_EC2_METADATA_DISABLED": "false",
                         "AWS_EC2_METADATA_SERVICE_ENDPOINT": m.fake.url}
        if profile == "role-env":
            variables = {"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": SECRET}
        yield f"profile {profile}", profile, variables
        if profile in ("base", "role", "sso", "process", "nowhere"):
            yield f"AWS_PROFILE={profile}", None, {"AWS_PROFILE": profile}
    m_none = {"AWS_SHARED_CREDENTIALS_FILE": "/nowhere", "AWS_CONFIG_FILE": "/nowhere"}
    yield "a web identity by the environment", None, {
        **m_none, "AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": "arn:aws:iam::1:role/web",
        "AWS_ROLE_SESSION_NAME": "me"}
    yield "a container", None, {
        **m_none, "AWS_CONTAINER_CREDENTIALS_FULL_URI": m.fake.url + "/container"}
    yield "a container elsewhere", None, {
        **m_none, "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.1/container"}
    yield "an instance", None, {**m_none, "AWS_EC2_METADATA_DISABLED": "false",
                                "AWS_EC2_METADATA_SERVICE_ENDPOINT": m.fake.url}
    yield "nothing at all", None, m_none


def write_files(m):
    role = "role_arn = arn:aws:iam::123456789012:role/{}\n"
    script = m.home / "give keys"
    script.write_text("#!/bin/sh\necho \"$1\" >&2\ncat \"$2\"\ntest -s \"$2\"\n")
    script.chmod(0o755)

    def answer(name, **more):
        path = m.home / name
        path.write_text(json.dumps({"AccessKeyId": "AKIAPROCESS", "SecretAccessKey": SECRET,
                                    "Version": 1, **more}))
        return f"credential_process = \"{script}\" 'a b' {path}\n"
    (m.home / "empty").write_text("")
    m.put("web-token", "ey.web.token")
    m.put("credentials", "[default]\n" + KEYS.format("AKIADEFAULT") + "[base]\n" +
          KEYS.format("AKIABASE") + "[both]\n" + KEYS.format("AKIACREDENTIALS") +
          "[half]\naws_access_key_id = AKIAHALF\n[sso-and-keys]\n" + KEYS.format("AKIASSO") +
          "[role-of-keys-base]\n" + KEYS.format("AKIAROLEBASE"))
    m.put("config", "".join(f"[profile {name}]\n{text}" for name, text in {
        "only-config": KEYS.format("AKIACONFIG"),
        "both": KEYS.format("AKIACONFIG"),
        "role": role.format("plain") + "source_profile = base\n",
        "role-named": role.format("named") + "source_profile = base\nexternal_id = x y\n"
                      "role_session_name = me\nduration_seconds = 1800\n",
        "role-chain": role.format("chain") + "source_profile = role\n",
        "role-self": role.format("self") + "source_profile = role-self\n" +
                     KEYS.format("AKIASELF"),
        "role-of-keys": role.format("outer") + "source_profile = role-of-keys-base\n",
        "role-of-keys-base": role.format("never") + "source_profile = base\n",
        "role-env": role.format("env") + "credential_source = Environment\n",
        "role-box": role.format("box") + "credential_source = EcsContainer\n",
        "role-instance": role.format("imds") + "credential_source = Ec2InstanceMetadata\n",
        "role-bad-source": role.format("bad") + "credential_source = Vault\n",
        "role-lost": role.format("lost") + "source_profile = nobody\n",
        "role-none": role.format("none"),
        "role-two": role.format("two") + "source_profile = base\ncredential_source = Environment\n",
        "role-loop": role.format("a") + "source_profile = role-loop-b\n",
        "role-loop-b": role.format("b") + "source_profile = role-loop\n",
        "mfa": role.format("mfa") + "source_profile = base\nmfa_serial = arn:aws:iam::1:mfa/me\n",
        "web": role.format("web") + f"web_identity_token_file = {m.home}/.aws/web-token\n",
        "web-no-role": f"web_identity_token_file = {m.home}/.aws/web-token\n",
        "web-no-file": role.format("web") + "web_identity_token_file = /nowhere\n",
        "process": answer("process"),
        "process-fails": f"credential_process = '{script}' sorry {m.home}/empty\n",
        "process-v2": answer("v2", Version=2),
        "process-expired": answer("expired", Expiration=EARLY, SessionToken="t"),
        "sso": "sso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Power+User\n",
        "sso-old": SSO,
        "sso-stale": SSO.replace("corp.example/start", "stale.example"),
        "sso-renewed": "sso_session = renewed\nsso_account_id = 1\nsso_role_name = R\n",
        "sso-half": "sso_session = corp\nsso_role_name = R\n",
        "sso-lost": "sso_session = nowhere\nsso_account_id = 1\nsso_role_name = R\n",
        "sso-and-keys": SSO,
    }.items()) + CORP + CORP.replace("corp]", "renewed]"))
    m.put_token("corp", accessToken=BEARER, expiresAt=LATE)
    m.put_token("https://corp.example/start", accessToken=BEARER, expiresAt=LATE)
    m.put_token("https://stale.example", accessToken=BEARER, expiresAt=EARLY)


def stale_token(m):
    return m.put_token("renewed", accessToken="OLD", expiresAt=EARLY, clientId="C",
                       clientSecret="CS", refreshToken="REFRESH", registrationExpiresAt=LATE,
                       startUrl="https://corp.example/start", region="us-east-1")


def beside_botocore(m):
    step("the same files and environment: berth takes what botocore takes")
    taken = 0
    for what, profile, env in alike(m):
        stale_token(m)
        theirs = m.botocore_takes(profile, env)
        file = stale_token(m)
        ours = m.berth_takes(profile, env)
        if theirs == "none" or theirs.startswith("refused"):
            check(ours.startswith("refused"), f"{what}: neither takes any", theirs, ours)
            check(len(ours) > 30, f"{what}: and why is said", ours)
        else:
            check(ours == theirs, f"{what}: the same key", theirs, ours)
            taken += 1
        if profile == "sso-renewed":
            token = json.loads(file.read_text())
            check(token["accessToken"] == BEARER and token["refreshToken"] == "REFRESH2" and
                  token["clientSecret"] == "CS", "the renewed token is kept", token)
            check(stat.S_IMODE(file.stat().st_mode) == 0o600, "for nobody else")
    check(taken > 20, "and many are taken", taken)


def words(m):
    step("what is said when a source does not work")
    for profile, text in {"role-loop": "role-loop -> role-loop-b -> role-loop",
                          "sso-stale": "the login has run out",
                          "process-fails": "exit status 1: sorry",
                          "mfa": "wants an MFA code"}.items():
        said = m.berth_takes(profile)
        check(text in said, f"{profile}: {text}", said)
    hint = m.doctor("sso-stale")["credentials"]["error"]["hint"]
    check("aws sso login --profile sso-stale" in hint, "what to do", hint)
    m.fake.tokens = set()
    check("no longer takes its login" in m.berth_takes("sso"), "a login that AWS refuses")
    m.fake.tokens = {BEARER}
    out = m.doctor(None, {"AWS_PROFILE": "base"})
    chain = [(s["source"], s["taken"]) for s in out["credentials"]["chain"]]
    check(chain == [("environment", False), ("web identity", False), ("profile base", True)],
          "what was looked at", chain)
    region = {"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_EC2_METADATA_DISABLED": "false",
              "AWS_EC2_METADATA_SERVICE_ENDPOINT": m.fake.url}
    out = m.doctor("base", region)
    check(out["place"]["region"] == "eu-north-1" and "instance" in out["place"]["region_from"],
          "the region of the instance", out["place"])


def mfa(m):
    step("an MFA code is asked for at the terminal, and is not shown")
    m.fake.take()
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(m.home)
        os.execve(m.berth, [m.berth, "doctor", "-profile", "mfa"], m.base)
    said = b""
    while b"MFA code for arn:aws:iam::1:mfa/me: " not in said:
        said += os.read(terminal, 1000)
    os.write(terminal, b"987654\n")
    try:
        while chunk := os.read(terminal, 1000):
            said += chunk
    except OSError:  # the other end is gone
        pass
    _, status = os.waitpid(pid, 0)
    check(os.waitstatus_to_exitcode(status) == 0, "it works", said.decode())
    check(b"987654" not in said, "the code is not echoed", said.decode())
    asked = [body for _, _, _, body in m.fake.take() if "Action=AssumeRole&" in body]
    check(len(asked) == 1 and "TokenCode=987654" in asked[0], "asked once", asked)


def life(p, moto, proxy, what, env, signer=None):
    """A server from nothing to nothing, by these credentials; every signature is checked twice."""
    p.env.update(env)
    proxy.take()
    p.apply()
    check(p.plan() == {}, f"{what}: nothing left to do")
    mine = [i for i in moto.instances() if tags(i)["berth:name"] == "who"]
    check(len(mine) == 1, f"{what}: boto3 sees it", mine)
    p.run("destroy", "-auto-approve")
    check(not [i for i in moto.instances() if tags(i)["berth:name"] == "who"], "and then not")
    calls = [c for c in proxy.take() if c.action != "AssumeRole"]
    keys = {c.key for c in calls}
    check(len(calls) > 10 and (signer is None or keys == {signer}), f"{what}: who signed", keys)
    for name in env:
        p.env.pop(name)
    return keys


def lives(berth):
    with Moto() as moto, Proxy(moto.url, {}) as proxy, Project(berth, SPEC, sandbox=False) as p:
        proxy.secrets[moto.key] = moto.secret
        for name in [n for n in p.env if n.startswith("AWS_")]:
            del p.env[name]
        home = pathlib.Path(p.root)
        p.env.update(AWS_ENDPOINT_URL=proxy.url, HOME=str(home), AWS_REGION="us-east-1",
                     AWS_EC2_METADATA_DISABLED="true")
        iam = moto.client("iam", moto.key, moto.secret)
        iam.create_role(RoleName="builder", AssumeRolePolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}))
        iam.put_role_policy(RoleName="builder", PolicyName="all", PolicyDocument=json.dumps(
            {"Version": "2012-10-17",
             "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}))
        step("static keys: a whole life on moto, which checks signatures")
        static = {"AWS_ACCESS_KEY_ID": moto.key, "AWS_SECRET_ACCESS_KEY": moto.secret}
        life(p, moto, proxy, "static", static, moto.key)
        step("session keys")
        role = "arn:aws:iam::123456789012:role/builder"
        taken = moto.client("sts", moto.key, moto.secret).assume_role(
            RoleArn=role, RoleSessionName="test")["Credentials"]
        proxy.secrets[taken["AccessKeyId"]] = taken["SecretAccessKey"]
        life(p, moto, proxy, "session", {
            "AWS_ACCESS_KEY_ID": taken["AccessKeyId"], "AWS_SESSION_TOKEN": taken["SessionToken"],
            "AWS_SECRET_ACCESS_KEY": taken["SecretAccessKey"]}, taken["AccessKeyId"])
        step("a role that berth takes itself, and takes again when AWS says that it has ended")
        (home / ".aws").mkdir()
        (home / ".aws" / "credentials").write_text(
            f"[base]\naws_access_key_id = {moto.key}\naws_secret_access_key = {moto.secret}\n")
        (home / ".aws" / "config").write_text(
            f"[profile build]\nrole_arn = {role}\nsource_profile = base\n")
        keys = life(p, moto, proxy, "assumed", {"AWS_PROFILE": "build"})
        check(moto.key not in keys and len(keys) >= 3, "a session for each command", keys)
        proxy.faults.append(once(at("RunInstances", refusal("ExpiredToken"))))
        p.env["AWS_PROFILE"] = "build"
        p.apply()
        proxy.faults.clear()
        calls = proxy.take()
        launches = [c.key for c in calls if c.action == "RunInstances"]
        check(len(launches) == 2 and launches[0] != launches[1], "sent again by newer keys",
              launches)
        check(actions(calls).count("AssumeRole") == 2, "one for each session", actions(calls))
        p.run("destroy", "-auto-approve")
        del p.env["AWS_PROFILE"]
        doctor_beside_a_server(p, moto, static)
        policies(p, moto, proxy, iam, static)


def doctor_beside_a_server(p, moto, env):
    step("doctor tries on what is there, and changes nothing of it")
    p.env.update(env)
    p.apply()

    def world():
        return [json.dumps(x, default=str, sort_keys=True)
                for x in ([{**i, "MetadataOptions": ""} for i in moto.instances()],  # moto takes
                          # DryRun there for nothing, and the trial for a change to the same
                          moto.groups(), moto.keys(),
                          moto.ec2.describe_volumes()["Volumes"])]
    before = world()
    out = p.json("doctor")
    verdicts = {x["action"]: x["verdict"] for x in out["permissions"]}
    check(verdicts["ec2:TerminateInstances"] == "allowed" and
          verdicts["ec2:AuthorizeSecurityGroupIngress"] == "allowed", "tried", verdicts)
    check("denied" not in verdicts.values() and verdicts["pricing:GetProducts"] == "optional",
          "berth does without prices, which the proxy refuses", out["permissions"])
    check(world() == before, "nothing has changed", before, world())
    result = p.run("doctor", env={"COLUMNS": "80"})
    print(result.stdout, flush=True)
    p.run("destroy", "-auto-approve")
    for name in env:
        p.env.pop(name)


def actions_alone(policy):
    """moto asks for actions on "*", and takes every condition that it cannot answer for a No."""
    return {**policy, "Statement": [{"Effect": "Allow", "Action": s["Action"], "Resource": "*",
                                     "Sid": s["Sid"]} for s in policy["Statement"]]}


def policies(p, moto, proxy, iam, static):
    step("the policy that doctor prints: AWS's grammar, real actions, and enough for a life")
    policy = json.loads(p.run("doctor", "-policy", env=static).stdout)
    iam.create_user(UserName="least")
    iam.put_user_policy(UserName="least", PolicyName="as-printed",
                        PolicyDocument=json.dumps(policy))  # moto checks the grammar
    iam.delete_user_policy(UserName="least", PolicyName="as-printed")
    operations = set(boto3.client("ec2", region_name="us-east-1").meta.service_model.operation_names)
    named = [s["Action"] if isinstance(s["Action"], list) else [s["Action"]]
             for s in policy["Statement"]]
    for action in sum(named, []):
        service, _, name = action.partition(":")
        check(service != "ec2" or name in operations, f"EC2 has {name}")
    iam.put_user_policy(UserName="least", PolicyName="least",
                        PolicyDocument=json.dumps(actions_alone(policy)))
    key = iam.create_access_key(UserName="least")["AccessKey"]
    proxy.secrets[key["AccessKeyId"]] = key["SecretAccessKey"]
    least = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"],
             "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    life(p, moto, proxy, "least", least, key["AccessKeyId"])
    step("doctor says what is missing")
    poor = actions_alone(policy)
    poor["Statement"] = [s for s in poor["Statement"] if s["Sid"] in ("Look", "FindImages")]
    iam.put_user_policy(UserName="least", PolicyName="least", PolicyDocument=json.dumps(poor))
    before = len(moto.instances()), len(moto.keys()), len(moto.groups())
    out = json.loads(p.run("doctor", "-json", env=least, check_code=1).stdout)
    verdicts = {x["action"]: x["verdict"] for x in out["permissions"]}
    check(verdicts["ec2:RunInstances"] == verdicts["ec2:CreateSecurityGroup"] == "denied",
          "denied", verdicts)
    check(verdicts["ec2:DescribeInstances"] == "allowed", "allowed", verdicts)
    check(verdicts["ec2:TerminateInstances"] == "untried", "nothing to try it on", verdicts)
    check(out["identity"]["arn"].endswith("user/least"), "who", out["identity"])
    result = p.run("doctor", env=least, check_code=1)
    check("ec2:RunInstances: denied, to launch servers" in result.stdout and
          "berth doctor -policy" in result.stdout, "in words", result.stdout)
    check(all(len(line) <= 100 for line in result.stdout.splitlines()), "no long lines")
    check(before == (len(moto.instances()), len(moto.keys()), len(moto.groups())),
          "and nothing is changed by it")
    proxy.take()
    result = p.run("apply", "-auto-approve", check_code=None, env=least)
    check("AccessDenied" in result.stderr and "berth doctor" in result.stderr,
          "the code, and what to do", result.stderr)


def main():
    berth = sys.argv[1]
    with FakeAws() as fake:
        m = Machine(berth, fake)
        write_files(m)
        check(m.berth_takes("role") == key_for("arn:aws:iam::123456789012:role/plain", None, None,
                                               None, "own", "AKIABASE"), "the fake works")
        beside_botocore(m)
        words(m)
        mfa(m)
    lives(berth)
    print("good", flush=True)


main()
