/* Who signs: credentials are looked for when the first call is made, and anew before they run out,
 * by one thread for all. */
#include "providers/aws/client_internal.h"

#include "providers/provider.h"

#include <stdio.h>

/* Newer ones are looked for so long before the end, at most so often. */
enum { MARGIN_S = 5 * 60, LOOK_EVERY_S = 60 };

static time_t aws_now(const struct aws_client *c) {
    return c->in.now(c->in.clock_ctx) + (time_t)atomic_load(&c->skew_s);
}

/* Under the mutex. */
static int find(struct aws_client *c, struct err *err) {
    c->looked_s = monotonic_s();
    int rc = c->in.credentials == NULL ? aws_credentials_find(&c->in, NULL, &c->credentials, err)
             : aws_credentials_copy(&c->credentials, c->in.credentials) < 0 ? err_no_memory(err)
                                                                            : 0;
    if (rc == 0)
        c->generation++;
    return rc;
}

int session_ensure(struct aws_client *c, struct err *err) {
    struct err why = {0};
    int rc = 0;
    pthread_mutex_lock(&c->session_mutex);
    if (c->generation == 0) {
        rc = find(c, err);
    } else if (c->in.credentials == NULL && aws_credentials_renewable(&c->credentials)) {
        time_t left = c->credentials.expires - aws_now(c);
        bool due = left <= 0 || monotonic_s() >= c->looked_s + LOOK_EVERY_S;
        /* While the old ones are good, a look that fails is not the call's failure. */
        if (left < MARGIN_S && due && find(c, &why) < 0 && left <= 0) {
            *err = why;
            rc = -why.code;
        }
    }
    pthread_mutex_unlock(&c->session_mutex);
    return rc;
}

bool session_renew(struct aws_client *c, unsigned generation) {
    struct err ignored = {0};
    pthread_mutex_lock(&c->session_mutex);
    if (c->generation == generation && c->in.credentials == NULL &&
        aws_credentials_renewable(&c->credentials) && find(c, &ignored) < 0)
        ignored.code = 0; /* the refusal that led here says what is wrong */
    bool newer = c->generation != generation;
    pthread_mutex_unlock(&c->session_mutex);
    return newer;
}

int session_sign(struct aws_client *c, const struct aws_call *call, time_t when,
                 struct request *ret, unsigned *ret_generation, struct err *err) {
    pthread_mutex_lock(&c->session_mutex);
    int rc = request_make(c->in.config, &c->credentials, call, when, ret, err);
    *ret_generation = c->generation;
    pthread_mutex_unlock(&c->session_mutex);
    return rc;
}

void aws_client_source(struct aws_client *c, char *ret, size_t size) {
    pthread_mutex_lock(&c->session_mutex);
    snprintf(ret, size, "%s", c->credentials.source);
    pthread_mutex_unlock(&c->session_mutex);
}
