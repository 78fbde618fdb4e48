#include "engine/refresh.h"

#include "engine/index.h"
#include "specs/record.h"

static bool is_compared(const struct live *live, const struct field *fields, size_t i) {
    return !(fields[i].flags & (FIELD_UNREADABLE | FIELD_UNSTORED | FIELD_SECRET)) &&
           !(live->unread >> i & 1);
}

/* Fills what differs between the record and the world; `after` where it is to be taken over. */
static int compare(const struct recorded *r, const struct live *live, struct arena *arena,
                   struct moved *ret) {
    const struct field *fields = r->kind->fields;
    void *after = NULL;
    ret->fields = arena_calloc(arena, fields_count(fields) + 1, sizeof(struct field *));
    if (ret->fields == NULL)
        return -ERRC_NOMEM;
    for (size_t i = 0; fields[i].name != NULL; i++) {
        if (!is_compared(live, fields, i) ||
            record_field_equal(&fields[i], r->record, live->record))
            continue;
        ret->fields[ret->fields_len++] = &fields[i];
        if (fields[i].flags & FIELD_KEPT)
            continue;
        if (after == NULL && ((after = arena_alloc(arena, r->kind->size)) == NULL ||
                              record_copy(arena, fields, after, r->record) < 0))
            return -ERRC_NOMEM;
        if (record_copy_field(arena, &fields[i], after, live->record) < 0)
            return -ERRC_NOMEM;
    }
    ret->after = after;
    return 0;
}

static const struct recorded *parent_of(const struct state *state, const struct index *at,
                                        const struct recorded *r) {
    size_t i = r->parent == NULL ? SIZE_MAX : index_get(at, r->parent);
    return i == SIZE_MAX ? NULL : &state->nodes.items[i];
}

/* Is it there, but not to be looked into? */
static bool stands_still(const struct live_world *world, const struct recorded *parent,
                         struct arena *arena) {
    const struct live *live = parent == NULL ? NULL : live_find(world, parent->address);
    struct endpoint at = {0};
    return live != NULL && live->record != NULL && live->kind->endpoint != NULL &&
           live->kind->endpoint(live->record, "", arena, &at) == 0 && !at.running;
}

static int look_at(const struct live_world *world, const struct recorded *r,
                   const struct recorded *parent, struct arena *arena, struct refresh *out) {
    struct moved m = {.recorded = r, .live = live_find(world, r->address)};
    bool ours = m.live != NULL && m.live->presence == LIVE_OURS && m.live->record != NULL;
    if (r->kind == NULL || r->record == NULL || stands_still(world, parent, arena))
        return 0;
    if (ours && compare(r, m.live, arena, &m) < 0)
        return -ERRC_NOMEM;
    if (!ours || m.fields_len > 0)
        out->items[out->len++] = m;
    return 0;
}

int refresh_make(const struct state *state, const struct live_world *world, struct arena *arena,
                 struct refresh *ret, struct err *err) {
    struct refresh out = {.items = arena_calloc(arena, state->nodes.len + 1, sizeof *out.items)};
    struct index *at = index_new(state->nodes.len);
    int rc = out.items == NULL || at == NULL ? -ERRC_NOMEM : 0;
    for (size_t i = 0; rc == 0 && i < state->nodes.len; i++)
        index_put(at, state->nodes.items[i].address, i);
    for (size_t i = 0; rc == 0 && i < state->nodes.len; i++) {
        const struct recorded *r = &state->nodes.items[i];
        rc = look_at(world, r, parent_of(state, at, r), arena, &out);
    }
    index_free(at);
    if (rc < 0)
        return err_no_memory(err);
    *ret = out;
    return 0;
}

int refresh_take(const struct refresh *refresh, struct state *state, struct err *err) {
    int n = 0;
    for (size_t i = 0; i < refresh->len; i++) {
        const struct moved *m = &refresh->items[i];
        if (m->after == NULL)
            continue;
        struct recorded entry = *m->recorded;
        entry.record = (void *)m->after;
        if (m->live->id != NULL)
            entry.id = m->live->id;
        int rc = state_put(state, &entry, err);
        if (rc < 0)
            return rc;
        n++;
    }
    return n;
}
