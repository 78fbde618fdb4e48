/* Which public address a server has: a dynamic one, or the elastic one of its node. */
#include "providers/ec2/internal.h"

#include <stdio.h>

#define RECORD struct server_record

static int associate(struct ec2_session *s, const struct change *c, const char *id,
                     const struct apply_ops *ops, struct arena *arena, struct err *err) {
    char name[32];
    struct query q;
    struct xml *xml;
    snprintf(name, sizeof name, "address[%lld]", (long long)server_address_index(c->address));
    const struct address_record *address = ops->lookup.record(ops->lookup.ctx, name, NULL);
    if (address == NULL || address->allocation_id == NULL)
        return err_set(err, ERRC_INTERNAL, "%s has no address yet", name);
    query_init(&q, "AssociateAddress");
    query_add(&q, "AllocationId", address->allocation_id);
    query_add(&q, "InstanceId", id);
    query_add(&q, "AllowReassociation", "true"); /* it is ours: whoever took it gives it back */
    return ec2_call_settling(s, &q, "AssociateAddress", false, arena, &xml, err);
}

int server_associate_all(struct ec2_session *s, struct change **changes, const char **ids,
                         size_t len, RECORD *seen, bool *skip, const struct apply_ops *ops,
                         struct arena *arena, struct err *err) {
    bool any = false;
    for (size_t i = 0; i < len; i++) {
        struct err why = {0};
        if (skip[i] || ((const RECORD *)changes[i]->after)->elastic_ip == NULL)
            continue;
        any = true;
        if (associate(s, changes[i], ids[i], ops, arena, &why) == 0)
            continue;
        skip[i] = true;
        ops->failed(ops->ctx, changes[i], &why);
    }
    /* Their names have changed with it. */
    return any ? server_await(s, WAIT_RUNNING, changes, ids, len, seen, skip, ops, arena, err) : 0;
}

/* A server that gave its elastic address up gets a dynamic one some seconds later, unless its
 * subnet gives none: then there is none to wait for. */
static int await_dynamic(struct ec2_session *s, struct change *c, const char *id, RECORD *seen,
                         const struct apply_ops *ops, struct arena *arena, struct err *err) {
    enum { TRIES = 8 };
    const char *old = ((const RECORD *)c->before)->elastic_ip;
    double pause = 0.1;
    for (int i = 0; i < TRIES; i++) {
        bool failed = false;
        int rc = server_await(s, WAIT_RUNNING, &c, &id, 1, seen, &failed, ops, arena, err);
        if (rc < 0 || failed)
            return rc < 0 ? rc : 1;
        if (seen->public_ip != NULL && !cstr_eq(seen->public_ip, old))
            return 0;
        if (!ec2_sleep(s, pause))
            return err_set(err, ERRC_CANCELLED, "interrupted");
        pause *= 2;
    }
    return 0;
}

/* One that was adopted may be starting still, though it has a public address: EC2 associates none
 * before it runs. */
static int associate_running(struct ec2_session *s, struct change *c, const char *id,
                             const struct apply_ops *ops, struct arena *arena, struct err *err) {
    bool failed = false;
    int rc = associate(s, c, id, ops, arena, err);
    if (rc == 0 || !ec2_is(err, "InvalidInstanceID"))
        return rc;
    rc = server_await(s, WAIT_RUNNING, &c, &id, 1, NULL, &failed, ops, arena, err);
    return rc < 0 ? rc : failed ? 1 : associate(s, c, id, ops, arena, err);
}

int server_update_address(struct ec2_session *s, struct change *c, const char *id, RECORD *seen,
                          const struct apply_ops *ops, struct arena *arena, struct err *err) {
    const RECORD *before = c->before;
    const RECORD *after = c->after;
    bool failed = false;
    if (cstr_eq(before->elastic_ip, after->elastic_ip))
        return 0;
    int rc = after->elastic_ip != NULL
                 ? associate_running(s, c, id, ops, arena, err)
                 : address_disassociate(s, "public-ip", before->elastic_ip, arena, err);
    if (rc != 0 || !cstr_eq(after->power, "running"))
        return rc;
    if (after->elastic_ip == NULL)
        return await_dynamic(s, c, id, seen, ops, arena, err);
    rc = server_await(s, WAIT_RUNNING, &c, &id, 1, seen, &failed, ops, arena, err);
    return rc == 0 && failed ? 1 : rc;
}
