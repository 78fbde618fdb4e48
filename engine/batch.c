#include "engine/batch.h"

static bool is_removal(const struct change *c) {
    return c->action == ACTION_DESTROY || c->action == ACTION_FORGET;
}

static bool is_executed(const struct change *c) {
    return c->action != ACTION_NOOP && c->action != ACTION_UNKNOWN;
}

static bool is_state_only(const struct change *c) {
    return c->with_parent || c->action == ACTION_FORGET ||
           (c->action == ACTION_ADOPT && c->fields_len == 0);
}

/* A create waits for its deps. A removal waits for whatever was made upon it: other removals and
 * changes whose recorded deps name it. What goes with its parent waits for the parent. */
static int add_needs(const struct plan *plan, const struct index *index, struct arena *arena,
                     struct edges *needs) {
    for (size_t i = 0; i < plan->len; i++) {
        const struct change *c = &plan->changes[i];
        const struct strlist *deps =
            is_removal(c) && c->recorded != NULL ? &c->recorded->deps : &c->deps;
        for (size_t d = 0; d <= deps->len; d++) {
            const char *dep = d < deps->len ? deps->items[d] : c->parent;
            size_t to = dep == NULL ? SIZE_MAX : index_get(index, dep);
            if (to == SIZE_MAX || to == i)
                continue;
            const struct change *on = &plan->changes[to];
            bool after = !is_removal(on) || c->with_parent;
            if (is_removal(c) && !is_removal(on))
                continue; /* what stays does not hold back what goes */
            if (is_removal(on) && c->with_parent && d < deps->len && !cstr_eq(dep, c->parent))
                continue;
            int rc = after ? edges_add(arena, &needs[i], to) : edges_add(arena, &needs[to], i);
            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

static const char *key_of(const struct change *c, size_t number, struct arena *arena) {
    const char *key = is_state_only(c) || c->kind->batch == NULL ? NULL : c->kind->batch(c, arena);
    if (key == NULL)
        return arena_printf(arena, "#%zu", number);
    return arena_printf(arena, "%s %s", is_removal(c) ? "-" : "+", key);
}

static int group(struct plan *plan, struct arena *arena, struct batches *b, struct err *err) {
    struct index *index = index_new(plan->len);
    size_t *batch_len = arena_calloc(arena, plan->len + 1, sizeof *batch_len);
    if (index == NULL || batch_len == NULL) {
        index_free(index);
        return err_set(err, ERRC_NOMEM, "out of memory");
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < plan->len; i++) {
        struct change *c = &plan->changes[i];
        b->of_change[i] = SIZE_MAX;
        if (!is_executed(c))
            continue;
        const char *key = key_of(c, i, arena);
        size_t at = key == NULL ? SIZE_MAX : index_get(index, key);
        if (key == NULL) {
            rc = err_set(err, ERRC_NOMEM, "out of memory");
        } else if (at == SIZE_MAX) {
            at = b->len++;
            b->items[at] = (struct exec_batch){.key = key, .state_only = is_state_only(c)};
            index_put(index, key, at);
        }
        if (rc == 0) {
            b->of_change[i] = at;
            batch_len[at]++;
        }
    }
    index_free(index);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < b->len; i++) {
        b->items[i].changes = arena_calloc(arena, batch_len[i], sizeof(struct change *));
        if (b->items[i].changes == NULL)
            return err_set(err, ERRC_NOMEM, "out of memory");
    }
    for (size_t i = 0; i < plan->len; i++) {
        if (b->of_change[i] == SIZE_MAX)
            continue;
        struct exec_batch *batch = &b->items[b->of_change[i]];
        batch->changes[batch->len++] = &plan->changes[i];
    }
    return 0;
}

int batches_make(struct plan *plan, struct arena *arena, struct batches *ret, struct err *err) {
    struct batches b = {
        .items = arena_calloc(arena, plan->len + 1, sizeof *b.items),
        .of_change = arena_calloc(arena, plan->len + 1, sizeof *b.of_change),
        .needs = arena_calloc(arena, plan->len + 1, sizeof *b.needs),
    };
    struct index *index = index_new(plan->len);
    if (b.items == NULL || b.of_change == NULL || b.needs == NULL || index == NULL) {
        index_free(index);
        return err_set(err, ERRC_NOMEM, "out of memory");
    }
    for (size_t i = 0; i < plan->len; i++)
        index_put(index, plan->changes[i].address, i);
    int rc = group(plan, arena, &b, err);
    if (rc == 0 && add_needs(plan, index, arena, b.needs) < 0)
        rc = err_set(err, ERRC_NOMEM, "out of memory");
    index_free(index);
    for (size_t i = 0; rc == 0 && i < plan->len; i++) {
        size_t mine = b.of_change[i];
        for (size_t d = 0; mine != SIZE_MAX && d < b.needs[i].len; d++) {
            size_t other = b.of_change[b.needs[i].items[d]];
            if (other != SIZE_MAX && other != mine &&
                edges_add(arena, &b.items[mine].after, other) < 0)
                rc = err_set(err, ERRC_NOMEM, "out of memory");
        }
    }
    if (rc == 0)
        *ret = b;
    return rc;
}
