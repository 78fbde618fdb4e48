#include "cmd/show_cost.h"

#include "cmd/show_group.h"
#include "cmd/text.h"

#include <stdio.h>
#include <string.h>

enum { MONEY_SIZE = 32, COLUMN = 11 };

/* An hour of the smallest things is a fraction of a cent. */
static const char *money(const struct cost_amount *amount, int places, char text[MONEY_SIZE]) {
    if (!cost_is_known(amount))
        return "unknown";
    if (amount->usd <= 0)
        return "$0";
    snprintf(text, MONEY_SIZE, "$%.*f", places, amount->usd);
    return text;
}

static const char *hourly(const struct cost_amount *amount, char text[MONEY_SIZE]) {
    return money(amount, 4, text);
}

static const char *monthly(const struct cost_amount *amount, char text[MONEY_SIZE]) {
    return money(amount, 2, text);
}

static void add_change(const char *before, const char *after, const struct look *look,
                       struct buf *out) {
    if (strcmp(before, after) != 0)
        buf_addf(out, "%s %s ", before, text_arrow(look));
    buf_adds(out, after);
}

void show_cost(const struct cost *cost, const struct look *look, struct buf *out) {
    char texts[6][MONEY_SIZE];
    _cleanup_buf_ struct buf line = BUF_INIT(BUF_SMALL);
    struct cost_sum before = cost_sum(&cost->lines[COST_BEFORE]);
    struct cost_sum after = cost_sum(&cost->lines[COST_AFTER]);
    const char *running[] = {hourly(&before.hour_running, texts[0]),
                             hourly(&after.hour_running, texts[1])};
    const char *now[] = {hourly(&before.hour_now, texts[2]), hourly(&after.hour_now, texts[3])};
    if (!cost_is_any(cost))
        return;
    buf_adds(&line, cost->rehearsed ? "Cost on AWS (nothing here): " : "Cost: ");
    if (strcmp(running[0], running[1]) == 0 && strcmp(now[0], now[1]) != 0) {
        add_change(now[0], now[1], look, &line); /* something starts or stops */
        buf_adds(&line, " an hour as it stands; ");
    }
    add_change(running[0], running[1], look, &line);
    buf_adds(&line, " an hour running, ");
    add_change(monthly(&before.month_stopped, texts[4]), monthly(&after.month_stopped, texts[5]),
               look, &line);
    buf_adds(&line, " a month stopped.");
    text_wrap(look, buf_str(&line), 0, 6, out);
    buf_addc(out, '\n');
}

static const char *costs(const struct cost *cost) {
    return cost->rehearsed ? "Would cost on AWS" : "Costs";
}

void show_cost_now(const struct cost *cost, struct buf *out) {
    char texts[3][MONEY_SIZE];
    struct cost_sum sum = cost_sum(&cost->lines[COST_BEFORE]);
    if (cost->lines[COST_BEFORE].len == 0)
        return;
    buf_addf(out, "\n%s %s an hour as it stands: %s an hour running, %s a month stopped.\n",
             costs(cost), hourly(&sum.hour_now, texts[0]), hourly(&sum.hour_running, texts[1]),
             monthly(&sum.month_stopped, texts[2]));
}

void show_cost_made(const struct cost *cost, struct buf *out) {
    char texts[2][MONEY_SIZE];
    struct cost_sum sum = cost_sum(&cost->lines[COST_AFTER]);
    if (cost->lines[COST_AFTER].len > 0)
        buf_addf(out, "%s %s an hour running, %s a month stopped.\n", costs(cost),
                 hourly(&sum.hour_running, texts[0]), monthly(&sum.month_stopped, texts[1]));
}

static bool said_before(const struct cost *cost, enum cost_when when, size_t at) {
    const char *what = cost->lines[when].items[at].item.what;
    double ignored;
    for (size_t w = 0; w <= (size_t)when; w++)
        for (size_t i = 0; i < (w == (size_t)when ? at : cost->lines[w].len); i++)
            if (strcmp(cost->lines[w].items[i].item.what, what) == 0 &&
                !cost_hour(&cost->lines[w].items[i], &ignored))
                return true;
    return false;
}

void show_cost_why(const struct cost *cost, struct buf *out) {
    for (size_t w = 0; w < COST_WHENS; w++) {
        for (size_t i = 0; i < cost->lines[w].len; i++) {
            const struct cost_line *line = &cost->lines[w].items[i];
            double ignored;
            if (cost_hour(line, &ignored) || said_before(cost, (enum cost_when)w, i))
                continue;
            const char *why =
                line->item.quantity > 0 ? "nobody was asked" : "its size is not known";
            if (line->price != NULL && line->price->why != NULL)
                why = line->price->why;
            buf_addf(out, "price of %s: unknown: ", line->item.what);
            text_add_clean(str_of(why), out);
            buf_addc(out, '\n');
        }
    }
}

/* ---- The table */

static void add_cells(const struct cost_amount *hour, const struct cost_amount *stopped,
                      struct buf *out) {
    char text[MONEY_SIZE];
    struct cost_amount month = {hour->usd * HOURS_A_MONTH, hour->unknown};
    buf_addf(out, "%*s", COLUMN, hourly(hour, text));
    buf_addf(out, "%*s", COLUMN, monthly(&month, text));
    buf_addf(out, "%*s\n", COLUMN, monthly(stopped, text));
}

/* The rows of one thing, as text: what groups like things. */
static size_t add_thing(const struct cost_lines *lines, size_t first, size_t width,
                        struct buf *out) {
    size_t i = first;
    for (; i < lines->len && cstr_eq(lines->items[i].address, lines->items[first].address); i++) {
        double hour = 0, month = 0;
        bool known = cost_hour(&lines->items[i], &hour);
        struct cost_amount hours = {hour, known ? 0 : 1};
        known = cost_month_stopped(&lines->items[i], &month);
        struct cost_amount stopped = {month, known ? 0 : 1};
        buf_addf(out, "  %-*s", (int)width, lines->items[i].item.what);
        add_cells(&hours, &stopped, out);
    }
    return i;
}

int show_cost_table(const struct cost_lines *lines, const struct look *look, struct buf *out) {
    struct groups groups = {0};
    struct cost_sum sum = cost_sum(lines);
    size_t width = strlen("all");
    int rc = 0;
    for (size_t i = 0; i < lines->len; i++)
        if (strlen(lines->items[i].item.what) > width)
            width = strlen(lines->items[i].item.what);
    buf_addf(out, "  %-*s%*s%*s%*s\n", (int)width, "", COLUMN, "$/hour", COLUMN, "$/month", COLUMN,
             "$/month");
    buf_addf(out, "  %-*s%*s%*s%*s\n", (int)width, "", COLUMN, "running", COLUMN, "running", COLUMN,
             "stopped");
    for (size_t i = 0; rc == 0 && i < lines->len;) {
        _cleanup_buf_ struct buf body = BUF_INIT(BUF_SMALL);
        size_t first = i;
        i = add_thing(lines, first, width, &body);
        rc = groups_add(&groups, lines->items[first].address, 0, buf_str(&body));
    }
    for (size_t i = 0; rc == 0 && i < groups.len; i++) {
        _cleanup_buf_ struct buf address = BUF_INIT(BUF_SMALL);
        group_address(&groups.items[i], &address);
        text_paint(look, PAINT_BOLD, buf_cstr(&address), out);
        if (groups.items[i].len > 1)
            buf_adds(out, ", each:");
        buf_addc(out, '\n');
        buf_addstr(out, groups.items[i].body);
    }
    groups_free(&groups);
    text_paint(look, PAINT_BOLD, "all", out);
    buf_addn(out, ' ', width + 2 - strlen("all"));
    add_cells(&sum.hour_running, &sum.month_stopped, out);
    return rc;
}
