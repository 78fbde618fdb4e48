/* The access kind: one security group, whose rules are kept as the spec has them. */
#include "providers/ec2/internal.h"
#include "specs/sections/sections.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define RECORD struct access_record

static const struct field fields[] = {
    {.name = "name",
     .doc = "Name in EC2.",
     .type = FIELD_STR,
     .flags = FIELD_IMMUTABLE,
     .offset = offsetof(RECORD, name)},
    {.name = "rules",
     .doc = "What may come in: protocol, ports, source.",
     .type = FIELD_LIST,
     .flags = FIELD_SET,
     .offset = offsetof(RECORD, rules)},
    {.name = "tags", .doc = "Your own tags.", .type = FIELD_MAP, .offset = offsetof(RECORD, tags)},
    {.name = "tagged",
     .doc = "Carries the tags that berth finds it by.",
     .type = FIELD_BOOL,
     .offset = offsetof(RECORD, tagged)},
    {.name = "id",
     .doc = "Id in EC2.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, group_id)},
    FIELD_END,
};

static int ask(const struct spec *spec, struct inputs *inputs) {
    const struct access_section *access = spec_access(spec);
    bool wanted = strlist_has(&access->ssh, "my-ip") ||
                  (spec_has(spec, &section_jupyter) && strlist_has(&access->jupyter, "my-ip"));
    return wanted ? inputs_ask(inputs, INPUT_MY_IP, "", "access", true) : 0;
}

/* EC2 keeps the network of a block: 203.0.113.7/24 is 203.0.113.0/24 to it. */
static void clear_host_bits(unsigned char *bytes, int64_t bytes_len, int64_t bits) {
    for (int64_t i = bits / 8; i < bytes_len; i++) {
        int kept = i == bits / 8 ? (int)(bits % 8) : 0;
        bytes[i] = (unsigned char)(bytes[i] >> (8 - kept) << (8 - kept));
    }
}

void access_canonical_cidr(struct str cidr, char *ret, size_t size) {
    unsigned char bytes[16];
    char text[64], address[INET6_ADDRSTRLEN];
    struct str prefix = cidr, head;
    snprintf(ret, size, "%.*s", STR_FMT(cidr));
    if (!str_split(&prefix, '/', &head) || prefix.ptr == NULL || head.len >= sizeof text)
        return;
    snprintf(text, sizeof text, "%.*s", STR_FMT(head));
    bool v6 = memchr(head.ptr, ':', head.len) != NULL;
    int family = v6 ? AF_INET6 : AF_INET;
    int64_t bits;
    if (inet_pton(family, text, bytes) != 1 || !str_to_i64(prefix, 0, v6 ? 128 : 32, &bits))
        return;
    clear_host_bits(bytes, v6 ? 16 : 4, bits);
    if (inet_ntop(family, bytes, address, sizeof address) != NULL)
        snprintf(ret, size, "%s/%lld", address, (long long)bits);
}

static int add_rules(struct arena *arena, const struct desire *in, const struct strlist *sources,
                     int64_t port, struct strlist *rules) {
    const struct input *mine = inputs_get(in->inputs, INPUT_MY_IP, "");
    for (size_t i = 0; i < sources->len; i++) {
        struct str source = str_of(sources->items[i]);
        if (str_eqc(source, "my-ip")) {
            if (mine == NULL || !mine->found)
                continue;
            source = secret_reveal(&mine->content);
        }
        char rule[128], cidr[80];
        access_canonical_cidr(source, cidr, sizeof cidr);
        snprintf(rule, sizeof rule, "tcp %lld %s", (long long)port, cidr);
        if (!strlist_has(rules, rule) && strlist_add(arena, rules, rule) < 0)
            return -ERRC_NOMEM;
    }
    return 0;
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    (void)diags;
    const struct access_section *access = spec_access(in->spec);
    struct node *node = nodes_add(out, &access_kind, "access", NULL);
    if (node == NULL)
        return -ERRC_NOMEM;
    RECORD *record = node->desired;
    record->name = arena_printf(out->arena, "berth-%s", in->spec->name);
    int rc = add_rules(out->arena, in, &access->ssh, SSH_PORT, &record->rules);
    if (rc == 0 && spec_has(in->spec, &section_jupyter))
        rc = add_rules(out->arena, in, &access->jupyter, spec_jupyter(in->spec)->port,
                       &record->rules);
    strlist_sort(&record->rules);
    record->tagged = true;
    if (rc == 0)
        rc = strmap_copy(out->arena, &record->tags, &spec_server(in->spec)->tags);
    return record->name == NULL ? -ERRC_NOMEM : rc;
}

void access_ask_live(struct ec2_session *s, struct query *q) {
    query_init(q, "DescribeSecurityGroups");
    query_add_filter(q, 1, "group-name", (const char *const[]){s->object_name, NULL});
}

/* "tcp 22", "tcp 8000-8010", "all" */
static void rule_head(const struct xml *item, char *ret, size_t size) {
    const char *protocol = xml_text(item, "ipProtocol");
    const char *from = xml_text(item, "fromPort");
    const char *to = xml_text(item, "toPort");
    if (protocol == NULL || strcmp(protocol, "-1") == 0)
        snprintf(ret, size, "all");
    else if (from == NULL || to == NULL)
        snprintf(ret, size, "%s", protocol);
    else if (strcmp(from, to) == 0)
        snprintf(ret, size, "%s %s", protocol, from);
    else
        snprintf(ret, size, "%s %s-%s", protocol, from, to);
}

static int add_sources(struct arena *arena, const struct xml *item, const char *head,
                       struct strlist *rules) {
    static const struct {
        const char *list, *value;
    } sources[] = {{"ipRanges", "cidrIp"},
                   {"ipv6Ranges", "cidrIpv6"},
                   {"groups", "groupId"},
                   {"prefixListIds", "prefixListId"}};
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++)
        for (const struct xml *x = xml_first_item(item, sources[i].list); x != NULL;
             x = xml_next_item(x)) {
            const char *value = xml_text(x, sources[i].value);
            if (value != NULL && strlist_addf(arena, rules, "%s %s", head, value) < 0)
                return -ERRC_NOMEM;
        }
    return 0;
}

static int record_of(const struct xml *item, struct arena *arena, RECORD *ret) {
    ret->name = arena_dup(arena, xml_text(item, "groupName"));
    ret->group_id = arena_dup(arena, xml_text(item, "groupId"));
    for (const struct xml *p = xml_first_item(item, "ipPermissions"); p != NULL;
         p = xml_next_item(p)) {
        char head[64];
        rule_head(p, head, sizeof head);
        if (add_sources(arena, p, head, &ret->rules) < 0)
            return -ERRC_NOMEM;
    }
    strlist_sort(&ret->rules);
    return ret->group_id == NULL ? -ERRC_NOMEM : ec2_read_tags(item, arena, &ret->tags);
}

int access_read_live(struct ec2_session *s, const struct observe_in *in,
                     const struct ec2_answers *answers, struct observed *out, struct err *err) {
    const struct ec2_answer *groups = &answers->of[READ_GROUPS];
    const struct recorded *known = recorded_find(in->recorded, "access");
    const struct xml *foreign = NULL;
    for (size_t i = 0; i < groups->len; i++) {
        const struct xml *item = groups->items[i];
        const char *id = xml_text(item, "groupId");
        bool ours = ec2_is_ours(item, s->run) ||
                    (known != NULL && known->id != NULL && cstr_eq(known->id, id));
        if (!ours) {
            foreign = item;
            continue;
        }
        if (id == NULL)
            return err_set(err, ERRC_NET, "DescribeSecurityGroups: %s has no id", s->object_name);
        RECORD *record = ARENA_NEW(&out->arena, RECORD);
        if (record == NULL || record_of(item, &out->arena, record) < 0)
            return err_set(err, ERRC_NOMEM, "out of memory");
        struct live *live = observed_add(out, &access_kind, "access", LIVE_OURS);
        if (live == NULL)
            return err_set(err, ERRC_NOMEM, "out of memory");
        live->record = record;
        record->tagged = ec2_is_tagged(item, s->run, "access", -1);
        live->id = record->group_id;
        return 0;
    }
    struct live *live =
        observed_add(out, &access_kind, "access", foreign == NULL ? LIVE_NONE : LIVE_FOREIGN);
    if (live == NULL)
        return err_set(err, ERRC_NOMEM, "out of memory");
    if (foreign != NULL)
        err_set(&live->err, ERRC_CONFLICT, "a security group named %s (%s)", s->object_name,
                xml_text(foreign, "groupId") == NULL ? "?" : xml_text(foreign, "groupId"));
    return 0;
}

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

/* "tcp 22 203.0.113.7/32" → IpPermissions.N.… */
static void add_permission(struct query *q, size_t n, const char *rule) {
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
    const char *key =
        str_starts(source, STR("sg-"))   ? "IpPermissions.%zu.Groups.1.GroupId"
        : str_starts(source, STR("pl-")) ? "IpPermissions.%zu.PrefixListIds.1.PrefixListId"
        : memchr(source.ptr, ':', source.len) != NULL ? "IpPermissions.%zu.Ipv6Ranges.1.CidrIpv6"
                                                      : "IpPermissions.%zu.IpRanges.1.CidrIp";
    query_add_at(q, key, n, text);
}

size_t access_add_rules(struct query *q, const struct strlist *from, const struct strlist *other) {
    size_t n = 0;
    for (size_t i = 0; i < from->len; i++)
        if (!strlist_has(other, from->items[i]))
            add_permission(q, ++n, from->items[i]);
    return n;
}

static int send_rules(struct ec2_session *s, const char *action, const char *group_id,
                      const struct strlist *from, const struct strlist *other, struct arena *arena,
                      struct err *err);

/* One rule that is there already (or gone already) fails the call for all: then each by itself. */
static int send_singly(struct ec2_session *s, const char *action, const char *group_id,
                       const struct strlist *from, const struct strlist *other, struct arena *arena,
                       struct err *err) {
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < from->len; i++) {
        const struct strlist one = {&from->items[i], 1, 1};
        rc = send_rules(s, action, group_id, &one, other, arena, err);
    }
    return rc;
}

/* Sends the rules of `from` that `other` lacks. */
static int send_rules(struct ec2_session *s, const char *action, const char *group_id,
                      const struct strlist *from, const struct strlist *other, struct arena *arena,
                      struct err *err) {
    struct query q;
    struct xml *xml;
    query_init(&q, action);
    query_add(&q, "GroupId", group_id);
    size_t n = access_add_rules(&q, from, other);
    if (n == 0) {
        query_free(&q);
        return 0;
    }
    int rc = ec2_call_settling(s, &q, action, false, arena, &xml, err);
    if (rc == 0 ||
        (!ec2_is(err, "InvalidPermission.Duplicate") && !ec2_is(err, "InvalidPermission.NotFound")))
        return rc;
    /* Somebody was faster, or an answer was lost. */
    return n == 1 ? 0 : send_singly(s, action, group_id, from, other, arena, err);
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
    const char *id = NULL;
    int rc = ops->intent(ops->ctx, c, err);
    if (rc < 0)
        return rc;
    query_init(&q, "CreateSecurityGroup");
    query_add(&q, "GroupName", record->name);
    query_addf(&q, "GroupDescription", "Access to %s, kept by berth", s->run->name);
    ec2_add_tags(&q, 1, "security-group", s->run, "access", -1, &record->tags);
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

enum { DELETE_TRIES = 40 };

static int delete_group(struct ec2_session *s, const struct change *c, struct arena *arena,
                        const struct apply_ops *ops, struct err *err) {
    const char *id = change_id(c);
    if (id == NULL)
        return 0;
    int rc = 0;
    for (int i = 0; i < DELETE_TRIES; i++) {
        struct query q;
        struct xml *xml;
        query_init(&q, "DeleteSecurityGroup");
        query_add(&q, "GroupId", id);
        rc = ec2_call(s, &q, "DeleteSecurityGroup", false, arena, &xml, err);
        if (rc == 0 || ec2_is(err, "InvalidGroup.NotFound"))
            return 0;
        if (!ec2_is(err, "DependencyViolation"))
            return rc;
        ops->progress(ops->ctx, (struct change *)c, "waiting for its servers to let go");
        if (!ec2_sleep(s, i < 5 ? 0.3 * (i + 1) : 3))
            return err_set(err, ERRC_CANCELLED, "interrupted");
    }
    return rc;
}

static int retag(struct ec2_session *s, const RECORD *before, const RECORD *after,
                 struct arena *arena, struct err *err) {
    const struct ec2_tagging tagging = {.ids = &after->group_id,
                                        .ids_len = 1,
                                        .node = "access",
                                        .first_index = -1,
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
    const struct strlist none = {0};
    RECORD record = *(const RECORD *)c->after;
    if (before == NULL)
        rc = create(s, c, &record, arena, ops, err);
    else
        rc = retag(s, before, &record, arena, err);
    /* First let in, then shut out: nobody is locked out in between. */
    if (rc == 0)
        rc = send_rules(s, "AuthorizeSecurityGroupIngress", record.group_id, &record.rules,
                        before == NULL ? &none : &before->rules, arena, err);
    if (rc == 0 && before != NULL)
        rc = send_rules(s, "RevokeSecurityGroupIngress", record.group_id, &before->rules,
                        &record.rules, arena, err);
    return rc < 0 ? rc : ops->done(ops->ctx, c, &record, err);
}

static int apply(struct ec2_session *s, struct batch *batch, const struct apply_ops *ops,
                 struct err *err) {
    for (size_t i = 0; i < batch->len; i++)
        if (apply_one(s, batch->changes[i], batch->arena, ops, err) < 0)
            ops->failed(ops->ctx, batch->changes[i], err);
    return 0;
}

const struct kind access_kind = {
    .name = "access",
    .world = &ec2_world,
    .fields = fields,
    .size = sizeof(RECORD),
    .ask = ask,
    .desire = desire,
};

const struct ec2_kind access_ec2 = {
    .kind = &access_kind,
    .needs = 1u << READ_GROUPS,
    .read = access_read_live,
    .apply = apply,
};
