/* Cost: what a thing is charged for, and what a unit of that costs. */
#pragma once

#include "specs/arena.h"

#include <stdbool.h>
#include <stddef.h>

enum price_unit { PRICE_HOUR, PRICE_GIB_MONTH, PRICE_UNIT_COUNT };

struct cost_item {
    const char *what;  /* for the user: "instance t3.small", "30 GiB gp3 disk" */
    const char *price; /* the unit price's name, which its world understands: "instance t3.small" */
    enum price_unit unit;
    double quantity; /* of what one unit is paid for: 1, GiB; not more than 0 when nobody knows */
    double most_usd; /* the unit price is never more than that; 0: no cap */
    bool while_running; /* paid only while the thing runs; else from its making to its end */
};

enum { COST_ITEMS_MAX = 4 };

struct cost_items {
    struct arena *arena; /* of the strings */
    const void *now;     /* the thing as it is, where the record is what becomes of it; or NULL */
    struct cost_item items[COST_ITEMS_MAX];
    size_t len;
    bool stopped; /* the thing does not run now */
};

/* Append. The strings are copied. 0, -ERRC_LIMIT or -ERRC_NOMEM. */
int cost_items_add(struct cost_items *list, const struct cost_item *item);

struct price { /* of a unit, without tax */
    const char *name;
    bool known;
    double usd;
    const char *why; /* it is not known; NULL otherwise */
};
