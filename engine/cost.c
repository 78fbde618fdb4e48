#include "engine/cost.h"

static int add_line(struct arena *arena, struct cost_lines *lines, const struct cost_line *line) {
    struct cost_line *grown =
        arena_grow(arena, lines->items, lines->len, sizeof *grown, &lines->cap);
    if (grown == NULL)
        return -ERRC_NOMEM;
    lines->items = grown;
    lines->items[lines->len++] = *line;
    return 0;
}

int cost_of_record(const struct kind *kind, const char *address, const void *record,
                   const void *now, uint64_t unknown, struct arena *arena, struct cost_lines *ret) {
    struct cost_items list = {.arena = arena, .now = now};
    if (kind == NULL || kind->costs == NULL || record == NULL)
        return 0;
    int rc = kind->costs(record, unknown, &list);
    for (size_t i = 0; rc == 0 && i < list.len; i++) {
        const struct cost_line line = {.address = address,
                                       .world = kind->world,
                                       .item = list.items[i],
                                       .stopped = list.stopped};
        rc = add_line(arena, ret, &line);
    }
    return rc;
}

/* What is certainly not there any more costs nothing, whatever the state remembers. */
static const void *before_of(const struct change *c) {
    bool vanished = c->action == ACTION_CREATE || c->action == ACTION_FORGET ||
                    (c->action == ACTION_RESUME && c->live == NULL);
    return vanished ? NULL : c->before;
}

static const void *after_of(const struct change *c) {
    if (c->action == ACTION_DESTROY || c->action == ACTION_FORGET)
        return NULL;
    return c->after != NULL ? c->after : c->before;
}

int cost_of_plan(const struct plan *plan, struct cost *ret, struct err *err) {
    struct cost cost = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < plan->len; i++) {
        const struct change *c = &plan->changes[i];
        rc = cost_of_record(c->kind, c->address, before_of(c), NULL, 0, &cost.arena,
                            &cost.lines[COST_BEFORE]);
        if (rc == 0)
            rc = cost_of_record(c->kind, c->address, after_of(c), before_of(c), c->after_unknown,
                                &cost.arena, &cost.lines[COST_AFTER]);
    }
    for (size_t i = 0; rc == 0 && i < COST_WHENS * plan->others_len; i++) {
        const struct change *c = &plan->changes[plan->len + i / COST_WHENS]; /* left as it is */
        rc = cost_of_record(c->kind, c->address, before_of(c), NULL, 0, &cost.arena,
                            &cost.lines[i % COST_WHENS]);
    }
    if (rc < 0) {
        cost_free(&cost);
        return err_set(err, (enum err_code) - rc, "cannot list what it costs");
    }
    *ret = cost;
    return 0;
}

void cost_free(struct cost *cost) {
    arena_free(&cost->arena);
    *cost = (struct cost){0};
}

bool cost_hour(const struct cost_line *line, double *ret_usd) {
    const struct cost_item *item = &line->item;
    static const double hours[] = {[PRICE_HOUR] = 1, [PRICE_GIB_MONTH] = HOURS_A_MONTH};
    _Static_assert(sizeof hours / sizeof hours[0] == PRICE_UNIT_COUNT, "one row a unit");
    if (line->price == NULL || !line->price->known || !(item->quantity > 0))
        return false;
    double unit = line->price->usd;
    if (item->most_usd > 0 && unit > item->most_usd)
        unit = item->most_usd;
    *ret_usd = unit * item->quantity / hours[item->unit];
    return true;
}

bool cost_month_stopped(const struct cost_line *line, double *ret_usd) {
    double hour = 0;
    if (!line->item.while_running && !cost_hour(line, &hour))
        return false;
    *ret_usd = hour * HOURS_A_MONTH;
    return true;
}

static void add(struct cost_amount *sum, bool known, double usd) {
    if (known)
        sum->usd += usd;
    else
        sum->unknown++;
}

struct cost_sum cost_sum(const struct cost_lines *lines) {
    struct cost_sum sum = {0};
    for (size_t i = 0; i < lines->len; i++) {
        const struct cost_line *line = &lines->items[i];
        double hour = 0, month = 0;
        bool known = cost_hour(line, &hour);
        add(&sum.hour_running, known, hour);
        if (!line->stopped || !line->item.while_running)
            add(&sum.hour_now, known, hour);
        known = cost_month_stopped(line, &month);
        add(&sum.month_stopped, known, month);
    }
    return sum;
}

bool cost_is_known(const struct cost_amount *amount) { return amount->unknown == 0; }

bool cost_is_any(const struct cost *cost) {
    return cost->lines[COST_BEFORE].len + cost->lines[COST_AFTER].len > 0;
}

/* ---- JSON */

/* Millionths of a dollar: what is behind them is the computer's, not AWS's. */
static bool add_usd(cJSON *out, const char *name, bool known, double usd) {
    double rounded = (double)(int64_t)(usd * 1e6 + 0.5) / 1e6;
    return known ? cJSON_AddNumberToObject(out, name, rounded) != NULL
                 : cJSON_AddNullToObject(out, name) != NULL;
}

static bool add_amount(cJSON *out, const char *name, const struct cost_amount *amount,
                       double times) {
    return add_usd(out, name, cost_is_known(amount), amount->usd * times);
}

static cJSON *good_or_null(cJSON *out, bool good) {
    if (good)
        return out;
    cJSON_Delete(out);
    return NULL;
}

cJSON *cost_sum_to_json(const struct cost_sum *sum) {
    cJSON *out = cJSON_CreateObject();
    return good_or_null(
        out, out != NULL && add_amount(out, "usd_per_hour_running", &sum->hour_running, 1) &&
                 add_amount(out, "usd_per_month_running", &sum->hour_running, HOURS_A_MONTH) &&
                 add_amount(out, "usd_per_month_stopped", &sum->month_stopped, 1) &&
                 add_amount(out, "usd_per_hour_now", &sum->hour_now, 1));
}

cJSON *cost_line_to_json(const struct cost_line *line) {
    cJSON *out = cJSON_CreateObject();
    double hour = 0, stopped = 0;
    bool known = cost_hour(line, &hour), stopped_known = cost_month_stopped(line, &stopped);
    const char *why = line->price == NULL ? NULL : line->price->why;
    return good_or_null(
        out, out != NULL && cJSON_AddStringToObject(out, "address", line->address) != NULL &&
                 cJSON_AddStringToObject(out, "item", line->item.what) != NULL &&
                 add_usd(out, "usd_per_hour_running", known, hour) &&
                 add_usd(out, "usd_per_month_running", known, hour * HOURS_A_MONTH) &&
                 add_usd(out, "usd_per_month_stopped", stopped_known, stopped) &&
                 (known || why == NULL || cJSON_AddStringToObject(out, "why", why) != NULL));
}

/* Each price that is missing, once. */
static bool add_unknown(cJSON *list, const struct cost_lines *lines) {
    bool good = true;
    for (size_t i = 0; good && i < lines->len; i++) {
        const struct cost_line *line = &lines->items[i];
        const cJSON *known;
        double ignored;
        bool said = cost_hour(line, &ignored);
        cJSON_ArrayForEach(known, list) said |=
            cstr_eq(cJSON_GetStringValue(cJSON_GetObjectItem(known, "item")), line->item.what);
        if (said)
            continue;
        cJSON *item = cJSON_CreateObject();
        const char *why = line->price == NULL ? NULL : line->price->why;
        good = item != NULL && cJSON_AddItemToArray(list, item) &&
               cJSON_AddStringToObject(item, "item", line->item.what) != NULL &&
               (why == NULL || cJSON_AddStringToObject(item, "why", why) != NULL);
    }
    return good;
}

cJSON *cost_to_json(const struct cost *cost) {
    static const char *const names[] = {[COST_BEFORE] = "before", [COST_AFTER] = "after"};
    _Static_assert(sizeof names / sizeof names[0] == COST_WHENS, "one name each");
    cJSON *out = cJSON_CreateObject();
    bool good = out != NULL;
    for (size_t i = 0; good && i < COST_WHENS; i++) {
        struct cost_sum sum = cost_sum(&cost->lines[i]);
        good = cJSON_AddItemToObject(out, names[i], cost_sum_to_json(&sum));
    }
    cJSON *unknown = good ? cJSON_AddArrayToObject(out, "unknown") : NULL;
    good = unknown != NULL && add_unknown(unknown, &cost->lines[COST_BEFORE]) &&
           add_unknown(unknown, &cost->lines[COST_AFTER]);
    return good_or_null(out, good);
}
