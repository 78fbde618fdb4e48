/* The volume kind: what EC2 says of it. */
#include "providers/ec2/internal.h"

#define RECORD struct volume_record

enum { FILTER_VALUES_MAX = 200, /* EC2's own limit */ TRIES = 6, SIZE_GIB_MAX = 1 << 20 };

static const char *text_or_null(struct arena *arena, const struct xml *item, const char *path) {
    const char *text = xml_text(item, path);
    return text == NULL || text[0] == '\0' ? NULL : arena_dup(arena, text);
}

static bool is_gone(const struct xml *item) {
    const char *state = xml_text(item, "status");
    return cstr_eq(state, "deleting") || cstr_eq(state, "deleted");
}

/* The one that holds it; not one that lets it go. */
static const struct xml *attachment_of(const struct xml *item) {
    for (const struct xml *a = xml_first_item(item, "attachmentSet"); a != NULL;
         a = xml_next_item(a)) {
        const char *state = xml_text(a, "status");
        if (!cstr_eq(state, "detached") && !cstr_eq(state, "detaching"))
            return a;
    }
    return NULL;
}

int volume_record_of(const struct xml *item, struct arena *arena, RECORD *ret) {
    const char *size = xml_text(item, "size");
    const struct xml *a = attachment_of(item);
    RECORD r = {.volume_id = text_or_null(arena, item, "volumeId"),
                .zone = text_or_null(arena, item, "availabilityZone"),
                .type = text_or_null(arena, item, "volumeType"),
                .encrypted = cstr_eq(xml_text(item, "encrypted"), "true"),
                .attached_to = text_or_null(arena, a, "instanceId"),
                .device = text_or_null(arena, a, "device"),
                .keep = ret->keep,
                .size_gib = FIELD_UNSET};
    if (size == NULL || !str_to_i64(str_of(size), 1, SIZE_GIB_MAX, &r.size_gib) ||
        r.volume_id == NULL)
        return -ERRC_NET;
    int rc = ec2_read_tags(item, arena, &r.tags);
    if (rc == 0)
        *ret = r;
    return rc;
}

/* What the spec or the state says of keeping; of one that nobody knows: nothing is lost by it. */
static bool is_kept(const struct observe_in *in, const char *address) {
    const struct recorded *r = recorded_find(in->recorded, address);
    const struct node *n = nodes_find(in->nodes, address);
    if (r != NULL && r->record != NULL)
        return ((const RECORD *)r->record)->keep;
    return n == NULL || ((const RECORD *)n->desired)->keep;
}

/* The address that it is recorded at, else of its tags; NULL: it is no data volume. */
static const char *address_of(const struct observe_in *in, const struct xml *item,
                              struct arena *arena) {
    const char *id = xml_text(item, "volumeId"), *index = ec2_tag_of(item, "berth:index");
    int64_t number = 0;
    for (size_t i = 0; i < in->recorded->len; i++)
        if (in->recorded->items[i].kind == &volume_kind && cstr_eq(in->recorded->items[i].id, id))
            return in->recorded->items[i].address;
    if (!cstr_eq(ec2_tag_of(item, "berth:node"), "data") || index == NULL ||
        !str_to_i64(str_of(index), 0, INT32_MAX, &number))
        return NULL;
    return volume_address(arena, number);
}

/* Two that say the same of themselves: nobody but the user knows which has the data. */
static void doubt(struct live *live, const char *one, const char *other) {
    live->presence = LIVE_UNREADABLE;
    live->record = NULL;
    err_set(&live->err, ERRC_CONFLICT, "%s and %s both say that they are %s", one, other,
            live->address);
    err_hint(&live->err, "take the tag berth:node off the one that is not");
}

static int read_one(struct ec2_session *s, const struct observe_in *in, const struct xml *item,
                    struct observed *out) {
    const char *address = address_of(in, item, &out->arena);
    const char *id = xml_text(item, "volumeId");
    if (address == NULL || id == NULL || is_gone(item))
        return 0;
    const struct recorded *known = recorded_find(in->recorded, address);
    struct live *live = observed_find(out, address);
    bool is_known = known != NULL && cstr_eq(known->id, id);
    bool other_known = known != NULL && live != NULL && cstr_eq(known->id, live->id);
    if (live != NULL && (cstr_eq(live->id, id) || other_known))
        return 0;
    if (live != NULL && !is_known) {
        doubt(live, live->id, id);
        return 0;
    }
    RECORD *r = ARENA_NEW(&out->arena, RECORD);
    if (live == NULL)
        live = observed_add(out, &volume_kind, address, LIVE_OURS);
    if (r == NULL || live == NULL)
        return -ERRC_NOMEM;
    r->keep = is_kept(in, address);
    int rc = volume_record_of(item, &out->arena, r);
    if (rc < 0)
        return rc;
    r->tagged = ec2_is_tagged(item, s->run, "data", volume_address_index(address));
    live->presence = LIVE_OURS;
    live->id = r->volume_id;
    live->record = r;
    return 0;
}

int volume_read_live(struct ec2_session *s, const struct observe_in *in,
                     const struct ec2_answers *answers, struct observed *out, struct err *err) {
    const struct ec2_answer *volumes = &answers->of[READ_VOLUMES];
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < volumes->len; i++)
        rc = read_one(s, in, volumes->items[i], out);
    return rc == -ERRC_NET ? err_set(err, ERRC_NET, "DescribeVolumes: a volume without id or size")
           : rc < 0        ? err_no_memory(err)
                           : 0;
}

/* ---- Recorded ones that their tag did not find: somebody took it off. One that a run that was cut
 * may have made a moment ago is asked for again for some seconds. */

static int ask_rest(struct ec2_session *s, const struct observe_in *in, struct ec2_answers *answers,
                    struct observed *out, bool *ret_unseen, struct err *err) {
    const char *ids[FILTER_VALUES_MAX + 1] = {NULL};
    size_t n = 0;
    struct query q;
    struct xml *xml = NULL;
    *ret_unseen = false;
    for (size_t i = 0; i < in->recorded->len && n < FILTER_VALUES_MAX; i++) {
        const struct recorded *r = &in->recorded->items[i];
        if (r->kind != &volume_kind || r->id == NULL || observed_find(out, r->address) != NULL)
            continue;
        ids[n++] = r->id;
        *ret_unseen |= r->status == RECORDED_FAILED;
    }
    if (n == 0)
        return 0;
    query_init(&q, "DescribeVolumes");
    query_add_filter(&q, 1, "volume-id", ids);
    int rc = ec2_call(s, &q, "DescribeVolumes", false, answers->arena, &xml, err);
    answers->of[READ_VOLUMES] = (struct ec2_answer){0};
    if (rc == 0 && ec2_add_page(answers, READ_VOLUMES, xml) < 0)
        rc = err_no_memory(err);
    if (rc == 0)
        rc = volume_read_live(s, in, answers, out, err);
    return rc;
}

static int read(struct ec2_session *s, const struct observe_in *in,
                const struct ec2_answers *answers, struct observed *out, struct err *err) {
    struct ec2_answers rest = *answers;
    double pause = 0.2;
    int rc = volume_read_live(s, in, answers, out, err);
    for (int i = 0; rc == 0 && i < TRIES; i++) {
        size_t before = out->len;
        bool unseen = false;
        rc = ask_rest(s, in, &rest, out, &unseen, err);
        if (rc < 0 || !unseen || out->len > before)
            break;
        if (!ec2_sleep(s, pause))
            return err_set(err, ERRC_CANCELLED, "DescribeVolumes: interrupted");
        pause *= 2;
    }
    return rc;
}

const struct ec2_kind volume_ec2 = {
    .kind = &volume_kind,
    .needs = 1u << READ_VOLUMES,
    .read = read,
    .apply = volume_apply,
};
