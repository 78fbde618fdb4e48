"""What stands around EC2, small and on loopback: STS, IMDS, a container's endpoint, SSO and its
OIDC. Keys that it gives out tell what was asked for, so that two who ask alike get alike."""

import hashlib
import http.server
import json
import re
import threading
import urllib.parse

EXPIRES = "2099-01-01T00:00:00Z"
SECRET, SESSION = "wJalrXUtnFEMI-of-nobody", "FwoGZXIvYXdzE-of-nobody"
BEARER = "eyJ-of-nobody"


def key_for(*parts):
    """An access key id that stands for what was asked."""
    return "ASIA" + hashlib.sha256("|".join(str(p) for p in parts).encode()).hexdigest()[:16].upper()


class FakeAws:
    """Use as a context manager. `calls` is (method, path, headers, body) of all that came."""

    def __init__(self):
        self.calls, self.instance_role, self.mfa_code = [], "web-role", "987654"
        self.tokens = {BEARER}  # of SSO that are good
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                headers = {k.lower(): v for k, v in self.headers.items()}
                fake.calls.append((self.command, self.path, headers, body))
                status, text = fake.answer(self.command, self.path, headers, body)
                data = text.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                if self.path == "/latest/api/token":
                    self.send_header("x-aws-ec2-metadata-token-ttl-seconds", "21600")
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = handle_any

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def take(self):
        calls, self.calls = self.calls, []
        return calls

    def answer(self, method, path, headers, body):
        if path.startswith("/latest/"):
            return self.imds(method, path, headers)
        if path.startswith("/container"):
            return self.container(headers)
        if path.startswith("/federation/credentials"):
            return self.sso(path, headers)
        if path == "/token":
            return self.oidc(json.loads(body))
        return self.sts(dict(urllib.parse.parse_qsl(body)), headers)

    @staticmethod
    def keys(*parts, **more):
        return json.dumps({"AccessKeyId": key_for(*parts), "SecretAccessKey": SECRET,
                           "Token": SESSION, "Expiration": EXPIRES, **more})

    def imds(self, method, path, headers):
        if path == "/latest/api/token" and method == "PUT":
            return 200, "metadata-token"
        if headers.get("x-aws-ec2-metadata-token") != "metadata-token":
            return 401, ""
        if path == "/latest/meta-data/placement/region":
            return 200, "eu-north-1"
        at = "/latest/meta-data/iam/security-credentials/"
        if path == at:
            return (200, self.instance_role) if self.instance_role else (404, "")
        if path == at + (self.instance_role or ""):
            return 200, self.keys("instance", self.instance_role, Code="Success")
        return 404, ""

    def container(self, headers):
        return 200, self.keys("container", headers.get("authorization"))

    def sso(self, path, headers):
        query = dict(urllib.parse.parse_qsl(path.partition("?")[2]))
        if headers.get("x-amz-sso_bearer_token") not in self.tokens:
            return 401, json.dumps({"message": "Session token not found or invalid"})
        return 200, json.dumps({"roleCredentials": {
            "accessKeyId": key_for("sso", query["role_name"], query["account_id"]),
            "secretAccessKey": SECRET, "sessionToken": SESSION, "expiration": 4070908800000}})

    def oidc(self, ask):
        if ask.get("grantType") != "refresh_token" or ask.get("refreshToken") != "REFRESH":
            return 400, json.dumps({"error": "invalid_grant"})
        return 200, json.dumps({"accessToken": BEARER, "expiresIn": 28800, "tokenType": "Bearer",
                                "refreshToken": "REFRESH2"})

    def sts(self, form, headers):
        action = form.get("Action", "")
        signer = re.search(r"Credential=([^/]+)/", headers.get("authorization", ""))
        if action == "GetCallerIdentity":
            return 200, (f"<{action}Response><{action}Result><Arn>arn:aws:iam::123456789012:user/"
                         f"{signer.group(1)}</Arn><UserId>U</UserId><Account>123456789012</Account>"
                         f"</{action}Result></{action}Response>")
        asked = [form.get(n) for n in ("RoleArn", "ExternalId", "DurationSeconds", "SerialNumber")]
        if form.get("SerialNumber") and form.get("TokenCode") != self.mfa_code:
            return 403, ("<ErrorResponse><Error><Code>AccessDenied</Code><Message>MultiFactorAuthent"
                         "ication failed</Message></Error><RequestId>r</RequestId></ErrorResponse>")
        session = form.get("RoleSessionName", "")
        named = session if not re.match(r"(berth|botocore-session)-\d+$", session) else "own"
        who = signer.group(1) if signer else form.get("WebIdentityToken")
        return 200, (f"<{action}Response><{action}Result><Credentials>"
                     f"<AccessKeyId>{key_for(*asked, named, who)}</AccessKeyId>"
                     f"<SecretAccessKey>{SECRET}</SecretAccessKey><SessionToken>{SESSION}</SessionToken>"
                     f"<Expiration>{EXPIRES}</Expiration></Credentials></{action}Result>"
                     f"</{action}Response>")
