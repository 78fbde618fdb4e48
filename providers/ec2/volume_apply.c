/* Making, attaching, changing and deleting data volumes. */
#include "providers/ec2/internal.h"

#define RECORD struct volume_record
/* As on a machine of its own:
 * https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/device_naming.html
 */
#define DEVICE "/dev/sdf"

enum { WAIT_MAX_S = 300, BUSY_S = 10 };

/* ---- Waiting */

enum volume_wait { WAIT_AVAILABLE, WAIT_ATTACHED };

static int look(struct ec2_session *s, const char *id, struct arena *arena, const char **ret_state,
                RECORD *ret, struct err *err) {
    struct query q;
    struct xml *xml = NULL;
    query_init(&q, "DescribeVolumes");
    query_add(&q, "VolumeId.1", id);
    int rc = ec2_call_settling(s, &q, "DescribeVolumes", false, arena, &xml, err);
    const struct xml *item = rc < 0 ? NULL : xml_first_item(xml, "volumeSet");
    if (rc < 0)
        return rc;
    *ret_state = xml_text(item, "status");
    return item == NULL || *ret_state == NULL || volume_record_of(item, arena, ret) < 0
               ? err_set(err, ERRC_NET, "DescribeVolumes: the answer does not say how %s is", id)
               : 0;
}

static bool is_there(enum volume_wait want, const char *state, const RECORD *r,
                     const char *instance) {
    return want == WAIT_AVAILABLE ? cstr_eq(state, "available")
                                  : cstr_eq(state, "in-use") && cstr_eq(r->attached_to, instance);
}

/* -ERRC_TIMEOUT after so many seconds. */
static int await(struct ec2_session *s, enum volume_wait want, const char *id, const char *instance,
                 int most_s, struct err *err) {
    double pause = 0.2, waited = 0;
    for (;;) {
        _cleanup_arena_ struct arena answer = {0};
        const char *state = NULL;
        RECORD r = {.keep = true};
        int rc = look(s, id, &answer, &state, &r, err);
        if (rc < 0 || is_there(want, state, &r, instance))
            return rc;
        if (cstr_eq(state, "error"))
            return err_set(err, ERRC_AWS, "%s could not be made (its state is error)", id);
        if (waited > most_s)
            return err_set(err, ERRC_TIMEOUT, "%s is %s still after %d s", id, state, most_s);
        if (!ec2_sleep(s, pause))
            return err_set(err, ERRC_CANCELLED, "interrupted");
        waited += pause;
        pause = pause < 2 ? pause * 1.5 : 3;
    }
}

/* ---- Attaching and detaching */

static void hint_attach(const RECORD *r, const char *instance, struct err *err) {
    if (ec2_is(err, "InvalidVolume.ZoneMismatch"))
        err_hint(err,
                 "%s stays in %s: a server that is launched anew goes there (berth apply -replace "
                 "of its server, which loses its root disk); or copy it there by a snapshot",
                 r->volume_id, r->zone);
    else if (ec2_is(err, "VolumeInUse"))
        err_hint(err, "somebody attached it meanwhile; apply again");
    else if (ec2_is(err, "AttachmentLimitExceeded"))
        err_hint(err, "%s has as many volumes as its type takes", instance);
}

static int attach(struct ec2_session *s, struct change *c, RECORD *r, const char *instance,
                  const struct apply_ops *ops, struct arena *arena, struct err *err) {
    struct query q;
    struct xml *xml;
    if (instance == NULL)
        return err_set(err, ERRC_INTERNAL, "%s: nobody knows its server's id", c->address);
    ops->progress(ops->ctx, c, "attaching it");
    query_init(&q, "AttachVolume");
    query_add(&q, "VolumeId", r->volume_id);
    query_add(&q, "InstanceId", instance);
    query_add(&q, "Device", DEVICE);
    int rc = ec2_call_settling(s, &q, "AttachVolume", false, arena, &xml, err);
    if (rc < 0 && ec2_is(err, "VolumeInUse")) { /* by an earlier answer that was lost? */
        struct err refusal = *err;
        rc = await(s, WAIT_ATTACHED, r->volume_id, instance, 0, err);
        if (rc == -ERRC_TIMEOUT) {
            *err = refusal;
            rc = -refusal.code;
        }
    } else if (rc == 0) {
        rc = await(s, WAIT_ATTACHED, r->volume_id, instance, WAIT_MAX_S, err);
    }
    if (rc < 0) {
        hint_attach(r, instance, err);
        return rc;
    }
    r->attached_to = instance;
    r->device = DEVICE;
    return 0;
}

static int send_detach(struct ec2_session *s, const char *id, const char *instance, bool force,
                       struct arena *arena, struct err *err) {
    struct query q;
    struct xml *xml;
    query_init(&q, "DetachVolume");
    query_add(&q, "VolumeId", id);
    query_add(&q, "InstanceId", instance);
    if (force)
        query_add(&q, "Force", "true");
    int rc = ec2_call(s, &q, "DetachVolume", false, arena, &xml, err);
    /* It has gone with its instance meanwhile. */
    return rc < 0 && (ec2_is(err, "IncorrectState") || ec2_is(err, "InvalidAttachment.NotFound"))
               ? 0
               : rc;
}

/* What is mounted there stays busy, until it is forced. `doomed`: nobody will miss what is lost by
 * that. */
static int detach(struct ec2_session *s, struct change *c, bool doomed, const struct apply_ops *ops,
                  struct arena *arena, struct err *err) {
    const char *id = change_id(c), *instance = ((const RECORD *)c->before)->attached_to;
    ops->progress(ops->ctx, c, "detaching it");
    int rc = send_detach(s, id, instance, false, arena, err);
    if (rc == 0)
        rc = await(s, WAIT_AVAILABLE, id, NULL, doomed ? BUSY_S : WAIT_MAX_S, err);
    if (rc == -ERRC_TIMEOUT && doomed) {
        rc = send_detach(s, id, instance, true, arena, err);
        if (rc == 0)
            rc = await(s, WAIT_AVAILABLE, id, NULL, WAIT_MAX_S, err);
    }
    if (rc == -ERRC_TIMEOUT)
        err_hint(err, "it is mounted there still: unmount it and apply again");
    return rc;
}

/* ---- Making */

static int send_create(struct ec2_session *s, struct change *c, const RECORD *r, const char *zone,
                       struct arena *arena, const struct apply_ops *ops, struct xml **ret,
                       struct err *err) {
    struct query q;
    int rc = ops->intent(ops->ctx, c, err);
    if (rc < 0)
        return rc;
    query_init(&q, "CreateVolume");
    query_add(&q, "AvailabilityZone", zone);
    query_addf(&q, "Size", "%lld", (long long)r->size_gib);
    query_add(&q, "VolumeType", r->type);
    query_add(&q, "Encrypted", r->encrypted ? "true" : "false");
    query_add(&q, "ClientToken", c->token);
    ec2_add_tags(&q, 1, "volume", s->run, "data", volume_address_index(c->address), &r->tags);
    return ec2_call(s, &q, "CreateVolume", false, arena, ret, err);
}

/* The zone of its server, which is there: the volume depends on it. */
static const char *find_zone(const struct change *c, const struct apply_ops *ops) {
    const struct kind *kind = NULL;
    const struct server_record *server =
        c->deps.len == 0 ? NULL : ops->lookup.record(ops->lookup.ctx, c->deps.items[0], &kind);
    return server == NULL || kind != &server_kind ? NULL : server->zone;
}

static int create(struct ec2_session *s, struct change *c, RECORD *r, const struct apply_ops *ops,
                  struct arena *arena, struct err *err) {
    struct xml *xml = NULL;
    const char *zone = find_zone(c, ops);
    if (zone == NULL)
        return err_set(err, ERRC_INTERNAL, "%s: nobody knows its server's zone", c->address);
    int rc = send_create(s, c, r, zone, arena, ops, &xml, err);
    /* Nothing of the first request is left: the look before this run would have shown it. */
    if (rc < 0 && ec2_is(err, "IdempotentParameterMismatch")) {
        rc = token_mint(s->run->random, arena, &c->token);
        rc = rc < 0 ? err_set(err, ERRC_INTERNAL, "no token can be made")
                    : send_create(s, c, r, zone, arena, ops, &xml, err);
    }
    if (rc < 0) {
        if (ec2_is(err, "VolumeLimitExceeded"))
            err_hint(err, "ask AWS for a higher quota of storage, or want a smaller volume");
        return rc;
    }
    r->volume_id = arena_dup(arena, xml_text(xml, "volumeId"));
    r->zone = zone;
    if (r->volume_id == NULL)
        return err_set(err, ERRC_NET, "CreateVolume: the answer has no id");
    rc = ops->created(ops->ctx, c, r->volume_id, r, err);
    return rc < 0 ? rc : await(s, WAIT_AVAILABLE, r->volume_id, NULL, WAIT_MAX_S, err);
}

/* ---- Changing */

static int retag(struct ec2_session *s, const struct change *c, const RECORD *before,
                 const RECORD *after, struct arena *arena, struct err *err) {
    const char *id = change_id(c);
    const struct ec2_tagging tagging = {.ids = &id,
                                        .ids_len = 1,
                                        .node = "data",
                                        .first_index = volume_address_index(c->address),
                                        .mend = !before->tagged,
                                        .before = &before->tags,
                                        .after = &after->tags};
    return before->tagged && strmap_equal(&before->tags, &after->tags)
               ? 0
               : ec2_tag(s, &tagging, arena, err);
}

static int modify(struct ec2_session *s, struct change *c, const RECORD *before, RECORD *after,
                  const struct apply_ops *ops, struct arena *arena, struct err *err) {
    const struct volume_change change = {
        .id = change_id(c),
        .size_gib = after->size_gib > before->size_gib ? after->size_gib : 0,
        .type = cstr_eq(before->type, after->type) ? NULL : after->type};
    return change.size_gib == 0 && change.type == NULL
               ? 0
               : volume_modify(s, c, &change, ops, arena, err);
}

static int update(struct ec2_session *s, struct change *c, RECORD *r, const struct apply_ops *ops,
                  struct arena *arena, struct err *err) {
    const RECORD *before = c->before;
    const char *wanted = r->attached_to;
    r->volume_id = before->volume_id;
    r->zone = before->zone;
    r->attached_to = before->attached_to;
    r->device = before->device;
    int rc = retag(s, c, before, r, arena, err);
    if (rc == 0)
        rc = modify(s, c, before, r, ops, arena, err);
    if (rc < 0 || cstr_eq(before->attached_to, wanted))
        return rc;
    if (before->attached_to != NULL)
        rc = detach(s, c, false, ops, arena, err);
    if (rc == 0) /* it may be on its way from where it was */
        rc = await(s, WAIT_AVAILABLE, r->volume_id, NULL, WAIT_MAX_S, err);
    return rc < 0 ? rc : attach(s, c, r, wanted, ops, arena, err);
}

/* ---- Deleting */

static int destroy(struct ec2_session *s, struct change *c, const struct apply_ops *ops,
                   struct arena *arena, struct err *err) {
    const RECORD *before = c->before;
    const char *id = change_id(c);
    struct query q;
    struct xml *xml;
    int rc = 0;
    if (id == NULL)
        return 0;
    if (before != NULL && before->attached_to != NULL)
        rc = detach(s, c, true, ops, arena, err);
    if (rc == 0) {
        query_init(&q, "DeleteVolume");
        query_add(&q, "VolumeId", id);
        rc = ec2_call(s, &q, "DeleteVolume", false, arena, &xml, err);
    }
    return rc < 0 && ec2_is(err, "InvalidVolume.NotFound") ? 0 : rc;
}

static int apply_one(struct ec2_session *s, struct change *c, const struct apply_ops *ops,
                     struct arena *arena, struct err *err) {
    int rc = 0;
    if (c->action == ACTION_DESTROY || c->action == ACTION_REPLACE)
        rc = destroy(s, c, ops, arena, err);
    if (rc < 0 || c->action == ACTION_DESTROY)
        return rc < 0 ? rc : ops->done(ops->ctx, c, NULL, err);
    RECORD r = *(const RECORD *)c->after;
    const char *wanted = r.attached_to;
    if (c->action == ACTION_CREATE || c->action == ACTION_RESUME || c->action == ACTION_REPLACE) {
        r.attached_to = r.device = NULL;
        rc = create(s, c, &r, ops, arena, err);
        if (rc == 0)
            rc = attach(s, c, &r, wanted, ops, arena, err);
    } else {
        rc = update(s, c, &r, ops, arena, err);
    }
    return rc < 0 ? rc : ops->done(ops->ctx, c, &r, err);
}

int volume_apply(struct ec2_session *s, struct batch *batch, const struct apply_ops *ops,
                 struct err *err) {
    for (size_t i = 0; i < batch->len; i++)
        if (apply_one(s, batch->changes[i], ops, batch->arena, err) < 0)
            ops->failed(ops->ctx, batch->changes[i], err);
    return 0;
}
