/* The access kind: one security group, whose rules are kept as the spec has them. */
#include "providers/ec2/internal.h"
#include "specs/cidr.h"
#include "specs/sections/sections.h"

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
     .doc = "What may come in (protocol, ports, source), and what it is described by.",
     .type = FIELD_MAP,
     .offset = offsetof(RECORD, rules)},
    {.name = "tags", .doc = "Your own tags.", .type = FIELD_MAP, .offset = offsetof(RECORD, tags)},
    {.name = "tagged",
     .doc = "Carries the tags that berth finds it by.",
     .type = FIELD_BOOL,
     .offset = offsetof(RECORD, tagged)},
    /* A group stays in its VPC: where the subnet is in another one, the plan says so. */
    {.name = "subnet",
     .doc = "Subnet whose VPC it was made in.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, subnet)},
    {.name = "id",
     .doc = "Id in EC2.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, group_id)},
    FIELD_END,
};

/* The item that stands for my-ip, or NULL. */
static const struct access_item *find_my_ip(const struct reclist *list) {
    const struct access_item *items = list->items;
    for (size_t i = 0; i < list->len; i++)
        if (cstr_eq(items[i].cidr, "my-ip"))
            return &items[i];
    return NULL;
}

static int ask(const struct spec *spec, struct inputs *inputs) {
    const struct access_section *access = spec_access(spec);
    bool wanted = find_my_ip(&access->ssh) != NULL ||
                  (spec_has(spec, &section_jupyter) && find_my_ip(&access->jupyter) != NULL);
    return wanted ? inputs_ask(inputs, INPUT_MY_IP, "", "access", true) : 0;
}

/* EC2 keeps the network of a block: 203.0.113.7/24 is 203.0.113.0/24 to it. What is no block is
 * left for it to refuse. */
static void canonical(struct str text, char ret[CIDR_TEXT_SIZE]) {
    struct cidr cidr;
    snprintf(ret, CIDR_TEXT_SIZE, "%.*s", STR_FMT(text));
    if (cidr_parse(text, &cidr) != NULL)
        return;
    cidr_mask(&cidr);
    cidr_print(&cidr, ret);
}

/* `what` is who comes in by the rule, where the spec does not describe it. The user's own words win
 * where two items come to the same rule. */
static int add_rules(struct arena *arena, const struct desire *in, const struct reclist *sources,
                     int64_t port, const char *what, struct strmap *rules) {
    const struct input *mine = inputs_get(in->inputs, INPUT_MY_IP, "");
    const struct access_item *items = sources->items;
    char rule[128], cidr[CIDR_TEXT_SIZE], own[64];
    snprintf(own, sizeof own, "%s (kept by berth)", what);
    for (size_t i = 0; i < sources->len; i++) {
        struct str source = str_of(items[i].cidr);
        if (str_eqc(source, "my-ip")) {
            if (mine == NULL || !mine->found)
                continue;
            source = secret_reveal(&mine->content);
        }
        canonical(source, cidr);
        snprintf(rule, sizeof rule, "tcp %lld %s", (long long)port, cidr);
        const char *words = items[i].description;
        if (words == NULL && strmap_get(rules, rule) != NULL)
            continue;
        if (strmap_set(arena, rules, rule, words == NULL ? own : words) < 0)
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
    int rc = add_rules(out->arena, in, &access->ssh, SSH_PORT, "ssh", &record->rules);
    if (rc == 0 && spec_has(in->spec, &section_jupyter) && !spec_has_tunnel(in->spec))
        rc = add_rules(out->arena, in, &access->jupyter, spec_jupyter(in->spec)->port, "jupyter",
                       &record->rules);
    strmap_sort(&record->rules);
    record->tagged = true;
    record->subnet = spec_server(in->spec)->subnet;
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
                       struct strmap *rules) {
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
            const char *words = xml_text(x, "description");
            const char *rule = value == NULL ? NULL : arena_printf(arena, "%s %s", head, value);
            if (value != NULL &&
                (rule == NULL || strmap_set(arena, rules, rule, words == NULL ? "" : words) < 0))
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
    strmap_sort(&ret->rules);
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
            return err_no_memory(err);
        struct live *live = observed_add(out, &access_kind, "access", LIVE_OURS);
        if (live == NULL)
            return err_no_memory(err);
        live->record = record;
        record->tagged = ec2_is_tagged(item, s->run, "access", EC2_NO_INDEX);
        live->id = record->group_id;
        return 0;
    }
    struct live *live =
        observed_add(out, &access_kind, "access", foreign == NULL ? LIVE_NONE : LIVE_FOREIGN);
    if (live == NULL)
        return err_no_memory(err);
    if (foreign != NULL)
        err_set(&live->err, ERRC_CONFLICT, "a security group named %s (%s)", s->object_name,
                xml_text(foreign, "groupId") == NULL ? "?" : xml_text(foreign, "groupId"));
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
    .apply = access_apply,
};
