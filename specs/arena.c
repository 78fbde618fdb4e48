#include "specs/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_SIZE = 16 * 1024 };

struct arena_block {
    struct arena_block *next;
    size_t used;
    size_t size;
    alignas(max_align_t) unsigned char bytes[];
};

void *arena_alloc(struct arena *a, size_t size) {
    const size_t align = alignof(max_align_t);
    size_t max = a->max == 0 ? (size_t)ARENA_MAX_DEFAULT : a->max;
    if (size > max || max - size < a->total)
        return NULL;
    size_t rounded = (size + align - 1) / align * align;
    if (rounded == 0)
        rounded = align;
    struct arena_block *block = a->head;
    if (block == NULL || block->size - block->used < rounded) {
        size_t bytes = rounded > BLOCK_SIZE ? rounded : (size_t)BLOCK_SIZE;
        block = calloc(1, sizeof *block + bytes);
        if (block == NULL)
            return NULL;
        block->size = bytes;
        block->next = a->head;
        a->head = block;
    }
    void *out = block->bytes + block->used;
    block->used += rounded;
    a->total += rounded;
    return out;
}

void *arena_calloc(struct arena *a, size_t count, size_t size) {
    if (size != 0 && count > SIZE_MAX / size)
        return NULL;
    return arena_alloc(a, count * size);
}

void *arena_grow(struct arena *a, void *items, size_t len, size_t size, size_t *cap) {
    enum { LEAST = 8 };
    if (len < *cap)
        return items;
    size_t want = len < LEAST ? (size_t)LEAST : len * 2;
    void *grown = arena_calloc(a, want, size);
    if (grown == NULL)
        return NULL;
    if (len > 0)
        memcpy(grown, items, len * size);
    *cap = want;
    return grown;
}

const char *arena_dup(struct arena *a, const char *cstr) {
    return cstr == NULL ? NULL : arena_dup_str(a, str_of(cstr));
}

const char *arena_dup_str(struct arena *a, struct str s) {
    char *out = arena_alloc(a, s.len + 1);
    if (out != NULL && s.len > 0)
        memcpy(out, s.ptr, s.len);
    return out;
}

const char *arena_printf(struct arena *a, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *out = len < 0 ? NULL : arena_alloc(a, (size_t)len + 1);
    if (out != NULL) {
        va_start(args, fmt);
        vsnprintf(out, (size_t)len + 1, fmt, args);
        va_end(args);
    }
    return out;
}

void arena_free(struct arena *a) {
    struct arena_block *block = a->head;
    while (block != NULL) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
    a->head = NULL;
    a->total = 0;
}

void arena_merge(struct arena *to, struct arena *from) {
    struct arena_block **last = &to->head;
    while (*last != NULL)
        last = &(*last)->next;
    *last = from->head;
    to->total += from->total;
    from->head = NULL;
    from->total = 0;
}
