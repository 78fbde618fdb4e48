#include "providers/host/internal.h"

#include <stdlib.h>
#include <string.h>

static int add(struct facts *f, struct str node, struct str key, struct str value) {
    struct fact *items = arena_grow(&f->arena, f->items, f->len, sizeof *items, &f->cap);
    if (items == NULL)
        return -ERRC_NOMEM;
    f->items = items;
    struct fact fact = {arena_dup_str(&f->arena, node), arena_dup_str(&f->arena, key),
                        arena_dup_str(&f->arena, value)};
    if (fact.node == NULL || fact.key == NULL || fact.value == NULL)
        return -ERRC_NOMEM;
    f->items[f->len++] = fact;
    return 0;
}

/* By node and key; of equals the first that came is the first. */
static int compare(const void *left, const void *right) {
    const struct fact *a = *(const struct fact *const *)left;
    const struct fact *b = *(const struct fact *const *)right;
    int c = strcmp(a->node, b->node);
    if (c == 0)
        c = strcmp(a->key, b->key);
    return c != 0 ? c : (a > b) - (a < b);
}

static int sort(struct facts *f) {
    f->sorted = arena_calloc(&f->arena, f->len + 1, sizeof *f->sorted);
    if (f->sorted == NULL)
        return -ERRC_NOMEM;
    for (size_t i = 0; i < f->len; i++)
        f->sorted[i] = &f->items[i];
    if (f->len > 1)
        qsort(f->sorted, f->len, sizeof *f->sorted, compare);
    return 0;
}

static int refuse(struct str line, struct err *err) {
    enum { SHOWN_MAX = 80 };
    err_set(err, ERRC_HOST, "the host answered something else than was asked: %.*s",
            (int)(line.len < SHOWN_MAX ? line.len : SHOWN_MAX), line.ptr);
    err_hint(err, "what the login user's shell prints at start (~/.bashrc) must go to terminals "
                  "only");
    return -ERRC_HOST;
}

int facts_parse(struct str text, struct facts *ret, struct err *err) {
    struct facts f = {0};
    struct str line;
    while (str_split(&text, '\n', &line)) {
        struct str node, key;
        struct str value = line;
        if (line.len == 0)
            continue;
        int rc = 0;
        if (!str_split(&value, '\t', &node) || !str_split(&value, '\t', &key) ||
            value.ptr == NULL || memchr(line.ptr, '\0', line.len) != NULL)
            rc = refuse(line, err);
        else if (f.len == FACTS_MAX)
            rc = err_set(err, ERRC_LIMIT, "the host answered too much");
        else if (add(&f, node, key, value) < 0)
            rc = err_no_memory(err);
        if (rc < 0) {
            arena_free(&f.arena);
            return rc;
        }
    }
    if (sort(&f) < 0) {
        arena_free(&f.arena);
        return err_no_memory(err);
    }
    *ret = f;
    return 0;
}

void facts_free(struct facts *facts) {
    arena_free(&facts->arena);
    *facts = (struct facts){0};
}

const char *facts_get(const struct facts *facts, const char *node, const char *key) {
    size_t low = 0, high = facts->len;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct fact *f = facts->sorted[middle];
        int c = strcmp(f->node, node);
        if (c == 0)
            c = strcmp(f->key, key);
        if (c < 0)
            low = middle + 1;
        else
            high = middle;
    }
    const struct fact *f = low < facts->len ? facts->sorted[low] : NULL;
    return f != NULL && strcmp(f->key, key) == 0 && strcmp(f->node, node) == 0 ? f->value : NULL;
}

bool facts_get_base64(const struct facts *facts, const char *node, const char *key,
                      struct buf *out) {
    const char *value = facts_get(facts, node, key);
    return value != NULL && value[0] != '\0' && buf_add_base64_decoded(out, str_of(value));
}
