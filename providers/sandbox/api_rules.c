/* Rules of security groups: one record a source, shown by protocol and ports as EC2 does.
 * https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_SecurityGroupRule.html */
#include "providers/sandbox/api.h"
#include "providers/sandbox/instance.h"
#include "providers/sandbox/internal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum { RULES_MAX = 60, DESCRIPTION_MAX = 255 };

/* Where each kind of source stands in a request, in an answer, and in a rule that stands alone. */
static const struct source {
    const char *kind, *asked, *asked_member, *list, *member, *alone;
} sources[] = {
    {"cidr", "IpRanges", "CidrIp", "ipRanges", "cidrIp", "cidrIpv4"},
    {"cidr6", "Ipv6Ranges", "CidrIpv6", "ipv6Ranges", "cidrIpv6", "cidrIpv6"},
    {"group", "Groups", "GroupId", "groups", "groupId", NULL},
};

enum { SOURCES = sizeof sources / sizeof sources[0] };

/* ---- What is asked */

/* EC2 keeps the network of a CIDR, and protocols by name. */
static bool normalize_cidr(bool v6, const char *source, char *ret, size_t size) {
    unsigned char address[16];
    char text[INET6_ADDRSTRLEN];
    struct str rest = str_of(source), head;
    int64_t bits;
    if (!str_split(&rest, '/', &head) || head.len >= sizeof text || rest.ptr == NULL)
        return false;
    snprintf(text, sizeof text, "%.*s", STR_FMT(head));
    if (inet_pton(v6 ? AF_INET6 : AF_INET, text, address) != 1 ||
        !str_to_i64(rest, 0, v6 ? 128 : 32, &bits))
        return false;
    for (int bit = (int)bits; bit < (v6 ? 128 : 32); bit++)
        address[bit / 8] &= (unsigned char)~(0x80 >> bit % 8);
    if (inet_ntop(v6 ? AF_INET6 : AF_INET, address, text, sizeof text) == NULL)
        return false;
    snprintf(ret, size, "%s/%d", text, (int)bits);
    return true;
}

static const char *protocol_name(const char *protocol) {
    static const char *const names[][2] = {
        {"6", "tcp"}, {"17", "udp"}, {"1", "icmp"}, {"all", "-1"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i][0], protocol) == 0)
            return names[i][1];
    return protocol;
}

static int check_description(const char *text, struct api_error *e) {
    if (strlen(text) > DESCRIPTION_MAX ||
        text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                          " ._-:/()#,@[]+=&;{}!$*")] != '\0')
        return api_fail(e, "InvalidParameterValue",
                        "Invalid rule description. Valid descriptions are strings less than 256 "
                        "characters from the following set: a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*");
    return 0;
}

/* One source of one permission; `prefix` is where its protocol and ports stand. */
static int add_rule(cJSON *rules, const cJSON *form, const char *prefix, const struct source *k,
                    const char *source, const char *description, struct api_error *e) {
    char key[128], cidr[64];
    snprintf(cidr, sizeof cidr, "%.60s", source);
    if (k->alone != NULL && !normalize_cidr(k->kind[4] == '6', source, cidr, sizeof cidr))
        return api_fail(e, "InvalidParameterValue", "CIDR block %.60s is malformed", source);
    if (check_description(description, e) < 0)
        return -1;
    snprintf(key, sizeof key, "%sIpProtocol", prefix);
    const char *protocol = protocol_name(text_of(form, key));
    cJSON *r = cJSON_CreateObject();
    set_text(r, "protocol", protocol);
    bool ports = strcmp(protocol, "-1") != 0;
    snprintf(key, sizeof key, "%sFromPort", prefix);
    set_text(r, "from", ports ? text_of(form, key) : "");
    snprintf(key, sizeof key, "%sToPort", prefix);
    set_text(r, "to", ports ? text_of(form, key) : "");
    set_text(r, "kind", k->kind);
    set_text(r, "source", cidr);
    set_text(r, "description", description);
    cJSON_AddItemToArray(rules, r);
    return 0;
}

/* IpPermissions.N.… flattened, or the one permission whose members stand alone. */
static int form_rules(const cJSON *form, cJSON *rules, struct api_error *e) {
    char prefix[40], key[128], tail[128];
    int rc = 0;
    for (int n = 1; n <= 200; n++) {
        snprintf(prefix, sizeof prefix, "IpPermissions.%d.", n);
        snprintf(key, sizeof key, "%sIpProtocol", prefix);
        if (text_of(form, key)[0] == '\0')
            break;
        for (size_t k = 0; k < SOURCES; k++)
            for (int v = 1; v <= 200 && rc == 0; v++) {
                snprintf(key, sizeof key, "%s%s.%d.%s", prefix, sources[k].asked, v,
                         sources[k].asked_member);
                const char *source = text_of(form, key);
                if (source[0] == '\0')
                    break;
                snprintf(tail, sizeof tail, "%s%s.%d.Description", prefix, sources[k].asked, v);
                rc = add_rule(rules, form, prefix, &sources[k], source, text_of(form, tail), e);
            }
    }
    if (rc == 0 && text_of(form, "CidrIp")[0] != '\0')
        rc = add_rule(rules, form, "", &sources[0], text_of(form, "CidrIp"), "", e);
    return rc;
}

static cJSON *find_rule(cJSON *rules, const cJSON *rule) {
    static const char *const key[] = {"protocol", "from", "to", "kind", "source"};
    cJSON *r;
    cJSON_ArrayForEach(r, rules) {
        bool same = true;
        for (size_t i = 0; i < sizeof key / sizeof key[0]; i++)
            same = same && strcmp(text_of(r, key[i]), text_of(rule, key[i])) == 0;
        if (same)
            return r;
    }
    return NULL;
}

/* ---- What is shown */

static void add_source(struct buf *out, const cJSON *r) {
    for (size_t k = 0; k < SOURCES; k++) {
        if (strcmp(text_of(r, "kind"), sources[k].kind) != 0)
            continue;
        buf_adds(out, "<item>");
        if (sources[k].alone == NULL)
            xml_add(out, "userId", SANDBOX_OWNER);
        xml_add(out, sources[k].member, text_of(r, "source"));
        if (text_of(r, "description")[0] != '\0')
            xml_add(out, "description", text_of(r, "description"));
        buf_adds(out, "</item>");
    }
}

static bool same_ports(const cJSON *a, const cJSON *b) {
    return strcmp(text_of(a, "protocol"), text_of(b, "protocol")) == 0 &&
           strcmp(text_of(a, "from"), text_of(b, "from")) == 0 &&
           strcmp(text_of(a, "to"), text_of(b, "to")) == 0;
}

void rules_xml(struct buf *out, const cJSON *rules) {
    const cJSON *r, *other;
    buf_adds(out, "<ipPermissions>");
    cJSON_ArrayForEach(r, rules) {
        bool first = true;
        for (other = rules->child; other != r; other = other->next)
            first = first && !same_ports(other, r);
        if (!first)
            continue;
        buf_adds(out, "<item>");
        xml_add(out, "ipProtocol", text_of(r, "protocol"));
        if (text_of(r, "from")[0] != '\0') {
            xml_add(out, "fromPort", text_of(r, "from"));
            xml_add(out, "toPort", text_of(r, "to"));
        }
        for (size_t k = 0; k < SOURCES; k++) {
            buf_addf(out, "<%s>", sources[k].list);
            cJSON_ArrayForEach(other, rules) if (same_ports(other, r) &&
                                                 strcmp(text_of(other, "kind"), sources[k].kind) ==
                                                     0) add_source(out, other);
            buf_addf(out, "</%s>", sources[k].list);
        }
        buf_adds(out, "<prefixListIds/></item>");
    }
    buf_adds(out, "</ipPermissions><ipPermissionsEgress><item><ipProtocol>-1</ipProtocol>"
                  "<ipRanges><item><cidrIp>0.0.0.0/0</cidrIp></item></ipRanges></item>"
                  "</ipPermissionsEgress>");
}

static void add_alone(struct buf *out, const cJSON *g, const cJSON *r) {
    buf_adds(out, "<item>");
    xml_add(out, "securityGroupRuleId", text_of(r, "id"));
    xml_add(out, "groupId", text_of(g, "id"));
    buf_adds(out, "<groupOwnerId>" SANDBOX_OWNER "</groupOwnerId><isEgress>false</isEgress>");
    xml_add(out, "ipProtocol", text_of(r, "protocol"));
    xml_add(out, "fromPort", text_of(r, "from")[0] == '\0' ? "-1" : text_of(r, "from"));
    xml_add(out, "toPort", text_of(r, "to")[0] == '\0' ? "-1" : text_of(r, "to"));
    for (size_t k = 0; k < SOURCES; k++)
        if (strcmp(text_of(r, "kind"), sources[k].kind) == 0 && sources[k].alone != NULL)
            xml_add(out, sources[k].alone, text_of(r, "source"));
    if (strcmp(text_of(r, "kind"), "group") == 0) {
        buf_adds(out, "<referencedGroupInfo>");
        xml_add(out, "groupId", text_of(r, "source"));
        buf_adds(out, "<userId>" SANDBOX_OWNER "</userId></referencedGroupInfo>");
    }
    if (text_of(r, "description")[0] != '\0')
        xml_add(out, "description", text_of(r, "description"));
    xml_add_tags(out, cJSON_GetObjectItem(r, "tags"));
    buf_adds(out, "</item>");
}

/* ---- Changes: all or nothing */

static int authorize(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    cJSON *g = group_asked(s, form, e);
    cJSON *rules = cJSON_GetObjectItem(g, "rules");
    cJSON *asked = cJSON_CreateArray();
    cJSON *r;
    char id[40];
    int rc = g == NULL ? -1 : form_rules(form, asked, e);
    if (rc == 0 && cJSON_GetArraySize(asked) == 0)
        rc = api_fail(e, "MissingParameter", "The request must contain IpPermissions");
    if (rc == 0 && cJSON_GetArraySize(rules) + cJSON_GetArraySize(asked) > RULES_MAX)
        rc = api_fail(e, "RulesPerSecurityGroupLimitExceeded",
                      "The maximum number of rules per security group has been reached.");
    cJSON_ArrayForEach(r, asked) {
        if (rc == 0 && find_rule(rules, r) != NULL)
            rc = api_fail(e, "InvalidPermission.Duplicate",
                          "the specified rule \"peer: %.60s, %s, from port: %s, to port: %s, "
                          "ALLOW\" already exists",
                          text_of(r, "source"), text_of(r, "protocol"), text_of(r, "from"),
                          text_of(r, "to"));
        if (rc == 0 && strcmp(text_of(r, "kind"), "group") == 0 &&
            find_by(world_list(s, "groups"), "id", text_of(r, "source")) == NULL)
            rc = api_fail(e, "InvalidGroup.NotFound", "The security group '%.60s' does not exist",
                          text_of(r, "source"));
    }
    xml_add(out, "return", "true");
    buf_adds(out, "<securityGroupRuleSet>");
    while (rc == 0 && (r = cJSON_DetachItemFromArray(asked, 0)) != NULL) {
        make_id("sgr", id, sizeof id);
        set_text(r, "id", id);
        cJSON_AddItemToObject(r, "tags", form_tags(form, "security-group-rule"));
        cJSON_AddItemToArray(rules, r);
        add_alone(out, g, r);
    }
    buf_adds(out, "</securityGroupRuleSet>");
    cJSON_Delete(asked);
    return rc;
}

/* The rules that a request means, by id or by what they are, as a list of ids. */
static int rules_meant(cJSON *g, const cJSON *form, cJSON **ret, struct api_error *e) {
    cJSON *rules = cJSON_GetObjectItem(g, "rules");
    cJSON *ids = form_list(form, "SecurityGroupRuleId");
    cJSON *asked = cJSON_CreateArray();
    const cJSON *item;
    int rc = g == NULL ? -1 : form_rules(form, asked, e);
    cJSON_ArrayForEach(item, ids) if (rc == 0 &&
                                      find_by(rules, "id", cJSON_GetStringValue(item)) == NULL) rc =
        api_fail(e, "InvalidSecurityGroupRuleId.NotFound",
                 "The security group rule ID '%.60s' does not exist", cJSON_GetStringValue(item));
    cJSON_ArrayForEach(item, asked) {
        const cJSON *there = find_rule(rules, item);
        if (rc == 0 && there == NULL)
            rc = api_fail(e, "InvalidPermission.NotFound",
                          "The specified rule does not exist in this security group.");
        else if (rc == 0)
            cJSON_AddItemToArray(ids, cJSON_CreateString(text_of(there, "id")));
    }
    cJSON_Delete(asked);
    if (rc == 0 && cJSON_GetArraySize(ids) == 0)
        rc = api_fail(e, "MissingParameter",
                      "The request must contain IpPermissions or SecurityGroupRuleId");
    if (rc < 0) {
        cJSON_Delete(ids);
        return rc;
    }
    *ret = ids;
    return 0;
}

static int revoke(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    cJSON *g = group_asked(s, form, e);
    cJSON *rules = cJSON_GetObjectItem(g, "rules");
    cJSON *ids;
    const cJSON *id;
    if (rules_meant(g, form, &ids, e) < 0)
        return -1;
    cJSON_ArrayForEach(id, ids) {
        cJSON *r = find_by(rules, "id", cJSON_GetStringValue(id));
        if (r != NULL) /* it may be meant twice */
            cJSON_Delete(cJSON_DetachItemViaPointer(rules, r));
    }
    cJSON_Delete(ids);
    xml_add(out, "return", "true");
    return 0;
}

static int describe_again(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    cJSON *g = group_asked(s, form, e);
    cJSON *rules = cJSON_GetObjectItem(g, "rules");
    cJSON *asked = cJSON_CreateArray();
    const cJSON *item;
    char key[80];
    int rc = g == NULL ? -1 : form_rules(form, asked, e);
    cJSON_ArrayForEach(item, asked) if (rc == 0 && find_rule(rules, item) == NULL) rc =
        api_fail(e, "InvalidPermission.NotFound",
                 "The specified rule does not exist in this security group.");
    cJSON_ArrayForEach(item, asked) if (rc == 0)
        set_text(find_rule(rules, item), "description", text_of(item, "description"));
    cJSON_Delete(asked);
    for (int n = 1; rc == 0 && n <= RULES_MAX; n++) {
        snprintf(key, sizeof key, "SecurityGroupRuleDescription.%d.SecurityGroupRuleId", n);
        const char *id = text_of(form, key);
        if (id[0] == '\0')
            break;
        cJSON *r = find_by(rules, "id", id);
        snprintf(key, sizeof key, "SecurityGroupRuleDescription.%d.Description", n);
        if (r == NULL)
            rc = api_fail(e, "InvalidSecurityGroupRuleId.NotFound",
                          "The security group rule ID '%.60s' does not exist", id);
        else if ((rc = check_description(text_of(form, key), e)) == 0)
            set_text(r, "description", text_of(form, key));
    }
    xml_add(out, "return", "true");
    return rc;
}

static int describe(struct sandbox *s, cJSON *form, struct buf *out, struct api_error *e) {
    static const char *const filters[] = {"group-id", "security-group-rule-id", NULL};
    struct page page;
    if (form_page(form, 5, 1000, &page, e) < 0 || form_check_filters(form, filters, e) < 0)
        return -1;
    cJSON *ids = form_list(form, "SecurityGroupRuleId");
    int found = 0;
    const cJSON *g, *r;
    buf_adds(out, "<securityGroupRuleSet>");
    cJSON_ArrayForEach(g, world_list(s, "groups"))
        cJSON_ArrayForEach(r, cJSON_GetObjectItem(g, "rules")) {
        cJSON *view = cJSON_CreateObject();
        set_text(view, "group-id", text_of(g, "id"));
        set_text(view, "security-group-rule-id", text_of(r, "id"));
        cJSON_AddItemToObject(view, "tags", cJSON_Duplicate(cJSON_GetObjectItem(r, "tags"), true));
        bool named = list_has(ids, text_of(r, "id"));
        found += named;
        if ((named || cJSON_GetArraySize(ids) == 0) && form_filter(form, view, member_matches) &&
            page_has(&page))
            add_alone(out, g, r);
        cJSON_Delete(view);
    }
    buf_adds(out, "</securityGroupRuleSet>");
    page_end(&page, out);
    int rc = found < cJSON_GetArraySize(ids)
                 ? api_fail(e, "InvalidSecurityGroupRuleId.NotFound",
                            "A security group rule ID of the request does not exist")
                 : 0;
    cJSON_Delete(ids);
    return rc;
}

const struct action rule_actions[] = {
    {"AuthorizeSecurityGroupIngress", authorize, true},
    {"RevokeSecurityGroupIngress", revoke, true},
    {"UpdateSecurityGroupRuleDescriptionsIngress", describe_again, true},
    {"DescribeSecurityGroupRules", describe, false},
    {NULL, NULL, false},
};
