/* Finds an item of a growing array by its name without looking at all of them. The items are
 * structs whose first member is the name, a string that lives as long as the array. */
#pragma once

#include "specs/arena.h"

#include <stddef.h>

struct names {
    struct name_slot {
        const char *name; /* NULL is free */
        size_t at;        /* where its item stood when it was told of */
    } * slots;
    size_t cap; /* a power of two */
    size_t len; /* items that were told of */
};

/* Tell of the item that was just appended, items[len - 1]. 0 or -ERRC_NOMEM. */
int names_add(struct names *names, struct arena *arena, const void *items, size_t len,
              size_t item_size);
/* The position of the first item of that name, or SIZE_MAX. Good also after items were taken out of
 * an array without like names (those behind them move down), and where not all were told of (then
 * by looking at all); not after names were changed or items moved otherwise: begin with an empty
 * struct then. */
size_t names_find(const struct names *names, const void *items, size_t len, size_t item_size,
                  const char *name);
