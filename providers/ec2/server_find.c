/* Servers that one answer does not tell of: the other pages of it, and those that their tag did not
 * find, by their recorded ids. */
#include "providers/ec2/internal.h"

enum { FILTER_VALUES_MAX = 200, /* EC2's own limit */ TRIES = 6 };

/* Servers to ask for in one call. */
struct request {
    const struct recorded *servers[FILTER_VALUES_MAX];
    size_t len;
};

static bool has_instance(const struct xml *xml, const char *id) {
    for (const struct xml *r = xml_first_item(xml, "reservationSet"); r != NULL;
         r = xml_next_item(r))
        for (const struct xml *item = xml_first_item(r, "instancesSet"); item != NULL;
             item = xml_next_item(item))
            if (cstr_eq(xml_text(item, "instanceId"), id))
                return true;
    return false;
}

/* Those that have ended are asked for too: EC2 shows them for a while, and then they are certainly
 * gone. `unseen` is set where nothing at all is known of one that was being made. */
static int ask(struct ec2_session *s, const struct observe_in *in, const struct request *asked,
               struct arena *arena, struct observed *out, bool *unseen, struct err *err) {
    const char *ids[FILTER_VALUES_MAX + 1] = {NULL};
    struct query q;
    struct xml *xml = NULL;
    for (size_t i = 0; i < asked->len; i++)
        ids[i] = asked->servers[i]->id;
    query_init(&q, "DescribeInstances");
    query_add_filter(&q, 1, "instance-id", ids);
    int rc = ec2_call(s, &q, "DescribeInstances", false, arena, &xml, err);
    if (rc == 0)
        rc = server_read_live(s, in, xml, out, err);
    for (size_t i = 0; rc == 0 && i < asked->len; i++)
        *unseen |= asked->servers[i]->status == RECORDED_FAILED && !has_instance(xml, ids[i]);
    return rc;
}

static int ask_all(struct ec2_session *s, const struct observe_in *in, struct arena *arena,
                   struct observed *out, bool *unseen, struct err *err) {
    struct request request = {.len = 0};
    int rc = 0;
    *unseen = false;
    for (size_t i = 0; rc == 0 && i < in->recorded->len; i++) {
        const struct recorded *r = &in->recorded->items[i];
        if (r->kind == &server_kind && r->id != NULL && observed_find(out, r->address) == NULL)
            request.servers[request.len++] = r;
        if (request.len < FILTER_VALUES_MAX)
            continue;
        rc = ask(s, in, &request, arena, out, unseen, err);
        request.len = 0;
    }
    return rc < 0 || request.len == 0 ? rc : ask(s, in, &request, arena, out, unseen, err);
}

/* The other pages of the answer in hand. */
static int read_pages(struct ec2_session *s, const struct observe_in *in, const char *token,
                      struct arena *arena, struct observed *out, struct err *err) {
    for (int page = 1; token != NULL && token[0] != '\0'; page++) {
        struct query q;
        struct xml *xml = NULL;
        if (page == SERVER_PAGES_MAX)
            return err_set(err, ERRC_LIMIT, "DescribeInstances: the answer does not end");
        server_ask_live(s, &q, token);
        int rc = ec2_call(s, &q, "DescribeInstances", false, arena, &xml, err);
        if (rc == 0)
            rc = server_read_live(s, in, xml, out, err);
        if (rc < 0)
            return rc;
        token = xml_text(xml, "nextToken");
    }
    return 0;
}

static int find_rest(struct ec2_session *s, const struct observe_in *in, struct arena *arena,
                     struct observed *out, struct err *err) {
    double pause = 0.2;
    for (int i = 1;; i++) {
        bool unseen = false;
        int rc = ask_all(s, in, arena, out, &unseen, err);
        if (rc < 0 || !unseen || i == TRIES)
            return rc;
        if (!ec2_sleep(s, pause))
            return err_set(err, ERRC_CANCELLED, "DescribeInstances: interrupted");
        pause *= 2;
    }
}

int server_read_on(struct ec2_session *s, const struct observe_in *in, const struct xml *xml,
                   struct arena *arena, struct observed *out, struct err *err) {
    int rc = read_pages(s, in, xml_text(xml, "nextToken"), arena, out, err);
    return rc < 0 ? rc : find_rest(s, in, arena, out, err);
}
