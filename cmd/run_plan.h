/* Showing, asking, executing: what apply and destroy have in common. */
#pragma once

#include "cmd/session.h"

/* Show the session's plan on stdout and ask, unless -auto-approve. EXIT_OK to go on (also when
 * there is nothing to do); else the exit code of the verb. */
int run_plan_approve(struct session *s, const char *question, const char *const *yes);
/* Execute it with progress on stderr, the failures and the last line on stdout/stderr. Returns the
 * exit code. */
int run_plan_execute(struct session *s);
/* After a plan without changes: write what the world computed anew (an address after a restart), if
 * anything did. */
int run_plan_refresh(struct session *s, struct err *err);
