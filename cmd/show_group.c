#include "cmd/show_group.h"

#include "cmd/text.h"
#include "specs/err.h"
#include "specs/hash.h"

#include <string.h>

/* FNV-1a: cheap; equality is checked on the bytes. */
static void cut_address(const char *address, struct group *ret, int64_t *ret_index) {
    const char *open = strchr(address, '[');
    const char *close = open == NULL ? NULL : strchr(open, ']');
    struct str digits = {0};
    if (close != NULL)
        digits = (struct str){open + 1, (size_t)(close - open - 1)};
    ret->indexed = digits.len > 0 && str_to_i64(digits, 0, INT32_MAX, ret_index);
    ret->prefix = str_of(address);
    if (!ret->indexed)
        return;
    ret->prefix.len = (size_t)(open + 1 - address);
    ret->suffix = str_of(close);
}

static bool same_group(const struct group *a, const struct group *b) {
    return a->hash == b->hash && a->indexed == b->indexed && a->tag == b->tag &&
           str_eq(a->prefix, b->prefix) && str_eq(a->suffix, b->suffix) && str_eq(a->body, b->body);
}

static int add_index(struct groups *groups, struct group *g, int64_t index) {
    int64_t *grown = arena_grow(&groups->arena, g->indexes, g->len, sizeof *grown, &g->cap);
    if (grown == NULL)
        return -ERRC_NOMEM;
    g->indexes = grown;
    size_t at = g->len++;
    while (at > 0 && g->indexes[at - 1] > index) {
        g->indexes[at] = g->indexes[at - 1];
        at--;
    }
    g->indexes[at] = index;
    return 0;
}

static bool copy_text(struct groups *groups, struct str *s) {
    const char *copy = arena_dup_str(&groups->arena, *s);
    s->ptr = copy;
    return copy != NULL;
}

int groups_add(struct groups *groups, const char *address, int tag, struct str body) {
    size_t at;
    return groups_add_at(groups, address, tag, body, &at);
}

int groups_add_at(struct groups *groups, const char *address, int tag, struct str body,
                  size_t *ret_at) {
    struct group g = {.tag = tag, .body = body};
    int64_t index = 0;
    cut_address(address, &g, &index);
    g.hash = hash_more(hash_more(hash_more(HASH_START, g.prefix), g.suffix), g.body);
    for (size_t i = 0; g.indexed && !groups->each && i < groups->len; i++) {
        if (!same_group(&groups->items[i], &g))
            continue;
        *ret_at = i;
        return add_index(groups, &groups->items[i], index);
    }
    struct group *grown =
        arena_grow(&groups->arena, groups->items, groups->len, sizeof *grown, &groups->cap);
    if (grown == NULL)
        return -ERRC_NOMEM;
    groups->items = grown;
    if (!copy_text(groups, &g.prefix) || !copy_text(groups, &g.body) ||
        (g.indexed && !copy_text(groups, &g.suffix)))
        return -ERRC_NOMEM;
    int rc = g.indexed ? add_index(groups, &g, index) : 0;
    if (rc < 0)
        return rc;
    *ret_at = groups->len;
    groups->items[groups->len++] = g;
    return 0;
}

void group_address(const struct group *group, struct buf *out) {
    enum { RANGES_MAX = 6 };
    size_t ranges = 0;
    buf_addstr(out, group->prefix);
    for (size_t i = 0; i < group->len;) {
        size_t end = i;
        if (++ranges > RANGES_MAX) {
            buf_adds(out, ",..");
            break;
        }
        while (end + 1 < group->len && group->indexes[end + 1] == group->indexes[end] + 1)
            end++;
        buf_addf(out, "%s%lld", i == 0 ? "" : ",", (long long)group->indexes[i]);
        if (end > i)
            buf_addf(out, "..%lld", (long long)group->indexes[end]);
        i = end + 1;
    }
    buf_addstr(out, group->suffix);
}

void group_label(const struct group *group, const struct look *look, struct buf *out) {
    group_address(group, out);
    if (group->len > 1)
        buf_addf(out, " %s%zu", text_times(look), group->len);
}

void groups_free(struct groups *groups) {
    arena_free(&groups->arena);
    *groups = (struct groups){0};
}
