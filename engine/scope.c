#include "engine/scope.h"

#include "engine/address.h"
#include "engine/graph.h"
#include "engine/index.h"
#include "engine/plan_notices.h"
#include "specs/record.h"

#include <string.h>

static bool is_any(const struct change *c) { return c != NULL; }
static bool has_power(const struct change *c) { return scope_power_field(c->kind) != NULL; }

/* Every pattern must name something of those that `counts` takes. */
static int check_named(struct plan *plan, const struct strlist *patterns,
                       bool (*counts)(const struct change *), bool below, struct err *err) {
    for (size_t p = 0; patterns != NULL && p < patterns->len; p++) {
        size_t i = 0;
        while (i < plan->len &&
               !(counts(&plan->changes[i]) &&
                 address_matches(patterns->items[p], plan->changes[i].address, below)))
            i++;
        if (i < plan->len)
            continue;
        const char **known = arena_calloc(&plan->arena, plan->len + 1, sizeof *known);
        if (known == NULL)
            return err_no_memory(err);
        for (i = 0; i < plan->len; i++)
            known[i] = plan->changes[i].address;
        const char *near = address_nearest(patterns->items[p], known, plan->len, &plan->arena);
        err_set(err, ERRC_NOTFOUND, "there is no %s, neither in the spec nor in the state",
                patterns->items[p]);
        if (near != NULL)
            err_hint(err, "did you mean %s? berth state list names what is recorded", near);
        else
            err_hint(err, "berth state list names what is recorded, berth plan -v what is wanted");
        return -ERRC_NOTFOUND;
    }
    return 0;
}

int scope_check_named(struct plan *plan, const struct strlist *patterns, struct err *err) {
    return check_named(plan, patterns, is_any, false, err);
}

/* ---- Targets */

struct scope {
    struct plan *plan;
    struct edges *up, *down; /* what each depends on or lives in; the other way round */
    bool *kept;
    size_t *queue;
    size_t queued;
};

static int link_to(struct scope *s, const struct index *index, size_t i, const char *address) {
    size_t to = address == NULL ? SIZE_MAX : index_get(index, address);
    if (to == SIZE_MAX || to == i)
        return 0;
    int rc = edges_add(&s->plan->arena, &s->up[i], to);
    return rc < 0 ? rc : edges_add(&s->plan->arena, &s->down[to], i);
}

static int link_change(struct scope *s, const struct index *index, size_t i) {
    const struct change *c = &s->plan->changes[i];
    const struct recorded *r = c->recorded;
    int rc = link_to(s, index, i, c->parent);
    for (size_t d = 0; rc == 0 && d < c->deps.len; d++)
        rc = link_to(s, index, i, c->deps.items[d]);
    for (size_t d = 0; rc == 0 && r != NULL && d < r->deps.len; d++)
        rc = link_to(s, index, i, r->deps.items[d]);
    return rc;
}

static int link_all(struct scope *s) {
    struct plan *plan = s->plan;
    struct index *index = index_new(plan->len);
    if (index == NULL)
        return -ERRC_NOMEM;
    for (size_t i = 0; i < plan->len; i++)
        index_put(index, plan->changes[i].address, i);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < plan->len; i++)
        rc = link_change(s, index, i);
    index_free(index);
    return rc;
}

static void take(struct scope *s, size_t i) {
    if (s->kept[i])
        return;
    s->kept[i] = true;
    s->queue[s->queued++] = i;
}

static void follow(struct scope *s, size_t i) {
    enum action action = s->plan->changes[i].action;
    bool goes = action == ACTION_DESTROY || action == ACTION_FORGET || action == ACTION_REPLACE;
    bool comes = action != ACTION_DESTROY && action != ACTION_FORGET && action != ACTION_NOOP &&
                 action != ACTION_KEEP;
    for (size_t e = 0; comes && e < s->up[i].len; e++)
        take(s, s->up[i].items[e]);
    for (size_t e = 0; goes && e < s->down[i].len; e++)
        if (s->plan->changes[s->down[i].items[e]].action != ACTION_NOOP)
            take(s, s->down[i].items[e]);
}

/* What goes with another only must not seem gone when that stays. */
static int check_goes_alone(const struct scope *s, struct err *err) {
    for (size_t i = 0; i < s->plan->len; i++) {
        const struct change *c = &s->plan->changes[i];
        bool alone = s->kept[i] && c->with_parent;
        for (size_t e = 0; alone && e < s->up[i].len; e++)
            alone = !s->kept[s->up[i].items[e]] ||
                    !cstr_eq(s->plan->changes[s->up[i].items[e]].address, c->parent);
        if (!alone)
            continue;
        err_set(err, ERRC_INVALID, "%s lives in %s, and goes only with it", c->address, c->parent);
        err_hint(err, "name %s, or take the part out of the spec and apply", c->parent);
        return -ERRC_INVALID;
    }
    return 0;
}

/* They are behind the others then: what is there of them goes on to cost. */
static int leave_out(struct plan *plan, const bool *kept) {
    size_t len = 0, out = 0;
    struct change *others = arena_calloc(&plan->arena, plan->len + 1, sizeof *others);
    if (others == NULL)
        return -ERRC_NOMEM;
    for (size_t i = 0; i < plan->len; i++) {
        const struct change *c = &plan->changes[i];
        if (kept[i]) {
            plan->changes[len++] = *c;
            continue;
        }
        plan->left_out += c->action != ACTION_NOOP && c->action != ACTION_KEEP;
        others[out++] = *c;
    }
    memcpy(plan->changes + len, others, out * sizeof *others);
    plan->len = len;
    plan->others_len = out;
    return 0;
}

int scope_targets(struct plan *plan, const struct strlist *targets, struct err *err) {
    size_t n = plan->len + 1;
    struct arena *arena = &plan->arena;
    struct scope s = {.plan = plan,
                      .up = arena_calloc(arena, n, sizeof *s.up),
                      .down = arena_calloc(arena, n, sizeof *s.down),
                      .kept = arena_calloc(arena, n, sizeof *s.kept),
                      .queue = arena_calloc(arena, n, sizeof *s.queue)};
    if (s.up == NULL || s.down == NULL || s.kept == NULL || s.queue == NULL || link_all(&s) < 0)
        return err_no_memory(err);
    int rc = check_named(plan, targets, is_any, true, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < plan->len; i++)
        if (address_matches_any(targets, plan->changes[i].address, true))
            take(&s, i);
    for (size_t i = 0; i < s.queued; i++)
        follow(&s, s.queue[i]);
    rc = check_goes_alone(&s, err);
    if (rc < 0)
        return rc;
    plan->partial = true;
    return leave_out(plan, s.kept) < 0 ? err_no_memory(err) : 0;
}

/* ---- Power */

const struct field *scope_power_field(const struct kind *kind) {
    const struct field *f =
        kind->endpoint == NULL ? NULL : fields_find(kind->fields, "power", NULL);
    return f != NULL && f->flags & FIELD_KEPT && f->type == FIELD_STR ? f : NULL;
}

/* The change without all that is not power: what the spec says else waits for an apply. */
static int reduce(struct plan *plan, struct change *c, const struct field *power) {
    void *after = arena_alloc(&plan->arena, c->kind->size);
    if (after == NULL || record_copy(&plan->arena, c->kind->fields, after, c->before) < 0 ||
        record_copy_field(&plan->arena, power, after, c->after) < 0)
        return -ERRC_NOMEM;
    bool differs = !record_field_equal(power, after, c->before);
    if (differs && (c->fields = ARENA_NEW(&plan->arena, struct field_change)) == NULL)
        return -ERRC_NOMEM;
    if (differs)
        c->fields[0] = (struct field_change){.field = power, .why = WHY_ASKED};
    c->fields_len = differs;
    if (c->action != ACTION_ADOPT) {
        c->action = differs ? ACTION_UPDATE : ACTION_NOOP;
        c->case_number = differs ? 8 : 7;
        c->why = differs ? WHY_ASKED : WHY_SAME;
    }
    c->after = after;
    c->after_unknown = 0;
    c->settled = true;
    c->loses = c->token = NULL;
    return 0;
}

/* Whether the server stays in the plan; why it does not goes to `note`. */
static int scope_server(struct plan *plan, struct change *c, const struct field *power, bool *ret) {
    bool there = c->live != NULL && c->live->presence == LIVE_OURS && c->before != NULL;
    *ret = true;
    if (c->action == ACTION_UNKNOWN)
        return 0;
    if (c->node != NULL && there)
        return reduce(plan, c, power);
    *ret = false;
    return plan_warn(plan, c->address,
                     c->node == NULL ? "it is not in the spec any more; berth apply destroys it"
                                     : "it is not there; berth apply makes it");
}

int scope_power(struct plan *plan, const struct strlist *servers, struct err *err) {
    bool *kept = arena_calloc(&plan->arena, plan->len + 1, sizeof *kept);
    struct index *index = index_new(plan->len);
    int rc = kept == NULL || index == NULL ? -ERRC_NOMEM : 0;
    for (size_t i = 0; rc == 0 && i < plan->len; i++) {
        struct change *c = &plan->changes[i];
        const struct field *power = scope_power_field(c->kind);
        if (power != NULL && address_matches_any(servers, c->address, false))
            rc = scope_server(plan, c, power, &kept[i]);
        if (kept != NULL && kept[i])
            index_put(index, c->address, i);
    }
    for (size_t i = 0; rc == 0 && i < plan->len; i++) {
        const struct change *c = &plan->changes[i];
        size_t parent = c->parent == NULL ? SIZE_MAX : index_get(index, c->parent);
        kept[i] |= parent != SIZE_MAX && c->kind->follows_address && c->action == ACTION_UPDATE &&
                   c->recorded != NULL && c->recorded->status == RECORDED_OK;
    }
    index_free(index);
    if (rc < 0)
        return err_no_memory(err);
    rc = check_named(plan, servers, has_power, false, err);
    if (rc < 0)
        return rc;
    if (leave_out(plan, kept) < 0)
        return err_no_memory(err);
    plan->left_out = 0; /* it is no partial plan: nothing else was to be done */
    return 0;
}
