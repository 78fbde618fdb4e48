"""A proxy on loopback in front of an EC2 endpoint: keeps every call, checks its signature with
botocore's own signer, and can break things (faults) that the endpoint behind it never does."""

import base64
import collections
import datetime
import http.server
import re
import threading
import urllib.error
import urllib.parse
import urllib.request

import botocore.auth
import botocore.awsrequest
import botocore.credentials


UNSIGNED = ("AssumeRoleWithWebIdentity",)


def wrong_signature(headers, body, secret, url):
    """`headers` have lower-case names. None when botocore signs the same request alike, else what differs."""
    authorization = headers.get("authorization", "")
    if not authorization.startswith("AWS4-HMAC-SHA256 "):
        return "not signed at all"
    key, date, region, service = re.search(
        r"Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request", authorization).groups()
    names = re.search(r"SignedHeaders=([^,]+)", authorization).group(1).split(";")
    request = botocore.awsrequest.AWSRequest(method="POST", url=url, data=body)
    for name in names:
        request.headers[name] = headers[name]
    request.context["timestamp"] = headers["x-amz-date"]
    signer = botocore.auth.SigV4Auth(
        botocore.credentials.Credentials(key, secret, headers.get("x-amz-security-token")),
        service, region)
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    when = datetime.datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
    age = abs((datetime.datetime.utcnow() - when).total_seconds())
    must = {"host", "x-amz-date", "content-type"} | {n for n in headers if n.startswith("x-amz-")}
    if not must <= set(names):
        return f"not signed: {must - set(names)}"
    if age > 300 or not headers["x-amz-date"].startswith(date):
        return f"date {headers['x-amz-date']}"
    if not authorization.endswith(f"Signature={signature}"):
        return f"{authorization}\nbotocore: {signature}\n{canonical}"
    return None


class Call:
    def __init__(self, headers, body):
        self.headers = {k.lower(): v for k, v in headers.items()}
        self.body = body
        self.target = headers.get("X-Amz-Target", "")
        form = urllib.parse.parse_qs(body.decode(), keep_blank_values=True) \
            if not self.target else {}
        self.form = {k: v[0] for k, v in form.items()}
        self.action = self.target.split(".")[-1] or self.form.get("Action", "?")

    @property
    def key(self):
        """The access key id that signed it."""
        found = re.search(r"Credential=([^/]+)/", self.headers.get("authorization", ""))
        return found.group(1) if found else None

    @property
    def user_data(self):
        return base64.b64decode(self.form["UserData"]).decode()


class Proxy:
    """Use as a context manager. `calls` is all that came but for questions after prices,
    which are refused; `faults` are functions call -> None or (status, body), looked at before the
    call is passed on; `after` the same after it was."""

    def __init__(self, backend, secret):
        self.backend = backend
        # By key: those that STS gives out on the way are learned.
        self.secrets = secret if isinstance(secret, dict) else collections.defaultdict(lambda: secret)
        self.calls, self.wrong, self.faults, self.after = [], [], [], []
        proxy, self.lock = self, threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                proxy.answer(self, Call(self.headers, body))

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
        """The calls since the last take; fails the test on a wrong signature."""
        with self.lock:
            calls, self.calls = self.calls, []
            wrong, self.wrong = self.wrong, []
        assert not wrong, "\n".join(wrong)
        return calls

    def take_unchecked(self):
        """The same where the keys were wrong on purpose."""
        with self.lock:
            self.wrong = []
        return self.take()

    def pass_on(self, call):
        headers = {k: v for k, v in call.headers.items() if k != "connection"}
        request = urllib.request.Request(self.backend, call.body, headers, method="POST")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            answer = opener.open(request, timeout=60)
        except urllib.error.HTTPError as error:
            answer = error
        return answer.status, answer.read(), answer.headers.get("Date")

    def secret_of(self, key):
        return self.secrets[key] if key in self.secrets or \
            isinstance(self.secrets, collections.defaultdict) else "unknown key"

    def learn(self, call, content):
        """Whoever takes a role signs with a secret of its own from then on."""
        given = {name: re.search(f"<{name}>([^<]+)</{name}>".encode(), content)
                 for name in ("AccessKeyId", "SecretAccessKey")}
        if call.action.startswith("AssumeRole") and all(given.values()):
            key, secret = (m.group(1).decode() for m in given.values())
            with self.lock:
                self.secrets[key] = secret

    def answer(self, handler, call):
        problem = None
        if call.action not in UNSIGNED:
            problem = wrong_signature(call.headers, call.body, self.secret_of(call.key),
                                      self.url + "/")
        with self.lock:
            if call.action != "GetProducts":
                self.calls.append(call)
            if problem is not None:
                self.wrong.append(f"{call.action}: {problem}")
        broken = next((x for x in (fault(call) for fault in self.faults) if x), None)
        if call.action == "GetProducts":  # the endpoint behind has no price list
            broken = 400, b'{"__type": "AccessDeniedException", "Message": "refused by a test"}'
        if broken is None:
            status, content, _ = self.pass_on(call)
            self.learn(call, content)
            broken = next((x for x in (fault(call) for fault in self.after) if x), None)
        if broken is not None:
            status, content = broken
        if status == 0:  # the answer is lost
            handler.close_connection = True
            return
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)


def refusal(code, message="refused by a test", status=400):
    """An error as EC2 writes it."""
    return status, (f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message>"
                    "</Error></Errors><RequestID>test-request</RequestID></Response>").encode()


def once(fault):
    """The fault the first time only."""
    done = []

    def again(call):
        result = None if done else fault(call)
        if result is not None:
            done.append(call)
        return result
    return again


def at(action, result):
    return lambda call: result if call.action == action else None
