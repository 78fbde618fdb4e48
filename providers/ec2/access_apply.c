/* Making, changing and deleting the security group. */
#include "providers/ec2/internal.h"

#include <stdio.h>
#include <string.h>

#define RECORD struct access_record

/* "22", "8000-8010"; ICMP's type and code may be -1, which means any: "-1", "8--1". */
static void add_ports(struct query *q, size_t n, struct str ports) {
    char from[32], to[32];
    const char *dash = ports.len < 2 ? NULL : memchr(ports.ptr + 1, '-', ports.len - 1);
    struct str first = {ports.ptr, dash == NULL ? ports.len : (size_t)(dash - ports.ptr)};
    struct str last = dash == NULL ? ports : (struct str){dash + 1, ports.len - first.len - 1};
    snprintf(from, sizeof from, "%.*s", STR_FMT(first));
    snprintf(to, sizeof to, "%.*s", STR_FMT(last));
    query_add_at(q, "IpPermissions.%zu.FromPort", n, from);
    query_add_at(q, "IpPermissions.%zu.ToPort", n, to);
}

/* How EC2 calls the sources of a rule. */
enum { OF_V4, OF_V6, OF_GROUP, OF_PREFIX_LIST };
static const struct source {
    const char *key, *words_key;
} sources[] = {
    [OF_V4] = {"IpPermissions.%zu.IpRanges.1.CidrIp", "IpPermissions.%zu.IpRanges.1.Description"},
    [OF_V6] = {"IpPermissions.%zu.Ipv6Ranges.1.CidrIpv6",
               "IpPermissions.%zu.Ipv6Ranges.1.Description"},
    [OF_GROUP] = {"IpPermissions.%zu.Groups.1.GroupId", "IpPermissions.%zu.Groups.1.Description"},
    [OF_PREFIX_LIST] = {"IpPermissions.%zu.PrefixListIds.1.PrefixListId",
                        "IpPermissions.%zu.PrefixListIds.1.Description"},
};

/* "tcp 22 203.0.113.7/32" → IpPermissions.N.… */
static void add_permission(struct query *q, size_t n, const char *rule, const char *words) {
    struct str rest = str_of(rule);
    struct str protocol = {NULL, 0}, ports = {NULL, 0}, source = {NULL, 0};
    char text[128];
    str_split(&rest, ' ', &protocol);
    str_split(&rest, ' ', &ports);
    if (!str_split(&rest, ' ', &source)) { /* no ports */
        source = ports;
        ports = (struct str){NULL, 0};
    }
    bool all = str_eqc(protocol, "all");
    snprintf(text, sizeof text, "%.*s", STR_FMT(protocol));
    query_add_at(q, "IpPermissions.%zu.IpProtocol", n, all ? "-1" : text);
    if (ports.ptr != NULL)
        add_ports(q, n, ports);
    snprintf(text, sizeof text, "%.*s", STR_FMT(source));
    bool v6 = source.len > 0 && memchr(source.ptr, ':', source.len) != NULL;
    const struct source *kind = str_starts(source, STR("sg-"))   ? &sources[OF_GROUP]
                                : str_starts(source, STR("pl-")) ? &sources[OF_PREFIX_LIST]
                                                                 : &sources[v6 ? OF_V6 : OF_V4];
    query_add_at(q, kind->key, n, text);
    if (words != NULL && words[0] != '\0')
        query_add_at(q, kind->words_key, n, words);
}

/* Which rules of `from` a call is for: */
static bool is_new(const struct strpair *rule, const struct strmap *other) {
    return strmap_get(other, rule->key) == NULL;
}

static bool is_described_otherwise(const struct strpair *rule, const struct strmap *other) {
    const char *words = strmap_get(other, rule->key);
    return words != NULL && !cstr_eq(words, rule->value);
}

static const struct call {
    const char *action;
    bool (*picks)(const struct strpair *rule, const struct strmap *other);
    bool words; /* it takes the descriptions */
} calls[] = {
    [ACCESS_LET_IN] = {"AuthorizeSecurityGroupIngress", is_new, true},
    [ACCESS_DESCRIBE] = {"UpdateSecurityGroupRuleDescriptionsIngress", is_described_otherwise,
                         true},
    [ACCESS_SHUT_OUT] = {"RevokeSecurityGroupIngress", is_new, false},
};

size_t access_add_rules(struct query *q, enum access_call call, const struct strmap *from,
                        const struct strmap *other) {
    size_t n = 0;
    for (size_t i = 0; i < from->len; i++)
        if (calls[call].picks(&from->items[i], other))
            add_permission(q, ++n, from->items[i].key,
                           calls[call].words ? from->items[i].value : NULL);
    return n;
}

static int send_rules(struct ec2_session *s, enum access_call call, const char *group_id,
                      const struct strmap *from, const struct strmap *other, struct arena *arena,
                      struct err *err);

/* One rule that is there already (or gone already) fails the call for all: then each by itself. */
static int send_singly(struct ec2_session *s, enum access_call call, const char *group_id,
                       const struct strmap *from, const struct strmap *other, struct arena *arena,
                       struct err *err) {
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < from->len; i++) {
        const struct strmap one = {.items = &from->items[i], .len = 1, .cap = 1};
        rc = send_rules(s, call, group_id, &one, other, arena, err);
    }
    return rc;
}

static int send_rules(struct ec2_session *s, enum access_call call, const char *group_id,
                      const struct strmap *from, const struct strmap *other, struct arena *arena,
                      struct err *err) {
    const char *action = calls[call].action;
    struct query q;
    struct xml *xml;
    query_init(&q, action);
    query_add(&q, "GroupId", group_id);
    size_t n = access_add_rules(&q, call, from, other);
    if (n == 0) {
        query_free(&q);
        return 0;
    }
    int rc = ec2_call_settling(s, &q, action, false, arena, &xml, err);
    if (rc == 0 ||
        (!ec2_is(err, "InvalidPermission.Duplicate") && !ec2_is(err, "InvalidPermission.NotFound")))
        return rc;
    /* Somebody was faster, or an answer was lost. */
    return n == 1 ? 0 : send_singly(s, call, group_id, from, other, arena, err);
}

/* A group of the name is there. A run that was cut may have made it, and EC2 did not show it yet
 * when this one looked: then it is ours. Else `err` stays as it is. */
static int find_made(struct ec2_session *s, struct arena *arena, const char **ret_id,
                     struct err *err) {
    struct err refusal = *err;
    struct query q;
    struct xml *xml = NULL;
    access_ask_live(s, &q);
    int rc = ec2_call(s, &q, "DescribeSecurityGroups", false, arena, &xml, err);
    for (const struct xml *item = rc < 0 ? NULL : xml_first_item(xml, "securityGroupInfo");
         item != NULL; item = xml_next_item(item))
        if (ec2_is_ours(item, s->run) && (*ret_id = xml_text(item, "groupId")) != NULL)
            return 0;
    *err = refusal;
    return -err->code;
}

static int create(struct ec2_session *s, struct change *c, RECORD *record, struct arena *arena,
                  const struct apply_ops *ops, struct err *err) {
    struct query q;
    struct xml *xml;
    const char *id = NULL, *vpc = NULL;
    int rc = ops->intent(ops->ctx, c, err);
    if (rc < 0)
        return rc;
    rc = subnet_find_vpc(s, record->subnet, arena, &vpc, err);
    if (rc < 0)
        return rc;
    query_init(&q, "CreateSecurityGroup");
    query_add(&q, "VpcId", vpc);
    query_add(&q, "GroupName", record->name);
    query_addf(&q, "GroupDescription", "Access to %s, kept by berth", s->run->name);
    ec2_add_tags(&q, 1, "security-group", s->run, "access", EC2_NO_INDEX, &record->tags);
    /* Names are unique: sent again after a lost answer, it makes no second one. */
    rc = ec2_call(s, &q, "CreateSecurityGroup", false, arena, &xml, err);
    if (rc == 0)
        id = xml_text(xml, "groupId");
    else if (ec2_is(err, "InvalidGroup.Duplicate"))
        rc = find_made(s, arena, &id, err);
    if (rc < 0)
        return rc;
    record->group_id = arena_dup(arena, id);
    if (record->group_id == NULL)
        return err_set(err, ERRC_NET, "CreateSecurityGroup: the answer has no id");
    return ops->created(ops->ctx, c, record->group_id, record, err);
}

enum { DELETE_TRIES = 40, QUICK_TRIES = 5, USED_TRIES = 5 };

/* Who still uses it: EC2 says only that somebody does. */
static const char *users_of(struct ec2_session *s, const char *id, struct arena *arena) {
    struct query q;
    struct xml *xml = NULL;
    struct err ignored;
    query_init(&q, "DescribeNetworkInterfaces");
    query_add_filter(&q, 1, "group-id", (const char *const[]){id, NULL});
    if (ec2_call(s, &q, "DescribeNetworkInterfaces", false, arena, &xml, &ignored) < 0)
        return NULL;
    const struct xml *item = xml_first_item(xml, "networkInterfaceSet");
    const char *eni = xml_text(item, "networkInterfaceId");
    const char *instance = xml_text(item, "attachment/instanceId");
    const char *words = xml_text(item, "description");
    if (eni == NULL)
        return NULL;
    return instance != NULL && instance[0] != '\0'
               ? arena_printf(arena, "%s of %s uses it", eni, instance)
               : arena_printf(arena, "%s (%s) uses it", eni,
                              words == NULL || words[0] == '\0' ? "?" : words);
}

static int add_users(const char *users, struct err *err) {
    size_t len = strlen(err->msg);
    if (users == NULL)
        return -err->code;
    snprintf(err->msg + len, sizeof err->msg - len, ": %s", users);
    err_hint(err, "take the group off it, or delete it; then destroy again");
    return -err->code;
}

static int delete_group(struct ec2_session *s, const struct change *c, struct arena *arena,
                        const struct apply_ops *ops, struct err *err) {
    const char *id = change_id(c);
    const char *users = NULL;
    int used = 0; /* tries at which somebody was seen to use it */
    if (id == NULL)
        return 0;
    for (int i = 0; i < DELETE_TRIES && used < USED_TRIES; i++) {
        struct query q;
        struct xml *xml;
        query_init(&q, "DeleteSecurityGroup");
        query_add(&q, "GroupId", id);
        int rc = ec2_call(s, &q, "DeleteSecurityGroup", false, arena, &xml, err);
        if (rc == 0 || ec2_is(err, "InvalidGroup.NotFound"))
            return 0;
        if (!ec2_is(err, "DependencyViolation"))
            return rc;
        if (i >= QUICK_TRIES) /* no server of ours that is just ending */
            users = users_of(s, id, arena);
        used += users != NULL;
        const char *text = users == NULL ? "waiting for its servers to let go"
                                         : arena_printf(arena, "waiting: %s", users);
        ops->progress(ops->ctx, (struct change *)c, text == NULL ? "waiting" : text);
        if (!ec2_sleep(s, i < QUICK_TRIES ? 0.3 * (i + 1) : 3))
            return err_set(err, ERRC_CANCELLED, "interrupted");
    }
    return add_users(users, err);
}

static int retag(struct ec2_session *s, const RECORD *before, const RECORD *after,
                 struct arena *arena, struct err *err) {
    const struct ec2_tagging tagging = {.ids = &after->group_id,
                                        .ids_len = 1,
                                        .node = "access",
                                        .first_index = EC2_NO_INDEX,
                                        .mend = !before->tagged,
                                        .before = &before->tags,
                                        .after = &after->tags};
    return ec2_tag(s, &tagging, arena, err);
}

static int apply_one(struct ec2_session *s, struct change *c, struct arena *arena,
                     const struct apply_ops *ops, struct err *err) {
    int rc = 0;
    if (c->action == ACTION_DESTROY || c->action == ACTION_REPLACE)
        rc = delete_group(s, c, arena, ops, err);
    if (rc < 0)
        return rc;
    if (c->action == ACTION_DESTROY)
        return ops->done(ops->ctx, c, NULL, err);
    const RECORD *before = c->action == ACTION_UPDATE ? c->before : NULL;
    const struct strmap none = {0};
    const struct strmap *had = before == NULL ? &none : &before->rules;
    RECORD record = *(const RECORD *)c->after;
    if (before == NULL)
        rc = create(s, c, &record, arena, ops, err);
    else
        rc = retag(s, before, &record, arena, err);
    /* First let in, then shut out: nobody is locked out in between. */
    if (rc == 0)
        rc = send_rules(s, ACCESS_LET_IN, record.group_id, &record.rules, had, arena, err);
    if (rc == 0)
        rc = send_rules(s, ACCESS_DESCRIBE, record.group_id, &record.rules, had, arena, err);
    if (rc == 0)
        rc = send_rules(s, ACCESS_SHUT_OUT, record.group_id, had, &record.rules, arena, err);
    return rc < 0 ? rc : ops->done(ops->ctx, c, &record, err);
}

int access_apply(struct ec2_session *s, struct batch *batch, const struct apply_ops *ops,
                 struct err *err) {
    for (size_t i = 0; i < batch->len; i++)
        if (apply_one(s, batch->changes[i], batch->arena, ops, err) < 0)
            ops->failed(ops->ctx, batch->changes[i], err);
    return 0;
}
