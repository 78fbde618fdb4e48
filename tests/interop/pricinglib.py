"""A price list that answers GetProducts as AWS does: products as JSON in strings, with the attributes
that AWS gives them, and what a test wants to go wrong."""

import http.server
import json
import threading

INSTANCES = {"t3.micro": "0.0104000000", "t3.small": "0.0208000000", "t3.medium": "0.0416000000"}
VOLUMES = {"gp3": "0.0800000000", "gp2": "0.1000000000"}
IPV4 = "0.0050000000"


def entry(sku, family, attributes, unit, usd, **more):
    """One product of an answer, the shape of which is AWS's."""
    product = {"attributes": attributes, "sku": sku}
    if family:
        product["productFamily"] = family
    dimension = {"unit": unit, "endRange": "Inf", "beginRange": "0", "appliesTo": [],
                 "description": f"${usd} per {unit}", "rateCode": f"{sku}.JRTCKXETXF.6YS6EN2CT7",
                 "pricePerUnit": {"USD": usd}}
    reserved = {f"{sku}.NQ3QZPMQV9": {"priceDimensions": {f"{sku}.NQ3QZPMQV9.2TG2D8R56U": {
        "unit": "Quantity", "description": "Upfront Fee", "pricePerUnit": {"USD": "316"}}},
        "sku": sku, "termAttributes": {"LeaseContractLength": "3yr"}}}
    return json.dumps({
        "product": product, "serviceCode": attributes["servicecode"],
        "terms": {"OnDemand": {f"{sku}.JRTCKXETXF": {
            "priceDimensions": {f"{sku}.JRTCKXETXF.6YS6EN2CT7": dimension}, "sku": sku,
            "effectiveDate": "2026-11-01T00:00:00Z", "offerTermCode": "JRTCKXETXF",
            "termAttributes": {}}}, "Reserved": reserved if family == "Compute Instance" else {}},
        "version": "20261120000000", "publicationDate": "2026-11-20T00:00:00Z", **more})


def place(region, **attributes):
    return {"regionCode": region, "locationType": "AWS Region", **attributes}


def products(body, region="us-east-1"):
    """What the list has for a call's filters."""
    wanted = {f["Field"]: f["Value"] for f in body.get("Filters", [])}
    found = []
    if body["ServiceCode"] == "AmazonEC2" and wanted.get("instanceType") in INSTANCES:
        name = wanted["instanceType"]
        found.append(entry("SKUINSTANCE", "Compute Instance", place(
            region, servicecode="AmazonEC2", instanceType=name, operatingSystem="Linux",
            tenancy="Shared", preInstalledSw="NA", capacitystatus="Used", marketoption="OnDemand",
            usagetype=f"BoxUsage:{name}", operation="RunInstances"), "Hrs", INSTANCES[name]))
    if body["ServiceCode"] == "AmazonEC2" and wanted.get("volumeApiName") in VOLUMES:
        name = wanted["volumeApiName"]
        found.append(entry("SKUVOLUME", "Storage", place(
            region, servicecode="AmazonEC2", volumeApiName=name,
            usagetype=f"EBS:VolumeUsage.{name}"), "GB-Mo", VOLUMES[name]))
    if body["ServiceCode"] == "AmazonVPC" and wanted.get("group") == "VPCPublicIPv4Address":
        for usage, usd in (("IdleAddress", IPV4), ("InUseAddress", IPV4),
                           ("ContiguousBlock", "0.0080000000")):
            found.append(entry("SKU" + usage.upper(), None, place(
                region, servicecode="AmazonVPC", group="VPCPublicIPv4Address",
                usagetype=f"USE1-PublicIPv4:{usage}"), "Hrs", usd))
    return [f for f in found if wanted.get("regionCode") == region]


class Pricing(http.server.ThreadingHTTPServer):
    """`mode`: "good"; "denied"; "hangs"; "cut", "html", "empty": answers that are none."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.mode, self.calls, self.over = "good", [], threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over.set()
        self.shutdown()
        self.server_close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def take(self):
        calls, self.calls = self.calls, []
        return calls


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.calls.append((self.headers["X-Amz-Target"], body, self.headers["Authorization"]))
        if self.server.mode == "hangs":
            self.server.over.wait(60)
            return
        content = json.dumps({"FormatVersion": "aws_v1", "PriceList": products(body)}).encode()
        status = 200
        if self.server.mode == "denied":
            status, content = 400, json.dumps(
                {"__type": "AccessDeniedException",
                 "Message": "User: arn:aws:iam::123456789012:user/b is not authorized to perform: "
                            "pricing:GetProducts"}).encode()
        elif self.server.mode == "cut":
            content = content[:len(content) // 2]
        elif self.server.mode == "html":
            content = b"<html>log in to the network first</html>"
        elif self.server.mode == "empty":
            content = json.dumps({"FormatVersion": "aws_v1", "PriceList": []}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass
