/* What the things of a plan cost, before it and after it. Pure: the prices come from prices.h. */
#pragma once

#include "engine/plan.h"

enum { HOURS_A_MONTH = 730 }; /* as AWS reckons: 8,760 hours a year in twelve months */

/* One thing's one item, for as long as the plan. */
struct cost_line {
    const char *address;
    const struct world *world; /* that knows its price */
    struct cost_item item;
    const struct price *price; /* NULL when it was not asked for */
    bool stopped;              /* the thing does not run now */
};

/* A sum is good only when nothing in it is unknown. */
struct cost_amount {
    double usd;
    size_t unknown; /* items without a price */
};

struct cost_sum {
    struct cost_amount hour_running;  /* when everything runs */
    struct cost_amount month_stopped; /* when everything is stopped */
    struct cost_amount hour_now;      /* as it stands */
};

enum cost_when { COST_BEFORE, COST_AFTER, COST_WHENS };

struct cost {
    struct arena arena;
    bool rehearsed; /* nobody is charged: it is what the same would cost on AWS */
    struct cost_lines {
        struct cost_line *items; /* in the plan's order */
        size_t len, cap;
    } lines[COST_WHENS];
};

/* All items of what is there and of what will be, without prices. -ERRC_NOMEM. Free with cost_free.
 */
int cost_of_plan(const struct plan *plan, struct cost *ret, struct err *err);
/* The items of one record, which may be NULL: then there are none. `now`: the thing as it is, where
 * the record is what becomes of it; or NULL. */
int cost_of_record(const struct kind *kind, const char *address, const void *record,
                   const void *now, uint64_t unknown, struct arena *arena, struct cost_lines *ret);
void cost_free(struct cost *cost);

/* In USD; false when the price or the quantity is unknown. */
bool cost_hour(const struct cost_line *line, double *ret_usd);          /* while it runs */
bool cost_month_stopped(const struct cost_line *line, double *ret_usd); /* 0 for what only runs */
struct cost_sum cost_sum(const struct cost_lines *lines);
bool cost_is_known(const struct cost_amount *amount);
/* Is anything there that costs, before or after? */
bool cost_is_any(const struct cost *cost);

/* {"before": SUM, "after": SUM, "unknown": [{"item", "why"}]}, where SUM is
 * {"usd_per_hour_running", "usd_per_month_running", "usd_per_month_stopped", "usd_per_hour_now"};
 * null is unknown. NULL when memory runs out. */
cJSON *cost_to_json(const struct cost *cost);
cJSON *cost_sum_to_json(const struct cost_sum *sum);
/* A line for the JSON of `berth cost`. */
cJSON *cost_line_to_json(const struct cost_line *line);
