#include "engine/plan.h"
#include "specs/record.h"

const char *action_name(enum action action) {
    static const char *const names[ACTION_COUNT] = {
        [ACTION_NOOP] = "no-op",      [ACTION_CREATE] = "create",
        [ACTION_ADOPT] = "adopt",     [ACTION_RESUME] = "resume",
        [ACTION_UPDATE] = "update",   [ACTION_STOP_UPDATE_START] = "stop-update-start",
        [ACTION_REPLACE] = "replace", [ACTION_DESTROY] = "destroy",
        [ACTION_FORGET] = "forget",   [ACTION_KEEP] = "keep",
        [ACTION_UNKNOWN] = "unknown",
    };
    return names[action];
}

const char *why_name(enum why why) {
    static const char *const names[WHY_COUNT] = {
        [WHY_SAME] = "same",     [WHY_NEW] = "new",       [WHY_SPEC] = "spec",
        [WHY_DRIFT] = "drift",   [WHY_BOTH] = "both",     [WHY_REMOVED] = "removed",
        [WHY_ORPHAN] = "orphan", [WHY_PARENT] = "parent", [WHY_UNREADABLE] = "unreadable",
        [WHY_ASKED] = "asked",
    };
    return names[why];
}

bool plan_noop_moves_state(const struct change *c) {
    const struct recorded *r = c->recorded;
    if (c->action != ACTION_NOOP || c->node == NULL || c->live == NULL || c->live->record == NULL)
        return false;
    if (r == NULL || r->record == NULL || r->status != RECORDED_OK ||
        r->protect != c->node->protect || !cstr_eq(r->parent, c->node->parent) ||
        !strlist_equal(&r->deps, &c->node->deps) ||
        (c->live->id != NULL && !cstr_eq(c->live->id, r->id)))
        return true;
    for (const struct field *f = c->kind->fields; f->name != NULL; f++)
        if (!(f->flags & (FIELD_UNSTORED | FIELD_SECRET)) &&
            !record_field_equal(f, c->after, r->record))
            return true;
    return false;
}

const struct change *plan_beside(const struct plan *plan, const struct change *c) {
    bool acts = c->action == ACTION_CREATE || c->action == ACTION_RESUME ||
                c->action == ACTION_DESTROY || c->fields_len > 0 ||
                (c->action == ACTION_UPDATE && c->why != WHY_PARENT);
    for (size_t i = 0; c->kind->besides != NULL && acts && i < plan->len; i++) {
        const struct change *other = &plan->changes[i];
        if (other->kind == c->kind->beside && cstr_eq(other->parent, c->parent))
            return other->action == ACTION_CREATE || other->action == ACTION_DESTROY ? NULL : other;
    }
    return NULL;
}
