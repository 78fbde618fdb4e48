/* Security groups. Their rules are kept and answered for; packets are not filtered (docs). */
#include "providers/sandbox/internal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const cJSON *in_use_by(struct sandbox *s, const char *group) {
    const cJSON *i, *g;
    cJSON_ArrayForEach(i, world_list(s, "instances")) {
        if (strcmp(text_of(i, "state"), "terminated") == 0)
            continue;
        cJSON_ArrayForEach(g, cJSON_GetObjectItem(i, "groups")) if (strcmp(cJSON_GetStringValue(g),
                                                                           group) == 0) return i;
    }
    return NULL;
}

static int create(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    const char *name = text_of(form, "GroupName");
    char id[32];
    if (name[0] == '\0' || text_of(form, "GroupDescription")[0] == '\0')
        return api_fail(e, "MissingParameter",
                        "The request must contain GroupName and GroupDescription");
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

/* Where each kind of source stands in an answer and in a request. */
static const struct source {
    const char *kind, *list, *member;
} sources[] = {
    {"cidr", "ipRanges", "cidrIp"},
    {"cidr6", "ipv6Ranges", "cidrIpv6"},
    {"group", "groups", "groupId"},
};

enum { SOURCES = sizeof sources / sizeof sources[0] };

static void add_rules(struct buf *out, const cJSON *rules) {
    const cJSON *r;
    buf_adds(out, "<ipPermissions>");
    cJSON_ArrayForEach(r, rules) {
        buf_adds(out, "<item>");
        xml_add(out, "ipProtocol", text_of(r, "protocol"));
        if (text_of(r, "from")[0] != '\0') {
            xml_add(out, "fromPort", text_of(r, "from"));
            xml_add(out, "toPort", text_of(r, "to"));
        }
        for (size_t k = 0; k < SOURCES; k++) {
            buf_addf(out, "<%s>", sources[k].list);
            if (strcmp(text_of(r, "kind"), sources[k].kind) == 0) {
                buf_adds(out, "<item>");
                xml_add(out, sources[k].member, text_of(r, "source"));
                buf_adds(out, "</item>");
            }
            buf_addf(out, "</%s>", sources[k].list);
        }
        buf_adds(out, "<prefixListIds/></item>");
    }
    buf_adds(out, "</ipPermissions><ipPermissionsEgress><item><ipProtocol>-1</ipProtocol>"
                  "<ipRanges><item><cidrIp>0.0.0.0/0</cidrIp></item></ipRanges></item>"
                  "</ipPermissionsEgress>");
}

/* The one group of GroupId, or of GroupName as the default VPC takes it. */
static cJSON *named(struct sandbox *s, const cJSON *form, struct api_error *e) {
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
    int rc = form_check_filters(form, filters, e);
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
        if (!listed || !form_filter(form, g, matches))
            continue;
        buf_adds(out, "<item>");
        xml_add(out, "ownerId", SANDBOX_OWNER);
        xml_add(out, "groupId", text_of(g, "id"));
        xml_add(out, "groupName", text_of(g, "name"));
        xml_add(out, "groupDescription", text_of(g, "description"));
        xml_add(out, "vpcId", SANDBOX_VPC);
        add_rules(out, cJSON_GetObjectItem(g, "rules"));
        xml_add_tags(out, cJSON_GetObjectItem(g, "tags"));
        buf_adds(out, "</item>");
    }
    buf_adds(out, "</securityGroupInfo>");
    cJSON_Delete(ids);
    return rc;
}

/* IpPermissions.N.… flattened: one rule a source. */
static cJSON *form_rules(const cJSON *form) {
    cJSON *rules = cJSON_CreateArray();
    char key[128], tail[64];
    for (int n = 1; n <= 200; n++) {
        snprintf(key, sizeof key, "IpPermissions.%d.IpProtocol", n);
        const char *protocol = text_of(form, key);
        if (protocol[0] == '\0')
            break;
        for (size_t k = 0; k < SOURCES; k++) {
            for (int v = 1; v <= 200; v++) {
                if (sources[k].kind[0] == 'g')
                    snprintf(tail, sizeof tail, "Groups.%d.GroupId", v);
                else if (strcmp(sources[k].kind, "cidr6") == 0)
                    snprintf(tail, sizeof tail, "Ipv6Ranges.%d.CidrIpv6", v);
                else
                    snprintf(tail, sizeof tail, "IpRanges.%d.CidrIp", v);
                snprintf(key, sizeof key, "IpPermissions.%d.%s", n, tail);
                const char *source = text_of(form, key);
                if (source[0] == '\0')
                    break;
                cJSON *r = cJSON_CreateObject();
                set_text(r, "protocol", protocol);
                snprintf(key, sizeof key, "IpPermissions.%d.FromPort", n);
                set_text(r, "from", text_of(form, key));
                snprintf(key, sizeof key, "IpPermissions.%d.ToPort", n);
                set_text(r, "to", text_of(form, key));
                set_text(r, "kind", sources[k].kind);
                set_text(r, "source", source);
                cJSON_AddItemToArray(rules, r);
            }
        }
    }
    return rules;
}

static cJSON *find_rule(cJSON *rules, const cJSON *rule) {
    cJSON *r;
    cJSON_ArrayForEach(r, rules) if (cJSON_Compare(r, rule, true)) return r;
    return NULL;
}

static bool source_good(const cJSON *rule) {
    unsigned char address[16];
    char text[64];
    const char *source = text_of(rule, "source");
    struct str rest = str_of(source), head;
    bool v6 = strcmp(text_of(rule, "kind"), "cidr6") == 0;
    int64_t bits;
    if (strcmp(text_of(rule, "kind"), "group") == 0)
        return true;
    if (!str_split(&rest, '/', &head) || head.len >= sizeof text)
        return false;
    snprintf(text, sizeof text, "%.*s", STR_FMT(head));
    return inet_pton(v6 ? AF_INET6 : AF_INET, text, address) == 1 &&
           str_to_i64(rest, 0, v6 ? 128 : 32, &bits);
}

static int change_rules(struct sandbox *s, const cJSON *form, struct buf *out, struct api_error *e,
                        bool add) {
    cJSON *g = named(s, form, e);
    if (g == NULL)
        return -1;
    cJSON *rules = cJSON_GetObjectItem(g, "rules");
    cJSON *asked = form_rules(form);
    const cJSON *r;
    int rc = cJSON_GetArraySize(asked) > 0
                 ? 0
                 : api_fail(e, "MissingParameter", "The request must contain IpPermissions");
    cJSON_ArrayForEach(r, asked) {
        bool there = find_rule(rules, r) != NULL;
        if (rc == 0 && add && !source_good(r))
            rc = api_fail(e, "InvalidParameterValue", "CIDR block %.60s is malformed",
                          text_of(r, "source"));
        else if (rc == 0 && add && there)
            rc =
                api_fail(e, "InvalidPermission.Duplicate",
                         "the specified rule \"peer: %.60s\" already exists", text_of(r, "source"));
        else if (rc == 0 && !add && !there)
            rc = api_fail(e, "InvalidPermission.NotFound",
                          "The specified rule does not exist in this security group.");
    }
    cJSON_ArrayForEach(r, asked) {
        if (rc < 0)
            break;
        if (add)
            cJSON_AddItemToArray(rules, cJSON_Duplicate(r, true));
        else
            cJSON_Delete(cJSON_DetachItemViaPointer(rules, find_rule(rules, r)));
    }
    cJSON_Delete(asked);
    xml_add(out, "return", "true");
    return rc;
}

static int authorize(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    return change_rules(s, form, out, e, true);
}

static int revoke(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    return change_rules(s, form, out, e, false);
}

static int delete_group(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    cJSON *list = world_list(s, "groups");
    cJSON *g = named(s, form, e);
    if (g == NULL)
        return -1;
    char id[32];
    snprintf(id, sizeof id, "%s", text_of(g, "id"));
    const cJSON *user = in_use_by(s, id);
    if (user != NULL)
        return api_fail(e, "DependencyViolation", "resource %s has a dependent object (%s)", id,
                        text_of(user, "id"));
    cJSON_Delete(cJSON_DetachItemViaPointer(list, g));
    xml_add(out, "return", "true");
    xml_add(out, "groupId", id);
    return 0;
}

const struct action group_actions[] = {
    {"CreateSecurityGroup", create, true},
    {"DescribeSecurityGroups", describe, false},
    {"AuthorizeSecurityGroupIngress", authorize, true},
    {"RevokeSecurityGroupIngress", revoke, true},
    {"DeleteSecurityGroup", delete_group, true},
    {NULL, NULL, false},
};
