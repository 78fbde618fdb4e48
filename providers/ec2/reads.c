/* The calls that a look at EC2 is made of: which are needed, side by side, page by page. */
#include "providers/ec2/internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- The table */

static bool has_recorded(const struct observe_in *in, const char *kind) {
    for (size_t i = 0; i < in->recorded->len; i++)
        if (cstr_eq(in->recorded->items[i].kind_name, kind))
            return true;
    return false;
}

static bool has_node(const struct observe_in *in, const char *kind) {
    for (size_t i = 0; i < in->nodes->len; i++)
        if (cstr_eq(in->nodes->items[i].kind->name, kind))
            return true;
    return false;
}

/* Nothing is remembered, or nothing is to be left: what is ours by tag counts too. */
static bool looks_for_orphans(const struct observe_in *in) {
    return in->recorded->len == 0 || in->nodes->len == 0;
}

static bool needs_volumes(const struct observe_in *in) {
    return looks_for_orphans(in) || has_recorded(in, "server") || has_recorded(in, "volume") ||
           has_node(in, "volume");
}

static bool needs_addresses(const struct observe_in *in) {
    return looks_for_orphans(in) || has_recorded(in, "address") || has_node(in, "address");
}

static const struct ec2_read reads[] = {
    [READ_INSTANCES] = {.action = "DescribeInstances",
                        .set = "reservationSet",
                        .inner = "instancesSet",
                        .ask = server_ask_live},
    [READ_KEY_PAIRS] = {.action = "DescribeKeyPairs", .set = "keySet", .ask = key_pair_ask_live},
    [READ_GROUPS] = {.action = "DescribeSecurityGroups",
                     .set = "securityGroupInfo",
                     .ask = access_ask_live},
    [READ_VOLUMES] = {.action = "DescribeVolumes",
                      .set = "volumeSet",
                      .needed = needs_volumes,
                      .ask = volumes_ask_live},
    [READ_ADDRESSES] = {.action = "DescribeAddresses",
                        .set = "addressesSet",
                        .needed = needs_addresses,
                        .ask = addresses_ask_live},
    [READ_SUBNET] = {.action = "DescribeSubnets",
                     .set = "subnetSet",
                     .needed = subnet_is_needed,
                     .ask = subnet_ask_live},
    [READ_OFFERINGS] = {.action = "DescribeInstanceTypeOfferings",
                        .set = "instanceTypeOfferingSet",
                        .needed = zones_are_needed,
                        .ask = zones_ask_live},
};
_Static_assert(sizeof reads / sizeof reads[0] == READ_COUNT, "one row a read");

/* ---- Answers */

bool ec2_has(const struct ec2_answers *answers, enum ec2_read_id read) {
    return answers->of[read].asked && answers->of[read].err.code == 0;
}

static int add_item(struct ec2_answers *answers, struct ec2_answer *answer,
                    const struct xml *item) {
    const struct xml **items =
        arena_grow(answers->arena, answer->items, answer->len, sizeof *items, &answer->cap);
    if (items == NULL)
        return -ERRC_NOMEM;
    answer->items = items;
    answer->items[answer->len++] = item;
    return 0;
}

int ec2_add_page(struct ec2_answers *answers, enum ec2_read_id read, const struct xml *page) {
    const struct ec2_read *row = &reads[read];
    struct ec2_answer *answer = &answers->of[read];
    int rc = 0;
    answer->asked = true;
    for (const struct xml *outer = xml_first_item(page, row->set); rc == 0 && outer != NULL;
         outer = xml_next_item(outer)) {
        if (row->inner == NULL)
            rc = add_item(answers, answer, outer);
        for (const struct xml *item = row->inner == NULL ? NULL : xml_first_item(outer, row->inner);
             rc == 0 && item != NULL; item = xml_next_item(item))
            rc = add_item(answers, answer, item);
    }
    return rc;
}

/* ---- Sending */

/* One read under way. */
struct reading {
    enum ec2_read_id read;
    const char *next; /* token of the page to ask for; NULL: the first */
};

/* Credentials that are good, but may not ask this one thing; or an EC2 beside AWS's own that does
 * not know it. */
static bool is_spared(const struct err *err) {
    return err->aws_http_status == 403 || ec2_is(err, "UnauthorizedOperation") ||
           ec2_is(err, "AccessDeniedException") || ec2_is(err, "InvalidAction");
}

/* Keeps what came; how much is left to ask of it, 0 or 1, or -code. */
static int take_answer(struct reading *r, struct aws_call *call, struct ec2_answers *answers,
                       struct err *err) {
    struct ec2_answer *answer = &answers->of[r->read];
    answer->asked = true;
    if (call->rc < 0 && !is_spared(&call->err)) {
        *err = call->err;
        return call->rc;
    }
    if (call->rc < 0) {
        answer->err = call->err;
        return 0;
    }
    if (ec2_add_page(answers, r->read, call->xml) < 0)
        return err_no_memory(err);
    r->next = xml_text(call->xml, "nextToken");
    return r->next != NULL && r->next[0] != '\0';
}

/* Sends a page of each, and `beside`. Those that have more to tell are moved to the front. */
static int read_round(struct ec2_session *s, struct reading *readings, size_t *len,
                      struct query *bodies, struct aws_call *beside, struct ec2_answers *answers,
                      struct err *err) {
    struct aws_call calls[READ_COUNT + 1] = {0};
    struct err ignored; /* each call has its own */
    size_t n = *len;
    for (size_t i = 0; i < n; i++)
        calls[i] = (struct aws_call){.service = AWS_EC2,
                                     .action = reads[readings[i].read].action,
                                     .body = buf_str(&bodies[i].body),
                                     .arena = answers->arena};
    if (beside != NULL)
        calls[n] = *beside;
    aws_call_many(s->client, calls, n + (beside != NULL), &ignored);
    int rc = 0;
    *len = 0;
    for (size_t i = 0; i < n; i++) {
        int more = rc < 0 ? 0 : take_answer(&readings[i], &calls[i], answers, err);
        if (more < 0)
            rc = more;
        if (more > 0)
            readings[(*len)++] = readings[i];
        buf_free(&calls[i].answer);
    }
    if (beside != NULL)
        *beside = calls[n];
    /* Stopped, which no answer stands for. */
    if (rc == 0 && beside != NULL && beside->err.code == ERRC_CANCELLED) {
        *err = beside->err;
        rc = beside->rc;
    }
    return rc;
}

static int read_page(struct ec2_session *s, struct reading *readings, size_t *len,
                     struct query *bodies, struct aws_call *beside, struct ec2_answers *answers,
                     struct err *err) {
    size_t n = *len;
    bool failed = false;
    for (size_t i = 0; i < n; i++) {
        query_add(&bodies[i], "NextToken", readings[i].next);
        failed |= bodies[i].body.failed;
    }
    int rc =
        failed ? err_no_memory(err) : read_round(s, readings, len, bodies, beside, answers, err);
    for (size_t i = 0; i < n; i++)
        query_free(&bodies[i]);
    return rc;
}

/* Everything was denied: then nothing can be said at all. */
static int check_any(const struct ec2_answers *answers, struct err *err) {
    const struct ec2_answer *denied = NULL;
    for (size_t i = 0; i < READ_COUNT; i++) {
        if (ec2_has(answers, (enum ec2_read_id)i))
            return 0;
        if (denied == NULL && answers->of[i].asked)
            denied = &answers->of[i];
    }
    if (denied == NULL)
        return 0;
    *err = denied->err;
    return -denied->err.code;
}

static int read_pages(struct ec2_session *s, struct reading *readings, size_t len,
                      struct aws_call *beside, struct ec2_answers *ret, struct err *err) {
    struct query bodies[READ_COUNT];
    for (int page = 0; len > 0; page++) {
        if (page == EC2_PAGES_MAX)
            return err_set(err, ERRC_LIMIT, "%s: the answer does not end",
                           reads[readings[0].read].action);
        for (size_t i = 0; i < len; i++)
            reads[readings[i].read].ask(s, &bodies[i]);
        int rc = read_page(s, readings, &len, bodies, page == 0 ? beside : NULL, ret, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int ec2_read_all(struct ec2_session *s, const struct observe_in *in, struct aws_call *beside,
                 struct ec2_answers *ret, struct err *err) {
    struct reading readings[READ_COUNT];
    size_t len = 0;
    for (size_t i = 0; i < READ_COUNT; i++)
        if (reads[i].needed == NULL || reads[i].needed(in))
            readings[len++] = (struct reading){(enum ec2_read_id)i, NULL};
    int rc = read_pages(s, readings, len, beside, ret, err);
    return rc < 0 ? rc : check_any(ret, err);
}

int ec2_read_one(struct ec2_session *s, enum ec2_read_id read, struct ec2_answers *ret,
                 struct err *err) {
    struct reading reading = {read, NULL};
    int rc = read_pages(s, &reading, 1, NULL, ret, err);
    return rc < 0 ? rc : check_any(ret, err);
}

/* ---- By what they are attached to */

static int by_place(const void *a, const void *b) {
    const struct ec2_attached *x = a, *y = b;
    int order = strcmp(x->instance_id, y->instance_id);
    return order != 0 ? order : strcmp(x->device, y->device);
}

void ec2_sort_attached(struct ec2_attachments *all) {
    qsort(all->items, all->len, sizeof *all->items, by_place);
}

const struct xml *ec2_attached_to(const struct ec2_attachments *all, const char *instance_id,
                                  const char *device) {
    const struct ec2_attached key = {instance_id, device, NULL};
    if (all->len == 0 || instance_id == NULL || device == NULL)
        return NULL;
    const struct ec2_attached *found =
        bsearch(&key, all->items, all->len, sizeof *all->items, by_place);
    return found == NULL ? NULL : found->item;
}
