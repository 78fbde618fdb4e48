#include "engine/power.h"

#include "engine/scope.h"

static bool starts(const char *power) { return cstr_eq(power, "running"); }

const struct kind *const *power_kinds(const struct kind *const *kinds, const char *power,
                                      struct arena *arena) {
    size_t n = 0;
    while (kinds[n] != NULL)
        n++;
    const struct kind **some = arena_calloc(arena, n + 1, sizeof(struct kind *));
    n = 0;
    for (; some != NULL && *kinds != NULL; kinds++)
        if (scope_power_field(*kinds) != NULL || (starts(power) && (*kinds)->follows_address))
            some[n++] = *kinds;
    return some;
}

int power_state(const struct state *state, const char *power, struct arena *arena,
                struct recorded_list *ret) {
    struct recorded_list some = {.items =
                                     arena_calloc(arena, state->nodes.len + 1, sizeof *some.items)};
    if (some.items == NULL)
        return -ERRC_NOMEM;
    for (size_t i = 0; i < state->nodes.len; i++)
        if (starts(power) || state->nodes.items[i].parent == NULL)
            some.items[some.len++] = state->nodes.items[i];
    *ret = some;
    return 0;
}
