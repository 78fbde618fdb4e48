/* Servers that their tag did not find, by their recorded ids. */
#include "providers/ec2/internal.h"

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
            return err_set(err, ERRC_NOMEM, "out of memory");
        live->note = note;
    }
    return 0;
}

/* Those that have ended are asked for too: EC2 shows them for a while, and then they are certainly
 * gone. */
static int ask(struct ec2_session *s, const struct observe_in *in, const struct request *asked,
               struct answer *a, struct observed *out, struct err *err) {
    const char *ids[FILTER_VALUES_MAX + 1] = {NULL};
    struct query q;
    struct xml *xml = NULL;
    for (size_t i = 0; i < asked->len; i++)
        ids[i] = asked->servers[i]->id;
    query_init(&q, "DescribeInstances");
    query_add_filter(&q, 1, "instance-id", ids);
    int rc = ec2_call(s, &q, "DescribeInstances", false, a->all.arena, &xml, err);
    a->all.of[READ_INSTANCES] = (struct ec2_answer){0};
    if (rc == 0 && ec2_add_page(&a->all, READ_INSTANCES, xml) < 0)
        rc = err_set(err, ERRC_NOMEM, "out of memory");
    if (rc == 0)
        rc = server_read_live(s, in, &a->all, out, err);
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

int server_find_rest(struct ec2_session *s, const struct observe_in *in,
                     const struct ec2_answers *answers, struct observed *out, struct err *err) {
    struct answer a = {.all = *answers};
    double pause = 0.2;
    for (int i = 1;; i++) {
        int rc = ask_all(s, in, &a, out, err);
        if (rc < 0 || !a.unseen || i == TRIES)
            return rc;
        if (!ec2_sleep(s, pause))
            return err_set(err, ERRC_CANCELLED, "DescribeInstances: interrupted");
        pause *= 2;
    }
}
