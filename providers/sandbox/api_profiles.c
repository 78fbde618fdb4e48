/* IAM instance profiles: any name is one.
 * https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IamInstanceProfileAssociation.html */
#include "providers/sandbox/api.h"
#include "providers/sandbox/instance.h"
#include "providers/sandbox/internal.h"

#include <stdio.h>
#include <string.h>

#define ARN "arn:aws:iam::" SANDBOX_OWNER ":instance-profile/"

/* Its name, of IamInstanceProfile.Name or .Arn; "" when none is asked for. */
static int name_asked(const cJSON *form, const char **ret, struct api_error *e) {
    const char *name = text_of(form, "IamInstanceProfile.Name");
    const char *arn = text_of(form, "IamInstanceProfile.Arn");
    if (name[0] != '\0' && arn[0] != '\0')
        return api_fail(e, "InvalidParameterCombination",
                        "The parameter 'Arn' may not be used in combination with 'Name'");
    if (arn[0] != '\0' && strncmp(arn, ARN, strlen(ARN)) != 0)
        return api_fail(
            e, "InvalidParameterValue",
            "Value (%.150s) for parameter iamInstanceProfile.arn is invalid. Invalid IAM "
            "Instance Profile ARN",
            arn);
    if (arn[0] != '\0')
        name = arn + strlen(ARN);
    if (strlen(name) > 128 ||
        name[strspn(
            name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+=,.@-")] != '\0')
        return api_fail(e, "InvalidParameterValue",
                        "Value (%.150s) for parameter iamInstanceProfile.name is invalid. Invalid "
                        "IAM Instance Profile name",
                        name);
    *ret = name;
    return 0;
}

int profile_check(const cJSON *form, struct api_error *e) {
    const char *ignored;
    return name_asked(form, &ignored, e);
}

static void associate_name(cJSON *i, const char *name) {
    char id[40];
    make_id("iip-assoc", id, sizeof id);
    set_text(i, "profile", name);
    set_text(i, "profile_association", id);
}

void profile_launch(const cJSON *form, cJSON *instance) {
    const char *name = "";
    struct api_error ignored;
    if (name_asked(form, &name, &ignored) == 0 && name[0] != '\0')
        associate_name(instance, name);
}

void profile_xml(struct buf *out, const cJSON *instance) {
    char id[40];
    unsigned sum = 5381;
    if (text_of(instance, "profile")[0] == '\0')
        return;
    for (const char *c = text_of(instance, "profile"); *c != '\0'; c++)
        sum = sum * 33 + (unsigned char)*c;
    snprintf(id, sizeof id, "AIPA0SANDBOX%09u", sum % 1000000000u);
    buf_addf(out, "<iamInstanceProfile><arn>" ARN "%s</arn><id>%s</id></iamInstanceProfile>",
             text_of(instance, "profile"), id);
}

static void add_association(struct buf *out, const char *element, const cJSON *i,
                            const char *state) {
    buf_addf(out, "<%s>", element);
    xml_add(out, "associationId", text_of(i, "profile_association"));
    xml_add(out, "instanceId", text_of(i, "id"));
    profile_xml(out, i);
    xml_add(out, "state", state);
    buf_addf(out, "</%s>", element);
}

static int associate(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    const char *id = text_of(form, "InstanceId"), *name = "";
    cJSON *i = find_by(world_list(s, "instances"), "id", id);
    if (i == NULL)
        return api_fail(e, "InvalidInstanceID.NotFound", "The instance ID '%.60s' does not exist",
                        id);
    if (name_asked(form, &name, e) < 0)
        return -1;
    if (name[0] == '\0')
        return api_fail(e, "MissingParameter", "The request must contain IamInstanceProfile");
    if (text_of(i, "profile")[0] != '\0')
        return api_fail(e, "IncorrectState", "There is an existing association for instance %s",
                        id);
    if (strcmp(text_of(i, "state"), "running") != 0 && strcmp(text_of(i, "state"), "stopped") != 0)
        return api_fail(e, "IncorrectInstanceState",
                        "The instance '%s' is not in the 'running' or 'stopped' states.", id);
    associate_name(i, name);
    add_association(out, "iamInstanceProfileAssociation", i, "associating");
    return 0;
}

static cJSON *association_asked(struct sandbox *s, const cJSON *form, struct api_error *e) {
    const char *id = text_of(form, "AssociationId");
    cJSON *i =
        id[0] == '\0' ? NULL : find_by(world_list(s, "instances"), "profile_association", id);
    if (i == NULL)
        api_fail(e, "InvalidAssociationID.NotFound",
                 "An invalid association-id of '%.60s' was given", id);
    return i;
}

static int replace(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    cJSON *i = association_asked(s, form, e);
    const char *name = "";
    if (i == NULL || name_asked(form, &name, e) < 0)
        return -1;
    if (name[0] == '\0')
        return api_fail(e, "MissingParameter", "The request must contain IamInstanceProfile");
    associate_name(i, name);
    add_association(out, "iamInstanceProfileAssociation", i, "associating");
    return 0;
}

static int disassociate(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    cJSON *i = association_asked(s, form, e);
    if (i == NULL)
        return -1;
    add_association(out, "iamInstanceProfileAssociation", i, "disassociating");
    cJSON_DeleteItemFromObject(i, "profile");
    cJSON_DeleteItemFromObject(i, "profile_association");
    return 0;
}

static int describe(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    static const char *const filters[] = {"instance-id", "state", NULL};
    struct page page;
    if (form_page(form, 5, 1000, &page, e) < 0 || form_check_filters(form, filters, e) < 0)
        return -1;
    cJSON *ids = form_list(form, "AssociationId");
    const cJSON *i;
    int found = 0;
    buf_adds(out, "<iamInstanceProfileAssociationSet>");
    cJSON_ArrayForEach(i, world_list(s, "instances")) {
        const char *id = text_of(i, "profile_association");
        if (id[0] == '\0' || strcmp(text_of(i, "state"), "terminated") == 0)
            continue;
        cJSON *view = cJSON_CreateObject();
        set_text(view, "instance-id", text_of(i, "id"));
        set_text(view, "state", "associated");
        bool named = list_has(ids, id);
        found += named;
        if ((named || cJSON_GetArraySize(ids) == 0) && form_filter(form, view, member_matches) &&
            page_has(&page))
            add_association(out, "item", i, "associated");
        cJSON_Delete(view);
    }
    buf_adds(out, "</iamInstanceProfileAssociationSet>");
    page_end(&page, out);
    int rc = found < cJSON_GetArraySize(ids)
                 ? api_fail(e, "InvalidAssociationID.NotFound",
                            "An association ID of the request does not exist")
                 : 0;
    cJSON_Delete(ids);
    return rc;
}

const struct action profile_actions[] = {
    {"AssociateIamInstanceProfile", associate, true},
    {"ReplaceIamInstanceProfileAssociation", replace, true},
    {"DisassociateIamInstanceProfile", disassociate, true},
    {"DescribeIamInstanceProfileAssociations", describe, false},
    {NULL, NULL, false},
};
