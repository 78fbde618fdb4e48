/* Ending servers: one TerminateInstances for all. */
#include "providers/ec2/internal.h"

/* One missing id fails the whole call and nothing is terminated: those that it names, and after
 * some seconds still (they were just seen, and EC2 is eventually consistent), are left out of the
 * next, and marked. */
static int send_terminate(struct ec2_session *s, const char *const *ids, size_t len, bool *gone,
                          struct arena *arena, struct err *err) {
    for (bool first = true;; first = false) {
        size_t before = 0, after = 0;
        int rc = server_call_many(s, "TerminateInstances", ids, len, gone, first, arena, err);
        if (rc == 0 || !ec2_is(err, "InvalidInstanceID.NotFound"))
            return rc;
        for (size_t i = 0; i < len; i++)
            before += !gone[i];
        server_mark_missing(err, ids, len, gone);
        for (size_t i = 0; i < len; i++)
            after += !gone[i];
        if (after == before) /* it names none of ours */
            return rc;
    }
}

int server_terminate(struct ec2_session *s, struct change **changes, size_t len,
                     const struct apply_ops *ops, struct arena *arena, struct err *err) {
    const char **ids = arena_calloc(arena, len, sizeof *ids);
    bool *gone = arena_calloc(arena, len, sizeof *gone);
    if (ids == NULL || gone == NULL)
        return err_no_memory(err);
    for (size_t i = 0; i < len; i++) {
        ids[i] = change_id(changes[i]);
        gone[i] = ids[i] == NULL;
    }
    int rc = server_spot_cancel(s, changes, len, arena, err);
    if (rc == 0)
        rc = send_terminate(s, ids, len, gone, arena, err);
    return rc < 0
               ? rc
               : server_await(s, WAIT_TERMINATED, changes, ids, len, NULL, gone, ops, arena, err);
}

void server_terminate_all(struct ec2_session *s, struct batch *batch, const struct apply_ops *ops,
                          struct err *err) {
    int rc = server_terminate(s, batch->changes, batch->len, ops, batch->arena, err);
    for (size_t i = 0; i < batch->len; i++)
        if (rc < 0 || ops->done(ops->ctx, batch->changes[i], NULL, err) < 0)
            ops->failed(ops->ctx, batch->changes[i], err);
}
