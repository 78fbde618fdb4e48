#include "specs/list.h"

#include "specs/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int strlist_add(struct arena *a, struct strlist *l, const char *item) {
    const char **items = arena_grow(a, l->items, l->len, sizeof *items, &l->cap);
    if (items == NULL)
        return -ERRC_NOMEM;
    l->items = items;
    const char *copy = arena_dup(a, item);
    if (copy == NULL)
        return -ERRC_NOMEM;
    l->items[l->len++] = copy;
    return 0;
}

int strlist_addf(struct arena *a, struct strlist *l, const char *fmt, ...) {
    char text[4096];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof text)
        return -ERRC_LIMIT;
    return strlist_add(a, l, text);
}

bool strlist_has(const struct strlist *l, const char *item) {
    for (size_t i = 0; i < l->len; i++)
        if (cstr_eq(l->items[i], item))
            return true;
    return false;
}

static int compare_items(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void strlist_sort(struct strlist *l) {
    if (l->len > 1)
        qsort(l->items, l->len, sizeof *l->items, compare_items);
}

bool strlist_equal(const struct strlist *a, const struct strlist *b) {
    if (a->len != b->len)
        return false;
    for (size_t i = 0; i < a->len; i++)
        if (!cstr_eq(a->items[i], b->items[i]))
            return false;
    return true;
}

static bool contains_all(const struct strlist *a, const struct strlist *b) {
    for (size_t i = 0; i < b->len; i++)
        if (!strlist_has(a, b->items[i]))
            return false;
    return true;
}

bool strlist_equal_set(const struct strlist *a, const struct strlist *b) {
    return contains_all(a, b) && contains_all(b, a);
}

static int compare_pairs(const void *a, const void *b) {
    return strcmp(((const struct strpair *)a)->key, ((const struct strpair *)b)->key);
}

static struct strpair *find_pair(const struct strmap *m, const char *key) {
    const struct strpair wish = {key, NULL};
    if (!m->unsorted && m->len > 0)
        return bsearch(&wish, m->items, m->len, sizeof *m->items, compare_pairs);
    for (size_t i = 0; i < m->len; i++)
        if (cstr_eq(m->items[i].key, key))
            return &m->items[i];
    return NULL;
}

int strmap_set(struct arena *a, struct strmap *m, const char *key, const char *value) {
    const char *copy = arena_dup(a, value);
    if (copy == NULL)
        return -ERRC_NOMEM;
    struct strpair *known = find_pair(m, key);
    if (known != NULL) {
        known->value = copy;
        return 0;
    }
    struct strpair *items = arena_grow(a, m->items, m->len, sizeof *items, &m->cap);
    if (items == NULL)
        return -ERRC_NOMEM;
    m->items = items;
    const char *key_copy = arena_dup(a, key);
    if (key_copy == NULL)
        return -ERRC_NOMEM;
    m->unsorted |= m->len > 0 && strcmp(m->items[m->len - 1].key, key) > 0;
    m->items[m->len++] = (struct strpair){key_copy, copy};
    return 0;
}

int strmap_copy(struct arena *a, struct strmap *m, const struct strmap *from) {
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < from->len; i++)
        rc = strmap_set(a, m, from->items[i].key, from->items[i].value);
    return rc;
}

const char *strmap_get(const struct strmap *m, const char *key) {
    const struct strpair *p = find_pair(m, key);
    return p == NULL ? NULL : p->value;
}

void strmap_sort(struct strmap *m) {
    if (m->len > 1)
        qsort(m->items, m->len, sizeof *m->items, compare_pairs);
    m->unsorted = false;
}

bool strmap_equal(const struct strmap *a, const struct strmap *b) {
    if (a->len != b->len)
        return false;
    for (size_t i = 0; i < a->len; i++) {
        const char *other = strmap_get(b, a->items[i].key);
        if (other == NULL || !cstr_eq(a->items[i].value, other))
            return false;
    }
    return true;
}
