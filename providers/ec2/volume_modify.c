/* Changing a volume in place, and waiting until it is as wanted. */
#include "providers/ec2/internal.h"

enum { WAIT_MAX_S = 1800, SETTLE_MAX_S = 30 };

/* The newest modification of the volume; NULL when EC2 knows of none (yet). */
static int ask(struct ec2_session *s, const char *id, struct arena *arena, const struct xml **ret,
               struct err *err) {
    struct query q;
    struct xml *xml = NULL;
    *ret = NULL;
    query_init(&q, "DescribeVolumesModifications");
    query_add(&q, "VolumeId.1", id);
    int rc = ec2_call(s, &q, "DescribeVolumesModifications", false, arena, &xml, err);
    if (rc < 0)
        return ec2_is(err, "InvalidVolumeModification.NotFound") ? 0 : rc;
    for (const struct xml *item = xml_first_item(xml, "volumeModificationSet"); item != NULL;
         item = xml_next_item(item))
        *ret = item;
    return 0;
}

static bool is_as_wanted(const struct xml *modification, const struct volume_change *change) {
    const char *state = xml_text(modification, "modificationState");
    const char *size = xml_text(modification, "targetSize");
    const char *type = xml_text(modification, "targetVolumeType");
    int64_t gib = 0;
    if (!cstr_eq(state, "optimizing") && !cstr_eq(state, "completed"))
        return false;
    if (change->size_gib != 0 && size != NULL &&
        (!str_to_i64(str_of(size), 0, INT64_MAX, &gib) || gib < change->size_gib))
        return false; /* of an earlier one */
    return change->type == NULL || type == NULL || cstr_eq(type, change->type);
}

static int await_change(struct ec2_session *s, const struct volume_change *change,
                        struct err *err) {
    double pause = 0.2, waited = 0;
    for (;;) {
        _cleanup_arena_ struct arena answer = {0};
        const struct xml *m = NULL;
        int rc = ask(s, change->id, &answer, &m, err);
        if (rc < 0 || is_as_wanted(m, change))
            return rc;
        const char *why = xml_text(m, "statusMessage");
        if (cstr_eq(xml_text(m, "modificationState"), "failed"))
            return err_set(err, ERRC_AWS, "%s could not be changed: %s", change->id,
                           why == NULL || why[0] == '\0' ? "no reason given" : why);
        if (waited > (m == NULL ? SETTLE_MAX_S : WAIT_MAX_S)) {
            err_set(err, ERRC_TIMEOUT, "%s: not changed after %d minutes", change->id,
                    (int)(waited / 60) + 1);
            err_hint(err, "look at it in the EC2 console; apply again goes on");
            return -ERRC_TIMEOUT;
        }
        if (!ec2_sleep(s, pause))
            return err_set(err, ERRC_CANCELLED, "interrupted");
        waited += pause;
        pause = pause < 4 ? pause * 1.5 : 5;
    }
}

static void add_hint(struct err *err) {
    if (ec2_is(err, "IncorrectModificationState"))
        err_hint(err, "its last change is not finished: EC2 optimizes it for hours; apply again "
                      "then");
    if (ec2_is(err, "VolumeModificationRateExceeded"))
        err_hint(err, "EC2 changes a volume a few times a day only; apply again some hours later");
    if (ec2_is(err, "VolumeModificationSizeLimitExceeded") || ec2_is(err, "VolumeLimitExceeded"))
        err_hint(err, "ask AWS for a higher quota of storage, or want a smaller disk");
}

int volume_modify(struct ec2_session *s, struct change *c, const struct volume_change *change,
                  const struct apply_ops *ops, struct arena *arena, struct err *err) {
    struct query q;
    struct xml *xml;
    ops->progress(ops->ctx, c,
                  change->size_gib != 0 ? "waiting for its disk to grow"
                                        : "waiting for its disk to change");
    query_init(&q, "ModifyVolume");
    query_add(&q, "VolumeId", change->id);
    if (change->size_gib != 0)
        query_addf(&q, "Size", "%lld", (long long)change->size_gib);
    query_add(&q, "VolumeType", change->type);
    int rc = ec2_call(s, &q, "ModifyVolume", false, arena, &xml, err);
    if (rc < 0) {
        add_hint(err);
        return rc;
    }
    return await_change(s, change, err);
}
