"""The sandbox's instance types, price list, Spot requests, instance profiles and STS, with boto3 as the
judge. Usage: sandbox_market_test.py BERTH"""

import datetime
import json
import sys

import berthlib
from berthlib import Project, check, step
from sandboxlib import World, refused, wait_for


def types(w):
    step("instance types and where they are offered")
    ec2 = w.ec2
    pages = ec2.get_paginator("describe_instance_types").paginate(PaginationConfig={"PageSize": 20})
    found = {t["InstanceType"]: t for p in pages for t in p["InstanceTypes"]}
    check(len(found) > 60, "some dozens", sorted(found))
    small = found["t3.small"]
    check(small["VCpuInfo"]["DefaultVCpus"] == 2 and small["MemoryInfo"]["SizeInMiB"] == 2048
          and small["ProcessorInfo"]["SupportedArchitectures"] == ["x86_64"]
          and small["Hypervisor"] == "nitro" and small["BurstablePerformanceSupported"], "t3.small",
          small)
    gpu = ec2.describe_instance_types(InstanceTypes=["g5.12xlarge"])["InstanceTypes"][0]
    check(gpu["GpuInfo"]["Gpus"][0]["Count"] == 4, "a GPU type", gpu)
    arm = ec2.describe_instance_types(Filters=[
        {"Name": "processor-info.supported-architecture", "Values": ["arm64"]}])["InstanceTypes"]
    check("t4g.nano" in [t["InstanceType"] for t in arm] and "t3.nano" not in
          [t["InstanceType"] for t in arm], "by architecture")
    refused("InvalidInstanceType", ec2.describe_instance_types, InstanceTypes=["t3.tiny"])

    def zones(name):
        offers = ec2.describe_instance_type_offerings(
            LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": [name]}])
        return [o["Location"] for o in offers["InstanceTypeOfferings"]]
    check(zones("t3.small") == ["sandbox-1a", "sandbox-1b", "sandbox-1c"], "everywhere")
    check(zones("g5.xlarge") == ["sandbox-1b"] and zones("t3.tiny") == [], "in one, and nowhere")
    region = ec2.describe_instance_type_offerings(MaxResults=1000)["InstanceTypeOfferings"]
    check(len(region) == len(found) and {o["Location"] for o in region} == {"sandbox"}, "the region's")

    step("launches are of types that are there")
    refused("InvalidParameterValue", w.run, InstanceType="t3.tiny")
    answer = refused("InvalidParameterValue", w.run, InstanceType="t4g.small")
    check("arm64" in answer["Error"]["Message"], "it says why", answer)
    answer = refused("Unsupported", w.run, InstanceType="g5.xlarge",
                     Placement={"AvailabilityZone": "sandbox-1a"})
    check("choosing sandbox-1b" in answer["Error"]["Message"], "and where it is", answer)


def products(w, service="AmazonEC2", **attributes):
    filters = [{"Type": "TERM_MATCH", "Field": f, "Value": v} for f, v in attributes.items()]
    pages = w.client("pricing").get_paginator("get_products").paginate(
        ServiceCode=service, Filters=filters, PaginationConfig={"PageSize": 10})
    return [json.loads(text) for p in pages for text in p["PriceList"]]


def price(product):
    term, = product["terms"]["OnDemand"].values()
    rate, = term["priceDimensions"].values()
    return rate["unit"], float(rate["pricePerUnit"]["USD"])


def prices(w):
    step("the price list")
    same = dict(regionCode="sandbox", operatingSystem="Linux", tenancy="Shared", preInstalledSw="NA",
                capacitystatus="Used")
    found = products(w, instanceType="t3.small", **same)
    check(len(found) == 1 and price(found[0]) == ("Hrs", 0.0208), "one price for one type", found)
    check(found[0]["product"]["attributes"]["vcpu"] == "2"
          and found[0]["product"]["productFamily"] == "Compute Instance", "its product", found)
    check(products(w, instanceType="t3.tiny", **same) == [], "none for what is not there")
    check(products(w, instanceType="t3.small", **dict(same, operatingSystem="Windows")) == [], "Linux")
    check(len(products(w, **same)) > 60, "all, over pages")
    storage = {p["product"]["attributes"]["volumeApiName"]: price(p)
               for p in products(w, productFamily="Storage", regionCode="sandbox")}
    check(storage["gp3"] == ("GB-Mo", 0.08) and storage["gp2"] == ("GB-Mo", 0.1), "disks", storage)
    extra = {p["product"]["attributes"]["usagetype"]: price(p)
             for p in products(w, volumeApiName="gp3", regionCode="sandbox")}
    check(extra["EBS:VolumeP-IOPS.gp3"] == ("IOPS-Mo", 0.005), "more than is free", extra)
    addresses = {p["product"]["attributes"]["usagetype"]: price(p)
                 for p in products(w, "AmazonVPC", group="VPCPublicIPv4Address")}
    check(addresses == {"PublicIPv4:InUseAddress": ("Hrs", 0.005),
                        "PublicIPv4:IdleAddress": ("Hrs", 0.005)}, "public addresses", addresses)
    check(price(products(w, productFamily="IP Address")[0]) == ("Hrs", 0.005), "an idle elastic one")
    pricing = w.client("pricing")
    refused("NotFoundException", pricing.get_products, ServiceCode="AmazonS3")
    refused("InvalidParameterException", pricing.get_products, ServiceCode="AmazonEC2", MaxResults=999)
    refused("InvalidParameterException", pricing.get_products, ServiceCode="AmazonEC2",
            Filters=[{"Type": "CONTAINS", "Field": "a", "Value": "b"}])


def spot_prices(w):
    step("Spot prices are below the others")
    now = datetime.datetime.now(datetime.timezone.utc)
    found = w.ec2.describe_spot_price_history(
        InstanceTypes=["t3.small"], ProductDescriptions=["Linux/UNIX"], StartTime=now)
    found = {p["AvailabilityZone"]: float(p["SpotPrice"]) for p in found["SpotPriceHistory"]}
    check(sorted(found) == ["sandbox-1a", "sandbox-1b", "sandbox-1c"]
          and all(0 < p < 0.0208 for p in found.values()), "one a zone", found)
    past = w.ec2.describe_spot_price_history(
        InstanceTypes=["t3.small"], AvailabilityZone="sandbox-1a",
        StartTime=now - datetime.timedelta(days=2))["SpotPriceHistory"]
    check(len(past) == 2 and past[0]["Timestamp"] > past[1]["Timestamp"], "newest first", str(past))
    return found["sandbox-1a"]


def market(**options):
    return {"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": options}}


def request(w, id):
    return w.ec2.describe_spot_instance_requests(SpotInstanceRequestIds=[id])["SpotInstanceRequests"][0]


def spot(w, lowest):
    step("Spot: what is refused, and a one-time instance")
    refused("SpotMaxPriceTooLow", w.run, **market(MaxPrice=f"{lowest / 2:.5f}"))
    refused("InvalidParameterCombination", w.run, **market(InstanceInterruptionBehavior="stop"))
    refused("InvalidParameterValue", w.run, **market(MaxPrice="cheap"))
    once = w.run(**market(MaxPrice="0.02"))["Instances"][0]
    check(once["InstanceLifecycle"] == "spot", "it is a Spot Instance", str(once))
    found = request(w, once["SpotInstanceRequestId"])
    check(found["Type"] == "one-time" and found["State"] == "active" and found["InstanceId"]
          == once["InstanceId"] and found["Status"]["Code"] == "fulfilled"
          and float(found["SpotPrice"]) == 0.02, "its request", str(found))
    one = once["InstanceId"]
    w.await_state(one, "running")
    refused("UnsupportedOperation", w.ec2.stop_instances, InstanceIds=[one])
    w.own("interrupt", {"instance": one})
    w.await_state(one, "terminated")
    ended = w.instances(InstanceIds=[one])[0]
    check(ended["StateReason"]["Code"] == "Server.SpotInstanceTermination", "why", str(ended))
    check(request(w, found["SpotInstanceRequestId"])["State"] == "closed", "its request is closed")

    step("Spot: a persistent one stops and comes back; without its request it ends for good")
    tags = [{"ResourceType": "spot-instances-request", "Tags": [{"Key": "a", "Value": "b"}]},
            {"ResourceType": "instance", "Tags": [{"Key": "c", "Value": "d"}]}]
    kept = w.run(TagSpecifications=tags, **market(
        SpotInstanceType="persistent", InstanceInterruptionBehavior="stop"))["Instances"][0]
    two, asked = kept["InstanceId"], kept["SpotInstanceRequestId"]
    check(request(w, asked)["Tags"] == [{"Key": "a", "Value": "b"}], "its request's tags")
    w.await_state(two, "running")
    w.ec2.stop_instances(InstanceIds=[two])
    w.await_state(two, "stopped")
    check(request(w, asked)["State"] == "disabled", "disabled by a stop", str(request(w, asked)))
    w.ec2.start_instances(InstanceIds=[two])
    w.await_state(two, "running")
    w.own("interrupt", {"instance": two})
    w.await_state(two, "stopped")
    stopped = w.instances(InstanceIds=[two])[0]
    check(stopped["StateReason"]["Code"] == "Server.SpotInstanceShutdown"
          and request(w, asked)["Status"]["Code"] == "instance-stopped-no-capacity", "interrupted",
          str(stopped))
    refused("IncorrectSpotRequestState", w.ec2.start_instances, InstanceIds=[two])
    w.own("interrupt", {"instance": two, "resume": True})
    w.await_state(two, "running")
    check(request(w, asked)["State"] == "active", "fulfilled again")

    step("Spot: whoever terminates it and keeps its request gets another")
    w.ec2.terminate_instances(InstanceIds=[two])
    wait_for(lambda: request(w, asked)["State"] == "active" and request(w, asked)["InstanceId"] != two,
             "another instance")
    three = request(w, asked)["InstanceId"]
    w.await_state(three, "running")
    check(w.instances(InstanceIds=[three])[0]["Tags"] == [{"Key": "c", "Value": "d"}], "alike")
    answer = w.ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=[asked])
    check(answer["CancelledSpotInstanceRequests"][0]["State"] == "cancelled"
          and request(w, asked)["Status"]["Code"] == "request-canceled-and-instance-running"
          and w.state(three) == "running", "it runs on", str(answer))
    w.ec2.terminate_instances(InstanceIds=[three])
    w.await_state(three, "terminated")
    check(not w.ec2.describe_spot_instance_requests(Filters=[
        {"Name": "state", "Values": ["open", "active"]}])["SpotInstanceRequests"], "no request is left")
    refused("InvalidSpotInstanceRequestID.NotFound", w.ec2.cancel_spot_instance_requests,
            SpotInstanceRequestIds=["sir-00000000"])


def profiles(w):
    step("instance profiles")
    ec2 = w.ec2
    launched = w.run(IamInstanceProfile={"Name": "reader"})["Instances"][0]
    one = launched["InstanceId"]
    check(launched["IamInstanceProfile"]["Arn"].endswith(":instance-profile/reader"), "at launch",
          str(launched))
    refused("InvalidParameterValue", w.run, IamInstanceProfile={"Name": "no/such"})

    def associations():
        found = ec2.describe_iam_instance_profile_associations(
            Filters=[{"Name": "instance-id", "Values": [one]}])
        return found["IamInstanceProfileAssociations"]
    w.await_state(one, "running")
    first, = associations()
    refused("IncorrectState", ec2.associate_iam_instance_profile, InstanceId=one,
            IamInstanceProfile={"Name": "writer"})
    ec2.replace_iam_instance_profile_association(
        AssociationId=first["AssociationId"], IamInstanceProfile={"Name": "writer"})
    second, = associations()
    check(second["IamInstanceProfile"]["Arn"].endswith("/writer")
          and second["AssociationId"] != first["AssociationId"], "replaced", str(second))
    ec2.disassociate_iam_instance_profile(AssociationId=second["AssociationId"])
    check(associations() == [] and "IamInstanceProfile" not in w.instances(InstanceIds=[one])[0],
          "taken away")
    refused("InvalidAssociationID.NotFound", ec2.disassociate_iam_instance_profile,
            AssociationId=second["AssociationId"])
    ec2.associate_iam_instance_profile(InstanceId=one, IamInstanceProfile={
        "Arn": first["IamInstanceProfile"]["Arn"]})
    check(associations()[0]["State"] == "associated", "by its ARN")
    return one


def attributes(w, one):
    step("attributes, one a call")
    ec2 = w.ec2

    def attribute(name):
        key = name[0].upper() + name[1:]
        return ec2.describe_instance_attribute(InstanceId=one, Attribute=name)[key]["Value"]
    ec2.modify_instance_attribute(InstanceId=one, DisableApiTermination={"Value": True})
    refused("OperationNotPermitted", ec2.terminate_instances, InstanceIds=[one])
    ec2.modify_instance_attribute(InstanceId=one, Attribute="disableApiTermination", Value="false")
    check(attribute("disableApiTermination") is False, "protection")
    refused("InvalidParameterCombination", ec2.modify_instance_attribute, InstanceId=one,
            SourceDestCheck={"Value": False}, DisableApiStop={"Value": True})
    ec2.modify_instance_attribute(InstanceId=one, SourceDestCheck={"Value": False})
    check(attribute("sourceDestCheck") is False, "source and destination")
    ec2.modify_instance_attribute(InstanceId=one,
                                  InstanceInitiatedShutdownBehavior={"Value": "terminate"})
    check(attribute("instanceInitiatedShutdownBehavior") == "terminate", "shutdown")
    refused("IncorrectInstanceState", ec2.modify_instance_attribute, InstanceId=one,
            UserData={"Value": b"x"})
    ec2.modify_instance_metadata_options(InstanceId=one, HttpTokens="required",
                                         HttpPutResponseHopLimit=2)
    options = w.instances(InstanceIds=[one])[0]["MetadataOptions"]
    check(options["HttpTokens"] == "required" and options["HttpPutResponseHopLimit"] == 2, "metadata",
          options)
    ec2.stop_instances(InstanceIds=[one])
    w.await_state(one, "stopped")
    refused("InvalidInstanceAttributeValue", ec2.modify_instance_attribute, InstanceId=one,
            InstanceType={"Value": "t3.tiny"})
    refused("Unsupported", ec2.modify_instance_attribute, InstanceId=one,
            InstanceType={"Value": "g5.xlarge"})
    ec2.modify_instance_attribute(InstanceId=one, InstanceType={"Value": "m7i.large"})
    check(attribute("instanceType") == "m7i.large", "another type")
    ec2.terminate_instances(InstanceIds=[one])
    w.await_state(one, "terminated")


def who_am_i(w):
    step("STS")
    sts = w.client("sts")
    identity = sts.get_caller_identity()
    check(identity["Account"] == "000000000000" and ":user/" in identity["Arn"], "who asks", identity)
    refused("InvalidClientTokenId", w.client("sts", key="X").get_caller_identity)
    refused("SignatureDoesNotMatch", w.client("sts", secret="x").get_caller_identity)
    refused("InvalidAuthorizationMessageException", sts.decode_authorization_message,
            EncodedMessage="bm8=")
    refused("InvalidAction", sts.get_session_token)


with Project(sys.argv[1], "") as project:
    world = World(project)
    world.start()
    types(world)
    prices(world)
    who_am_i(world)
    spot(world, spot_prices(world))
    attributes(world, profiles(world))
    wait_for(lambda: berthlib.leftovers(project.world) == [], "nothing is left")
print("1 passed, 0 failed")
