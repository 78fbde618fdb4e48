/* The EC2 world: its session, its calls, and how it is observed. */
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
    int rc = aws_config_load_run(run, &s->config, err);
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

static int call_keeping(struct ec2_session *s, const struct query *q, const char *action, bool once,
                        struct arena *arena, struct xml **ret, struct err *err) {
    struct aws_call call = {.service = AWS_EC2,
                            .action = action,
                            .body = buf_str(&q->body),
                            .once = once,
                            .arena = arena};
    if (q->body.failed)
        return err_set(err, ERRC_LIMIT, "%s: the request is too large", action);
    int rc = aws_call(s->client, &call, err);
    buf_free(&call.answer);
    if (rc == 0)
        *ret = call.xml;
    return rc;
}

int ec2_call(struct ec2_session *s, struct query *q, const char *action, bool once,
             struct arena *arena, struct xml **ret, struct err *err) {
    int rc = call_keeping(s, q, action, once, arena, ret, err);
    query_free(q);
    return rc;
}

/* InvalidGroup.NotFound, InvalidKeyPair.NotFound, …; rules are answered for by their caller. */
static bool is_missing(const struct err *err) {
    struct str code = str_of(err->aws_code);
    return str_starts(code, STR("Invalid")) && str_ends(code, STR(".NotFound")) &&
           !ec2_is(err, "InvalidPermission.NotFound") && !ec2_is(err, "InvalidAMIID.NotFound");
}

int ec2_call_settling(struct ec2_session *s, struct query *q, const char *action, bool once,
                      struct arena *arena, struct xml **ret, struct err *err) {
    enum { TRIES = 6 };
    double pause = 0.2;
    int rc = call_keeping(s, q, action, once, arena, ret, err);
    for (int i = 1; i < TRIES && rc < 0 && is_missing(err) && ec2_sleep(s, pause); i++) {
        pause *= 2;
        rc = call_keeping(s, q, action, once, arena, ret, err);
    }
    query_free(q);
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

/* ---- Observing: at most four calls, side by side */

/* One row a kind; each has a call of its own. */
static const struct ec2_kind *const kinds[] = {&server_ec2, &key_pair_ec2, &access_ec2};

/* The newest AMI is asked for behind them. */
enum { CALL_AMI = sizeof kinds / sizeof kinds[0], CALL_COUNT };

/* The image that the spec names; NULL where it writes an ami-… id, or wants no server. */
static const struct image *named_image(const struct observe_in *in, const char **ret_type) {
    const struct node *node = nodes_find(in->nodes, "server[0]");
    const struct server_record *r = node == NULL ? NULL : node->desired;
    *ret_type = r == NULL ? NULL : r->type;
    return r == NULL ? NULL : image_find(r->image);
}

static const char *ami_parameter(const struct observe_in *in) {
    const char *type;
    const struct image *image = named_image(in, &type);
    return image == NULL ? NULL : image_parameter(image, type);
}

/* SSM answers unknown names in a list of their own, not as an error. */
static int read_ami(struct ec2_session *s, const struct aws_call *call) {
    cJSON *json = cJSON_ParseWithLength(call->answer.ptr, call->answer.len);
    const cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "Parameters"), 0);
    const char *value = cJSON_GetStringValue(cJSON_GetObjectItem(first, "Value"));
    s->ami = arena_dup(&s->arena, value == NULL ? "" : value);
    s->ami_err = call->rc < 0 ? call->err : (struct err){0};
    if (call->rc == 0 && json == NULL)
        err_set(&s->ami_err, ERRC_NET, "GetParameters: the answer is not JSON");
    cJSON_Delete(json);
    return s->ami == NULL ? -ERRC_NOMEM : 0;
}

static int add_one_unreadable(const struct kind *kind, const char *address, const struct err *why,
                              struct observed *out) {
    if (observed_find(out, address) != NULL)
        return 0;
    struct live *live = observed_add(out, kind, address, LIVE_UNREADABLE);
    if (live == NULL)
        return -ERRC_NOMEM;
    live->err = *why;
    return 0;
}

/* Nobody can say how the nodes of this kind are, nor the recorded ones: those that nothing is known
 * of are unreadable. */
static int add_unreadable(const struct kind *kind, const struct observe_in *in, bool recorded_too,
                          const struct err *why, struct observed *out) {
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < in->nodes->len; i++)
        if (in->nodes->items[i].kind == kind)
            rc = add_one_unreadable(kind, in->nodes->items[i].address, why, out);
    for (size_t i = 0; rc == 0 && recorded_too && i < in->recorded->len; i++)
        if (in->recorded->items[i].kind == kind)
            rc = add_one_unreadable(kind, in->recorded->items[i].address, why, out);
    return rc;
}

/* A server that is to be made from an image that is not published cannot be: said in the plan. */
static int refuse_unknown_image(struct ec2_session *s, const struct observe_in *in,
                                struct observed *out) {
    struct err why = s->ami_err;
    const char *type;
    const struct image *image = named_image(in, &type);
    if (image == NULL || (s->ami != NULL && s->ami[0] != '\0'))
        return 0;
    if (image_parameter(image, type) == NULL) {
        err_set(&why, ERRC_NOTFOUND, "%s is not published for the processors of %s", image->name,
                type);
        err_hint(&why, "choose another image or type, or write an ami-… id");
    } else if (why.code == 0) {
        err_set(&why, ERRC_NOTFOUND, "no AMI is published for %s in %s", image->name,
                s->config.region);
        err_hint(&why, "choose another image, or write an ami-… id");
    }
    return add_unreadable(&server_kind, in, false, &why, out);
}

static int read_answer(struct ec2_session *s, const struct observe_in *in, size_t i,
                       struct aws_call *call, struct arena *arena, struct observed *out,
                       struct err *err) {
    if (i == CALL_AMI)
        return read_ami(s, call) < 0 ? err_set(err, ERRC_NOMEM, "out of memory") : 0;
    const struct ec2_kind *row = kinds[i];
    if (call->rc < 0)
        return add_unreadable(row->kind, in, true, &call->err, out) < 0
                   ? err_set(err, ERRC_NOMEM, "out of memory")
                   : 0;
    int rc = row->read(s, in, call->xml, out, err);
    return rc < 0 || row->read_on == NULL ? rc : row->read_on(s, in, call->xml, arena, out, err);
}

/* Credentials that are good, but may not ask this one thing. */
static bool is_denied(const struct aws_call *call) {
    return call->err.aws_http_status == 403 || ec2_is(&call->err, "UnauthorizedOperation") ||
           ec2_is(&call->err, "AccessDeniedException");
}

/* The AMI first, which notes beside servers speak of. */
static int read_answers(struct ec2_session *s, const struct observe_in *in, struct aws_call *calls,
                        size_t n, struct arena *arena, struct observed *out, struct err *err) {
    size_t denied = 0;
    for (size_t i = 0; i < n; i++) {
        const struct aws_call *call = &calls[i];
        /* Without an AMI nothing is unreadable but servers that are to be made. */
        bool spared = i == CALL_AMI && call->err.code != ERRC_CANCELLED;
        if (call->rc < 0 && !spared && !is_denied(call)) {
            *err = call->err;
            return call->rc;
        }
        denied += i < CALL_AMI && call->rc < 0;
    }
    if (denied == CALL_AMI) {
        *err = calls[0].err;
        return calls[0].rc;
    }
    int rc = 0;
    for (size_t i = n; rc == 0 && i > 0; i--)
        rc = read_answer(s, in, i - 1, &calls[i - 1], arena, out, err);
    if (rc == 0 && refuse_unknown_image(s, in, out) < 0)
        rc = err_set(err, ERRC_NOMEM, "out of memory");
    return rc;
}

static int observe(void *session, const struct observe_in *in, struct observed *out,
                   struct err *err) {
    struct ec2_session *s = session;
    struct query queries[CALL_AMI];
    struct aws_call calls[CALL_COUNT] = {0};
    struct err first; /* each call has its own */
    _cleanup_buf_ struct buf ami = BUF_INIT(BUF_SMALL);
    _cleanup_arena_ struct arena arena = {0};
    bool failed = false;
    for (size_t i = 0; i < CALL_AMI; i++) {
        kinds[i]->ask(s, &queries[i]);
        failed |= queries[i].body.failed;
        calls[i] = (struct aws_call){.service = AWS_EC2,
                                     .action = kinds[i]->action,
                                     .body = buf_str(&queries[i].body),
                                     .arena = &arena};
    }
    size_t n = CALL_AMI;
    const char *parameter = ami_parameter(in);
    if (parameter != NULL) {
        buf_addf(&ami, "{\"Names\":[\"%s\"]}", parameter);
        failed |= ami.failed;
        calls[n++] = (struct aws_call){
            .service = AWS_SSM, .action = "GetParameters", .body = buf_str(&ami), .arena = &arena};
    }
    size_t before = aws_client_calls(s->client);
    int rc = failed ? err_set(err, ERRC_NOMEM, "out of memory") : 0;
    if (rc == 0) {
        aws_call_many(s->client, calls, n, &first);
        rc = read_answers(s, in, calls, n, &arena, out, err);
    }
    out->calls += aws_client_calls(s->client) - before;
    for (size_t i = 0; i < n; i++)
        buf_free(&calls[i].answer);
    for (size_t i = 0; i < CALL_AMI; i++)
        query_free(&queries[i]);
    return rc;
}

static int apply(void *session, struct batch *batch, const struct apply_ops *ops, struct err *err) {
    const struct kind *kind = batch->changes[0]->kind;
    for (size_t i = 0; i < CALL_AMI; i++)
        if (kinds[i]->kind == kind)
            return kinds[i]->apply(session, batch, ops, err);
    return err_set(err, ERRC_INTERNAL, "%s is no kind of EC2's", kind->name);
}

const struct world ec2_world = {
    .name = "ec2",
    .open = open_session,
    .close = close_session,
    .observe = observe,
    .apply = apply,
};
