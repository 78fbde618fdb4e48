#include "providers/sandbox/internal.h"

#include <stdio.h>
#include <string.h>

/* ---- Tags, of whatever has them */

static cJSON *find_resource(struct sandbox *s, const char *id) {
    static const char *const lists[] = {"instances", "groups", "key_pairs", "volumes"};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        cJSON *found = find_by(world_list(s, lists[i]), "id", id);
        if (found != NULL)
            return found;
    }
    return NULL;
}

static int not_found(const char *id, struct api_error *e) {
    static const struct {
        const char *prefix, *code;
    } codes[] = {{"i-", "InvalidInstanceID.NotFound"},
                 {"sg-", "InvalidGroup.NotFound"},
                 {"key-", "InvalidKeyPair.NotFound"},
                 {"vol-", "InvalidVolume.NotFound"}};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (strncmp(id, codes[i].prefix, strlen(codes[i].prefix)) == 0)
            return api_fail(e, codes[i].code, "The ID '%.60s' does not exist", id);
    return api_fail(e, "InvalidID", "The ID '%.60s' is not valid", id);
}

static void change_tag(cJSON *tags, const cJSON *form, int number, bool add) {
    char key[64];
    snprintf(key, sizeof key, "Tag.%d.Key", number);
    const char *name = text_of(form, key);
    snprintf(key, sizeof key, "Tag.%d.Value", number);
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(form, key);
    if (add)
        set_text(tags, name, text_of(form, key));
    else if (value == NULL || strcmp(text_of(form, key), text_of(tags, name)) == 0)
        cJSON_DeleteItemFromObjectCaseSensitive(tags, name);
}

/* All or nothing. */
static int change_tags(struct sandbox *s, const cJSON *form, struct buf *out, struct api_error *e,
                       bool add) {
    cJSON *ids = form_list(form, "ResourceId");
    const cJSON *id;
    int rc = cJSON_GetArraySize(ids) > 0
                 ? 0
                 : api_fail(e, "MissingParameter", "The request must contain ResourceId");
    cJSON_ArrayForEach(id, ids) if (rc == 0 && find_resource(s, cJSON_GetStringValue(id)) == NULL)
        rc = not_found(cJSON_GetStringValue(id), e);
    cJSON_ArrayForEach(id, ids) {
        cJSON *tags = cJSON_GetObjectItem(find_resource(s, cJSON_GetStringValue(id)), "tags");
        char key[64];
        for (int t = 1; rc == 0 && t <= 50; t++) {
            snprintf(key, sizeof key, "Tag.%d.Key", t);
            if (text_of(form, key)[0] == '\0')
                break;
            change_tag(tags, form, t, add);
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

static bool image_matches(cJSON *item, const char *filter, const char *value) {
    static const char *const members[][2] = {{"image-id", SANDBOX_AMI},
                                             {"name", "debian-12-sandbox"},
                                             {"architecture", "x86_64"},
                                             {"state", "available"},
                                             {"root-device-type", "ebs"}};
    (void)item;
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (strcmp(filter, members[i][0]) == 0)
            return pattern_matches(value, members[i][1]);
    return false;
}

static int images(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    static const char *const filters[] = {"image-id",         "name", "architecture", "state",
                                          "root-device-type", NULL};
    (void)s;
    const char *id = text_of(form, "ImageId.1");
    if (form_check_filters(form, filters, e) < 0)
        return -1;
    if (id[0] != '\0' && strcmp(id, SANDBOX_AMI) != 0)
        return api_fail(e, "InvalidAMIID.NotFound", "The image id '[%.60s]' does not exist", id);
    if (!form_filter(form, NULL, image_matches)) {
        buf_adds(out, "<imagesSet/>");
        return 0;
    }
    buf_adds(out, "<imagesSet><item><imageId>" SANDBOX_AMI "</imageId><imageState>available"
                  "</imageState><architecture>x86_64</architecture><imageType>machine</imageType>"
                  "<name>debian-12-sandbox</name><rootDeviceType>ebs</rootDeviceType>"
                  "<rootDeviceName>/dev/xvda</rootDeviceName></item></imagesSet>");
    return 0;
}

static int vpcs(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    (void)form, (void)e;
    buf_addf(out,
             "<vpcSet><item><vpcId>" SANDBOX_VPC "</vpcId><state>available</state>"
             "<cidrBlock>" SANDBOX_NET
             ".%d.0/24</cidrBlock><isDefault>true</isDefault></item></vpcSet>",
             s->subnet);
    return 0;
}

static int subnets(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    (void)form, (void)e;
    buf_addf(out,
             "<subnetSet><item><subnetId>" SANDBOX_SUBNET "</subnetId><state>available</state>"
             "<vpcId>" SANDBOX_VPC "</vpcId><cidrBlock>" SANDBOX_NET ".%d.0/24</cidrBlock>"
             "<availabilityZone>" SANDBOX_ZONE
             "</availabilityZone><defaultForAz>true</defaultForAz>"
             "</item></subnetSet>",
             s->subnet);
    return 0;
}

static int zones(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    (void)s, (void)form, (void)e;
    buf_adds(out,
             "<availabilityZoneInfo><item><zoneName>" SANDBOX_ZONE "</zoneName><zoneState>available"
             "</zoneState><regionName>" SANDBOX_REGION
             "</regionName></item></availabilityZoneInfo>");
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
