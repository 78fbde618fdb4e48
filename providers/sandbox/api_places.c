/* Where instances are: zones, subnets, the VPC; and the images that they are made from. */
#include "providers/sandbox/api.h"
#include "providers/sandbox/guest.h"
#include "providers/sandbox/images.h"
#include "providers/sandbox/internal.h"
#include "providers/sandbox/types.h"

#include <stdio.h>
#include <string.h>

/* Ids of NAME.N that are not among those of the table's rows. */
static int check_named(const cJSON *names, const char *code, bool (*known)(const char *id),
                       struct api_error *e) {
    const cJSON *name;
    cJSON_ArrayForEach(name, names) if (!known(cJSON_GetStringValue(name))) return api_fail(
        e, code, "The ID '%.60s' does not exist", cJSON_GetStringValue(name));
    return 0;
}

static bool known_subnet(const char *id) { return zone_of_subnet(id) != NULL; }

static bool known_zone(const char *name) { return zone_named(name) != NULL; }

static bool known_vpc(const char *id) { return strcmp(id, SANDBOX_VPC) == 0; }

/* ---- Zones */

static cJSON *zone_view(const struct zone *z) {
    cJSON *view = cJSON_CreateObject();
    set_text(view, "zone-name", z->name);
    set_text(view, "zone-id", z->id);
    set_text(view, "state", "available");
    set_text(view, "region-name", SANDBOX_REGION);
    set_text(view, "opt-in-status", "opt-in-not-required");
    set_text(view, "zone-type", "availability-zone");
    return view;
}

static int describe_zones(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    static const char *const filters[] = {"zone-name",     "zone-id",   "state", "region-name",
                                          "opt-in-status", "zone-type", NULL};
    (void)s;
    if (form_check_filters(form, filters, e) < 0)
        return -1;
    cJSON *names = form_list(form, "ZoneName");
    int rc = check_named(names, "InvalidParameterValue", known_zone, e);
    buf_adds(out, "<availabilityZoneInfo>");
    for (const struct zone *z = zones; rc == 0 && z->name != NULL; z++) {
        cJSON *view = zone_view(z);
        if ((cJSON_GetArraySize(names) == 0 || list_has(names, z->name)) &&
            form_filter(form, view, member_matches)) {
            buf_adds(out, "<item><optInStatus>opt-in-not-required</optInStatus><messageSet/>");
            xml_add(out, "zoneName", z->name);
            xml_add(out, "zoneId", z->id);
            buf_adds(out, "<zoneState>available</zoneState><zoneType>availability-zone</zoneType>"
                          "<regionName>" SANDBOX_REGION "</regionName><groupName>" SANDBOX_REGION
                          "</groupName><networkBorderGroup>" SANDBOX_REGION
                          "</networkBorderGroup></item>");
        }
        cJSON_Delete(view);
    }
    buf_adds(out, "</availabilityZoneInfo>");
    cJSON_Delete(names);
    return rc;
}

/* ---- Subnets */

static cJSON *subnet_view(const struct zone *z, const char *cidr) {
    static const char *const members[][2] = {{"state", "available"},
                                             {"vpc-id", SANDBOX_VPC},
                                             {"default-for-az", "true"},
                                             {"defaultForAz", "true"},
                                             {"owner-id", SANDBOX_OWNER}};
    cJSON *view = cJSON_CreateObject();
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        set_text(view, members[i][0], members[i][1]);
    set_text(view, "subnet-id", z->subnet);
    set_text(view, "availability-zone", z->name);
    set_text(view, "availabilityZone", z->name);
    set_text(view, "availability-zone-id", z->id);
    set_text(view, "cidr-block", cidr);
    return view;
}

static void add_subnet(struct sandbox *s, struct buf *out, const struct zone *z, const char *cidr) {
    buf_adds(out, "<item>");
    xml_add(out, "subnetId", z->subnet);
    buf_addf(out,
             "<subnetArn>arn:aws:ec2:" SANDBOX_REGION ":" SANDBOX_OWNER ":subnet/%s</subnetArn>",
             z->subnet);
    buf_adds(out, "<state>available</state><ownerId>" SANDBOX_OWNER "</ownerId><vpcId>" SANDBOX_VPC
                  "</vpcId>");
    xml_add(out, "cidrBlock", cidr);
    xml_add_number(out, "availableIpAddressCount", instance_places_left(s, z));
    xml_add(out, "availabilityZone", z->name);
    xml_add(out, "availabilityZoneId", z->id);
    buf_adds(out, "<defaultForAz>true</defaultForAz><mapPublicIpOnLaunch>true</mapPublicIpOnLaunch>"
                  "</item>");
}

static int describe_subnets(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    static const char *const filters[] = {"state",
                                          "vpc-id",
                                          "default-for-az",
                                          "defaultForAz",
                                          "owner-id",
                                          "subnet-id",
                                          "availability-zone",
                                          "availabilityZone",
                                          "cidr-block",
                                          "availability-zone-id",
                                          NULL};
    if (form_check_filters(form, filters, e) < 0)
        return -1;
    cJSON *names = form_list(form, "SubnetId");
    int rc = check_named(names, "InvalidSubnetID.NotFound", known_subnet, e);
    buf_adds(out, "<subnetSet>");
    for (const struct zone *z = zones; rc == 0 && z->name != NULL; z++) {
        char cidr[32];
        snprintf(cidr, sizeof cidr, SANDBOX_NET ".%d.%d/%d", s->subnet, z->first, z->bits);
        cJSON *view = subnet_view(z, cidr);
        if ((cJSON_GetArraySize(names) == 0 || list_has(names, z->subnet)) &&
            form_filter(form, view, member_matches))
            add_subnet(s, out, z, cidr);
        cJSON_Delete(view);
    }
    buf_adds(out, "</subnetSet>");
    cJSON_Delete(names);
    return rc;
}

/* ---- What there is one of */

static int describe_vpcs(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    static const char *const filters[] = {"vpc-id", "state", "isDefault", "is-default", NULL};
    if (form_check_filters(form, filters, e) < 0)
        return -1;
    cJSON *names = form_list(form, "VpcId");
    int rc = check_named(names, "InvalidVpcID.NotFound", known_vpc, e);
    cJSON_Delete(names);
    cJSON *view = cJSON_CreateObject();
    set_text(view, "vpc-id", SANDBOX_VPC);
    set_text(view, "state", "available");
    set_text(view, "isDefault", "true");
    set_text(view, "is-default", "true");
    buf_adds(out, "<vpcSet>");
    if (rc == 0 && form_filter(form, view, member_matches))
        buf_addf(out,
                 "<item><vpcId>" SANDBOX_VPC "</vpcId><ownerId>" SANDBOX_OWNER
                 "</ownerId><state>available</state><cidrBlock>" SANDBOX_NET
                 ".%d.0/24</cidrBlock><instanceTenancy>default</instanceTenancy>"
                 "<isDefault>true</isDefault></item>",
                 s->subnet);
    buf_adds(out, "</vpcSet>");
    cJSON_Delete(view);
    return rc;
}

static void image_xml(struct buf *out, const cJSON *view) {
    buf_adds(out, "<item>");
    xml_add(out, "imageId", text_of(view, "image-id"));
    xml_add(out, "imageState", text_of(view, "state"));
    xml_add(out, "architecture", text_of(view, "architecture"));
    xml_add(out, "imageType", "machine");
    xml_add(out, "name", text_of(view, "name"));
    xml_add(out, "rootDeviceType", text_of(view, "root-device-type"));
    xml_add(out, "rootDeviceName", ROOT_DEVICE);
    buf_adds(out, "</item>");
}

static bool known_image(const char *id) { return image_of_ami(id) != NULL; }

static int describe_images(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    static const char *const filters[] = {"image-id",         "name", "architecture", "state",
                                          "root-device-type", NULL};
    (void)s;
    if (form_check_filters(form, filters, e) < 0)
        return -1;
    cJSON *ids = form_list(form, "ImageId");
    int rc = check_named(ids, "InvalidAMIID.NotFound", known_image, e);
    buf_adds(out, "<imagesSet>");
    for (const struct image *i = images; i->name != NULL && rc == 0; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s-sandbox", i->name);
        cJSON *view = cJSON_CreateObject();
        set_text(view, "image-id", i->ami);
        set_text(view, "name", name);
        set_text(view, "architecture", "x86_64");
        set_text(view, "state", "available");
        set_text(view, "root-device-type", "ebs");
        if ((cJSON_GetArraySize(ids) == 0 || list_has(ids, i->ami)) &&
            form_filter(form, view, member_matches))
            image_xml(out, view);
        cJSON_Delete(view);
    }
    buf_adds(out, "</imagesSet>");
    cJSON_Delete(ids);
    return rc;
}

const struct action place_actions[] = {
    {"DescribeImages", describe_images, false},
    {"DescribeVpcs", describe_vpcs, false},
    {"DescribeSubnets", describe_subnets, false},
    {"DescribeAvailabilityZones", describe_zones, false},
    {NULL, NULL, false},
};
