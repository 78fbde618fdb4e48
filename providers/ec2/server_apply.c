/* Changing and terminating servers: one TerminateInstances for all. */
#include "providers/ec2/internal.h"

#include <string.h>

#define RECORD struct server_record

/* ---- Ending */

/* One missing id fails the whole call and nothing is terminated: those that it names, and after
 * some seconds still (they were just seen, and EC2 is eventually consistent), are left out of the
 * next, and marked. */
static int send_terminate(struct ec2_session *s, const char *const *ids, size_t len, bool *gone,
                          struct arena *arena, struct err *err) {
    for (bool first = true;; first = false) {
        struct query q;
        struct xml *xml;
        size_t n = 0, left = 0;
        query_init(&q, "TerminateInstances");
        for (size_t i = 0; i < len; i++)
            if (!gone[i])
                query_add_at(&q, "InstanceId.%zu", ++n, ids[i]);
        if (n == 0) {
            query_free(&q);
            return 0;
        }
        int rc = (first ? ec2_call_settling : ec2_call)(s, &q, "TerminateInstances", false, arena,
                                                        &xml, err);
        if (rc == 0 || !ec2_is(err, "InvalidInstanceID.NotFound"))
            return rc;
        server_mark_missing(err, ids, len, gone);
        for (size_t i = 0; i < len; i++)
            left += !gone[i];
        if (left == n) /* it names none of ours */
            return rc;
    }
}

static int terminate(struct ec2_session *s, struct change **changes, size_t len,
                     const struct apply_ops *ops, struct arena *arena, struct err *err) {
    const char **ids = arena_calloc(arena, len, sizeof *ids);
    bool *gone = arena_calloc(arena, len, sizeof *gone);
    if (ids == NULL || gone == NULL)
        return err_set(err, ERRC_NOMEM, "out of memory");
    for (size_t i = 0; i < len; i++) {
        ids[i] = change_id(changes[i]);
        gone[i] = ids[i] == NULL;
    }
    int rc = send_terminate(s, ids, len, gone, arena, err);
    return rc < 0
               ? rc
               : server_await(s, WAIT_TERMINATED, changes, ids, len, NULL, gone, ops, arena, err);
}

static void terminate_all(struct ec2_session *s, struct batch *batch, const struct apply_ops *ops,
                          struct err *err) {
    int rc = terminate(s, batch->changes, batch->len, ops, batch->arena, err);
    for (size_t i = 0; i < batch->len; i++)
        if (rc < 0 || ops->done(ops->ctx, batch->changes[i], NULL, err) < 0)
            ops->failed(ops->ctx, batch->changes[i], err);
}

/* ---- Changing */

static int call_on(struct ec2_session *s, const char *action, const char *id, const char *name,
                   const char *value, struct arena *arena, struct err *err) {
    struct query q;
    struct xml *xml;
    query_init(&q, action);
    query_add(&q, strncmp(action, "Modify", 6) == 0 ? "InstanceId" : "InstanceId.1", id);
    if (name != NULL)
        query_add(&q, name, value);
    return ec2_call(s, &q, action, false, arena, &xml, err);
}

static int retag(struct ec2_session *s, const char *id, const struct strmap *before,
                 const struct strmap *after, struct arena *arena, struct err *err) {
    struct query q;
    struct xml *xml;
    size_t n = 0;
    int rc = 0;
    query_init(&q, "CreateTags");
    query_add(&q, "ResourceId.1", id);
    for (size_t i = 0; i < after->len; i++) {
        if (cstr_eq(strmap_get(before, after->items[i].key), after->items[i].value))
            continue;
        query_add_at(&q, "Tag.%zu.Key", ++n, after->items[i].key);
        query_add_at(&q, "Tag.%zu.Value", n, after->items[i].value);
    }
    if (n > 0)
        rc = ec2_call(s, &q, "CreateTags", false, arena, &xml, err);
    else
        query_free(&q);
    if (rc < 0)
        return rc;
    n = 0;
    query_init(&q, "DeleteTags");
    query_add(&q, "ResourceId.1", id);
    for (size_t i = 0; i < before->len; i++)
        if (strmap_get(after, before->items[i].key) == NULL)
            query_add_at(&q, "Tag.%zu.Key", ++n, before->items[i].key);
    if (n > 0)
        return ec2_call(s, &q, "DeleteTags", false, arena, &xml, err);
    query_free(&q);
    return 0;
}

/* 1: the wait ended badly and the change has been answered for. */
static int wait_for_one(struct ec2_session *s, enum server_wait want, struct change *c,
                        const char *id, RECORD *seen, const struct apply_ops *ops,
                        struct arena *arena, struct err *err) {
    bool failed = false;
    int rc = server_await(s, want, &c, &id, 1, seen, &failed, ops, arena, err);
    return rc == 0 && failed ? 1 : rc;
}

static int stop(struct ec2_session *s, struct change *c, const char *id,
                const struct apply_ops *ops, struct arena *arena, struct err *err) {
    int rc = call_on(s, "StopInstances", id, NULL, NULL, arena, err);
    return rc < 0 ? rc : wait_for_one(s, WAIT_STOPPED, c, id, NULL, ops, arena, err);
}

static int start(struct ec2_session *s, struct change *c, const char *id, RECORD *seen,
                 const struct apply_ops *ops, struct arena *arena, struct err *err) {
    int rc = call_on(s, "StartInstances", id, NULL, NULL, arena, err);
    return rc < 0 ? rc : wait_for_one(s, WAIT_RUNNING, c, id, seen, ops, arena, err);
}

/* What can be changed whether it runs or not. */
static int update_running(struct ec2_session *s, const struct change *c, const char *id,
                          struct arena *arena, struct err *err) {
    const RECORD *before = c->before;
    const RECORD *after = c->after;
    int rc = 0;
    if (!before->tagged)
        rc = ec2_mend_tags(s, id, "server", server_address_index(c->address) - before->launch_index,
                           arena, err);
    if (rc == 0 && !cstr_eq(before->group_id, after->group_id))
        rc = call_on(s, "ModifyInstanceAttribute", id, "GroupId.1", after->group_id, arena, err);
    if (rc == 0 && !cstr_eq(before->imds, after->imds))
        rc = call_on(s, "ModifyInstanceMetadataOptions", id, "HttpTokens", after->imds, arena, err);
    if (rc == 0 && !strmap_equal(&before->tags, &after->tags))
        rc = retag(s, id, &before->tags, &after->tags, arena, err);
    return rc;
}

/* Asked before it is stopped for it: EC2 refuses only afterwards, and leaves it stopped. */
static int check_resize(const RECORD *before, const RECORD *after, struct err *err) {
    if (before->type == NULL || image_is_arm(before->type) == image_is_arm(after->type))
        return 0;
    err_set(err, ERRC_UNSUPPORTED, "its disk does not boot on the processors of %s", after->type);
    err_hint(err, "choose a type with the processors of %s; to move, destroy and apply",
             before->type);
    return -ERRC_UNSUPPORTED;
}

/* 0, 1 when the change has been answered for, or -code. A step that is done already (the run before
 * was interrupted) is left out, since `before` is what is live. */
static int update(struct ec2_session *s, struct change *c, const struct apply_ops *ops,
                  struct arena *arena, struct err *err) {
    const RECORD *before = c->before;
    const RECORD *after = c->after;
    const char *id = change_id(c);
    RECORD seen = *before;
    bool resize = !cstr_eq(before->type, after->type);
    bool comes = cstr_eq(before->power, "pending");
    bool runs = comes || cstr_eq(before->power, "running");
    int rc = check_resize(before, after, err);
    if (rc == 0 && comes)
        rc = wait_for_one(s, WAIT_RUNNING, c, id, &seen, ops, arena, err);
    if (rc == 0)
        rc = update_running(s, c, id, arena, err);
    if (rc == 0 && runs && resize)
        rc = stop(s, c, id, ops, arena, err);
    else if (rc == 0 && !runs) /* it may be stopping still */
        rc = wait_for_one(s, WAIT_STOPPED, c, id, NULL, ops, arena, err);
    if (rc == 0 && resize)
        rc = call_on(s, "ModifyInstanceAttribute", id, "InstanceType.Value", after->type, arena,
                     err);
    if (rc == 0 && (resize || !runs))
        rc = start(s, c, id, &seen, ops, arena, err);
    if (rc != 0)
        return rc;
    RECORD record = server_merge(after, &seen);
    record.host_key = before->host_key;
    return ops->done(ops->ctx, c, &record, err);
}

int server_apply(struct ec2_session *s, struct batch *batch, const struct apply_ops *ops,
                 struct err *err) {
    struct change *first = batch->changes[0];
    if (first->action == ACTION_DESTROY) {
        terminate_all(s, batch, ops, err);
        return 0;
    }
    if (first->action == ACTION_CREATE || first->action == ACTION_RESUME) {
        server_launch_all(s, batch, ops, err);
        return 0;
    }
    for (size_t i = 0; i < batch->len; i++) {
        struct change *c = batch->changes[i];
        struct batch one = {&batch->changes[i], 1, batch->arena};
        if (c->action == ACTION_REPLACE) {
            /* Nothing is given up for a successor that cannot be. */
            if (server_check_launch(s, c->after, batch->arena, err) < 0 ||
                terminate(s, &c, 1, ops, batch->arena, err) < 0)
                ops->failed(ops->ctx, c, err);
            else
                server_launch_all(s, &one, ops, err);
        } else if (update(s, c, ops, batch->arena, err) < 0) {
            ops->failed(ops->ctx, c, err);
        }
    }
    return 0;
}
