/* Security groups. Their rules (api_rules.c) are kept and answered for; packets are not filtered.
 */
#include "providers/sandbox/api.h"
#include "providers/sandbox/instance.h"
#include "providers/sandbox/internal.h"

#include <stdio.h>
#include <string.h>

void groups_begin(struct sandbox *s) {
    cJSON *list = world_list(s, "groups");
    if (find_by(list, "id", SANDBOX_GROUP) != NULL)
        return;
    cJSON *g = cJSON_CreateObject();
    set_text(g, "id", SANDBOX_GROUP);
    set_text(g, "name", "default");
    set_text(g, "description", "default VPC security group");
    cJSON *rules = cJSON_AddArrayToObject(g, "rules");
    cJSON *own = cJSON_CreateObject(); /* from its own members, all */
    static const char *const members[][2] = {{"id", "sgr-05a0d0b0c00000001"},
                                             {"protocol", "-1"},
                                             {"from", ""},
                                             {"to", ""},
                                             {"kind", "group"},
                                             {"source", SANDBOX_GROUP},
                                             {"description", ""}};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        set_text(own, members[i][0], members[i][1]);
    cJSON_AddItemToArray(rules, own);
    cJSON_AddObjectToObject(g, "tags");
    cJSON_AddItemToArray(list, g);
}

/* The id of what keeps it from being deleted: an instance, or another group's rule. */
static const char *in_use_by(struct sandbox *s, const char *group) {
    const cJSON *i, *g, *r;
    cJSON_ArrayForEach(
        i, world_list(s, "instances")) if (strcmp(text_of(i, "state"), "terminated") != 0 &&
                                           list_has(cJSON_GetObjectItem(i, "groups"),
                                                    group)) return text_of(i, "id");
    cJSON_ArrayForEach(g, world_list(s, "groups")) {
        if (strcmp(text_of(g, "id"), group) == 0)
            continue;
        cJSON_ArrayForEach(
            r, cJSON_GetObjectItem(g, "rules")) if (strcmp(text_of(r, "source"), group) ==
                                                    0) return text_of(g, "id");
    }
    return NULL;
}

static int create(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    const char *name = text_of(form, "GroupName");
    char id[32];
    if (name[0] == '\0' || text_of(form, "GroupDescription")[0] == '\0')
        return api_fail(e, "MissingParameter",
                        "The request must contain GroupName and GroupDescription");
    if (strncmp(name, "sg-", 3) == 0)
        return api_fail(e, "InvalidParameterValue",
                        "Invalid value for groupName. It may not start with sg-");
    if (text_of(form, "VpcId")[0] != '\0' && strcmp(text_of(form, "VpcId"), SANDBOX_VPC) != 0)
        return api_fail(e, "InvalidVpcID.NotFound", "The vpc ID '%.60s' does not exist",
                        text_of(form, "VpcId"));
    if (find_by(world_list(s, "groups"), "name", name) != NULL)
        return api_fail(e, "InvalidGroup.Duplicate",
                        "The security group '%.100s' already exists for VPC '" SANDBOX_VPC "'",
                        name);
    cJSON *g = cJSON_CreateObject();
    make_id("sg", id, sizeof id);
    set_text(g, "id", id);
    set_text(g, "name", name);
    set_text(g, "description", text_of(form, "GroupDescription"));
    cJSON_AddArrayToObject(g, "rules");
    cJSON_AddItemToObject(g, "tags", form_tags(form, "security-group"));
    cJSON_AddItemToArray(world_list(s, "groups"), g);
    xml_add(out, "return", "true");
    xml_add(out, "groupId", id);
    return 0;
}

static const char *const filters[] = {"group-name", "group-id", "vpc-id", "description", NULL};

static bool matches(cJSON *g, const char *filter, const char *value) {
    bool matched = false;
    if (tag_matches(cJSON_GetObjectItem(g, "tags"), filter, value, &matched))
        return matched;
    if (strcmp(filter, "group-name") == 0)
        return pattern_matches(value, text_of(g, "name"));
    if (strcmp(filter, "group-id") == 0)
        return pattern_matches(value, text_of(g, "id"));
    if (strcmp(filter, "description") == 0)
        return pattern_matches(value, text_of(g, "description"));
    return strcmp(filter, "vpc-id") == 0 && pattern_matches(value, SANDBOX_VPC);
}

/* The one group of GroupId, or of GroupName as the default VPC takes it. */
cJSON *group_asked(struct sandbox *s, const cJSON *form, struct api_error *e) {
    const char *id = text_of(form, "GroupId"), *name = text_of(form, "GroupName");
    cJSON *g = id[0] != '\0' ? find_by(world_list(s, "groups"), "id", id)
                             : find_by(world_list(s, "groups"), "name", name);
    if (id[0] == '\0' && name[0] == '\0')
        api_fail(e, "MissingParameter", "The request must contain GroupId or GroupName");
    else if (g == NULL)
        api_fail(e, "InvalidGroup.NotFound", "The security group '%.100s' does not exist",
                 id[0] != '\0' ? id : name);
    return g;
}

static int describe(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    static const char *const lists[][2] = {{"GroupId", "id"}, {"GroupName", "name"}};
    cJSON *g;
    cJSON *ids = cJSON_CreateArray(); /* of all that are named */
    const cJSON *id;
    struct page page = {0};
    int rc = form_page(form, 5, 1000, &page, e);
    if (rc == 0)
        rc = form_check_filters(form, filters, e);
    for (size_t l = 0; l < 2; l++) {
        cJSON *given = form_list(form, lists[l][0]);
        cJSON_ArrayForEach(id, given) {
            g = find_by(world_list(s, "groups"), lists[l][1], cJSON_GetStringValue(id));
            if (g != NULL)
                cJSON_AddItemToArray(ids, cJSON_CreateString(text_of(g, "id")));
            else if (rc == 0)
                rc = api_fail(e, "InvalidGroup.NotFound",
                              "The security group '%.100s' does not exist",
                              cJSON_GetStringValue(id));
        }
        cJSON_Delete(given);
    }
    buf_adds(out, "<securityGroupInfo>");
    cJSON_ArrayForEach(g, world_list(s, "groups")) {
        bool listed = cJSON_GetArraySize(ids) == 0;
        cJSON_ArrayForEach(id, ids) listed |=
            strcmp(cJSON_GetStringValue(id), text_of(g, "id")) == 0;
        if (!listed || !form_filter(form, g, matches) || !page_has(&page))
            continue;
        buf_adds(out, "<item>");
        xml_add(out, "ownerId", SANDBOX_OWNER);
        xml_add(out, "groupId", text_of(g, "id"));
        xml_add(out, "groupName", text_of(g, "name"));
        xml_add(out, "groupDescription", text_of(g, "description"));
        xml_add(out, "vpcId", SANDBOX_VPC);
        rules_xml(out, cJSON_GetObjectItem(g, "rules"));
        xml_add_tags(out, cJSON_GetObjectItem(g, "tags"));
        buf_adds(out, "</item>");
    }
    buf_adds(out, "</securityGroupInfo>");
    if (rc == 0)
        page_end(&page, out);
    cJSON_Delete(ids);
    return rc;
}

static int delete_group(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    cJSON *list = world_list(s, "groups");
    cJSON *g = group_asked(s, form, e);
    if (g == NULL)
        return -1;
    char id[32];
    snprintf(id, sizeof id, "%s", text_of(g, "id"));
    if (strcmp(id, SANDBOX_GROUP) == 0)
        return api_fail(e, "CannotDelete",
                        "the specified group: \"%s\" name: \"default\" cannot be deleted by a user",
                        id);
    const char *user = in_use_by(s, id);
    if (user != NULL)
        return api_fail(e, "DependencyViolation", "resource %s has a dependent object (%s)", id,
                        user);
    cJSON_Delete(cJSON_DetachItemViaPointer(list, g));
    xml_add(out, "return", "true");
    xml_add(out, "groupId", id);
    return 0;
}

const struct action group_actions[] = {
    {"CreateSecurityGroup", create, true},
    {"DescribeSecurityGroups", describe, false},
    {"DeleteSecurityGroup", delete_group, true},
    {NULL, NULL, false},
};
