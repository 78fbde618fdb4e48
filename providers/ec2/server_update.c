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

/* What can be changed whether it runs or not. */
static int update_running(struct one *o, struct err *err) {
    const struct change *c = o->c;
    const RECORD *before = c->before;
    const RECORD *after = c->after;
    int rc = 0;
    if (!before->tagged)
        rc = ec2_mend_tags(o->s, o->id, "server",
                           server_address_index(c->address) - before->launch_index, o->arena, err);
    if (rc == 0 && !cstr_eq(before->group_id, after->group_id))
        rc = call_on(o->s, "ModifyInstanceAttribute", o->id, "GroupId.1", after->group_id, o->arena,
                     err);
    if (rc == 0 && !cstr_eq(before->imds, after->imds))
        rc = call_on(o->s, "ModifyInstanceMetadataOptions", o->id, "HttpTokens", after->imds,
                     o->arena, err);
    if (rc == 0 && !strmap_equal(&before->tags, &after->tags))
        rc = retag(o->s, o->id, &before->tags, &after->tags, o->arena, err);
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
    if (rc != 0)
        return rc;
    RECORD record = server_merge(c->after, &seen);
    record.host_key = before->host_key;
    return ops->done(ops->ctx, c, &record, err);
}
