/* One arena a phase (spec, desired, plan): everything in it lives and dies together. */
#pragma once

#include "specs/str.h"

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *head;
    size_t total; /* bytes handed out */
    size_t max;   /* 0 means ARENA_MAX_DEFAULT */
};

enum { ARENA_MAX_DEFAULT = 256 * 1024 * 1024 };

/* Zeroed, aligned for any type; NULL when memory or the maximum runs out. Not thread-safe. */
void *arena_alloc(struct arena *a, size_t size);
void *arena_calloc(struct arena *a, size_t count, size_t size); /* checks the multiplication */
/* The array with room for one more: itself, or where it is full (len == *cap) a copy of twice its
 * length; the old one stays until the arena goes. NULL on failure; then *cap is as it was. */
void *arena_grow(struct arena *a, void *items, size_t len, size_t size, size_t *cap);
/* NUL-terminated copies; NULL on failure. arena_dup(NULL) is NULL. */
const char *arena_dup(struct arena *a, const char *cstr);
const char *arena_dup_str(struct arena *a, struct str s);
__attribute__((format(printf, 2, 3))) const char *arena_printf(struct arena *a, const char *fmt,
                                                               ...);
void arena_free(struct arena *a);
/* Everything that `from` owns belongs to `to` from now on; pointers stay good. */
void arena_merge(struct arena *to, struct arena *from);

#define ARENA_NEW(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define _cleanup_arena_ __attribute__((cleanup(arena_free)))
