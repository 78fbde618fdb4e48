/* Things by their ids, for `berth import`: are they there, and whose are they? */
#include "providers/ec2/internal.h"

#include <string.h>

/* How a kind is asked for by id. Source: the Describe… pages of the EC2 API reference. */
struct by_id {
    const char *kind;
    const char *prefix; /* of its ids */
    const char *action, *parameter;
    const char *set, *inner; /* of the answer; `inner`: in each item of `set` */
};

static const struct by_id rows[] = {
    {"server", "i-", "DescribeInstances", "InstanceId.1", "reservationSet", "instancesSet"},
    {"key_pair", "key-", "DescribeKeyPairs", "KeyPairId.1", "keySet", NULL},
    {"access", "sg-", "DescribeSecurityGroups", "GroupId.1", "securityGroupInfo", NULL},
    {"volume", "vol-", "DescribeVolumes", "VolumeId.1", "volumeSet", NULL},
    {"address", "eipalloc-", "DescribeAddresses", "AllocationId.1", "addressesSet", NULL},
};

static const struct by_id *row_of(const struct kind *kind) {
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].kind, kind->name) == 0)
            return &rows[i];
    return NULL;
}

static int not_there(const struct ec2_session *s, const char *id, struct err *err) {
    err_set(err, ERRC_NOTFOUND, "there is no %s in %s", id, s->config.region);
    err_hint(err, "look at the id, and at the region (`region:` in the spec)");
    return -ERRC_NOTFOUND;
}

/* InvalidInstanceID.NotFound, InvalidKeyPair.NotFound, InvalidVolume.NotFound, …Malformed. */
static bool is_unknown(const struct err *err) {
    struct str code = str_of(err->aws_code);
    return str_ends(code, STR(".NotFound")) || str_ends(code, STR(".Malformed")) ||
           str_ends(code, STR(".Duplicate"));
}

int ec2_find(void *session, const struct kind *kind, const char *id, struct arena *arena,
             struct found *ret, struct err *err) {
    struct ec2_session *s = session;
    const struct by_id *row = row_of(kind);
    struct query q;
    struct xml *xml;
    if (row == NULL)
        return err_set(err, ERRC_UNSUPPORTED, "a %s has no id to import it by", kind->name);
    if (!str_starts(str_of(id), str_of(row->prefix))) {
        err_set(err, ERRC_INVALID, "%s is no id of a %s", id, kind->name);
        err_hint(err, "they start with %s", row->prefix);
        return -ERRC_INVALID;
    }
    query_init(&q, row->action);
    query_add(&q, row->parameter, id);
    int rc = ec2_call(s, &q, row->action, false, arena, &xml, err);
    if (rc < 0)
        return is_unknown(err) ? not_there(s, id, err) : rc;
    const struct xml *item = xml_first_item(xml, row->set);
    if (item != NULL && row->inner != NULL)
        item = xml_first_item(item, row->inner);
    const char *state = xml_text(item, "instanceState/name");
    if (item == NULL || cstr_eq(state, "terminated") || cstr_eq(state, "shutting-down"))
        return not_there(s, id, err);
    struct found found = {.owner = arena_dup(arena, ec2_tag_of(item, "berth:name")),
                          .where = arena_dup(arena, s->config.region)};
    if (found.where == NULL)
        return err_no_memory(err);
    *ret = found;
    return 0;
}
