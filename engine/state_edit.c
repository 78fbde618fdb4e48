#include "engine/state_edit.h"

#include "engine/address.h"

#include <string.h>

static int not_recorded(const struct state *state, const char *pattern, struct arena *arena,
                        struct err *err) {
    size_t len = state->nodes.len;
    const char **known = arena_calloc(arena, len + 1, sizeof *known);
    if (known == NULL)
        return err_no_memory(err);
    for (size_t i = 0; i < len; i++)
        known[i] = state->nodes.items[i].address;
    const char *near = address_nearest(pattern, known, len, arena);
    err_set(err, ERRC_NOTFOUND, "the state records no %s", pattern);
    if (near != NULL)
        err_hint(err, "did you mean %s? berth state list names them all", near);
    else
        err_hint(err, "berth state list names what it records");
    return -ERRC_NOTFOUND;
}

const struct recorded *state_entry(const struct state *state, const char *address,
                                   struct arena *arena, struct err *err) {
    const struct recorded *r = recorded_find(&state->nodes, address);
    if (r == NULL)
        not_recorded(state, address, arena, err);
    return r;
}

int state_forget(struct state *state, const struct strlist *patterns, struct recorded_list *ret,
                 struct err *err) {
    struct recorded_list *nodes = &state->nodes;
    struct recorded_list gone = {
        .items = arena_calloc(&state->arena, nodes->len + 1, sizeof *gone.items)};
    if (gone.items == NULL)
        return err_no_memory(err);
    for (size_t p = 0; p < patterns->len; p++) {
        size_t i = 0;
        while (i < nodes->len &&
               !address_matches(patterns->items[p], nodes->items[i].address, true))
            i++;
        if (i == nodes->len)
            return not_recorded(state, patterns->items[p], &state->arena, err);
    }
    for (size_t i = 0; patterns->len > 0 && i < nodes->len; i++)
        if (address_matches_any(patterns, nodes->items[i].address, true))
            gone.items[gone.len++] = nodes->items[i];
    for (size_t i = 0; i < gone.len; i++)
        state_remove(state, gone.items[i].address);
    *ret = gone;
    return 0;
}

/* ---- Moving */

/* Behind `from`: "" for itself, ".python" for what lives in it; NULL for any other. */
static const char *tail_of(const char *address, const char *from) {
    size_t len = strlen(from);
    bool under = address != NULL && strncmp(address, from, len) == 0 &&
                 (address[len] == '\0' || address[len] == '.');
    return under ? address + len : NULL;
}

/* Are both "server[N]"? */
static bool same_sort(const char *a, const char *b) {
    while (*a != '\0' && *a == *b && *a != '[') {
        a++;
        b++;
    }
    if (*a != '[' || *b != '[')
        return false;
    const char *ends[] = {strchr(a, ']'), strchr(b, ']')};
    int64_t index;
    return ends[0] != NULL && ends[1] != NULL && ends[0][1] == '\0' && ends[1][1] == '\0' &&
           str_to_i64((struct str){b + 1, (size_t)(ends[1] - b - 1)}, 0, INT32_MAX, &index);
}

static int check_move(const struct state *state, const char *from, const char *to,
                      struct arena *arena, struct err *err) {
    const struct recorded *r = state_entry(state, from, arena, err);
    if (r == NULL)
        return -err->code;
    if (r->parent != NULL) {
        err_set(err, ERRC_INVALID, "%s lives in %s, and moves with it", from, r->parent);
        err_hint(err, "berth state mv '%s' …", r->parent);
        return -ERRC_INVALID;
    }
    if (!same_sort(from, to)) {
        err_set(err, ERRC_INVALID, "%s cannot become %s", from, to);
        err_hint(err, "only the number changes: server[0] can become server[1]");
        return -ERRC_INVALID;
    }
    for (size_t i = 0; i < state->nodes.len; i++)
        if (tail_of(state->nodes.items[i].address, to) != NULL) {
            err_set(err, ERRC_CONFLICT, "there is a %s already", state->nodes.items[i].address);
            err_hint(err, "move that away first, to a number that is free");
            return -ERRC_CONFLICT;
        }
    return 0;
}

static int rename_to(struct arena *arena, const char **address, const char *from, const char *to) {
    const char *tail = tail_of(*address, from);
    if (tail != NULL)
        *address = arena_printf(arena, "%s%s", to, tail);
    return tail != NULL && *address == NULL ? -ERRC_NOMEM : 0;
}

int state_move(struct state *state, const char *from, const char *to, struct err *err) {
    struct arena *arena = &state->arena;
    int rc = check_move(state, from, to, arena, err);
    if (rc < 0)
        return rc;
    state->nodes.names = (struct names){0};
    for (size_t i = 0; rc == 0 && i < state->nodes.len; i++) {
        struct recorded *r = &state->nodes.items[i];
        rc = rename_to(arena, &r->address, from, to);
        if (rc == 0)
            rc = rename_to(arena, &r->parent, from, to);
        for (size_t d = 0; rc == 0 && d < r->deps.len; d++)
            rc = rename_to(arena, &r->deps.items[d], from, to);
    }
    return rc < 0 ? err_no_memory(err) : 0;
}
