"""The sandbox's addresses, zones, subnets, interfaces and security groups, with boto3 as the judge and
guests that answer at their addresses. Usage: sandbox_network_test.py BERTH"""

import socket
import sys

import berthlib
from berthlib import Project, check, step
from sandboxlib import AWS, World, make_key, refused, ssh, wait_for


def answers(address):
    """Is an sshd there? (A gateway may take any connection, and say nothing.)"""
    try:
        with socket.create_connection((address, 22), 1) as s:
            return s.recv(4) == b"SSH-"
    except OSError:
        return False


def interface(w, instance):
    return w.instances(InstanceIds=[instance])[0]["NetworkInterfaces"][0]


def public(w, instance):
    return w.instances(InstanceIds=[instance])[0].get("PublicIpAddress")


def places(w):
    step("zones, subnets, the VPC")
    ec2 = w.ec2
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    names = [z["ZoneName"] for z in zones]
    check(names == ["sandbox-1a", "sandbox-1b", "sandbox-1c"], "three zones", names)
    check(all(z["State"] == "available" and z["RegionName"] == "sandbox" for z in zones), "zones", zones)
    found = ec2.describe_availability_zones(Filters=[{"Name": "zone-id",
                                                      "Values": [zones[1]["ZoneId"]]}])
    check([z["ZoneName"] for z in found["AvailabilityZones"]] == ["sandbox-1b"], "by id", found)
    refused("InvalidParameterValue", ec2.describe_availability_zones, ZoneNames=["eu-west-1a"])
    subnets = ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]
    check([s["AvailabilityZone"] for s in subnets] == names, "a default subnet each", subnets)
    check(all(s["MapPublicIpOnLaunch"] and s["AvailableIpAddressCount"] > 50 for s in subnets),
          "subnets", subnets)
    vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]
    check({s["VpcId"] for s in subnets} == {vpc["VpcId"]}, "one VPC", vpc)
    refused("InvalidSubnetID.NotFound", ec2.describe_subnets, SubnetIds=["subnet-0"])
    refused("InvalidVpcID.NotFound", ec2.describe_vpcs, VpcIds=["vpc-0"])
    refused("InvalidParameterValue", ec2.describe_subnets, Filters=[{"Name": "x", "Values": ["y"]}])
    refused("InvalidParameterValue", w.run, Placement={"AvailabilityZone": "sandbox-1z"})
    refused("InvalidSubnetID.NotFound", w.run, SubnetId="subnet-0")
    refused("InvalidParameterValue", w.run, SubnetId=subnets[0]["SubnetId"],
            Placement={"AvailabilityZone": "sandbox-1b"})
    return {s["AvailabilityZone"]: s for s in subnets}


def launches(w, subnets, key):
    step("a launch goes where it is asked to")
    by_zone = w.run(Placement={"AvailabilityZone": "sandbox-1b"}, KeyName=key)["Instances"][0]
    check(by_zone["SubnetId"] == subnets["sandbox-1b"]["SubnetId"], "its zone's subnet", str(by_zone))
    wanted = subnets["sandbox-1c"]["SubnetId"]
    by_interface = w.run(KeyName=key, NetworkInterfaces=[{
        "DeviceIndex": 0, "SubnetId": wanted, "AssociatePublicIpAddress": False}])["Instances"][0]
    check(by_interface["Placement"]["AvailabilityZone"] == "sandbox-1c", "its subnet's zone",
          str(by_interface))
    check("PublicIpAddress" not in by_interface, "no public address was wanted", str(by_interface))
    w.await_state(by_interface["InstanceId"], "running")
    w.ec2.stop_instances(InstanceIds=[by_interface["InstanceId"]])
    w.await_state(by_interface["InstanceId"], "stopped")
    w.ec2.start_instances(InstanceIds=[by_interface["InstanceId"]])
    check(public(w, by_interface["InstanceId"]) is None, "nor after a stop and a start")
    refused("InvalidParameterCombination", w.run, SubnetId=wanted,
            NetworkInterfaces=[{"DeviceIndex": 0}])
    found = w.instances(Filters=[{"Name": "availability-zone", "Values": ["sandbox-1c"]}])
    check([i["InstanceId"] for i in found] == [by_interface["InstanceId"]], "found by zone", str(found))
    check([g["GroupName"] for g in by_zone["SecurityGroups"]] == ["default"], "the default group",
          str(by_zone))
    one, other = by_zone["InstanceId"], by_interface["InstanceId"]
    w.await_state(one, "running")
    w.await_state(other, "running")
    return one, other


def addresses(w, one, other, key_file):
    step("elastic addresses: really the guest's, and the old one does not come back")
    ec2 = w.ec2
    first = public(w, one)
    check(answers(first), "the guest answers at its public address", first)
    check(interface(w, one)["Association"]["IpOwnerId"] == "amazon", "not elastic", interface(w, one))
    check(ssh(key_file, first, "hostname -I").split()
          == [interface(w, one)["PrivateIpAddress"], first], "its addresses, as the guest sees them")
    tags = [{"ResourceType": "elastic-ip", "Tags": [{"Key": "berth:address", "Value": "x[0]"}]}]
    made = ec2.allocate_address(Domain="vpc", TagSpecifications=tags)
    eip = made["AllocationId"]
    check(not answers(made["PublicIp"]), "nobody is there yet")
    found = ec2.describe_addresses(Filters=[{"Name": "tag:berth:address", "Values": ["x*"]}])["Addresses"]
    check([a["AllocationId"] for a in found] == [eip] and found[0]["Domain"] == "vpc"
          and "InstanceId" not in found[0], "found by tag", found)
    refused("InvalidAllocationID.NotFound", ec2.associate_address, InstanceId=one,
            AllocationId="eipalloc-0")
    refused("InvalidInstanceID.NotFound", ec2.associate_address, InstanceId="i-0", AllocationId=eip)
    refused("InvalidAllocationID.NotFound", ec2.describe_addresses, AllocationIds=["eipalloc-0"])
    link = ec2.associate_address(InstanceId=one, AllocationId=eip)["AssociationId"]
    again = ec2.associate_address(InstanceId=one, AllocationId=eip)["AssociationId"]
    check(link == again, "to associate again changes nothing")
    check(public(w, one) == made["PublicIp"] and answers(made["PublicIp"]), "it answers there now")
    check(not answers(first), "and at the old one no more")
    check(interface(w, one)["Association"]["IpOwnerId"] == "000000000000", "ours", interface(w, one))
    ssh(key_file, made["PublicIp"], "true")
    if AWS.exists():
        shown = w.aws("ec2", "describe-addresses", "--allocation-ids", eip, "--query",
                      "Addresses[0].[PublicIp,InstanceId,Tags[0].Value]")
        check(shown == [made["PublicIp"], one, "x[0]"], "the AWS CLI sees the same", shown)
    found = ec2.describe_addresses(Filters=[{"Name": "instance-id", "Values": [one]}])["Addresses"][0]
    check(found["AssociationId"] == link
          and found["NetworkInterfaceId"] == interface(w, one)["NetworkInterfaceId"], "shown", found)
    refused("InvalidIPAddress.InUse", ec2.release_address, AllocationId=eip)
    refused("Resource.AlreadyAssociated", ec2.associate_address, InstanceId=other, AllocationId=eip,
            AllowReassociation=False)
    ec2.associate_address(InstanceId=other, AllocationId=eip, AllowReassociation=True)
    second = public(w, one)
    check(second not in (None, first, made["PublicIp"]) and answers(second), "a new dynamic one", second)
    check(public(w, other) == made["PublicIp"] and answers(made["PublicIp"]), "it moved")
    return eip, made["PublicIp"], first, second


def stops(w, one, other, eip, elastic, second):
    step("over a stop: the elastic one stays, the dynamic one is another, the private one is the same")
    ec2 = w.ec2
    private = interface(w, one)["PrivateIpAddress"]
    ec2.stop_instances(InstanceIds=[one, other])
    w.await_state(one, "stopped")
    w.await_state(other, "stopped")
    check(public(w, one) is None, "a stopped instance has no dynamic address", public(w, one))
    check(public(w, other) == elastic, "but its elastic one")
    ec2.start_instances(InstanceIds=[one, other])
    refused("InvalidInstanceID", ec2.associate_address, InstanceId=one, AllocationId=eip)
    w.await_state(one, "running")
    w.await_state(other, "running")
    third = public(w, one)
    check(third not in (None, second) and answers(third), "another address", [second, third])
    check(interface(w, one)["PrivateIpAddress"] == private, "the same private address")
    check(public(w, other) == elastic and answers(elastic), "the elastic one again")
    w.kill()
    w.start()
    check(answers(elastic) and answers(third), "both outlive the daemon")
    association = ec2_association(w, eip)
    w.ec2.disassociate_address(AssociationId=association)
    refused("InvalidAssociationID.NotFound", w.ec2.disassociate_address, AssociationId=association)
    check(not answers(elastic) and public(w, other) is None, "none instead, for one that had none")
    w.ec2.release_address(AllocationId=eip)
    refused("InvalidAllocationID.NotFound", w.ec2.release_address, AllocationId=eip)


def ec2_association(w, eip):
    return w.ec2.describe_addresses(AllocationIds=[eip])["Addresses"][0]["AssociationId"]


def quota(w, one):
    step("the quota, and an address whose instance is terminated")
    ec2 = w.ec2
    made = [ec2.allocate_address() for _ in range(5)]
    refused("AddressLimitExceeded", ec2.allocate_address)
    check(len({a["PublicIp"] for a in made}) == 5, "five addresses", [a["PublicIp"] for a in made])
    ec2.associate_address(InstanceId=one, AllocationId=made[0]["AllocationId"])
    ec2.create_tags(Resources=[made[0]["AllocationId"]], Tags=[{"Key": "a", "Value": "b"}])
    ec2.terminate_instances(InstanceIds=[one])
    w.await_state(one, "terminated")
    left = ec2.describe_addresses(PublicIps=[made[0]["PublicIp"]])["Addresses"][0]
    check("AssociationId" not in left and left["Tags"] == [{"Key": "a", "Value": "b"}],
          "it is free again, and still ours", left)
    refused("InvalidInstanceID", ec2.associate_address, InstanceId=one,
            AllocationId=made[0]["AllocationId"])
    for a in made:
        ec2.release_address(AllocationId=a["AllocationId"])
    check(ec2.describe_addresses()["Addresses"] == [], "all are released")


def permission(port, *, v4=(), v6=(), description=None):
    more = {} if description is None else {"Description": description}
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port,
            "IpRanges": [{"CidrIp": c, **more} for c in v4],
            "Ipv6Ranges": [{"CidrIpv6": c, **more} for c in v6]}


def rules_of(w, group):
    rules = w.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
    return {(r["FromPort"], r.get("CidrIpv4") or r.get("CidrIpv6")): r
            for r in rules["SecurityGroupRules"]}


def groups(w):
    step("rules: ids, descriptions, normal forms, revoking by id")
    ec2 = w.ec2
    group = ec2.create_security_group(GroupName="rules", Description="d")["GroupId"]
    answer = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[
        permission(22, v4=["203.0.113.7/24", "198.51.100.0/24"], v6=["2001:DB8:0::1/64"],
                   description="me: office"), permission(443, v4=["0.0.0.0/0"])])
    check(len(answer["SecurityGroupRules"]) == 4, "four rules, each with an id", answer)
    rules = rules_of(w, group)
    check(set(rules) == {(22, "203.0.113.0/24"), (22, "198.51.100.0/24"), (22, "2001:db8::/64"),
                         (443, "0.0.0.0/0")}, "as EC2 keeps them", sorted(map(str, rules)))
    check(rules[22, "2001:db8::/64"]["Description"] == "me: office", "a description", str(rules))
    shown = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
    ssh_rule = [p for p in shown if p["FromPort"] == 22]
    check(len(shown) == 2 and len(ssh_rule[0]["IpRanges"]) == 2 and len(ssh_rule[0]["Ipv6Ranges"]) == 1
          and ssh_rule[0]["IpRanges"][0]["Description"] == "me: office",
          "one permission a port, with its sources", shown)
    refused("InvalidPermission.Duplicate", ec2.authorize_security_group_ingress, GroupId=group,
            IpPermissions=[permission(22, v4=["203.0.113.99/24"])])
    refused("InvalidParameterValue", ec2.authorize_security_group_ingress, GroupId=group,
            IpPermissions=[permission(23, v4=["203.0.113.0/24"], description="ä")])
    refused("InvalidGroup.NotFound", ec2.authorize_security_group_ingress, GroupId=group,
            IpPermissions=[{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-0"}]}])
    ec2.update_security_group_rule_descriptions_ingress(
        GroupId=group, IpPermissions=[permission(443, v4=["0.0.0.0/0"], description="all")])
    ec2.update_security_group_rule_descriptions_ingress(GroupId=group, SecurityGroupRuleDescriptions=[
        {"SecurityGroupRuleId": rules[22, "203.0.113.0/24"]["SecurityGroupRuleId"], "Description": "x"}])
    rules = rules_of(w, group)
    check([rules[443, "0.0.0.0/0"]["Description"], rules[22, "203.0.113.0/24"]["Description"]]
          == ["all", "x"], "new descriptions", str(rules))
    ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[
        rules[443, "0.0.0.0/0"]["SecurityGroupRuleId"]])
    check((443, "0.0.0.0/0") not in rules_of(w, group), "revoked by id")
    refused("InvalidSecurityGroupRuleId.NotFound", ec2.revoke_security_group_ingress, GroupId=group,
            SecurityGroupRuleIds=["sgr-0"])
    refused("RulesPerSecurityGroupLimitExceeded", ec2.authorize_security_group_ingress, GroupId=group,
            IpPermissions=[permission(9, v4=[f"10.0.{n}.0/24" for n in range(60)])])
    return group


def who_depends(w, group, other):
    step("who depends on a group")
    ec2 = w.ec2
    ec2.modify_instance_attribute(InstanceId=other, Groups=[group])
    refused("DependencyViolation", ec2.delete_security_group, GroupId=group)
    found = ec2.describe_network_interfaces(Filters=[{"Name": "group-id", "Values": [group]}])
    found = found["NetworkInterfaces"]
    check([i["Attachment"]["InstanceId"] for i in found] == [other]
          and found[0]["Groups"][0]["GroupId"] == group, "the interface that has it", str(found))
    default = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"][0]["GroupId"]
    ec2.modify_instance_attribute(InstanceId=other, Groups=[default])
    user = ec2.create_security_group(GroupName="user", Description="d")["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=user, IpPermissions=[
        {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}])
    refused("DependencyViolation", ec2.delete_security_group, GroupId=group)
    ec2.delete_security_group(GroupId=user)
    ec2.delete_security_group(GroupId=group)
    refused("CannotDelete", ec2.delete_security_group, GroupId=default)


def pages(w):
    step("pages")
    for n in range(11):
        w.ec2.create_security_group(GroupName=f"p{n:02}", Description="d")
    pager = w.ec2.get_paginator("describe_security_groups")
    found = [[g["GroupName"] for g in p["SecurityGroups"]]
             for p in pager.paginate(PaginationConfig={"PageSize": 5})]
    check([len(p) for p in found] == [5, 5, 2] and len({n for p in found for n in p}) == 12,
          "twelve groups on three pages", found)
    for n in range(11):
        w.ec2.delete_security_group(GroupName=f"p{n:02}")


with Project(sys.argv[1], "") as project:
    world = World(project)
    world.start()
    private_key, public_key = make_key(project)
    world.ec2.import_key_pair(KeyName="k", PublicKeyMaterial=public_key)
    one, other = launches(world, places(world), "k")
    eip, elastic, _, second = addresses(world, one, other, private_key)
    stops(world, one, other, eip, elastic, second)
    quota(world, one)
    who_depends(world, groups(world), other)
    pages(world)
    step("a guest keeps the link that one had who is terminated, when the daemon is killed")
    place = interface(world, other)
    world.ec2.terminate_instances(InstanceIds=[other])
    world.await_state(other, "terminated")
    third = world.run(KeyName="k", SubnetId=place["SubnetId"])["Instances"][0]["InstanceId"]
    world.await_state(third, "running")
    check(interface(world, third)["PrivateIpAddress"] == place["PrivateIpAddress"], "in its place")
    check(answers(public(world, third)), "it answers")
    world.kill()
    world.start()
    check(answers(public(world, third)), "and after that")
    world.ec2.terminate_instances(InstanceIds=[third])
    world.await_state(third, "terminated")
    wait_for(lambda: berthlib.leftovers(project.world) == [], "nothing is left")
print("1 passed, 0 failed")
