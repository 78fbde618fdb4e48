/* Servers that their tag did not find, by their recorded ids and spot requests. */
#include "providers/ec2/internal.h"
#include "specs/record.h"

enum { FILTER_VALUES_MAX = 200, /* EC2's own limit */ TRIES = 6 };

/* Servers to ask for in one call. */
struct request {
    const struct recorded *servers[FILTER_VALUES_MAX];
    size_t len;
};

/* The servers of one call, read like those that their tags found. */
struct answer {
    struct ec2_answers all;
    bool unseen; /* nothing at all is known of one that was being made */
};

static bool has_instance(const struct ec2_answer *answer, const char *id) {
    for (size_t i = 0; i < answer->len; i++)
        if (cstr_eq(xml_text(answer->items[i], "instanceId"), id))
            return true;
    return false;
}

/* Of one that is there no more: whether EC2 took it back. */
static int note_end(const struct ec2_answer *answer, const struct recorded *r, struct observed *out,
                    struct err *err) {
    for (size_t i = 0; i < answer->len; i++) {
        const char *note = cstr_eq(xml_text(answer->items[i], "instanceId"), r->id)
                               ? server_spot_note(answer->items[i], &out->arena)
                               : NULL;
        if (note == NULL || observed_find(out, r->address) != NULL)
            continue;
        struct live *live = observed_add(out, &server_kind, r->address, LIVE_NONE);
        if (live == NULL)
            return err_no_memory(err);
        live->note = note;
    }
    return 0;
}

/* `ids` ends with NULL. The answer stays in `a`. */
static int read_by_id(struct ec2_session *s, const struct observe_in *in, const char *const *ids,
                      struct answer *a, struct observed *out, struct err *err) {
    struct query q;
    struct xml *xml = NULL;
    query_init(&q, "DescribeInstances");
    query_add_filter(&q, 1, "instance-id", ids);
    int rc = ec2_call(s, &q, "DescribeInstances", false, a->all.arena, &xml, err);
    a->all.of[READ_INSTANCES] = (struct ec2_answer){0};
    if (rc == 0 && ec2_add_page(&a->all, READ_INSTANCES, xml) < 0)
        rc = err_no_memory(err);
    return rc < 0 ? rc : server_read_live(s, in, &a->all, out, err);
}

/* Those that have ended are asked for too: EC2 shows them for a while, and then they are certainly
 * gone. */
static int ask(struct ec2_session *s, const struct observe_in *in, const struct request *asked,
               struct answer *a, struct observed *out, struct err *err) {
    const char *ids[FILTER_VALUES_MAX + 1] = {NULL};
    for (size_t i = 0; i < asked->len; i++)
        ids[i] = asked->servers[i]->id;
    int rc = read_by_id(s, in, ids, a, out, err);
    for (size_t i = 0; rc == 0 && i < asked->len; i++)
        rc = note_end(&a->all.of[READ_INSTANCES], asked->servers[i], out, err);
    for (size_t i = 0; rc == 0 && i < asked->len; i++)
        a->unseen |= asked->servers[i]->status == RECORDED_FAILED &&
                     !has_instance(&a->all.of[READ_INSTANCES], ids[i]);
    return rc;
}

static int ask_all(struct ec2_session *s, const struct observe_in *in, struct answer *a,
                   struct observed *out, struct err *err) {
    struct request request = {.len = 0};
    int rc = 0;
    a->unseen = false;
    for (size_t i = 0; rc == 0 && i < in->recorded->len; i++) {
        const struct recorded *r = &in->recorded->items[i];
        if (r->kind == &server_kind && r->id != NULL && observed_find(out, r->address) == NULL)
            request.servers[request.len++] = r;
        if (request.len < FILTER_VALUES_MAX)
            continue;
        rc = ask(s, in, &request, a, out, err);
        request.len = 0;
    }
    return rc < 0 || request.len == 0 ? rc : ask(s, in, &request, a, out, err);
}

/* ---- Spot requests that outlived their server: EC2 launches another one for such, without our
 * tags, and its owner pays for it. Both are orphans of ours. */

/* A request that has launched nothing again yet. */
static int add_request(const char *id, struct observed *out) {
    const char *address = arena_printf(&out->arena, "orphan.%s", id);
    struct server_record *r = ARENA_NEW(&out->arena, struct server_record);
    struct live *live =
        address == NULL || r == NULL ? NULL : observed_add(out, &server_kind, address, LIVE_OURS);
    if (live == NULL)
        return -ERRC_NOMEM;
    record_init(server_kind.fields, r);
    r->spot.enabled = true;
    r->spot_request = arena_dup(&out->arena, id);
    live->record = r;
    return r->spot_request == NULL ? -ERRC_NOMEM : 0;
}

/* https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotInstanceRequests.html */
static int ask_requests(struct ec2_session *s, const struct observe_in *in,
                        const char *const *requests, struct answer *a, struct observed *out,
                        struct err *err) {
    static const char *const states[] = {"open", "active", NULL};
    const char *launched[FILTER_VALUES_MAX + 1] = {NULL};
    size_t n = 0;
    struct query q;
    struct xml *xml = NULL;
    query_init(&q, "DescribeSpotInstanceRequests");
    query_add_filter(&q, 1, "spot-instance-request-id", requests);
    query_add_filter(&q, 2, "state", states);
    int rc = ec2_call(s, &q, "DescribeSpotInstanceRequests", false, a->all.arena, &xml, err);
    for (const struct xml *item = rc < 0 ? NULL : xml_first_item(xml, "spotInstanceRequestSet");
         rc == 0 && item != NULL; item = xml_next_item(item)) {
        const char *id = xml_text(item, "spotInstanceRequestId");
        const char *instance = xml_text(item, "instanceId");
        bool open = cstr_eq(xml_text(item, "state"), "open"); /* it may name its last one still */
        if (!open && instance != NULL && n < FILTER_VALUES_MAX)
            launched[n++] = instance;
        else if (open && id != NULL && add_request(id, out) < 0)
            rc = err_no_memory(err);
    }
    return rc < 0 || n == 0 ? rc : read_by_id(s, in, launched, a, out, err);
}

static bool is_there(const struct observed *out, const struct recorded *r) {
    const struct live *live = observed_find(out, r->address);
    return live != NULL && live->presence != LIVE_NONE;
}

/* Of recorded spot servers that are gone. */
static int find_requests(struct ec2_session *s, const struct observe_in *in, struct answer *a,
                         struct observed *out, struct err *err) {
    const char *requests[FILTER_VALUES_MAX + 1] = {NULL};
    size_t n = 0;
    for (size_t i = 0; i < in->recorded->len && n < FILTER_VALUES_MAX; i++) {
        const struct recorded *r = &in->recorded->items[i];
        const struct server_record *known = r->kind == &server_kind ? r->record : NULL;
        if (known != NULL && known->spot_request != NULL && !is_there(out, r))
            requests[n++] = known->spot_request;
    }
    return n == 0 ? 0 : ask_requests(s, in, requests, a, out, err);
}

int server_find_rest(struct ec2_session *s, const struct observe_in *in,
                     const struct ec2_answers *answers, struct observed *out, struct err *err) {
    struct answer a = {.all = *answers};
    double pause = 0.2;
    for (int i = 1;; i++) {
        int rc = ask_all(s, in, &a, out, err);
        if (rc == 0 && (!a.unseen || i == TRIES))
            rc = find_requests(s, in, &a, out, err);
        if (rc < 0 || !a.unseen || i == TRIES)
            return rc;
        if (!ec2_sleep(s, pause))
            return err_set(err, ERRC_CANCELLED, "DescribeInstances: interrupted");
        pause *= 2;
    }
}
