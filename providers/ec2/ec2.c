#include "providers/ec2/ec2.h"

#include "providers/ec2/internal.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int open_session(const struct run *run, void **ret_session, struct err *err) {
    struct ec2_session *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(err, ERRC_NOMEM, "out of memory");
    s->run = run;
    snprintf(s->object_name, sizeof s->object_name, "berth-%s", run->name);
    const struct aws_config_in in = {.env = run->env,
                                     .env_ctx = run->env_ctx,
                                     .profile = run->profile,
                                     .region = run->region,
                                     .endpoint = run->endpoint,
                                     .access_key = run->access_key,
                                     .secret_key = run->secret_key};
    int rc = aws_config_load(&in, &s->config, err);
    const struct aws_client_in client = {.config = &s->config,
                                         .now = run->now,
                                         .clock_ctx = run->clock_ctx,
                                         .random = run->random,
                                         .cancel = run->cancel};
    if (rc == 0 && (rc = aws_client_open(&client, &s->client, err)) < 0)
        aws_config_free(&s->config);
    if (rc < 0) {
        free(s);
        return rc;
    }
    *ret_session = s;
    return 0;
}

static void close_session(void *session) {
    struct ec2_session *s = session;
    aws_client_close(s->client);
    aws_config_free(&s->config);
    arena_free(&s->arena);
    free(s);
}

int ec2_call(struct ec2_session *s, struct query *q, const char *action, bool once,
             struct arena *arena, struct xml **ret, struct err *err) {
    int rc;
    struct aws_call call = {.service = AWS_EC2,
                            .action = action,
                            .body = buf_str(&q->body),
                            .once = once,
                            .arena = arena};
    if (q->body.failed)
        rc = err_set(err, ERRC_LIMIT, "%s: the request is too large", action);
    else
        rc = aws_call(s->client, &call, err);
    buf_free(&call.answer);
    query_free(q);
    if (rc == 0)
        *ret = call.xml;
    return rc;
}

bool ec2_sleep(struct ec2_session *s, double seconds) {
    enum { STEP_MS = 50 };
    int left_ms = (int)(seconds * 1000);
    while (left_ms > 0) {
        if (s->run->cancel != NULL && atomic_load(s->run->cancel) > 1)
            return false;
        int step_ms = left_ms < STEP_MS ? left_ms : STEP_MS;
        const struct timespec t = {0, step_ms * 1000000L};
        nanosleep(&t, NULL);
        left_ms -= step_ms;
    }
    return true;
}

bool ec2_is(const struct err *err, const char *code) { return strcmp(err->aws_code, code) == 0; }

static void add_tag(struct query *q, size_t spec, size_t n, const char *key, const char *value) {
    char name[64];
    snprintf(name, sizeof name, "TagSpecification.%zu.Tag.%zu.Key", spec, n);
    query_add(q, name, key);
    snprintf(name, sizeof name, "TagSpecification.%zu.Tag.%zu.Value", spec, n);
    query_add(q, name, value);
}

void ec2_add_tags(struct query *q, size_t spec, const char *resource, const struct run *run,
                  const char *node, size_t first_index, const struct strmap *tags) {
    char index[24];
    size_t n = 0;
    snprintf(index, sizeof index, "%zu", first_index);
    query_add_at(q, "TagSpecification.%zu.ResourceType", spec, resource);
    add_tag(q, spec, ++n, "Name", run->name);
    add_tag(q, spec, ++n, "berth:name", run->name);
    add_tag(q, spec, ++n, "berth:lineage", run->lineage);
    add_tag(q, spec, ++n, "berth:node", node);
    if (strcmp(node, "server") == 0)
        add_tag(q, spec, ++n, "berth:index", index);
    for (size_t i = 0; tags != NULL && i < tags->len; i++)
        add_tag(q, spec, ++n, tags->items[i].key, tags->items[i].value);
}

/* ---- Observing: at most four calls, side by side */

enum { CALL_SERVERS, CALL_KEY_PAIR, CALL_ACCESS, CALL_AMI, CALL_COUNT };

static const char *ami_parameter(const struct observe_in *in) {
    const struct node *node = nodes_find(in->nodes, "server[0]");
    const struct server_record *r = node == NULL ? NULL : node->desired;
    const struct image *image = r == NULL ? NULL : image_find(r->image);
    return image == NULL ? NULL : image_parameter(image, r->type);
}

/* SSM answers unknown names in a list of their own, not as an error. */
static int read_ami(struct ec2_session *s, struct aws_call *call) {
    cJSON *json = cJSON_ParseWithLength(call->answer.ptr, call->answer.len);
    const cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "Parameters"), 0);
    const char *value = cJSON_GetStringValue(cJSON_GetObjectItem(first, "Value"));
    s->ami = arena_dup(&s->arena, value == NULL ? "" : value);
    cJSON_Delete(json);
    return s->ami == NULL ? -ERRC_NOMEM : 0;
}

static int more_servers(struct ec2_session *s, const struct observe_in *in, const char *token,
                        struct arena *arena, struct observed *out, struct err *err) {
    while (token != NULL && token[0] != '\0') {
        struct query q;
        struct xml *xml = NULL;
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

/* Recorded servers that the tag did not find: somebody may have taken the tag off. */
static int untagged_servers(struct ec2_session *s, const struct observe_in *in, struct arena *arena,
                            struct observed *out, struct err *err) {
    struct query q;
    struct xml *xml = NULL;
    const char *ids[202] = {NULL};
    size_t n = 0;
    for (size_t i = 0; i < in->recorded->len && n < 200; i++) {
        const struct recorded *r = &in->recorded->items[i];
        if (r->kind == &server_kind && r->id != NULL && observed_find(out, r->address) == NULL)
            ids[n++] = r->id;
    }
    if (n == 0)
        return 0;
    query_init(&q, "DescribeInstances");
    query_add_filter(&q, 1, "instance-id", ids);
    query_add_filter(&q, 2, "instance-state-name",
                     (const char *const[]){"pending", "running", "stopping", "stopped", NULL});
    int rc = ec2_call(s, &q, "DescribeInstances", false, arena, &xml, err);
    return rc < 0 ? rc : server_read_live(s, in, xml, out, err);
}

/* A server that is to be made from an image that is not published cannot be: said in the plan. */
static int refuse_unknown_image(struct ec2_session *s, const struct observe_in *in,
                                struct observed *out) {
    for (size_t i = 0; i < in->nodes->len; i++) {
        const struct node *node = &in->nodes->items[i];
        if (node->kind != &server_kind || observed_find(out, node->address) != NULL)
            continue;
        const struct server_record *r = node->desired;
        struct live *live = observed_add(out, &server_kind, node->address, LIVE_UNREADABLE);
        if (live == NULL)
            return -ERRC_NOMEM;
        err_set(&live->err, ERRC_NOTFOUND, "no AMI is published for %s in %s", r->image,
                s->config.region);
        err_hint(&live->err, "choose another image, or write an ami-… id");
    }
    return 0;
}

static int read_answers(struct ec2_session *s, const struct observe_in *in, struct aws_call *calls,
                        size_t n, struct arena *arena, struct observed *out, struct err *err) {
    int rc = n > CALL_AMI ? read_ami(s, &calls[CALL_AMI]) : 0;
    if (rc < 0)
        return err_set(err, ERRC_NOMEM, "out of memory");
    rc = server_read_live(s, in, calls[CALL_SERVERS].xml, out, err);
    if (rc == 0)
        rc = more_servers(s, in, xml_text(calls[CALL_SERVERS].xml, "nextToken"), arena, out, err);
    if (rc == 0)
        rc = untagged_servers(s, in, arena, out, err);
    if (rc == 0)
        rc = key_pair_read_live(s, in, calls[CALL_KEY_PAIR].xml, out, err);
    if (rc == 0)
        rc = access_read_live(s, in, calls[CALL_ACCESS].xml, out, err);
    if (rc == 0 && n > CALL_AMI && s->ami[0] == '\0' && refuse_unknown_image(s, in, out) < 0)
        rc = err_set(err, ERRC_NOMEM, "out of memory");
    return rc;
}

static int observe(void *session, const struct observe_in *in, struct observed *out,
                   struct err *err) {
    struct ec2_session *s = session;
    struct query queries[CALL_AMI];
    struct aws_call calls[CALL_COUNT] = {0};
    static const char *const actions[] = {"DescribeInstances", "DescribeKeyPairs",
                                          "DescribeSecurityGroups"};
    _cleanup_buf_ struct buf ami = BUF_INIT(BUF_SMALL);
    _cleanup_arena_ struct arena arena = {0};
    server_ask_live(s, &queries[CALL_SERVERS], NULL);
    key_pair_ask_live(s, &queries[CALL_KEY_PAIR]);
    access_ask_live(s, &queries[CALL_ACCESS]);
    for (size_t i = 0; i < CALL_AMI; i++)
        calls[i] = (struct aws_call){.service = AWS_EC2,
                                     .action = actions[i],
                                     .body = buf_str(&queries[i].body),
                                     .arena = &arena};
    size_t n = CALL_AMI;
    const char *parameter = ami_parameter(in);
    if (parameter != NULL) {
        buf_addf(&ami, "{\"Names\":[\"%s\"]}", parameter);
        calls[n++] = (struct aws_call){
            .service = AWS_SSM, .action = "GetParameters", .body = buf_str(&ami), .arena = &arena};
    }
    size_t before = aws_client_calls(s->client);
    int rc = aws_call_many(s->client, calls, n, err);
    if (rc == 0)
        rc = read_answers(s, in, calls, n, &arena, out, err);
    out->calls += aws_client_calls(s->client) - before;
    for (size_t i = 0; i < n; i++)
        buf_free(&calls[i].answer);
    for (size_t i = 0; i < CALL_AMI; i++)
        query_free(&queries[i]);
    return rc;
}

static int apply(void *session, struct batch *batch, const struct apply_ops *ops, struct err *err) {
    const struct kind *kind = batch->changes[0]->kind;
    if (kind == &key_pair_kind)
        return key_pair_apply(session, batch, ops, err);
    if (kind == &access_kind)
        return access_apply(session, batch, ops, err);
    return server_apply(session, batch, ops, err);
}

const struct world ec2_world = {
    .name = "ec2",
    .open = open_session,
    .close = close_session,
    .observe = observe,
    .apply = apply,
};
