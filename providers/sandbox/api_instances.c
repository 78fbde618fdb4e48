/* Instances as they are: their addresses, how they are shown and found. */
#include "providers/sandbox/api.h"
#include "providers/sandbox/guest.h"
#include "providers/sandbox/instance.h"
#include "providers/sandbox/internal.h"
#include "providers/sandbox/types.h"
#include "providers/sandbox/volume.h"
#include "specs/fs.h"

#include <stdio.h>
#include <string.h>

/* ---- Showing */

static const struct {
    const char *name;
    int code;
} states[] = {{"pending", 0},     {"running", 16},  {"shutting-down", 32},
              {"terminated", 48}, {"stopping", 64}, {"stopped", 80}};

static int state_code(const char *state) {
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (strcmp(states[i].name, state) == 0)
            return states[i].code;
    return 0;
}

void instance_state_xml(struct buf *out, const char *element, const char *state) {
    buf_addf(out, "<%s><code>%d</code><name>%s</name></%s>", element, state_code(state), state,
             element);
}

const char *instance_state(const cJSON *instance) {
    return cJSON_IsTrue(cJSON_GetObjectItem(instance, "rebooting")) ? "running"
                                                                    : text_of(instance, "state");
}

void groups_xml(struct sandbox *s, struct buf *out, const cJSON *i) {
    const cJSON *group;
    buf_adds(out, "<groupSet>");
    cJSON_ArrayForEach(group, cJSON_GetObjectItem(i, "groups")) {
        const cJSON *g = find_by(world_list(s, "groups"), "id", cJSON_GetStringValue(group));
        buf_adds(out, "<item>");
        xml_add(out, "groupId", cJSON_GetStringValue(group));
        xml_add(out, "groupName", text_of(g, "name"));
        buf_adds(out, "</item>");
    }
    buf_adds(out, "</groupSet>");
}

void metadata_xml(struct buf *out, const char *element, const cJSON *i) {
    const char *endpoint = text_of(i, "http_endpoint");
    double hops = number_of(i, "http_hops");
    buf_addf(out, "<%s><state>applied</state>", element);
    xml_add(out, "httpTokens", text_of(i, "http_tokens"));
    xml_add_number(out, "httpPutResponseHopLimit", hops < 1 ? 1 : hops);
    xml_add(out, "httpEndpoint", endpoint[0] == '\0' ? "enabled" : endpoint);
    buf_addf(out, "</%s>", element);
}

void instance_xml(struct sandbox *s, struct buf *out, const cJSON *i) {
    bool gone = strcmp(text_of(i, "state"), "terminated") == 0;
    buf_adds(out, "<item>");
    xml_add(out, "instanceId", text_of(i, "id"));
    xml_add(out, "imageId", text_of(i, "image"));
    instance_state_xml(out, "instanceState", instance_state(i));
    if (!gone)
        xml_add(out, "privateIpAddress", text_of(i, "address"));
    struct public_address public;
    if (instance_public(s, i, &public))
        xml_add(out, "ipAddress", public.text);
    xml_add(out, "dnsName", "");
    xml_add(out, "keyName", text_of(i, "key_name"));
    xml_add_number(out, "amiLaunchIndex", number_of(i, "launch_index"));
    xml_add(out, "instanceType", text_of(i, "type"));
    xml_add(out, "launchTime", text_of(i, "launch_time"));
    buf_addf(out,
             "<placement><availabilityZone>%s</availabilityZone><tenancy>default</tenancy>"
             "</placement><monitoring><state>disabled</state></monitoring>",
             zone_of(i)->name);
    if (!gone) {
        xml_add(out, "vpcId", SANDBOX_VPC);
        xml_add(out, "subnetId", zone_of(i)->subnet);
    }
    xml_add(out, "architecture", "x86_64");
    xml_add(out, "rootDeviceType", "ebs");
    xml_add(out, "rootDeviceName", ROOT_DEVICE);
    volumes_mapping_xml(s, out, i);
    xml_add(out, "virtualizationType", "hvm");
    xml_add(out, "clientToken", text_of(i, "token"));
    if (text_of(i, "spot_request")[0] != '\0') {
        xml_add(out, "instanceLifecycle", "spot");
        xml_add(out, "spotInstanceRequestId", text_of(i, "spot_request"));
    }
    profile_xml(out, i);
    if (text_of(i, "reason_code")[0] != '\0') {
        buf_adds(out, "<stateReason>");
        xml_add(out, "code", text_of(i, "reason_code"));
        xml_add(out, "message", text_of(i, "reason"));
        buf_adds(out, "</stateReason>");
    }
    groups_xml(s, out, i);
    buf_adds(out, "<networkInterfaceSet>");
    if (!gone)
        interface_xml(s, out, i);
    buf_adds(out, "</networkInterfaceSet>");
    xml_add_tags(out, cJSON_GetObjectItem(i, "tags"));
    metadata_xml(out, "metadataOptions", i);
    buf_adds(out, "</item>");
}

static const char *const filters[] = {"instance-id",
                                      "instance-state-name",
                                      "instance-state-code",
                                      "instance-lifecycle",
                                      "client-token",
                                      "image-id",
                                      "instance-type",
                                      "key-name",
                                      "private-ip-address",
                                      "ip-address",
                                      "reservation-id",
                                      "vpc-id",
                                      "subnet-id",
                                      "availability-zone",
                                      "instance.group-id",
                                      "group-id",
                                      "spot-instance-request-id",
                                      "network-interface.addresses.association.public-ip",
                                      NULL};

static cJSON *view_of(struct sandbox *s, const cJSON *i) {
    static const char *const members[][2] = {{"instance-id", "id"},
                                             {"client-token", "token"},
                                             {"image-id", "image"},
                                             {"instance-type", "type"},
                                             {"key-name", "key_name"},
                                             {"private-ip-address", "address"},
                                             {"reservation-id", "reservation"},
                                             {"spot-instance-request-id", "spot_request"}};
    cJSON *view = cJSON_CreateObject();
    const cJSON *groups = cJSON_GetObjectItem(i, "groups");
    struct public_address public;
    char code[8];
    for (size_t m = 0; m < sizeof members / sizeof members[0]; m++)
        set_text(view, members[m][0], text_of(i, members[m][1]));
    set_text(view, "instance-state-name", instance_state(i));
    snprintf(code, sizeof code, "%d", state_code(instance_state(i)));
    set_text(view, "instance-state-code", code);
    if (text_of(i, "spot_request")[0] != '\0')
        set_text(view, "instance-lifecycle", "spot");
    if (instance_public(s, i, &public)) {
        set_text(view, "ip-address", public.text);
        set_text(view, "network-interface.addresses.association.public-ip", public.text);
    }
    set_text(view, "vpc-id", SANDBOX_VPC);
    set_text(view, "subnet-id", zone_of(i)->subnet);
    set_text(view, "availability-zone", zone_of(i)->name);
    cJSON_AddItemToObject(view, "instance.group-id", cJSON_Duplicate(groups, true));
    cJSON_AddItemToObject(view, "group-id", cJSON_Duplicate(groups, true));
    cJSON_AddItemToObject(view, "tags", cJSON_Duplicate(cJSON_GetObjectItem(i, "tags"), true));
    return view;
}

static bool passes(struct sandbox *s, const cJSON *form, const cJSON *i) {
    if (text_of(form, "Filter.1.Name")[0] == '\0')
        return true;
    cJSON *view = view_of(s, i);
    bool passed = form_filter(form, view, member_matches);
    cJSON_Delete(view);
    return passed;
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

static int describe(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    struct page page;
    cJSON *ids;
    if (text_of(form, "MaxResults")[0] != '\0' && text_of(form, "InstanceId.1")[0] != '\0')
        return api_fail(e, "InvalidParameterCombination",
                        "The parameter instancesSet cannot be used with the parameter maxResults");
    if (form_page(form, 5, 1000, &page, e) < 0 || form_check_filters(form, filters, e) < 0 ||
        instances_named(s, form, false, &ids, e) < 0)
        return -1;
    cJSON *i;
    const char *reservation = ""; /* its instances stand side by side */
    buf_adds(out, "<reservationSet>");
    cJSON_ArrayForEach(i, world_list(s, "instances")) {
        if ((cJSON_GetArraySize(ids) > 0 && !list_has(ids, text_of(i, "id"))) ||
            !passes(s, form, i))
            continue;
        if (!page_has(&page))
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
    page_end(&page, out);
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
