#include "engine/plan_notices.h"

#include <string.h>

static int add_notice(struct plan *plan, struct plan_warning **list, size_t *len,
                      const char *address, const char *text, bool note) {
    if ((*len & (*len - 1)) == 0) { /* the capacity is the next power of two */
        struct plan_warning *items = arena_calloc(&plan->arena, *len * 2 + 1, sizeof *items);
        if (items == NULL)
            return -ERRC_NOMEM;
        if (*len > 0)
            memcpy(items, *list, *len * sizeof *items);
        *list = items;
    }
    (*list)[(*len)++] = (struct plan_warning){arena_dup(&plan->arena, address),
                                              arena_dup(&plan->arena, text), note};
    return 0;
}

int plan_warn(struct plan *plan, const char *address, const char *text) {
    return add_notice(plan, &plan->warnings, &plan->warnings_len, address, text, false);
}

int plan_note(struct plan *plan, const char *address, const char *text) {
    return add_notice(plan, &plan->warnings, &plan->warnings_len, address, text, true);
}

static const char *foreign_text(struct arena *arena, const struct change *c) {
    bool named = c->live != NULL && c->live->err.msg[0] != '\0';
    return arena_printf(arena, "%s exists and is not berth's; rename the spec, or remove it",
                        named ? c->live->err.msg : "one of that name");
}

static const char *protected_text(struct arena *arena, const struct change *c) {
    return arena_printf(arena, "protect: true forbids to %s it; set protect: false and apply first",
                        action_name(c->action));
}

static const char *kept_text(struct arena *arena, const struct change *c) {
    return arena_dup(arena,
                     c->why == WHY_ASKED
                         ? "it is to be kept, and not replaced; apply `keep: false` first"
                         : "what differs can only be had by a new one, and this one is to be "
                           "kept; go back to what it was, or apply `keep: false` first");
}

static const char *given_text(struct arena *arena, const struct change *c) {
    return arena_dup(arena, c->why == WHY_ASKED
                                ? "berth did not make it, and cannot make it anew; berth apply "
                                  "mends what differs"
                                : "the spec names another server than the one that is recorded, "
                                  "where all stays that was put there; go back to that one and "
                                  "berth destroy first, or give the spec another name. If it is "
                                  "the same one, log in by its new name with ssh once, so that "
                                  "known_hosts knows its host key by it");
}

int plan_block(struct plan *plan, const struct change *c) {
    static const struct {
        int number;
        const char *(*text)(struct arena *arena, const struct change *c);
    } rows[] = {{3, foreign_text}, {14, protected_text}, {17, kept_text}, {19, given_text}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool good =
            c->action == ACTION_KEEP || (c->action == ACTION_FORGET && c->case_number == 19);
        if (rows[i].number != c->case_number || good)
            continue;
        const char *text = rows[i].text(&plan->arena, c);
        return text == NULL ? -ERRC_NOMEM
                            : add_notice(plan, &plan->blockers, &plan->blockers_len, c->address,
                                         text, false);
    }
    return 0;
}
