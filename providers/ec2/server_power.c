/* Stopping and starting servers: one call for all, one wait for all. */
#include "providers/ec2/internal.h"

#define RECORD struct server_record

int server_call_many(struct ec2_session *s, const char *action, const char *const *ids, size_t len,
                     const bool *skip, bool settling, struct arena *arena, struct err *err) {
    struct query q;
    struct xml *xml;
    size_t n = 0;
    query_init(&q, action);
    for (size_t i = 0; i < len; i++)
        if (!skip[i])
            query_add_at(&q, "InstanceId.%zu", ++n, ids[i]);
    if (n > 0)
        return (settling ? ec2_call_settling : ec2_call)(s, &q, action, false, arena, &xml, err);
    query_free(&q);
    return 0;
}

/* Refusals that are about one of those that were named: EC2 then does nothing to any of them. */
static bool is_about_one(const struct err *err) {
    static const char *const codes[] = {"InvalidInstanceID.NotFound", "IncorrectInstanceState",
                                        "IncorrectSpotRequestState", "UnsupportedOperation"};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (ec2_is(err, codes[i]))
            return true;
    return false;
}

static void add_hint(struct err *err) {
    if (ec2_is(err, "IncorrectSpotRequestState"))
        err_hint(err, "AWS took its spot capacity back and starts it again when there is some; "
                      "spot: false replaces it by one that is not taken");
    if (ec2_is(err, "InvalidInstanceID.NotFound"))
        err_hint(err, "run apply again: what has vanished is made anew");
}

/* One call for all; where one of them is the reason that it is refused, one call each: those that
 * are still refused are answered for and marked. */
static int send(struct ec2_session *s, const char *action, struct change **changes,
                const char *const *ids, size_t len, bool *skip, const struct apply_ops *ops,
                struct arena *arena, struct err *err) {
    int rc = server_call_many(s, action, ids, len, skip, false, arena, err);
    if (rc == 0 || !is_about_one(err))
        return rc;
    for (size_t i = 0; i < len; i++) {
        const bool none = false;
        struct err why = {0};
        if (skip[i] || server_call_many(s, action, &ids[i], 1, &none, false, arena, &why) == 0)
            continue;
        if (!is_about_one(&why)) {
            *err = why;
            return -why.code;
        }
        add_hint(&why);
        skip[i] = true;
        ops->failed(ops->ctx, changes[i], &why);
    }
    return 0;
}

int server_stop_all(struct ec2_session *s, struct change **changes, const char **ids, size_t len,
                    RECORD *seen, bool *skip, const struct apply_ops *ops, struct arena *arena,
                    struct err *err) {
    server_spot_refuse_stop(changes, ids, len, skip, ops);
    int rc = send(s, "StopInstances", changes, ids, len, skip, ops, arena, err);
    return rc < 0 ? rc
                  : server_await(s, WAIT_STOPPED, changes, ids, len, seen, skip, ops, arena, err);
}

int server_start_all(struct ec2_session *s, struct change **changes, const char **ids, size_t len,
                     RECORD *seen, bool *skip, const struct apply_ops *ops, struct arena *arena,
                     struct err *err) {
    int rc = send(s, "StartInstances", changes, ids, len, skip, ops, arena, err);
    return rc < 0 ? rc
                  : server_await(s, WAIT_RUNNING, changes, ids, len, seen, skip, ops, arena, err);
}

/* ---- A batch of changes of power alone */

struct powering {
    struct ec2_session *s;
    struct batch *batch;
    const struct apply_ops *ops;
    const char **ids;
    RECORD *seen;
    bool *skip; /* answered for */
    bool *mask; /* the same, and those that a step is not for */
};

/* A step for those whose power was `power` when they were looked at. */
static void mask(struct powering *p, const char *power) {
    for (size_t i = 0; i < p->batch->len; i++) {
        const RECORD *before = p->batch->changes[i]->before;
        p->mask[i] = p->skip[i] || !cstr_eq(before->power, power);
    }
}

/* What has been answered for in that step stays so. */
static void unmask(struct powering *p, const char *power) {
    for (size_t i = 0; i < p->batch->len; i++) {
        const RECORD *before = p->batch->changes[i]->before;
        p->skip[i] |= p->mask[i] && cstr_eq(before->power, power);
    }
}

/* EC2 stops none that is still starting. */
static int stop_batch(struct powering *p, struct err *err) {
    struct batch *b = p->batch;
    mask(p, "pending");
    int rc = server_await(p->s, WAIT_RUNNING, b->changes, p->ids, b->len, NULL, p->mask, p->ops,
                          b->arena, err);
    unmask(p, "pending");
    return rc < 0 ? rc
                  : server_stop_all(p->s, b->changes, p->ids, b->len, p->seen, p->skip, p->ops,
                                    b->arena, err);
}

/* Nor does it start one that is still stopping; one that is starting needs no call. */
static int start_batch(struct powering *p, struct err *err) {
    struct batch *b = p->batch;
    mask(p, "stopped");
    int rc = server_await(p->s, WAIT_STOPPED, b->changes, p->ids, b->len, NULL, p->mask, p->ops,
                          b->arena, err);
    if (rc == 0)
        rc = send(p->s, "StartInstances", b->changes, p->ids, b->len, p->mask, p->ops, b->arena,
                  err);
    unmask(p, "stopped");
    return rc < 0 ? rc
                  : server_await(p->s, WAIT_RUNNING, b->changes, p->ids, b->len, p->seen, p->skip,
                                 p->ops, b->arena, err);
}

static void finish(struct powering *p, int rc, struct err *err) {
    for (size_t i = 0; i < p->batch->len; i++) {
        struct change *c = p->batch->changes[i];
        if (p->skip[i])
            continue;
        if (rc == 0) {
            RECORD record = server_merge(c->after, &p->seen[i]);
            record.host_key = ((const RECORD *)c->before)->host_key;
            if (p->ops->done(p->ops->ctx, c, &record, err) == 0)
                continue;
        }
        p->ops->failed(p->ops->ctx, c, err);
    }
}

void server_power_all(struct ec2_session *s, struct batch *b, const struct apply_ops *ops,
                      struct err *err) {
    const RECORD *first = b->changes[0]->after;
    struct powering p = {.s = s,
                         .batch = b,
                         .ops = ops,
                         .ids = arena_calloc(b->arena, b->len, sizeof *p.ids),
                         .seen = arena_calloc(b->arena, b->len, sizeof *p.seen),
                         .skip = arena_calloc(b->arena, b->len, sizeof *p.skip),
                         .mask = arena_calloc(b->arena, b->len, sizeof *p.mask)};
    if (p.ids == NULL || p.seen == NULL || p.skip == NULL || p.mask == NULL) {
        err_no_memory(err);
        for (size_t i = 0; i < b->len; i++)
            ops->failed(ops->ctx, b->changes[i], err);
        return;
    }
    for (size_t i = 0; i < b->len; i++)
        p.ids[i] = change_id(b->changes[i]);
    finish(&p, (cstr_eq(first->power, "running") ? start_batch : stop_batch)(&p, err), err);
}
