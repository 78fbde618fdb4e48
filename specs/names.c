#include "specs/names.h"

#include "specs/err.h"
#include "specs/hash.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { CAP_MIN = 32 };

static const char *name_at(const void *items, size_t i, size_t item_size) {
    return *(const char *const *)(const void *)((const char *)items + i * item_size);
}

static bool is_at(const void *items, size_t i, size_t item_size, const char *name) {
    const char *other = name_at(items, i, item_size);
    return other != NULL && strcmp(other, name) == 0;
}

/* The slot of a name, or the free one that it would take. */
static struct name_slot *slot_of(const struct names *names, const char *name) {
    size_t i = (size_t)hash_more(HASH_START, str_of(name)) & (names->cap - 1);
    while (names->slots[i].name != NULL && strcmp(names->slots[i].name, name) != 0)
        i = (i + 1) & (names->cap - 1);
    return &names->slots[i];
}

/* An item can only have moved down since. */
static size_t now_at(const void *items, size_t then, size_t len, size_t item_size,
                     const char *name) {
    for (size_t i = then < len ? then + 1 : len; i > 0; i--)
        if (is_at(items, i - 1, item_size, name))
            return i - 1;
    return SIZE_MAX;
}

static int grow(struct names *names, struct arena *arena) {
    struct names grown = {.cap = names->cap == 0 ? CAP_MIN : names->cap * 2, .len = names->len};
    grown.slots = arena_calloc(arena, grown.cap, sizeof *grown.slots);
    if (grown.slots == NULL)
        return -ERRC_NOMEM;
    for (size_t i = 0; i < names->cap; i++)
        if (names->slots[i].name != NULL)
            *slot_of(&grown, names->slots[i].name) = names->slots[i];
    *names = grown;
    return 0;
}

int names_add(struct names *names, struct arena *arena, const void *items, size_t len,
              size_t item_size) {
    const char *name = name_at(items, len - 1, item_size);
    if (names->len * 2 >= names->cap && grow(names, arena) < 0)
        return -ERRC_NOMEM;
    struct name_slot *slot = slot_of(names, name);
    if (slot->name == NULL || now_at(items, slot->at, len - 1, item_size, name) == SIZE_MAX)
        *slot = (struct name_slot){name, len - 1};
    names->len++;
    return 0;
}

size_t names_find(const struct names *names, const void *items, size_t len, size_t item_size,
                  const char *name) {
    if (name == NULL)
        return SIZE_MAX;
    if (names->len >= len) {
        const struct name_slot *slot = names->len == 0 ? NULL : slot_of(names, name);
        bool there = slot != NULL && slot->name != NULL;
        return there ? now_at(items, slot->at, len, item_size, name) : SIZE_MAX;
    }
    for (size_t i = 0; i < len; i++)
        if (is_at(items, i, item_size, name))
            return i;
    return SIZE_MAX;
}
