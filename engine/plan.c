#include "engine/plan.h"

#include "engine/address.h"
#include "engine/decide.h"
#include "engine/fingerprint.h"
#include "engine/graph.h"
#include "engine/index.h"
#include "engine/plan_notices.h"
#include "engine/scope.h"
#include "specs/record.h"

#include <stdlib.h>
#include <string.h>

struct planner {
    const struct desired *desired;
    const struct state *state;
    const struct live_world *live;
    struct plan *plan;
    struct index *by_address; /* changes */
    struct index *recorded, *observed;
    struct recorded *remembered; /* what the state has now: the plan outlives its changes */
    const struct live **lives;   /* by the index above */
    int (*random)(void *, size_t);
    const struct plan_options *options;
    const char *resolved; /* the address that is worked out now */
};

static const struct change *change_of(const struct planner *p, const char *address) {
    size_t i = address == NULL ? SIZE_MAX : index_get(p->by_address, address);
    return i == SIZE_MAX ? NULL : &p->plan->changes[i];
}

/* Will what lives in it be reached elsewhere? */
static bool moves(const struct change *c) {
    for (size_t i = 0; i < c->fields_len; i++)
        if (c->fields[i].field->flags & FIELD_MOVES)
            return true;
    return false;
}

static const struct live *observed_live(const struct planner *p, const char *address) {
    size_t i = index_get(p->observed, address);
    return i == SIZE_MAX ? NULL : p->lives[i];
}

/* What a dep's record will be, when that is certain before apply; of itself what there is. */
static const void *stable_record(void *ctx, const char *address, const struct kind **ret_kind) {
    const struct planner *p = ctx;
    if (cstr_eq(address, p->resolved)) {
        const struct live *live = observed_live(p, address);
        if (live != NULL && ret_kind != NULL)
            *ret_kind = live->kind;
        return live == NULL ? NULL : live->record;
    }
    const struct change *c = change_of(p, address);
    if (c == NULL)
        return NULL;
    if (ret_kind != NULL)
        *ret_kind = c->kind;
    switch (c->action) {
    case ACTION_NOOP:
    case ACTION_UPDATE:
    case ACTION_ADOPT:
        return moves(c) ? NULL : c->after;
    case ACTION_UNKNOWN:
        return c->recorded == NULL ? NULL : c->recorded->record;
    default:
        return NULL;
    }
}

static int give_token(struct planner *p, struct change *c) {
    if (c->action == ACTION_RESUME)
        c->token = c->recorded->token;
    bool makes = c->action == ACTION_CREATE || c->action == ACTION_REPLACE ||
                 (c->action == ACTION_RESUME && c->token == NULL);
    return makes ? token_mint(p->random, &p->plan->arena, &c->token) : 0;
}

static int add_change(struct planner *p, struct situation *s, struct err *err) {
    struct plan *plan = p->plan;
    struct change c;
    int rc = decide(s, &plan->arena, &c, err);
    if (rc < 0)
        return rc;
    plan->changes[plan->len] = c;
    index_put(p->by_address, c.address, plan->len++);
    return 0;
}

static const struct recorded *recorded_of(const struct planner *p, const char *address) {
    size_t i = index_get(p->recorded, address);
    return i == SIZE_MAX ? NULL : &p->remembered[i];
}

static bool is_choice(const struct field *f, const void *record) {
    const char *value = *(const char *const *)((const char *)record + f->offset);
    const char *const *choice = f->choices;
    while (choice != NULL && *choice != NULL && !cstr_eq(value, *choice))
        choice++;
    return value != NULL && (choice == NULL || *choice != NULL);
}

/* What the spec does not say: as asked for, else as the world says that it is to be, else as it was
 * recorded last. */
static int fill_kept(const struct planner *p, const struct node *node, const struct recorded *r,
                     const struct live *live, void *record) {
    struct arena *arena = &p->plan->arena;
    const struct field *power = p->options->power == NULL ? NULL : scope_power_field(node->kind);
    for (const struct field *f = node->kind->fields; f->name != NULL; f++) {
        if (f->flags & FIELD_KEPT && r != NULL && r->record != NULL &&
            (f->type != FIELD_STR || is_choice(f, r->record)) &&
            record_copy_field(arena, f, record, r->record) < 0)
            return -ERRC_NOMEM;
        size_t i = (size_t)(f - node->kind->fields);
        if (live != NULL && live->record != NULL && live->accepted >> i & 1 &&
            record_copy_field(arena, f, record, live->record) < 0)
            return -ERRC_NOMEM;
    }
    if (power == NULL || !address_matches_any(p->options->targets, node->address, false))
        return 0;
    const char *wanted = arena_dup(arena, p->options->power);
    memcpy((char *)record + power->offset, &wanted, sizeof wanted);
    return wanted == NULL ? -ERRC_NOMEM : 0;
}

static bool is_replaced(const struct planner *p, const struct node *node) {
    const struct strlist *list = p->options->replaces;
    return list != NULL && list->len > 0 && node->parent == NULL &&
           address_matches_any(list, node->address, false);
}

static int plan_node(struct planner *p, const struct node *node, struct err *err) {
    struct arena *arena = &p->plan->arena;
    struct situation s = {
        .node = node,
        .recorded = recorded_of(p, node->address),
        .live = observed_live(p, node->address),
        .parent = change_of(p, node->parent),
        .unknown = node->unknown,
        .desired = node->desired,
    };
    s.presence = s.live == NULL ? LIVE_NONE : s.live->presence;
    s.data = p->options->data;
    s.replace = is_replaced(p, node);
    void *record = arena_alloc(arena, node->kind->size);
    if (record == NULL || record_copy(arena, node->kind->fields, record, node->desired) < 0 ||
        fill_kept(p, node, s.recorded, s.live, record) < 0)
        return err_no_memory(err);
    const struct lookup lookup = {stable_record, p};
    p->resolved = node->address;
    int rc = node->kind->resolve == NULL
                 ? 0
                 : node->kind->resolve(node, &lookup, arena, record, &s.unknown);
    if (rc < 0)
        return err_set(err, (enum err_code) - rc, "cannot work out %s", node->address);
    s.desired = record;
    return add_change(p, &s, err);
}

/* `protect: true` holds from the moment that the spec says so, also for what no apply has recorded
 * it of, and for what no state remembers. */
static bool spec_protects(const struct planner *p, const struct kind *kind) {
    const struct spec *spec = p->desired->spec;
    return spec != NULL && kind->protects != NULL && kind->protects(spec);
}

static int warn_unknown_kind(struct plan *plan, const struct recorded *r) {
    const char *text = arena_printf(
        &plan->arena, "this berth does not know the kind %s; it is left alone", r->kind_name);
    return text == NULL ? -ERRC_NOMEM : plan_warn(plan, r->address, text);
}

/* Fills order[] with the remembered nodes, each behind its parent and what it depends on. */
static int order_remembered(struct planner *p, size_t *order, struct err *err) {
    struct arena *arena = &p->plan->arena;
    size_t len = p->state->nodes.len, cycle = 0;
    struct edges *edges = arena_calloc(arena, len + 1, sizeof *edges);
    if (edges == NULL)
        return err_no_memory(err);
    for (size_t i = 0; i < len; i++) {
        const struct recorded *r = &p->remembered[i];
        for (size_t d = 0; d <= r->deps.len; d++) {
            const char *dep = d < r->deps.len ? r->deps.items[d] : r->parent;
            size_t to = dep == NULL ? SIZE_MAX : index_get(p->recorded, dep);
            if (to != SIZE_MAX && to != i && edges_add(arena, &edges[i], to) < 0)
                return err_no_memory(err);
        }
    }
    return graph_order(edges, len, order, &cycle, err);
}

static int plan_remembered(struct planner *p, const struct recorded *r, struct err *err) {
    if (change_of(p, r->address) != NULL)
        return 0;
    if (r->kind == NULL)
        return warn_unknown_kind(p->plan, r) < 0 ? err_no_memory(err) : 0;
    struct situation s = {.recorded = r,
                          .live = observed_live(p, r->address),
                          .parent = change_of(p, r->parent),
                          .protect = spec_protects(p, r->kind),
                          .data = p->options->data};
    s.presence = s.live == NULL ? LIVE_NONE : s.live->presence;
    return add_change(p, &s, err);
}

static int plan_orphan(struct planner *p, const struct live *live, struct err *err) {
    if (live->presence != LIVE_OURS || change_of(p, live->address) != NULL)
        return 0;
    struct situation s = {.live = live,
                          .presence = LIVE_OURS,
                          .protect = spec_protects(p, live->kind),
                          .data = p->options->data};
    return add_change(p, &s, err);
}

static void reverse(struct change *changes, size_t len) {
    for (size_t a = 0, b = len; a + 1 < b; a++) {
        struct change swap = changes[a];
        changes[a] = changes[--b];
        changes[b] = swap;
    }
}

/* What is recorded or ours, and not wanted. Parents are decided before what lives in them, and
 * shown the other way round: what others need goes last. */
static int plan_removals(struct planner *p, struct err *err) {
    size_t first = p->plan->len;
    size_t *order = arena_calloc(&p->plan->arena, p->state->nodes.len + 1, sizeof *order);
    if (order == NULL)
        return err_no_memory(err);
    int rc = order_remembered(p, order, err);
    for (size_t i = 0; rc == 0 && i < p->state->nodes.len; i++)
        rc = plan_remembered(p, &p->remembered[order[i]], err);
    for (size_t w = 0; rc == 0 && w < p->live->len; w++)
        for (size_t i = 0; rc == 0 && i < p->live->worlds[w].len; i++)
            rc = plan_orphan(p, &p->live->worlds[w].items[i], err);
    if (rc == 0)
        reverse(p->plan->changes + first, p->plan->len - first);
    return rc;
}

static int build_indexes(struct planner *p, struct err *err) {
    size_t lives = 0;
    for (size_t w = 0; w < p->live->len; w++)
        lives += p->live->worlds[w].len;
    size_t most = p->desired->nodes.len + p->state->nodes.len + lives;
    p->by_address = index_new(most);
    p->recorded = index_new(p->state->nodes.len);
    p->observed = index_new(lives);
    p->lives = calloc(lives + 1, sizeof *p->lives);
    p->plan->changes = arena_calloc(&p->plan->arena, most + 1, sizeof *p->plan->changes);
    p->remembered = arena_calloc(&p->plan->arena, p->state->nodes.len + 1, sizeof *p->remembered);
    if (p->by_address == NULL || p->recorded == NULL || p->observed == NULL || p->lives == NULL ||
        p->plan->changes == NULL || p->remembered == NULL)
        return err_no_memory(err);
    if (p->state->nodes.len > 0)
        memcpy(p->remembered, p->state->nodes.items, p->state->nodes.len * sizeof *p->remembered);
    for (size_t i = 0; i < p->state->nodes.len; i++)
        index_put(p->recorded, p->state->nodes.items[i].address, i);
    size_t n = 0;
    for (size_t w = 0; w < p->live->len; w++) {
        for (size_t i = 0; i < p->live->worlds[w].len; i++) {
            p->lives[n] = &p->live->worlds[w].items[i];
            if (index_get(p->observed, p->lives[n]->address) == SIZE_MAX)
                index_put(p->observed, p->lives[n]->address, n);
            n++;
        }
    }
    return 0;
}

/* What was asked to be replaced and is not: unknown, part of something else, or not there. */
static int check_replaces(struct planner *p, struct err *err) {
    const struct strlist *list = p->options->replaces;
    struct plan *plan = p->plan;
    int rc = list == NULL ? 0 : scope_check_named(plan, list, err);
    for (size_t i = 0; rc == 0 && list != NULL && list->len > 0 && i < plan->len; i++) {
        const struct change *c = &plan->changes[i];
        if (!address_matches_any(list, c->address, false))
            continue;
        if (c->parent != NULL) {
            err_set(err, ERRC_INVALID, "%s lives in %s: it is mended in place, not replaced",
                    c->address, c->parent);
            err_hint(err, "berth apply mends what differs; -replace %s makes all of it anew",
                     c->parent);
            rc = -ERRC_INVALID;
        } else if (c->action != ACTION_REPLACE && c->action != ACTION_UNKNOWN) {
            rc = plan_warn(plan, c->address, "it is not there, so there is nothing to replace") < 0
                     ? err_no_memory(err)
                     : 0;
        }
    }
    return rc;
}

static int narrow(struct planner *p, struct err *err) {
    const struct plan_options *o = p->options;
    if (o->power != NULL)
        return scope_power(p->plan, o->targets, err);
    return o->targets == NULL || o->targets->len == 0 ? 0 : scope_targets(p->plan, o->targets, err);
}

/* Counts, tokens and notices of what is left. */
static int finish(struct planner *p, struct err *err) {
    struct plan *plan = p->plan;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < plan->len; i++) {
        struct change *c = &plan->changes[i];
        plan->counts[c->action]++;
        plan->drifted += c->action != ACTION_NOOP && (c->why == WHY_DRIFT || c->why == WHY_BOTH);
        rc = give_token(p, c);
        if (rc == -ERRC_INTERNAL)
            return err_set(err, ERRC_INTERNAL, "no random numbers to be had");
        if (rc == 0)
            rc = plan_block(plan, c);
        if (rc == 0 && c->live != NULL && c->live->note != NULL)
            rc = plan_note(plan, c->address, c->live->note);
    }
    for (size_t w = 0; rc == 0 && w < p->live->len; w++)
        for (size_t i = 0; rc == 0 && i < p->live->worlds[w].warnings.len; i++)
            rc = plan_warn(plan, NULL, p->live->worlds[w].warnings.items[i]);
    return rc < 0 ? err_no_memory(err) : 0;
}

static int make(struct planner *p, struct err *err) {
    int rc = build_indexes(p, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == 0 && !p->options->destroy && i < p->desired->nodes.len; i++)
        rc = plan_node(p, &p->desired->nodes.items[i], err);
    if (rc == 0)
        rc = plan_removals(p, err);
    if (rc == 0)
        rc = check_replaces(p, err);
    if (rc == 0)
        rc = narrow(p, err);
    if (rc == 0)
        rc = finish(p, err);
    return rc < 0 ? rc : plan_fingerprint(p->desired, p->state, p->live, p->plan, err);
}

int plan_make(const struct desired *desired, const struct state *state,
              const struct live_world *live, const struct plan_options *options,
              int (*random)(void *, size_t), struct plan *ret, struct err *err) {
    struct plan plan = {.destroy = options->destroy};
    struct planner p = {.desired = desired,
                        .state = state,
                        .live = live,
                        .plan = &plan,
                        .random = random,
                        .options = options};
    int rc = make(&p, err);
    index_free(p.by_address);
    index_free(p.recorded);
    index_free(p.observed);
    free(p.lives);
    if (rc < 0) {
        arena_free(&plan.arena);
        return rc;
    }
    *ret = plan;
    return 0;
}

void plan_free(struct plan *plan) {
    arena_free(&plan->arena);
    *plan = (struct plan){0};
}

bool plan_has_changes(const struct plan *plan) {
    return plan->counts[ACTION_NOOP] + plan->counts[ACTION_KEEP] < plan->len;
}
