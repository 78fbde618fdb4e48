#include "engine/import.h"

#include "engine/address.h"
#include "specs/record.h"

#include <string.h>

static int no_node(const struct import_in *in, struct arena *arena, struct err *err) {
    const struct nodes *nodes = &in->desired->nodes;
    const char **known = arena_calloc(arena, nodes->len + 1, sizeof *known);
    if (known == NULL)
        return err_no_memory(err);
    for (size_t i = 0; i < nodes->len; i++)
        known[i] = nodes->items[i].address;
    const char *near = address_nearest(in->address, known, nodes->len, arena);
    err_set(err, ERRC_NOTFOUND, "the spec wants no %s", in->address);
    if (near != NULL)
        err_hint(err, "did you mean %s? It must stand in the spec first", near);
    else
        err_hint(err, "it must stand in the spec first");
    return -ERRC_NOTFOUND;
}

static int check_free(const struct import_in *in, const struct state *state, struct err *err) {
    for (size_t i = 0; i < state->nodes.len; i++) {
        const struct recorded *r = &state->nodes.items[i];
        bool same = cstr_eq(r->address, in->address);
        if (!same && (r->parent != NULL || !cstr_eq(r->id, in->id)))
            continue;
        err_set(err, ERRC_CONFLICT, "%s is recorded already, as %s", r->address,
                r->id == NULL ? "one that is being created" : r->id);
        err_hint(err, "berth state rm '%s' forgets it, berth state mv gives it another number",
                 r->address);
        return -ERRC_CONFLICT;
    }
    return 0;
}

static int check_thing(const struct import_in *in, const struct node *node, struct arena *arena,
                       struct found *found, struct err *err) {
    const struct world *world = node->kind->world;
    if (world->find == NULL) {
        err_set(err, ERRC_UNSUPPORTED, "%s lives in %s, and has no id", in->address,
                node->parent == NULL ? "something else" : node->parent);
        err_hint(err, "import that; berth apply looks into it");
        return -ERRC_UNSUPPORTED;
    }
    int rc = world->find(sessions_get(in->sessions, world), node->kind, in->id, arena, found, err);
    if (rc < 0 || in->force || found->owner == NULL || strcmp(found->owner, in->run->name) == 0)
        return rc;
    err_set(err, ERRC_CONFLICT, "%s carries the tags of another berth project: %s", in->id,
            found->owner);
    err_hint(err, "let that one forget it first (berth state rm), then -force takes it over");
    return -ERRC_CONFLICT;
}

/* As the world has it; as the spec wants it where the world cannot tell. */
static void *make_record(const struct node *node, const struct live *live, struct arena *arena) {
    const struct field *fields = node->kind->fields;
    void *record = arena_alloc(arena, node->kind->size);
    if (record == NULL || record_copy(arena, fields, record, live->record) < 0)
        return NULL;
    for (size_t i = 0; fields[i].name != NULL; i++) {
        bool told = !(fields[i].flags & FIELD_UNREADABLE) && !(live->unread >> i & 1);
        if (!told && !(node->unknown >> i & 1) &&
            record_copy_field(arena, &fields[i], record, node->desired) < 0)
            return NULL;
    }
    return record;
}

/* The state as if the thing were recorded, which worlds find by its id then. What lives in others
 * need not be read. */
static int with_entry(const struct state *state, const struct recorded *entry, struct arena *arena,
                      struct state *ret) {
    size_t len = state->nodes.len;
    struct recorded *items = arena_calloc(arena, len + 1, sizeof *items);
    if (items == NULL)
        return -ERRC_NOMEM;
    *ret = *state;
    ret->nodes = (struct recorded_list){.items = items};
    for (size_t i = 0; i < len; i++)
        if (state->nodes.items[i].parent == NULL)
            items[ret->nodes.len++] = state->nodes.items[i];
    items[ret->nodes.len++] = *entry;
    return 0;
}

/* All that does not live in something else: worlds may look at more than the one. */
static int outer_nodes(const struct import_in *in, struct arena *arena, struct nodes *ret) {
    const struct nodes *all = &in->desired->nodes;
    struct node *items = arena_calloc(arena, all->len + 1, sizeof *items);
    *ret = (struct nodes){.arena = arena, .items = items, .cap = all->len};
    for (size_t i = 0; items != NULL && i < all->len; i++)
        if (all->items[i].parent == NULL)
            items[ret->len++] = all->items[i];
    return items == NULL ? -ERRC_NOMEM : 0;
}

static int read_thing(const struct import_in *in, const struct node *node,
                      const struct found *found, struct state *state, struct arena *arena,
                      struct err *err) {
    struct recorded entry = {.address = node->address,
                             .kind = node->kind,
                             .kind_name = node->kind->name,
                             .deps = node->deps,
                             .status = RECORDED_OK,
                             .id = in->id,
                             .protect = node->protect};
    struct nodes nodes;
    struct state seen;
    struct live_world live;
    if (with_entry(state, &entry, arena, &seen) < 0 || outer_nodes(in, arena, &nodes) < 0)
        return err_no_memory(err);
    int rc = observe_all(in->sessions, &nodes, &seen, in->run, &live, err);
    if (rc < 0)
        return rc;
    const struct live *is = live_find(&live, node->address);
    if (is != NULL && is->presence == LIVE_UNREADABLE) {
        *err = is->err;
        rc = -err->code;
    } else if (is == NULL || is->presence != LIVE_OURS || !cstr_eq(is->id, in->id)) {
        rc = err_set(err, ERRC_CONFLICT, "%s in %s does not fit %s", in->id, found->where,
                     node->address);
        err_hint(err,
                 "what goes by its name in EC2 (key pair, security group) must have the name "
                 "that the spec gives it: berth-%s",
                 in->run->name);
    } else if ((entry.record = make_record(node, is, arena)) == NULL) {
        rc = err_no_memory(err);
    } else {
        entry.token = is->token;
        rc = state_put(state, &entry, err);
    }
    live_world_free(&live);
    return rc;
}

int import_node(const struct import_in *in, struct state *state, struct err *err) {
    _cleanup_arena_ struct arena arena = {0};
    struct found found = {0};
    const struct node *node = nodes_find(&in->desired->nodes, in->address);
    if (node == NULL)
        return no_node(in, &arena, err);
    int rc = check_free(in, state, err);
    if (rc == 0)
        rc = check_thing(in, node, &arena, &found, err);
    return rc < 0 ? rc : read_thing(in, node, &found, state, &arena, err);
}
