/* The volume kind: a server's data volume, which outlives the server. What EC2 says of it is
 * volume_live.c's, making and changing it volume_apply.c's. */
#include "providers/ec2/internal.h"
#include "providers/ec2/prices.h"
#include "specs/sections/sections.h"

#include <stdio.h>
#include <string.h>

#define RECORD struct volume_record

enum { F_SIZE, F_TYPE, F_ENCRYPTED, F_ATTACHED };

static const struct field fields[] = {
    [F_SIZE] = {.name = "size",
                .doc = "Size.",
                .type = FIELD_SIZE,
                .flags = FIELD_IMMUTABLE | FIELD_DESTROYS_DATA,
                .offset = offsetof(RECORD, size_gib)},
    [F_TYPE] = {.name = "type",
                .doc = "Volume type.",
                .type = FIELD_STR,
                .flags = FIELD_IMMUTABLE | FIELD_DESTROYS_DATA,
                .offset = offsetof(RECORD, type)},
    [F_ENCRYPTED] = {.name = "encrypted",
                     .doc = "Encrypted.",
                     .type = FIELD_BOOL,
                     .flags = FIELD_IMMUTABLE | FIELD_DESTROYS_DATA,
                     .offset = offsetof(RECORD, encrypted)},
    [F_ATTACHED] = {.name = "attached_to",
                    .doc = "Instance that it is attached to.",
                    .type = FIELD_STR,
                    .offset = offsetof(RECORD, attached_to)},
    {.name = "keep",
     .doc = "It outlives the spec.",
     .type = FIELD_BOOL,
     .offset = offsetof(RECORD, keep)},
    {.name = "tags", .doc = "Your own tags.", .type = FIELD_MAP, .offset = offsetof(RECORD, tags)},
    {.name = "tagged",
     .doc = "Carries the tags that berth finds it by.",
     .type = FIELD_BOOL,
     .offset = offsetof(RECORD, tagged)},
    {.name = "id",
     .doc = "Id in EC2.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, volume_id)},
    {.name = "zone",
     .doc = "Availability zone, which it never leaves.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, zone)},
    {.name = "device",
     .doc = "Device name that it is attached as.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, device)},
    FIELD_END,
};

const char *volume_address(struct arena *arena, int64_t index) {
    return arena_printf(arena, "data[%lld]", (long long)index);
}

int64_t volume_address_index(const char *address) {
    enum { INDEX_MAX = 100000 };
    int64_t index = 0;
    struct str digits = str_of(address);
    if (!str_starts(digits, STR("data[")) || !str_ends(digits, STR("]")))
        return -1;
    digits.ptr += strlen("data[");
    digits.len -= strlen("data[]");
    return str_to_i64(digits, 0, INDEX_MAX, &index) ? index : -1;
}

/* ---- Desired */

static int fill_desired(const struct desire *in, struct nodes *out, struct node *node,
                        int64_t index) {
    const struct server_section *server = spec_server(in->spec);
    RECORD *r = node->desired;
    r->size_gib = server->data.size_gib;
    r->type = server->data.type;
    r->encrypted = server->data.encrypted;
    r->keep = server->data.keep;
    r->tagged = true;
    node->unknown = 1u << F_ATTACHED;
    for (size_t i = 0; i < server->tags.len; i++)
        if (strmap_set(out->arena, &r->tags, server->tags.items[i].key,
                       server->tags.items[i].value) < 0)
            return -ERRC_NOMEM;
    strmap_sort(&r->tags);
    const char *owner = arena_printf(out->arena, "server[%lld]", (long long)index);
    return owner == NULL ? -ERRC_NOMEM : strlist_add(out->arena, &node->deps, owner);
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    (void)diags;
    for (int64_t i = 0; spec_has_data(in->spec) && i < spec_server(in->spec)->count; i++) {
        const char *address = volume_address(out->arena, i);
        struct node *node = address == NULL ? NULL : nodes_add(out, &volume_kind, address, NULL);
        if (node == NULL || fill_desired(in, out, node, i) < 0)
            return -ERRC_NOMEM;
    }
    return 0;
}

static int resolve(const struct node *node, const struct lookup *lookup, struct arena *arena,
                   void *record, uint64_t *unknown) {
    const struct kind *kind = NULL;
    const struct server_record *server = lookup->record(lookup->ctx, node->deps.items[0], &kind);
    if (server == NULL || kind != &server_kind || server->instance_id == NULL)
        return 0;
    RECORD *r = record;
    r->attached_to = arena_dup(arena, server->instance_id);
    *unknown &= ~(UINT64_C(1) << F_ATTACHED);
    return r->attached_to == NULL ? -ERRC_NOMEM : 0;
}

static bool is_modified(const char *type) { return !cstr_eq(type, "standard"); }

/* It grows and changes its type while it is in use; it never shrinks, and is encrypted or not from
 * its making on. EC2 does not modify magnetic ones.
 * https://docs.aws.amazon.com/ebs/latest/userguide/modify-volume-requirements.html */
static bool in_place(const struct field *field, const void *before, const void *after) {
    const RECORD *was = before, *will = after;
    if (field == &fields[F_SIZE])
        return will->size_gib >= was->size_gib && is_modified(was->type);
    return field == &fields[F_TYPE] && is_modified(was->type) && is_modified(will->type);
}

static bool keeps(const void *record) { return ((const RECORD *)record)->keep; }

static const char *loses(const void *record, struct arena *arena) {
    const RECORD *r = record;
    return arena_printf(arena, "%s, %lld GiB in %s, and everything on it",
                        r->volume_id == NULL ? "its volume" : r->volume_id, (long long)r->size_gib,
                        r->zone == NULL ? "its zone" : r->zone);
}

static int costs(const void *record, uint64_t unknown, struct cost_items *ret) {
    const RECORD *r = record;
    (void)unknown;
    return ec2_disk_costs("data volume", r->type, r->size_gib, ret);
}

const struct kind volume_kind = {
    .name = "volume",
    .world = &ec2_world,
    .fields = fields,
    .size = sizeof(RECORD),
    .desire = desire,
    .resolve = resolve,
    .keeps = keeps,
    .loses = loses,
    .in_place = in_place,
    .costs = costs,
};
