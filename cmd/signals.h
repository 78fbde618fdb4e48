/* Ctrl-C while changes are made: the first finishes what is in flight, the second stops now, the
 * third ends the process at once. */
#pragma once

#include <stdatomic.h>

/* Until signals_release, SIGINT and SIGTERM add one to *cancel (see struct run), and a closed pipe
 * ends nothing. */
void signals_catch(atomic_int *cancel);
void signals_release(void);
