/* ModifyInstanceAttribute and its like: one attribute a call.
 * https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyInstanceAttribute.html */
#include "providers/sandbox/api.h"
#include "providers/sandbox/instance.h"
#include "providers/sandbox/internal.h"
#include "providers/sandbox/types.h"

#include <string.h>

static int not_stopped(const cJSON *i, struct api_error *e) {
    if (strcmp(text_of(i, "state"), "stopped") == 0)
        return 0;
    return api_fail(e, "IncorrectInstanceState", "The instance '%s' is not in the 'stopped' state.",
                    text_of(i, "id"));
}

static int set_type(struct sandbox *s, cJSON *i, const char *value, struct api_error *e) {
    const struct instance_type *type = instance_type_named(value);
    (void)s;
    if (not_stopped(i, e) < 0)
        return -1;
    if (type == NULL)
        return api_fail(e, "InvalidInstanceAttributeValue",
                        "Invalid value '%.60s' for InstanceType.", value);
    if (strcmp(type->arch, "x86_64") != 0)
        return api_fail(e, "InvalidParameterCombination",
                        "The instance type's architecture '%s' does not match the instance's",
                        type->arch);
    if (!zone_offers(zone_of(i), type))
        return api_fail(e, "Unsupported",
                        "The requested configuration is currently not supported: %s is not offered "
                        "in %s.",
                        value, zone_of(i)->name);
    if (text_of(i, "spot_request")[0] != '\0')
        return api_fail(e, "UnsupportedOperation",
                        "You cannot change the instance type of a Spot Instance.");
    set_text(i, "type", value);
    return 0;
}

static int set_user_data(struct sandbox *s, cJSON *i, const char *value, struct api_error *e) {
    _cleanup_buf_ struct buf data = BUF_INIT(BUF_SMALL);
    (void)s;
    if (not_stopped(i, e) < 0)
        return -1;
    if (!buf_add_base64_decoded(&data, str_of(value)))
        return api_fail(e, "InvalidParameterValue", "Invalid BASE64 encoding of user data.");
    set_text(i, "user_data", buf_cstr(&data));
    return 0;
}

static int set_shutdown(struct sandbox *s, cJSON *i, const char *value, struct api_error *e) {
    (void)s;
    if (strcmp(value, "stop") != 0 && strcmp(value, "terminate") != 0)
        return api_fail(e, "InvalidParameterValue",
                        "Value (%.60s) for parameter instanceInitiatedShutdownBehavior is invalid.",
                        value);
    set_text(i, "shutdown", value);
    return 0;
}

static int set_switch(cJSON *i, const char *member, const char *value, struct api_error *e) {
    if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
        return api_fail(e, "InvalidParameterValue", "Value (%.60s) is not a boolean", value);
    cJSON_DeleteItemFromObject(i, member);
    cJSON_AddBoolToObject(i, member, value[0] == 't');
    return 0;
}

static int set_no_termination(struct sandbox *s, cJSON *i, const char *value, struct api_error *e) {
    (void)s;
    return set_switch(i, "no_termination", value, e);
}

static int set_no_stop(struct sandbox *s, cJSON *i, const char *value, struct api_error *e) {
    (void)s;
    return set_switch(i, "no_stop", value, e);
}

static int set_source_dest(struct sandbox *s, cJSON *i, const char *value, struct api_error *e) {
    (void)s;
    return set_switch(i, "source_dest_check", value, e);
}

static int set_ebs_optimized(struct sandbox *s, cJSON *i, const char *value, struct api_error *e) {
    (void)s;
    return not_stopped(i, e) < 0 ? -1 : set_switch(i, "ebs_optimized", value, e);
}

/* By the name that Attribute gives, and the member that holds a value without it. */
static const struct attribute {
    const char *name, *member;
    int (*set)(struct sandbox *s, cJSON *i, const char *value, struct api_error *e);
} attributes[] = {
    {"instanceType", "InstanceType.Value", set_type},
    {"userData", "UserData.Value", set_user_data},
    {"instanceInitiatedShutdownBehavior", "InstanceInitiatedShutdownBehavior.Value", set_shutdown},
    {"disableApiTermination", "DisableApiTermination.Value", set_no_termination},
    {"disableApiStop", "DisableApiStop.Value", set_no_stop},
    {"sourceDestCheck", "SourceDestCheck.Value", set_source_dest},
    {"ebsOptimized", "EbsOptimized.Value", set_ebs_optimized},
};

enum { ATTRIBUTES = sizeof attributes / sizeof attributes[0] };

static cJSON *instance_asked(struct sandbox *s, const cJSON *form, struct api_error *e) {
    const char *id = text_of(form, "InstanceId");
    cJSON *i = find_by(world_list(s, "instances"), "id", id);
    if (i == NULL)
        api_fail(e, "InvalidInstanceID.NotFound", "The instance ID '%.60s' does not exist", id);
    else if (strcmp(text_of(i, "state"), "terminated") == 0 ||
             strcmp(text_of(i, "state"), "shutting-down") == 0) {
        api_fail(e, "IncorrectInstanceState", "The instance '%s' is not in a valid state: %s", id,
                 text_of(i, "state"));
        i = NULL;
    }
    return i;
}

/* Takes the list. */
static int set_groups(struct sandbox *s, cJSON *i, cJSON *groups, struct api_error *e) {
    const cJSON *g;
    cJSON_ArrayForEach(g, groups) {
        if (find_by(world_list(s, "groups"), "id", cJSON_GetStringValue(g)) != NULL)
            continue;
        api_fail(e, "InvalidGroup.NotFound", "The security group '%.80s' does not exist",
                 cJSON_GetStringValue(g));
        cJSON_Delete(groups);
        return -1;
    }
    cJSON_DeleteItemFromObject(i, "groups");
    cJSON_AddItemToObject(i, "groups", groups);
    return 0;
}

static int modify(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    cJSON *i = instance_asked(s, form, e);
    const struct attribute *wanted = NULL;
    const char *value = "", *name = text_of(form, "Attribute");
    int given = 0;
    if (i == NULL)
        return -1;
    for (size_t a = 0; a < ATTRIBUTES; a++) {
        bool named = strcmp(name, attributes[a].name) == 0;
        if (!named && cJSON_GetObjectItemCaseSensitive(form, attributes[a].member) == NULL)
            continue;
        wanted = &attributes[a];
        value = text_of(form, named ? "Value" : attributes[a].member);
        given++;
    }
    cJSON *groups = form_list(form, "GroupId");
    given += cJSON_GetArraySize(groups) > 0;
    xml_add(out, "return", "true");
    if (given == 1 && wanted == NULL)
        return set_groups(s, i, groups, e);
    cJSON_Delete(groups);
    if (given != 1)
        return api_fail(e, given > 1 ? "InvalidParameterCombination" : "UnsupportedOperation",
                        given > 1 ? "Fields for multiple attribute types specified"
                                  : "the sandbox cannot change this attribute");
    return wanted->set(s, i, value, e);
}

static int describe(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    const cJSON *i = instance_asked(s, form, e);
    const char *name = text_of(form, "Attribute"), *value = NULL;
    _cleanup_buf_ struct buf base64 = BUF_INIT(BUF_SMALL);
    static const char *const switches[][3] = {{"disableApiTermination", "no_termination", "false"},
                                              {"disableApiStop", "no_stop", "false"},
                                              {"sourceDestCheck", "source_dest_check", "true"},
                                              {"ebsOptimized", "ebs_optimized", "false"}};
    if (i == NULL)
        return -1;
    for (size_t n = 0; n < sizeof switches / sizeof switches[0]; n++) {
        const cJSON *item = cJSON_GetObjectItem(i, switches[n][1]);
        if (strcmp(name, switches[n][0]) == 0)
            value = !cJSON_IsBool(item) ? switches[n][2] : cJSON_IsTrue(item) ? "true" : "false";
    }
    if (strcmp(name, "instanceType") == 0)
        value = text_of(i, "type");
    if (strcmp(name, "instanceInitiatedShutdownBehavior") == 0)
        value = text_of(i, "shutdown")[0] == '\0' ? "stop" : text_of(i, "shutdown");
    if (strcmp(name, "userData") == 0) {
        const char *data = text_of(i, "user_data");
        buf_add_base64(&base64, data, strlen(data));
        value = buf_cstr(&base64);
    }
    xml_add(out, "instanceId", text_of(i, "id"));
    if (strcmp(name, "groupSet") == 0) {
        groups_xml(s, out, i);
        return 0;
    }
    if (value == NULL)
        return api_fail(e, "InvalidParameterValue",
                        "Value (%.60s) for parameter attribute is invalid. Unknown attribute.",
                        name);
    buf_addf(out, "<%s>", name);
    xml_add(out, "value", value);
    buf_addf(out, "</%s>", name);
    return 0;
}

/* https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyInstanceMetadataOptions.html */
static int modify_metadata(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    static const struct {
        const char *asked, *member, *values[2];
    } options[] = {{"HttpTokens", "http_tokens", {"optional", "required"}},
                   {"HttpEndpoint", "http_endpoint", {"enabled", "disabled"}}};
    cJSON *i = instance_asked(s, form, e);
    const char *hops = text_of(form, "HttpPutResponseHopLimit");
    int64_t limit = 0;
    if (i == NULL)
        return -1;
    if (hops[0] != '\0' && !str_to_i64(str_of(hops), 1, 64, &limit))
        return api_fail(e, "InvalidParameterValue", "HttpPutResponseHopLimit must be from 1 to 64");
    for (size_t o = 0; o < sizeof options / sizeof options[0]; o++) {
        const char *value = text_of(form, options[o].asked);
        if (value[0] != '\0' && strcmp(value, options[o].values[0]) != 0 &&
            strcmp(value, options[o].values[1]) != 0)
            return api_fail(e, "InvalidParameterValue", "Invalid value '%.40s' for %s", value,
                            options[o].asked);
    }
    for (size_t o = 0; o < sizeof options / sizeof options[0]; o++)
        if (text_of(form, options[o].asked)[0] != '\0')
            set_text(i, options[o].member, text_of(form, options[o].asked));
    if (limit > 0)
        set_number(i, "http_hops", (double)limit);
    xml_add(out, "instanceId", text_of(i, "id"));
    metadata_xml(out, "instanceMetadataOptions", i);
    return 0;
}

const struct action attribute_actions[] = {
    {"ModifyInstanceAttribute", modify, true},
    {"ModifyInstanceMetadataOptions", modify_metadata, true},
    {"DescribeInstanceAttribute", describe, false},
    {NULL, NULL, false},
};
