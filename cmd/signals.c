#include "cmd/signals.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

/* A signal handler has no context: this pointer is the one global of the program, and is set only
 * while changes are made. */
static _Atomic(atomic_int *) target;

static void handle(int signal_number) {
    atomic_int *cancel = atomic_load(&target);
    if (cancel == NULL)
        return;
    if (atomic_fetch_add(cancel, 1) >= 2)
        _exit(128 + signal_number); /* the journal holds what was done */
}

void signals_catch(atomic_int *cancel) {
    atomic_store(&target, cancel);
    struct sigaction action = {.sa_handler = handle};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    /* Ctrl-C ends a reader of the progress too (berth apply 2>&1 | tee log); the run goes on. */
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigemptyset(&ignore.sa_mask);
    sigaction(SIGPIPE, &ignore, NULL);
}

void signals_release(void) {
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGPIPE, &action, NULL);
    atomic_store(&target, NULL);
}
