/* The EC2 world: its session, its calls, and how it is observed. */
#include "providers/ec2/ec2.h"

#include "providers/ec2/internal.h"
#include "providers/ec2/prices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int open_session(const struct run *run, void **ret_session, struct err *err) {
    struct ec2_session *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_no_memory(err);
    s->run = run;
    snprintf(s->object_name, sizeof s->object_name, "berth-%s", run->name);
    int rc = aws_config_load_run(run, &s->config, err);
    const struct aws_client_in client = aws_client_in_run(run, &s->config);
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

/* ---- Observing */

/* One row a kind. */
static const struct ec2_kind *const kinds[] = {&server_ec2, &key_pair_ec2, &access_ec2,
                                               &address_ec2, &volume_ec2};
enum { KINDS_LEN = sizeof kinds / sizeof kinds[0] };

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

/* From the answers; where one that it cannot do without is missing, all of the kind is unreadable.
 */
static int read_kind(struct ec2_session *s, const struct ec2_kind *row, const struct observe_in *in,
                     const struct ec2_answers *answers, struct observed *out, struct err *err) {
    for (size_t i = 0; i < READ_COUNT; i++) {
        const struct ec2_answer *answer = &answers->of[i];
        if (!(row->needs >> i & 1))
            continue;
        if (!answer->asked) /* there is nothing of the kind */
            return 0;
        if (answer->err.code != 0)
            return add_unreadable(row->kind, in, true, &answer->err, out) < 0 ? err_no_memory(err)
                                                                              : 0;
    }
    return row->read(s, in, answers, out, err);
}

static int read_kinds(struct ec2_session *s, const struct observe_in *in,
                      const struct ec2_answers *answers, struct observed *out, struct err *err) {
    struct err why = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < KINDS_LEN; i++)
        rc = read_kind(s, kinds[i], in, answers, out, err);
    /* A server that is to be made and cannot be: said in the plan. */
    if (rc == 0 && ami_is_missing(s, in, &why) &&
        add_unreadable(&server_kind, in, false, &why, out) < 0)
        rc = err_no_memory(err);
    if (rc == 0)
        rc = subnet_read(s, in, answers, out, err);
    return rc < 0 ? rc : zones_read(s, in, answers, out, err);
}

static int observe(void *session, const struct observe_in *in, struct observed *out,
                   struct err *err) {
    struct ec2_session *s = session;
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_buf_ struct buf body = BUF_INIT(BUF_SMALL);
    struct ec2_answers answers = {.arena = &arena};
    zones_begin(s, in);
    subnet_begin(s, in);
    int rc = ami_begin(s, in, err);
    if (rc < 0)
        return rc;
    const char *parameter = s->ami_parameter;
    ami_body(parameter, &body);
    if (body.failed)
        return err_no_memory(err);
    struct aws_call ami = {
        .service = AWS_SSM, .action = "GetParameters", .body = buf_str(&body), .arena = &arena};
    size_t before = aws_client_calls(s->client);
    rc = ec2_read_all(s, in, parameter == NULL ? NULL : &ami, &answers, err);
    /* The AMI first, which notes beside servers speak of. */
    if (rc == 0 && parameter != NULL)
        rc = ami_read(s, &ami, err);
    buf_free(&ami.answer);
    if (rc == 0)
        rc = read_kinds(s, in, &answers, out, err);
    out->calls += aws_client_calls(s->client) - before;
    return rc;
}

static int apply(void *session, struct batch *batch, const struct apply_ops *ops, struct err *err) {
    const struct kind *kind = batch->changes[0]->kind;
    for (size_t i = 0; i < KINDS_LEN; i++)
        if (kinds[i]->kind == kind)
            return kinds[i]->apply(session, batch, ops, err);
    return err_set(err, ERRC_INTERNAL, "%s is no kind of EC2's", kind->name);
}

static const char *const providers[] = {"ec2", "sandbox", NULL};

const struct world ec2_world = {
    .name = "ec2",
    .providers = providers,
    .open = open_session,
    .close = close_session,
    .observe = observe,
    .apply = apply,
    .price = ec2_price,
    .find = ec2_find,
};
