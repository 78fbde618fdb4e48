#include "engine/batch.h"

#include "engine/index.h"

static bool is_removal(const struct change *c) {
    return c->action == ACTION_DESTROY || c->action == ACTION_FORGET;
}

static bool is_executed(const struct change *c) {
    return c->action != ACTION_NOOP && c->action != ACTION_KEEP && c->action != ACTION_UNKNOWN;
}

static bool is_state_only(const struct change *c) {
    return c->with_parent || (c->action == ACTION_FORGET && c->kind->leaves == NULL) ||
           (c->action == ACTION_ADOPT && c->fields_len == 0);
}

/* How the needs and batches are made. Where changes wait for each other in a circle, the next mode
 * gives something up: doing much with one call before the order that a world may insist on, since
 * slow is better than refused. */
static const struct mode {
    bool kind; /* also wait where the world might refuse otherwise */
    bool grouped;
} modes[] = {{true, true}, {true, false}, {false, true}, {false, false}};

struct maker {
    struct plan *plan;
    const struct index *by_address;
    struct arena *arena;
    struct mode mode;
    struct batches out;
};

static int need(struct maker *m, size_t change, size_t on) {
    return edges_add(m->arena, &m->out.needs[change], on);
}

/* Between change i and the one that it depends on (or did, as recorded). */
static int add_need(struct maker *m, size_t i, size_t to, bool wanted, bool is_parent) {
    const struct change *c = &m->plan->changes[i];
    const struct change *on = &m->plan->changes[to];
    if (c->with_parent)
        return is_parent ? need(m, i, to) : 0;
    /* What is only written down is in the world already, or gone from it: it waits for no others,
     * who would have to be cut out of their batches for it. */
    const struct change *waits = is_removal(on) ? on : c;
    if (!is_parent && is_state_only(waits) && waits->after_unknown == 0)
        return 0;
    if (is_removal(on)) /* what was made upon it lets go first */
        return need(m, to, i);
    if (!is_removal(c))
        return wanted ? need(m, i, to) : 0;
    if (is_parent) /* it may have to be started to reach what goes */
        return need(m, i, to);
    /* What stays does not hold back what goes, but to be replaced it must not be in use. */
    return m->mode.kind && on->action == ACTION_REPLACE ? need(m, to, i) : 0;
}

static int add_needs_of(struct maker *m, size_t i, const struct strlist *deps, const char *parent,
                        bool wanted) {
    for (size_t d = 0; d <= deps->len; d++) {
        bool is_parent = d == deps->len;
        const char *dep = is_parent ? parent : deps->items[d];
        size_t to = dep == NULL ? SIZE_MAX : index_get(m->by_address, dep);
        int rc = to == SIZE_MAX || to == i ? 0 : add_need(m, i, to, wanted, is_parent);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int add_needs(struct maker *m) {
    for (size_t i = 0; i < m->plan->len; i++) {
        const struct change *c = &m->plan->changes[i];
        const struct recorded *r = c->recorded;
        int rc = is_removal(c) && r != NULL ? 0 : add_needs_of(m, i, &c->deps, c->parent, true);
        if (rc == 0 && r != NULL)
            rc = add_needs_of(m, i, &r->deps, r->parent, false);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static size_t rank_of(const struct kind *const *kinds, const struct kind *kind) {
    size_t rank = 0;
    while (kinds[rank] != NULL && kinds[rank] != kind)
        rank++;
    return rank;
}

/* Nobody remembers what an orphan depends on, or what it is in use by: go by the kinds. */
static int add_orphan_needs(struct maker *m, const struct kind *const *kinds) {
    const struct plan *plan = m->plan;
    if (!m->mode.kind)
        return 0;
    for (size_t i = 0; i < plan->len; i++) {
        const struct change *c = &plan->changes[i];
        for (size_t j = 0; c->why == WHY_ORPHAN && j < plan->len; j++) {
            const struct change *other = &plan->changes[j];
            if (!is_executed(other) || other->with_parent || other->kind == c->kind)
                continue;
            bool later = rank_of(kinds, other->kind) > rank_of(kinds, c->kind);
            bool waits = is_removal(other) && other->why != WHY_ORPHAN;
            int rc = later ? need(m, i, j) : waits ? need(m, j, i) : 0;
            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

static const char *key_of(const struct change *c, size_t number, bool grouped,
                          struct arena *arena) {
    bool alone = !grouped || is_state_only(c) || c->kind->batch == NULL;
    const char *key = alone ? NULL : c->kind->batch(c, arena);
    if (key == NULL)
        return arena_printf(arena, "#%zu", number);
    return arena_printf(arena, "%s %s", is_removal(c) ? "-" : "+", key);
}

/* Which batch each change goes into, and how many changes each has. */
static int assign(struct maker *m, struct index *index, size_t *len_of) {
    struct batches *b = &m->out;
    for (size_t i = 0; i < m->plan->len; i++) {
        const struct change *c = &m->plan->changes[i];
        b->of_change[i] = SIZE_MAX;
        if (!is_executed(c))
            continue;
        const char *key = key_of(c, i, m->mode.grouped, m->arena);
        if (key == NULL)
            return -ERRC_NOMEM;
        size_t at = index_get(index, key);
        if (at == SIZE_MAX) {
            at = b->len++;
            b->items[at] = (struct exec_batch){.key = key, .state_only = is_state_only(c)};
            index_put(index, key, at);
        }
        b->of_change[i] = at;
        len_of[at]++;
    }
    return 0;
}

static int group(struct maker *m) {
    struct plan *plan = m->plan;
    struct batches *b = &m->out;
    size_t *len_of = arena_calloc(m->arena, plan->len + 1, sizeof *len_of);
    struct index *index = index_new(plan->len);
    int rc = len_of == NULL || index == NULL ? -ERRC_NOMEM : assign(m, index, len_of);
    index_free(index);
    for (size_t i = 0; rc == 0 && i < b->len; i++) {
        b->items[i].changes = arena_calloc(m->arena, len_of[i], sizeof(struct change *));
        if (b->items[i].changes == NULL)
            rc = -ERRC_NOMEM;
    }
    for (size_t i = 0; rc == 0 && i < plan->len; i++) {
        if (b->of_change[i] == SIZE_MAX)
            continue;
        struct exec_batch *batch = &b->items[b->of_change[i]];
        batch->changes[batch->len++] = &plan->changes[i];
    }
    return rc;
}

static int add_afters(struct maker *m) {
    struct batches *b = &m->out;
    for (size_t i = 0; i < m->plan->len; i++) {
        size_t mine = b->of_change[i];
        for (size_t d = 0; mine != SIZE_MAX && d < b->needs[i].len; d++) {
            size_t other = b->of_change[b->needs[i].items[d]];
            if (other != SIZE_MAX && other != mine &&
                edges_add(m->arena, &b->items[mine].after, other) < 0)
                return -ERRC_NOMEM;
        }
    }
    return 0;
}

/* 0, -ERRC_NOMEM, or -ERRC_INVALID when batches wait for each other. */
static int check_order(const struct maker *m, struct err *err) {
    const struct batches *b = &m->out;
    struct edges *edges = arena_calloc(m->arena, b->len + 1, sizeof *edges);
    size_t *order = arena_calloc(m->arena, b->len + 1, sizeof *order);
    size_t cycle_len = 0;
    if (edges == NULL || order == NULL)
        return -ERRC_NOMEM;
    for (size_t i = 0; i < b->len; i++)
        edges[i] = b->items[i].after;
    int rc = graph_order(edges, b->len, order, &cycle_len, err);
    if (cycle_len > 0)
        err_set(err, ERRC_INVALID, "changes wait for each other: %s and %s",
                b->items[order[0]].changes[0]->address,
                b->items[order[cycle_len - 1]].changes[0]->address);
    return rc;
}

static int make(struct maker *m, const struct kind *const *kinds, struct err *err) {
    size_t n = m->plan->len + 1;
    m->out = (struct batches){.items = arena_calloc(m->arena, n, sizeof *m->out.items),
                              .of_change = arena_calloc(m->arena, n, sizeof *m->out.of_change),
                              .needs = arena_calloc(m->arena, n, sizeof *m->out.needs)};
    if (m->out.items == NULL || m->out.of_change == NULL || m->out.needs == NULL)
        return -ERRC_NOMEM;
    int rc = group(m);
    if (rc == 0)
        rc = add_needs(m);
    if (rc == 0)
        rc = add_orphan_needs(m, kinds);
    if (rc == 0)
        rc = add_afters(m);
    return rc < 0 ? rc : check_order(m, err);
}

int batches_make(struct plan *plan, const struct kind *const *kinds, struct arena *arena,
                 struct batches *ret, struct err *err) {
    struct index *by_address = index_new(plan->len);
    struct maker m = {.plan = plan, .by_address = by_address, .arena = arena};
    int rc = by_address == NULL ? -ERRC_NOMEM : -ERRC_INVALID;
    for (size_t i = 0; by_address != NULL && i < plan->len; i++)
        index_put(by_address, plan->changes[i].address, i);
    for (size_t i = 0; rc == -ERRC_INVALID && i < sizeof modes / sizeof modes[0]; i++) {
        m.mode = modes[i];
        rc = make(&m, kinds, err);
    }
    index_free(by_address);
    if (rc == -ERRC_NOMEM)
        return err_no_memory(err);
    if (rc < 0)
        return rc;
    *ret = m.out;
    return 0;
}
