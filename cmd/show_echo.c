#include "cmd/show_echo.h"

#include "engine/index.h"

static bool is_unread(const struct change *c) {
    return c->action == ACTION_UNKNOWN && c->note == NULL && c->live != NULL &&
           c->live->presence == LIVE_UNREADABLE;
}

int echoes_find(const struct plan *plan, struct arena *arena, struct echoes *ret) {
    struct echoes found = {.is_echo = arena_calloc(arena, plan->len + 1, sizeof *found.is_echo),
                           .others = arena_calloc(arena, plan->len + 1, sizeof *found.others)};
    struct index *index = index_new(plan->len);
    if (found.is_echo == NULL || found.others == NULL || index == NULL) {
        index_free(index);
        return -ERRC_NOMEM;
    }
    for (size_t i = 0; i < plan->len; i++)
        if (is_unread(&plan->changes[i]) && plan->changes[i].live->same_as == NULL)
            index_put(index, plan->changes[i].address, i);
    for (size_t i = 0; i < plan->len; i++) {
        const struct change *c = &plan->changes[i];
        if (!is_unread(c) || c->live->same_as == NULL)
            continue;
        size_t at = index_get(index, c->live->same_as);
        found.is_echo[i] = at != SIZE_MAX;
        if (at != SIZE_MAX)
            found.others[at]++;
    }
    index_free(index);
    *ret = found;
    return 0;
}

void echoes_add(const struct echoes *echoes, size_t at, struct buf *out) {
    size_t n = echoes->others[at];
    if (n > 0)
        buf_addf(out, "and %zu more part%s, for the same reason", n, n == 1 ? "" : "s");
}
