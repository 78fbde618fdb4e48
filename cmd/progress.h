/* What apply and destroy say while they work. On a terminal: a line for each finished change, and
 * below them the running ones with their seconds, redrawn. Elsewhere: one line an event. */
#pragma once

#include "cmd/cmd.h"
#include "engine/execute.h"

#include <stdatomic.h>

struct progress_view;

/* `cancel` is watched, to say what Ctrl-C did. NULL when memory or threads run out. */
struct progress_view *progress_open(const struct cmd *cmd, atomic_int *cancel);
/* For execute_plan. */
struct progress progress_for(struct progress_view *view);
/* A line of its own, above the live ones. From any thread. */
void progress_say(struct progress_view *view, const char *text);
/* Ends the live lines. Accepts NULL. */
void progress_close(struct progress_view *view);
