#include "providers/ec2/permissions_table.h"

#include "providers/ec2/permissions.h"
#include "specs/sections/sections.h"

#include <stdio.h>
#include <string.h>

#define ON_SERVER "InstanceId.1=$instance"
/* A public key that belongs to nobody, for trying an import. */
#define SOME_KEY                                                                                   \
    "c3NoLWVkMjU1MTkgQUFBQUMzTnphQzFsWkRJMU5URTVBQUFBSURlRTg5eWozOHhJRXVHdENTaXlzUnN4eEltZC8xQmdw" \
    "OHlNSlFxUXJHSFE="

const struct permission_row permission_rows[] = {
    /* looking */
    {"ec2:DescribeInstances", NEED_ALWAYS, PART_LOOK, NULL, NULL, "", "see the servers"},
    {"ec2:DescribeKeyPairs", NEED_ALWAYS, PART_LOOK, NULL, NULL, "", "see the key pair"},
    {"ec2:DescribeSecurityGroups", NEED_ALWAYS, PART_LOOK, NULL, NULL, "", "see the firewall"},
    {"ec2:DescribeVolumes", NEED_ALWAYS, PART_LOOK, NULL, NULL, "", "see the disks"},
    {"ec2:DescribeVolumesModifications", NEED_SERVER, PART_LOOK, NULL, NULL, "",
     "follow a disk that grows"},
    {"ec2:DescribeAddresses", NEED_ALWAYS, PART_LOOK, NULL, NULL, "", "see elastic addresses"},
    {"ec2:DescribeImages", NEED_SERVER, PART_LOOK, NULL, NULL, "ImageId.1=$ami",
     "find the root device of the image"},
    {"ec2:DescribeInstanceTypeOfferings", NEED_SERVER, PART_LOOK, NULL, NULL, "",
     "find the zones that offer the type"},
    {"ec2:DescribeNetworkInterfaces", NEED_ALWAYS | NEED_LESS, PART_LOOK, NULL, NULL, "",
     "say what still uses the firewall"},
    {"ec2:DescribeSpotInstanceRequests", NEED_SPOT, PART_LOOK, NULL, NULL, "",
     "see whether a request outlived its server"},
    {"ec2:DescribeSpotPriceHistory", NEED_SPOT | NEED_LESS, PART_LOOK, NULL, NULL, "",
     "say what the spot market asks now"},
    {"ssm:GetParameters", NEED_NAMED_IMAGE, PART_IMAGES, NULL, NULL, "{\"Names\":[\"$parameter\"]}",
     "find the newest image"},
    {"pricing:GetProducts", NEED_SERVER | NEED_LESS, PART_PRICES, NULL, NULL,
     "{\"ServiceCode\":\"AmazonEC2\",\"FormatVersion\":\"aws_v1\",\"MaxResults\":1}",
     "say what it costs"},
    /* making */
    {"ec2:ImportKeyPair", NEED_SERVER, PART_MAKE, "key-pair", NULL,
     "KeyName=$name&PublicKeyMaterial=" SOME_KEY, "make the key pair"},
    {"ec2:CreateSecurityGroup", NEED_SERVER, PART_MAKE, "security-group", "vpc",
     "GroupName=$name&GroupDescription=berth", "make the firewall"},
    {"ec2:RunInstances", NEED_SERVER, PART_MAKE,
     "instance volume network-interface spot-instances-request",
     "image key-pair security-group subnet",
     "ImageId=$ami&InstanceType=$type&MinCount=1&MaxCount=1", "launch servers"},
    {"ec2:AllocateAddress", NEED_ELASTIC, PART_MAKE, "elastic-ip", "ipv4pool-ec2", "Domain=vpc",
     "get an address that stays"},
    {"ec2:CreateVolume", NEED_DATA, PART_MAKE, "volume", NULL,
     "AvailabilityZone=$zone&Size=1&VolumeType=gp3", "make the data volume"},
    /* changing, and ending */
    {"ec2:CreateTags", NEED_ALWAYS, PART_CHANGE,
     "instance volume network-interface key-pair security-group elastic-ip", NULL,
     "ResourceId.1=$instance&Tag.1.Key=berth:name&Tag.1.Value=$spec", "set tags"},
    {"ec2:DeleteTags", NEED_ALWAYS, PART_CHANGE,
     "instance volume network-interface key-pair security-group elastic-ip", NULL,
     "ResourceId.1=$instance&Tag.1.Key=berth:doctor", "take tags away"},
    {"ec2:AuthorizeSecurityGroupIngress", NEED_ALWAYS, PART_CHANGE, "security-group", NULL,
     "GroupId=$group&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=22&"
     "IpPermissions.1.ToPort=22&IpPermissions.1.IpRanges.1.CidrIp=192.0.2.1/32",
     "let addresses in"},
    {"ec2:RevokeSecurityGroupIngress", NEED_ALWAYS, PART_CHANGE, "security-group", NULL,
     "GroupId=$group&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=22&"
     "IpPermissions.1.ToPort=22&IpPermissions.1.IpRanges.1.CidrIp=192.0.2.1/32",
     "shut addresses out"},
    {"ec2:UpdateSecurityGroupRuleDescriptionsIngress", NEED_ALWAYS, PART_CHANGE, "security-group",
     NULL, NULL, "describe the rules"},
    {"ec2:ModifyInstanceAttribute", NEED_SERVER, PART_CHANGE, "instance security-group", NULL,
     "InstanceId=$instance&InstanceType.Value=$type", "change type and groups"},
    {"ec2:ModifyInstanceMetadataOptions", NEED_SERVER, PART_CHANGE, "instance", NULL,
     "InstanceId=$instance&HttpTokens=required", "require IMDSv2"},
    {"ec2:ModifyVolume", NEED_SERVER, PART_CHANGE, "volume", NULL, "VolumeId=$volume&Size=16000",
     "let a disk grow"},
    {"ec2:StartInstances", NEED_SERVER, PART_CHANGE, "instance", NULL, ON_SERVER, "start servers"},
    {"ec2:StopInstances", NEED_SERVER, PART_CHANGE, "instance", NULL, ON_SERVER, "stop servers"},
    {"ec2:TerminateInstances", NEED_ALWAYS, PART_CHANGE, "instance", NULL, ON_SERVER,
     "end servers"},
    {"ec2:AssociateIamInstanceProfile", NEED_ROLE, PART_CHANGE, "instance", NULL, NULL,
     "give the server its role"},
    {"ec2:DescribeIamInstanceProfileAssociations", NEED_ROLE, PART_LOOK, NULL, NULL, "",
     "see the server's role"},
    {"ec2:ReplaceIamInstanceProfileAssociation", NEED_ROLE, PART_CHANGE, "instance", NULL, NULL,
     "give the server another role"},
    {"ec2:DisassociateIamInstanceProfile", NEED_ROLE, PART_CHANGE, "instance", NULL, NULL,
     "take the server's role away"},
    {"ec2:DescribeSubnets", NEED_SUBNET, PART_LOOK, NULL, NULL, "", "find the VPC of the subnet"},
    {"ec2:AttachVolume", NEED_DATA, PART_CHANGE, "instance volume", NULL,
     "InstanceId=$instance&VolumeId=$volume&Device=/dev/sdz", "attach the data volume"},
    {"ec2:DetachVolume", NEED_DATA, PART_CHANGE, "instance volume", NULL, "VolumeId=$volume",
     "detach the data volume"},
    {"ec2:DeleteVolume", NEED_DATA, PART_CHANGE, "volume", NULL, "VolumeId=$volume",
     "delete the data volume"},
    {"ec2:AssociateAddress", NEED_ELASTIC, PART_CHANGE, "elastic-ip instance network-interface",
     NULL, "InstanceId=$instance&AllocationId=$address", "give the server its address"},
    {"ec2:DisassociateAddress", NEED_ELASTIC, PART_CHANGE, "elastic-ip instance network-interface",
     NULL, NULL, "take the address off"},
    {"ec2:ReleaseAddress", NEED_ELASTIC, PART_CHANGE, "elastic-ip", NULL, "AllocationId=$address",
     "give the address back"},
    {"ec2:CancelSpotInstanceRequests", NEED_SPOT, PART_CHANGE, "spot-instances-request", NULL, NULL,
     "end the spot request"},
    {"ec2:DeleteKeyPair", NEED_ALWAYS, PART_CHANGE, "key-pair", NULL, "KeyName=$name",
     "delete the key pair"},
    {"ec2:DeleteSecurityGroup", NEED_ALWAYS, PART_CHANGE, "security-group", NULL, "GroupId=$group",
     "delete the firewall"},
    {"iam:PassRole", NEED_ROLE, PART_PASS, NULL, NULL, NULL, "hand the role to the server"},
    {"iam:CreateServiceLinkedRole", NEED_SPOT, PART_SPOT, NULL, NULL, NULL,
     "use the spot market for the first time"},
    {.action = NULL},
};

static bool says(const struct spec *spec, const char *path, const char *value) {
    const struct tree *tree = tree_get(spec->root, path);
    return tree != NULL && tree->type == TREE_SCALAR && str_eqc(tree->text, value);
}

/* By what is written, so that a section need not know of permissions. */
unsigned permission_needs(const struct spec *spec) {
    unsigned needs = NEED_ALWAYS;
    if (!spec_has(spec, &section_server))
        return needs;
    needs |= NEED_SERVER;
    const char *image = spec_server(spec)->image;
    if (image == NULL || strncmp(image, "ami-", 4) != 0)
        needs |= NEED_NAMED_IMAGE;
    if (says(spec, "server.address", "elastic"))
        needs |= NEED_ELASTIC;
    if (tree_get(spec->root, "server.data") != NULL)
        needs |= NEED_DATA;
    if (tree_get(spec->root, "server.spot") != NULL && !says(spec, "server.spot", "false"))
        needs |= NEED_SPOT;
    if (tree_get(spec->root, "server.iam_profile") != NULL)
        needs |= NEED_ROLE;
    if (tree_get(spec->root, "server.subnet") != NULL)
        needs |= NEED_SUBNET;
    return needs;
}

bool ec2_permission_known(const char *service, const char *action) {
    char name[128];
    snprintf(name, sizeof name, "%s:%s", service, action);
    for (const struct permission_row *row = permission_rows; row->action != NULL; row++)
        if (strcmp(row->action, name) == 0)
            return true;
    return false;
}
