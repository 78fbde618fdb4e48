/* Money as text: the line below a plan, and the table of `berth cost`. Pure. */
#pragma once

#include "cmd/cmd.h"
#include "engine/cost.h"

/* "Cost: $0.0270 an hour running, $2.40 a month stopped.", with what it was before where the plan
 * changes it; nothing when nothing costs anything. */
void show_cost(const struct cost *cost, const struct look *look, struct buf *out);
/* What it costs as it stands: "Costs $0.0270 an hour now; …". */
void show_cost_now(const struct cost *cost, struct buf *out);
/* The same for what an apply has made. */
void show_cost_made(const struct cost *cost, struct buf *out);
/* Why prices are unknown, a line each. */
void show_cost_why(const struct cost *cost, struct buf *out);
/* A row an item: $ an hour, $ a month running, $ a month stopped; and the totals. Items of like
 * things are one row, with how many they are. */
int show_cost_table(const struct cost_lines *lines, const struct look *look, struct buf *out);
