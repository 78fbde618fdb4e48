/* Where a server is now, while its address may change: the state is read again (another berth may
 * have started the server), and now and then the world is asked. */
#pragma once

#include "cmd/servers.h"

#include <pthread.h>

struct follow {
    struct session *s;
    const char *address; /* "server[0]" */
    void (*say)(void *ctx, const char *text);
    void *say_ctx;
    struct endpoint endpoint; /* as known last; strings in `arena`, or in the session's at first */
    struct arena arena;
    /* Of the monotonic clock: since when it is not reached, and the last question. */
    double lost_s, asked_s;
    bool told; /* that it does not run */
    /* The question that is out. */
    pthread_t thread;
    bool asking;
    atomic_bool answered;
    struct session own; /* of that thread */
};

/* `endpoint` is where it was. */
void follow_init(struct follow *f, struct session *s, const char *address,
                 const struct endpoint *endpoint);
/* To be called before each try to connect again: where it is, or NULL when it does not run. Valid
 * until the next call. */
const struct endpoint *follow_look(struct follow *f);
void follow_found(struct follow *f); /* it was reached */
void follow_free(struct follow *f);
