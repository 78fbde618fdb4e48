#include "providers/host/world.h"

#include "providers/host/internal.h"

#include <libssh2.h>
#include <stdlib.h>

static int open_session(const struct run *run, void **ret_session, struct err *err) {
    struct host_session *s = calloc(1, sizeof *s);
    if (s == NULL || (s->mutex = calloc(1, sizeof(pthread_mutex_t))) == NULL) {
        free(s);
        return err_no_memory(err);
    }
    libssh2_init(0); /* counted, but not safe in the threads that connect */
    s->run = run;
    pthread_mutex_init(s->mutex, NULL);
    *ret_session = s;
    return 0;
}

static void close_session(void *session) {
    struct host_session *s = session;
    host_disconnect_all(s);
    pthread_mutex_destroy(s->mutex);
    free(s->mutex);
    free(s);
    libssh2_exit();
}

const struct world host_world = {
    .name = "host",
    .open = open_session,
    .close = close_session,
    .observe = host_observe,
    .apply = host_apply,
    .needs_targets = true,
};
