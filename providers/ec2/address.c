/* The address kind: an elastic IP address of a server, which outlives its stops and its
 * replacements. Which server has it is the server's own field. */
#include "providers/ec2/internal.h"
#include "providers/ec2/prices.h"
#include "specs/sections/sections.h"

#include <stdio.h>

#define RECORD struct address_record

static const struct field fields[] = {
    {.name = "tags", .doc = "Your own tags.", .type = FIELD_MAP, .offset = offsetof(RECORD, tags)},
    {.name = "tagged",
     .doc = "Carries the tags that berth finds it by.",
     .type = FIELD_BOOL,
     .offset = offsetof(RECORD, tagged)},
    {.name = "public_ip",
     .doc = "The address.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, public_ip)},
    {.name = "id",
     .doc = "Allocation id in EC2.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, allocation_id)},
    FIELD_END,
};

/* ---- Desired */

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    const struct server_section *server = spec_server(in->spec);
    (void)diags;
    for (int64_t i = 0; cstr_eq(server->address, "elastic") && i < server->count; i++) {
        char address[32];
        snprintf(address, sizeof address, "address[%lld]", (long long)i);
        struct node *node = nodes_add(out, &address_kind, address, NULL);
        if (node == NULL)
            return -ERRC_NOMEM;
        RECORD *r = node->desired;
        node->protect = server->protect;
        r->tagged = true;
        if (strmap_copy(out->arena, &r->tags, &server->tags) < 0)
            return -ERRC_NOMEM;
        strmap_sort(&r->tags);
    }
    return 0;
}

static bool protects(const struct spec *spec) { return spec_server(spec)->protect; }

static const char *loses(const void *record, struct arena *arena) {
    const RECORD *r = record;
    return arena_printf(arena, "the address %s, which cannot be had back",
                        r->public_ip == NULL ? "itself" : r->public_ip);
}

/* ---- Live */

void addresses_ask_live(struct ec2_session *s, struct query *q) {
    (void)s; /* all of the account's, of which there are few: those without our tags too */
    query_init(q, "DescribeAddresses");
}

int addresses_by_instance(const struct ec2_answers *answers, struct arena *arena,
                          struct ec2_attachments *ret) {
    const struct ec2_answer *found = &answers->of[READ_ADDRESSES];
    struct ec2_attachments all = {arena_calloc(arena, found->len + 1, sizeof *all.items), 0};
    if (all.items == NULL)
        return -ERRC_NOMEM;
    for (size_t i = 0; i < found->len; i++) {
        const char *id = xml_text(found->items[i], "instanceId");
        if (id != NULL && id[0] != '\0')
            all.items[all.len++] = (struct ec2_attached){id, "", found->items[i]};
    }
    ec2_sort_attached(&all);
    *ret = all;
    return 0;
}

static const char *name_of(const struct observe_in *in, const struct xml *item,
                           struct ec2_session *s, struct observed *out) {
    const char *id = xml_text(item, "allocationId");
    for (size_t i = 0; i < in->recorded->len; i++)
        if (in->recorded->items[i].kind == &address_kind && cstr_eq(in->recorded->items[i].id, id))
            return in->recorded->items[i].address;
    if (!ec2_is_ours(item, s->run) || !cstr_eq(ec2_tag_of(item, "berth:node"), "address"))
        return NULL;
    const char *index = ec2_tag_of(item, "berth:index");
    const char *address = arena_printf(&out->arena, "address[%s]", index == NULL ? "?" : index);
    const struct recorded *known = address == NULL ? NULL : recorded_find(in->recorded, address);
    bool taken = known != NULL && known->id != NULL; /* by another address */
    bool named = index != NULL && ec2_index_of(address, "address") >= 0;
    return named && !taken && observed_find(out, address) == NULL
               ? address
               : arena_printf(&out->arena, "orphan.%s", id);
}

static int read_one(struct ec2_session *s, const struct observe_in *in, const struct xml *item,
                    struct observed *out) {
    const char *id = xml_text(item, "allocationId");
    const char *address = id == NULL ? NULL : name_of(in, item, s, out);
    if (address == NULL)
        return 0;
    struct live *live = observed_add(out, &address_kind, address, LIVE_OURS);
    RECORD *r = ARENA_NEW(&out->arena, RECORD);
    if (live == NULL || r == NULL)
        return -ERRC_NOMEM;
    r->allocation_id = arena_dup(&out->arena, id);
    r->public_ip = arena_dup(&out->arena, xml_text(item, "publicIp"));
    r->tagged = ec2_is_tagged(item, s->run, "address", ec2_index_of(address, "address"));
    live->id = r->allocation_id;
    live->token = arena_dup(&out->arena, ec2_tag_of(item, "berth:token"));
    live->record = r;
    return ec2_read_tags(item, &out->arena, &r->tags);
}

int address_read_live(struct ec2_session *s, const struct observe_in *in,
                      const struct ec2_answers *answers, struct observed *out, struct err *err) {
    const struct ec2_answer *found = &answers->of[READ_ADDRESSES];
    for (size_t i = 0; i < found->len; i++)
        if (read_one(s, in, found->items[i], out) < 0)
            return err_no_memory(err);
    return 0;
}

/* ---- Applying */

/* What a request whose answer was lost may have allocated: it carries the token of its change. */
static int find_allocated(struct ec2_session *s, const struct change *c, struct arena *arena,
                          const struct xml **ret, struct err *err) {
    struct query q;
    struct xml *xml = NULL;
    query_init(&q, "DescribeAddresses");
    query_add_filter(&q, 1, "tag:berth:token", (const char *const[]){c->token, NULL});
    int rc = ec2_call(s, &q, "DescribeAddresses", false, arena, &xml, err);
    *ret = rc < 0 ? NULL : xml_first_item(xml, "addressesSet");
    return rc;
}

static int allocate(struct ec2_session *s, const struct change *c, struct arena *arena,
                    const struct xml **ret, struct err *err) {
    const RECORD *after = c->after;
    struct strmap tags = {0};
    struct query q;
    struct xml *xml = NULL;
    if (strmap_copy(arena, &tags, &after->tags) < 0 ||
        strmap_set(arena, &tags, "berth:token", c->token) < 0)
        return err_no_memory(err);
    query_init(&q, "AllocateAddress");
    query_add(&q, "Domain", "vpc");
    ec2_add_tags(&q, 1, "elastic-ip", s->run, "address", ec2_index_of(c->address, "address"),
                 &tags);
    int rc = ec2_call(s, &q, "AllocateAddress", true, arena, &xml, err);
    *ret = xml;
    if (rc < 0 && ec2_is(err, "AddressLimitExceeded"))
        err_hint(err, "release elastic addresses that nobody uses, or ask AWS for a higher quota");
    return rc;
}

/* AllocateAddress takes no token. Where its answer was lost (in this run, or in the one before),
 * what it made is looked for, for some seconds, before another is made. */
static int make(struct ec2_session *s, struct change *c, struct arena *arena,
                const struct xml **ret, struct err *err) {
    enum { TRIES = 4 };
    double pause = 0.2;
    bool lost = c->action == ACTION_RESUME;
    struct err first = {0};
    int rc = lost ? 0 : allocate(s, c, arena, ret, err);
    if (!lost && (rc == 0 || err->aws_code[0] != '\0'))
        return rc;
    if (!lost)
        first = *err;
    for (int i = 0; i < TRIES; i++) {
        rc = find_allocated(s, c, arena, ret, err);
        if (rc < 0)
            break;
        if (*ret != NULL)
            return 0;
        if (!ec2_sleep(s, pause))
            return err_set(err, ERRC_CANCELLED, "interrupted");
        pause *= 2;
    }
    if (rc < 0) { /* nobody knows: the next run looks again */
        if (first.code != 0)
            *err = first;
        return -err->code;
    }
    return allocate(s, c, arena, ret, err);
}

static int create(struct ec2_session *s, struct change *c, struct arena *arena,
                  const struct apply_ops *ops, struct err *err) {
    const struct xml *made = NULL;
    int rc = ops->intent(ops->ctx, c, err);
    if (rc == 0)
        rc = make(s, c, arena, &made, err);
    if (rc < 0)
        return rc;
    RECORD record = *(const RECORD *)c->after;
    record.allocation_id = arena_dup(arena, xml_text(made, "allocationId"));
    record.public_ip = arena_dup(arena, xml_text(made, "publicIp"));
    if (record.allocation_id == NULL || record.public_ip == NULL)
        return err_set(err, ERRC_NET, "AllocateAddress: the answer has no address");
    rc = ops->created(ops->ctx, c, record.allocation_id, &record, err);
    return rc < 0 ? rc : ops->done(ops->ctx, c, &record, err);
}

static int retag(struct ec2_session *s, struct change *c, struct arena *arena,
                 const struct apply_ops *ops, struct err *err) {
    const RECORD *before = c->before;
    const RECORD *after = c->after;
    const char *id = change_id(c);
    const struct ec2_tagging tagging = {.ids = &id,
                                        .ids_len = 1,
                                        .node = "address",
                                        .first_index = ec2_index_of(c->address, "address"),
                                        .mend = !before->tagged,
                                        .before = &before->tags,
                                        .after = &after->tags};
    int rc = ec2_tag(s, &tagging, arena, err);
    return rc < 0 ? rc : ops->done(ops->ctx, c, after, err);
}

int address_disassociate(struct ec2_session *s, const char *filter, const char *value,
                         struct arena *arena, struct err *err) {
    struct query q;
    struct xml *xml = NULL;
    query_init(&q, "DescribeAddresses");
    query_add_filter(&q, 1, filter, (const char *const[]){value, NULL});
    int rc = ec2_call(s, &q, "DescribeAddresses", false, arena, &xml, err);
    const char *id = rc < 0 ? NULL : xml_text(xml_first_item(xml, "addressesSet"), "associationId");
    if (id == NULL || id[0] == '\0')
        return rc;
    query_init(&q, "DisassociateAddress");
    query_add(&q, "AssociationId", id);
    rc = ec2_call(s, &q, "DisassociateAddress", false, arena, &xml, err);
    return rc < 0 && ec2_is(err, "InvalidAssociationID.NotFound") ? 0 : rc;
}

/* EC2 releases none that is in use: its server has gone, or let go of it, a moment ago; what has it
 * otherwise lets go of it here. */
static int release(struct ec2_session *s, struct change *c, struct arena *arena,
                   const struct apply_ops *ops, struct err *err) {
    enum { TRIES = 6 };
    const char *id = change_id(c);
    double pause = 0.2;
    int rc = 0;
    for (int i = 0; id != NULL && i < TRIES; i++) {
        struct query q;
        struct xml *xml;
        query_init(&q, "ReleaseAddress");
        query_add(&q, "AllocationId", id);
        rc = ec2_call(s, &q, "ReleaseAddress", false, arena, &xml, err);
        if (rc == 0 || ec2_is(err, "InvalidAllocationID.NotFound")) {
            rc = 0;
            break;
        }
        if (!ec2_is(err, "InvalidIPAddress.InUse"))
            return rc;
        struct err why = *err;
        rc = address_disassociate(s, "allocation-id", id, arena, err);
        if (rc < 0)
            return rc;
        *err = why;
        rc = -why.code;
        if (!ec2_sleep(s, pause))
            return err_set(err, ERRC_CANCELLED, "interrupted");
        pause *= 2;
    }
    return rc < 0 ? rc : ops->done(ops->ctx, c, NULL, err);
}

static int apply(struct ec2_session *s, struct batch *batch, const struct apply_ops *ops,
                 struct err *err) {
    for (size_t i = 0; i < batch->len; i++) {
        struct change *c = batch->changes[i];
        int rc = c->action == ACTION_DESTROY  ? release(s, c, batch->arena, ops, err)
                 : c->action == ACTION_UPDATE ? retag(s, c, batch->arena, ops, err)
                                              : create(s, c, batch->arena, ops, err);
        if (rc < 0)
            ops->failed(ops->ctx, c, err);
    }
    return 0;
}

const struct kind address_kind = {
    .name = "address",
    .world = &ec2_world,
    .fields = fields,
    .size = sizeof(RECORD),
    .desire = desire,
    .protects = protects,
    .loses = loses,
    .costs = address_costs,
};

const struct ec2_kind address_ec2 = {
    .kind = &address_kind,
    .needs = 1u << READ_ADDRESSES,
    .read = address_read_live,
    .apply = apply,
};
