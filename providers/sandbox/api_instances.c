/* Instances as they are: their addresses, how they are shown and found. */
#include "providers/sandbox/internal.h"
#include "specs/fs.h"

#include <stdio.h>
#include <string.h>

/* ---- Addresses */

static bool octet_used(struct sandbox *s, int octet) {
    const cJSON *other;
    cJSON_ArrayForEach(
        other, world_list(s, "instances")) if (strcmp(text_of(other, "state"), "terminated") != 0 &&
                                               (int)number_of(other, "octet") == octet) return true;
    return false;
}

enum { OCTET_FIRST = 2, OCTET_END = 255 };

int instance_places_left(struct sandbox *s) {
    int left = 0;
    for (int octet = OCTET_FIRST; octet < OCTET_END; octet++)
        left += !octet_used(s, octet);
    return left;
}

void instance_place(struct sandbox *s, cJSON *instance) {
    char text[64];
    int octet = (int)number_of(instance, "octet");
    for (int try = OCTET_FIRST; octet == 0 && try < OCTET_END; try++)
        if (!octet_used(s, try))
            octet = try;
    set_number(instance, "octet", octet);
    snprintf(text, sizeof text, SANDBOX_NET ".%d.%d", s->subnet, octet);
    set_text(instance, "address", text);
    snprintf(text, sizeof text, SANDBOX_NET ".%d.1", s->subnet);
    set_text(instance, "host_address", text);
    snprintf(text, sizeof text, "bs%d-%d", s->subnet, octet);
    set_text(instance, "link", text);
    snprintf(text, sizeof text, SANDBOX_HOSTS "-%d-%d", s->subnet, octet);
    set_text(instance, "hostname", text);
}

/* ---- Showing */

static const struct {
    const char *name;
    int code;
} states[] = {{"pending", 0},     {"running", 16},  {"shutting-down", 32},
              {"terminated", 48}, {"stopping", 64}, {"stopped", 80}};

void instance_state_xml(struct buf *out, const char *element, const char *state) {
    int code = 0;
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (strcmp(states[i].name, state) == 0)
            code = states[i].code;
    buf_addf(out, "<%s><code>%d</code><name>%s</name></%s>", element, code, state, element);
}

const char *instance_state(const cJSON *instance) {
    return cJSON_IsTrue(cJSON_GetObjectItem(instance, "rebooting")) ? "running"
                                                                    : text_of(instance, "state");
}

static bool is_up(const cJSON *instance) {
    const char *state = text_of(instance, "state");
    return strcmp(state, "running") == 0 || strcmp(state, "pending") == 0;
}

void instance_xml(struct sandbox *s, struct buf *out, const cJSON *i) {
    bool gone = strcmp(text_of(i, "state"), "terminated") == 0;
    const cJSON *group;
    buf_adds(out, "<item>");
    xml_add(out, "instanceId", text_of(i, "id"));
    xml_add(out, "imageId", text_of(i, "image"));
    instance_state_xml(out, "instanceState", instance_state(i));
    if (!gone)
        xml_add(out, "privateIpAddress", text_of(i, "address"));
    if (is_up(i))
        xml_add(out, "ipAddress", text_of(i, "address"));
    xml_add(out, "dnsName", "");
    xml_add(out, "keyName", text_of(i, "key_name"));
    xml_add_number(out, "amiLaunchIndex", number_of(i, "launch_index"));
    xml_add(out, "instanceType", text_of(i, "type"));
    xml_add(out, "launchTime", text_of(i, "launch_time"));
    buf_adds(out, "<placement><availabilityZone>" SANDBOX_ZONE "</availabilityZone>"
                  "<tenancy>default</tenancy></placement><monitoring><state>disabled</state>"
                  "</monitoring>");
    xml_add(out, "vpcId", SANDBOX_VPC);
    xml_add(out, "subnetId", SANDBOX_SUBNET);
    xml_add(out, "architecture", "x86_64");
    xml_add(out, "rootDeviceType", "ebs");
    xml_add(out, "rootDeviceName", ROOT_DEVICE);
    volumes_mapping_xml(s, out, i);
    xml_add(out, "virtualizationType", "hvm");
    xml_add(out, "clientToken", text_of(i, "token"));
    if (text_of(i, "reason_code")[0] != '\0') {
        buf_adds(out, "<stateReason>");
        xml_add(out, "code", text_of(i, "reason_code"));
        xml_add(out, "message", text_of(i, "reason"));
        buf_adds(out, "</stateReason>");
    }
    buf_adds(out, "<groupSet>");
    cJSON_ArrayForEach(group, cJSON_GetObjectItem(i, "groups")) {
        const cJSON *g = find_by(world_list(s, "groups"), "id", cJSON_GetStringValue(group));
        buf_adds(out, "<item>");
        xml_add(out, "groupId", cJSON_GetStringValue(group));
        xml_add(out, "groupName", text_of(g, "name"));
        buf_adds(out, "</item>");
    }
    buf_adds(out, "</groupSet>");
    xml_add_tags(out, cJSON_GetObjectItem(i, "tags"));
    buf_addf(out,
             "<metadataOptions><state>applied</state><httpTokens>%s</httpTokens>"
             "<httpPutResponseHopLimit>1</httpPutResponseHopLimit><httpEndpoint>enabled"
             "</httpEndpoint></metadataOptions>",
             text_of(i, "http_tokens"));
    buf_adds(out, "</item>");
}

static const char *const filters[] = {
    "instance-id", "instance-state-name", "client-token",      "image-id",       "instance-type",
    "key-name",    "private-ip-address",  "ip-address",        "reservation-id", "vpc-id",
    "subnet-id",   "availability-zone",   "instance.group-id", "group-id",       NULL};

static bool matches(cJSON *i, const char *filter, const char *value) {
    static const struct {
        const char *filter, *member;
    } members[] = {{"instance-id", "id"},     {"client-token", "token"},
                   {"image-id", "image"},     {"instance-type", "type"},
                   {"key-name", "key_name"},  {"private-ip-address", "address"},
                   {"ip-address", "address"}, {"reservation-id", "reservation"}};
    static const struct {
        const char *filter, *value;
    } places[] = {{"vpc-id", SANDBOX_VPC},
                  {"subnet-id", SANDBOX_SUBNET},
                  {"availability-zone", SANDBOX_ZONE}};
    bool matched = false;
    if (tag_matches(cJSON_GetObjectItem(i, "tags"), filter, value, &matched))
        return matched;
    if (strcmp(filter, "instance-state-name") == 0)
        return pattern_matches(value, instance_state(i));
    for (size_t m = 0; m < sizeof members / sizeof members[0]; m++)
        if (strcmp(members[m].filter, filter) == 0)
            return pattern_matches(value, text_of(i, members[m].member));
    for (size_t m = 0; m < sizeof places / sizeof places[0]; m++)
        if (strcmp(places[m].filter, filter) == 0)
            return pattern_matches(value, places[m].value);
    const cJSON *group;
    if (strcmp(filter, "instance.group-id") == 0 || strcmp(filter, "group-id") == 0)
        cJSON_ArrayForEach(group, cJSON_GetObjectItem(i, "groups")) matched |=
            strcmp(cJSON_GetStringValue(group), value) == 0;
    return matched;
}

int instances_named(struct sandbox *s, const cJSON *form, bool required, cJSON **ret,
                    struct api_error *e) {
    cJSON *ids = form_list(form, "InstanceId");
    const cJSON *id;
    int rc = 0;
    if (required && cJSON_GetArraySize(ids) == 0)
        rc = api_fail(e, "MissingParameter", "The request must contain the parameter InstanceId");
    cJSON_ArrayForEach(id, ids) {
        const char *text = cJSON_GetStringValue(id);
        if (rc == 0 && strncmp(text, "i-", 2) != 0)
            rc = api_fail(e, "InvalidInstanceID.Malformed", "Invalid id: \"%.60s\"", text);
        else if (rc == 0 && find_by(world_list(s, "instances"), "id", text) == NULL)
            rc = api_fail(e, "InvalidInstanceID.NotFound", "The instance ID '%.60s' does not exist",
                          text);
    }
    if (rc < 0) {
        cJSON_Delete(ids);
        return rc;
    }
    *ret = ids;
    return 0;
}

static bool listed(const cJSON *ids, const char *id) {
    const cJSON *item;
    cJSON_ArrayForEach(item, ids) if (strcmp(cJSON_GetStringValue(item), id) == 0) return true;
    return false;
}

static int page(const cJSON *form, int64_t *ret_from, int64_t *ret_most, struct api_error *e) {
    const char *limit = text_of(form, "MaxResults"), *token = text_of(form, "NextToken");
    *ret_from = 0;
    *ret_most = INT32_MAX;
    if (limit[0] != '\0' && text_of(form, "InstanceId.1")[0] != '\0')
        return api_fail(e, "InvalidParameterCombination",
                        "The parameter instancesSet cannot be used with the parameter maxResults");
    if (limit[0] != '\0' && !str_to_i64(str_of(limit), 5, 1000, ret_most))
        return api_fail(e, "InvalidParameterValue", "MaxResults must be from 5 to 1000");
    if (token[0] != '\0' && !str_to_i64(str_of(token), 1, INT32_MAX, ret_from))
        return api_fail(e, "InvalidParameterValue", "Unable to parse pagination token");
    return 0;
}

static int describe(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    int64_t most = 0, from = 0, n = 0;
    cJSON *ids;
    if (page(form, &from, &most, e) < 0 || form_check_filters(form, filters, e) < 0 ||
        instances_named(s, form, false, &ids, e) < 0)
        return -1;
    cJSON *i;
    const char *reservation = ""; /* its instances stand side by side */
    buf_adds(out, "<reservationSet>");
    cJSON_ArrayForEach(i, world_list(s, "instances")) {
        if ((cJSON_GetArraySize(ids) > 0 && !listed(ids, text_of(i, "id"))) ||
            !form_filter(form, i, matches))
            continue;
        if (n++ < from || n > from + most)
            continue;
        if (strcmp(reservation, text_of(i, "reservation")) != 0) {
            buf_adds(out, reservation[0] == '\0' ? "<item>" : "</instancesSet></item><item>");
            reservation = text_of(i, "reservation");
            xml_add(out, "reservationId", reservation);
            xml_add(out, "ownerId", SANDBOX_OWNER);
            buf_adds(out, "<groupSet/><instancesSet>");
        }
        instance_xml(s, out, i);
    }
    buf_adds(out, reservation[0] == '\0' ? "</reservationSet>"
                                         : "</instancesSet></item></reservationSet>");
    if (n > from + most)
        xml_add_number(out, "nextToken", (double)(from + most));
    cJSON_Delete(ids);
    return 0;
}

static int console(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    const char *id = text_of(form, "InstanceId");
    char path[PATH_SIZE];
    struct err ignored;
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_LARGE);
    _cleanup_buf_ struct buf base64 = BUF_INIT(BUF_LARGE);
    if (find_by(world_list(s, "instances"), "id", id) == NULL)
        return api_fail(e, "InvalidInstanceID.NotFound", "The instance ID '%.60s' does not exist",
                        id);
    snprintf(path, sizeof path, "%s/i/%s/console.log", s->paths.dir, id);
    fs_read(path, &text, &ignored);
    buf_add_base64(&base64, buf_cstr(&text), text.len);
    xml_add(out, "instanceId", id);
    xml_add(out, "output", buf_cstr(&base64));
    return 0;
}

const struct action instance_actions[] = {
    {"DescribeInstances", describe, false},
    {"GetConsoleOutput", console, false},
    {NULL, NULL, false},
};
