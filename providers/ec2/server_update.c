/* Changing a server that is there: in place where EC2 can, stopped where it must be. */
#include "providers/ec2/internal.h"

#include <string.h>

#define RECORD struct server_record

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

/* A step of one server: 1 when it ended badly and the change has been answered for. */
struct one {
    struct ec2_session *s;
    struct change *c;
    const char *id;
    const struct apply_ops *ops;
    struct arena *arena;
};

static int await_one(struct one *o, enum server_wait want, RECORD *seen, struct err *err) {
    bool failed = false;
    int rc = server_await(o->s, want, &o->c, &o->id, 1, seen, &failed, o->ops, o->arena, err);
    return rc == 0 && failed ? 1 : rc;
}

static int stop_one(struct one *o, RECORD *seen, struct err *err) {
    bool failed = false;
    int rc = server_stop_all(o->s, &o->c, &o->id, 1, seen, &failed, o->ops, o->arena, err);
    return rc == 0 && failed ? 1 : rc;
}

static int start_one(struct one *o, RECORD *seen, struct err *err) {
    bool failed = false;
    int rc = server_start_all(o->s, &o->c, &o->id, 1, seen, &failed, o->ops, o->arena, err);
    return rc == 0 && failed ? 1 : rc;
}

static bool same_disk(const struct server_disk_record *a, const struct server_disk_record *b) {
    return a->size_gib == b->size_gib && cstr_eq(a->type, b->type);
}

/* It grows, or becomes of another type, in place; anything else was a replace. */
static int update_disk(struct one *o, struct err *err) {
    const RECORD *before = o->c->before;
    const RECORD *after = o->c->after;
    if (same_disk(&before->disk, &after->disk))
        return 0;
    if (before->root_volume == NULL)
        return err_set(err, ERRC_NOTFOUND, "EC2 does not say which volume is its root disk");
    const struct volume_change change = {
        .id = before->root_volume,
        .size_gib = before->disk.size_gib == after->disk.size_gib ? 0 : after->disk.size_gib,
        .type = cstr_eq(before->disk.type, after->disk.type) ? NULL : after->disk.type};
    return volume_modify(o->s, o->c, &change, o->ops, o->arena, err);
}

/* Its root disk carries the same. */
static int update_tags(struct one *o, struct err *err) {
    const RECORD *before = o->c->before;
    const RECORD *after = o->c->after;
    const char *const ids[] = {o->id, before->root_volume};
    const struct ec2_tagging tagging = {.ids = ids,
                                        .ids_len = before->root_volume == NULL ? 1 : 2,
                                        .node = "server",
                                        .first_index = server_address_index(o->c->address) -
                                                       before->launch_index,
                                        .mend = !before->tagged,
                                        .before = &before->tags,
                                        .after = &after->tags};
    return ec2_tag(o->s, &tagging, o->arena, err);
}

/* What can be changed whether it runs or not. */
static int update_running(struct one *o, struct err *err) {
    const RECORD *before = o->c->before;
    const RECORD *after = o->c->after;
    int rc = update_tags(o, err);
    if (rc == 0 && !cstr_eq(before->group_id, after->group_id))
        rc = call_on(o->s, "ModifyInstanceAttribute", o->id, "GroupId.1", after->group_id, o->arena,
                     err);
    if (rc == 0 && !cstr_eq(before->imds, after->imds))
        rc = call_on(o->s, "ModifyInstanceMetadataOptions", o->id, "HttpTokens", after->imds,
                     o->arena, err);
    if (rc == 0 && !cstr_eq(before->iam_profile, after->iam_profile))
        rc = server_update_profile(o->s, o->id, after->iam_profile, o->arena, err);
    return rc < 0 ? rc : update_disk(o, err);
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

/* Stopped where another type or the wanted power needs it, changed, and left as it is wanted. A
 * step that is done already (the run before was interrupted) is left out, since `before` is what is
 * live. */
static int update_power(struct one *o, RECORD *seen, struct err *err) {
    const RECORD *before = o->c->before;
    const RECORD *after = o->c->after;
    bool resize = !cstr_eq(before->type, after->type);
    bool runs = !cstr_eq(before->power, "stopped");
    bool stays = cstr_eq(after->power, "running");
    int rc = 0;
    if (runs && (resize || !stays))
        rc = stop_one(o, seen, err);
    else if (!runs && (resize || stays)) /* it may be stopping still */
        rc = await_one(o, WAIT_STOPPED, NULL, err);
    if (rc == 0 && resize)
        rc = call_on(o->s, "ModifyInstanceAttribute", o->id, "InstanceType.Value", after->type,
                     o->arena, err);
    if (rc == 0 && stays && (resize || !runs))
        rc = start_one(o, seen, err);
    return rc;
}

int server_update(struct ec2_session *s, struct change *c, const struct apply_ops *ops,
                  struct arena *arena, struct err *err) {
    const RECORD *before = c->before;
    RECORD seen = *before;
    struct one o = {s, c, change_id(c), ops, arena};
    int rc = cstr_eq(before->type, ((const RECORD *)c->after)->type)
                 ? 0
                 : check_resize(before, c->after, err);
    if (rc == 0 && cstr_eq(before->power, "pending"))
        rc = await_one(&o, WAIT_RUNNING, &seen, err);
    if (rc == 0)
        rc = update_running(&o, err);
    if (rc == 0)
        rc = update_power(&o, &seen, err);
    if (rc == 0)
        rc = server_update_address(s, c, o.id, &seen, ops, arena, err);
    if (rc != 0)
        return rc;
    RECORD record = server_merge(c->after, &seen);
    record.host_key = before->host_key;
    return ops->done(ops->ctx, c, &record, err);
}
