#include "providers/sandbox/internal.h"

#include <stdio.h>
#include <string.h>

/* ---- Tags, of whatever has them */

static cJSON *find_resource(struct sandbox *s, const char *id) {
    static const char *const lists[] = {"instances", "groups", "key_pairs"};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        cJSON *found = find_by(world_list(s, lists[i]), "id", id);
        if (found != NULL)
            return found;
    }
    return NULL;
}

static int change_tags(struct sandbox *s, const cJSON *form, struct buf *out, struct api_error *e,
                       bool add) {
    cJSON *ids = form_list(form, "ResourceId");
    const cJSON *id;
    int rc = 0;
    cJSON_ArrayForEach(id, ids) {
        cJSON *resource = find_resource(s, cJSON_GetStringValue(id));
        if (resource == NULL && rc == 0)
            rc = api_fail(e, "InvalidID", "The ID '%.60s' is not valid", cJSON_GetStringValue(id));
        cJSON *tags = cJSON_GetObjectItem(resource, "tags");
        for (int t = 1; rc == 0 && t <= 50; t++) {
            char key[64];
            snprintf(key, sizeof key, "Tag.%d.Key", t);
            const char *name = text_of(form, key);
            if (name[0] == '\0')
                break;
            snprintf(key, sizeof key, "Tag.%d.Value", t);
            if (add)
                set_text(tags, name, text_of(form, key));
            else
                cJSON_DeleteItemFromObjectCaseSensitive(tags, name);
        }
    }
    cJSON_Delete(ids);
    xml_add(out, "return", "true");
    return rc;
}

static int create_tags(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    return change_tags(s, form, out, e, true);
}

static int delete_tags(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    return change_tags(s, form, out, e, false);
}

/* ---- What there is one of */

static int images(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    (void)s;
    const char *id = text_of(form, "ImageId.1");
    if (id[0] != '\0' && strcmp(id, SANDBOX_AMI) != 0)
        return api_fail(e, "InvalidAMIID.NotFound", "The image id '[%.60s]' does not exist", id);
    buf_adds(out, "<imagesSet><item><imageId>" SANDBOX_AMI "</imageId><imageState>available"
                  "</imageState><architecture>x86_64</architecture><imageType>machine</imageType>"
                  "<name>debian-12-sandbox</name><rootDeviceType>ebs</rootDeviceType>"
                  "<rootDeviceName>/dev/xvda</rootDeviceName></item></imagesSet>");
    return 0;
}

static int vpcs(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    (void)form, (void)e;
    buf_addf(out,
             "<vpcSet><item><vpcId>vpc-0sandbox</vpcId><state>available</state>"
             "<cidrBlock>10.213.%d.0/24</cidrBlock><isDefault>true</isDefault></item></vpcSet>",
             s->subnet);
    return 0;
}

static int subnets(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    (void)form, (void)e;
    buf_addf(out,
             "<subnetSet><item><subnetId>subnet-0sandbox</subnetId><state>available</state>"
             "<vpcId>vpc-0sandbox</vpcId><cidrBlock>10.213.%d.0/24</cidrBlock>"
             "<availabilityZone>sandbox-1a</availabilityZone><defaultForAz>true</defaultForAz>"
             "</item></subnetSet>",
             s->subnet);
    return 0;
}

static int zones(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    (void)s, (void)form, (void)e;
    buf_adds(out, "<availabilityZoneInfo><item><zoneName>sandbox-1a</zoneName><zoneState>available"
                  "</zoneState><regionName>sandbox</regionName></item></availabilityZoneInfo>");
    return 0;
}

const struct action other_actions[] = {
    {"CreateTags", create_tags, true},
    {"DeleteTags", delete_tags, true},
    {"DescribeImages", images, false},
    {"DescribeVpcs", vpcs, false},
    {"DescribeSubnets", subnets, false},
    {"DescribeAvailabilityZones", zones, false},
    {NULL, NULL, false},
};
