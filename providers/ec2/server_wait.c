/* Waiting for servers: one DescribeInstances for all, early and then less and less often. */
#include "providers/ec2/internal.h"

#include <stdio.h>
#include <string.h>

enum { WAIT_MAX_S = 600, SETTLE_MAX_S = 60, START_SETTLE_S = 3 };

struct waiter {
    struct ec2_session *s;
    const struct apply_ops *ops;
    struct change **changes;
    const char **ids;
    struct names by_id;            /* of ids */
    struct server_record *records; /* filled for WAIT_RUNNING */
    bool *ready;
    size_t len;
    enum server_wait want;
    double waited_s;
};

static bool is_there(enum server_wait want, const char *state, const struct xml *item) {
    switch (want) {
    case WAIT_RUNNING:
        return cstr_eq(state, "running") && xml_text(item, "privateIpAddress") != NULL;
    case WAIT_STOPPED:
        return cstr_eq(state, "stopped");
    case WAIT_TERMINATED:
        return cstr_eq(state, "terminated");
    }
    return false;
}

/* A start that comes to nothing (no capacity, a key that may not be used) goes back to stopped and
 * says why. Just after the call, state and reason may still be those of before it. */
static bool has_fallen_back(const struct waiter *w, const char *state, const char *code) {
    return w->want == WAIT_RUNNING && w->waited_s >= START_SETTLE_S && cstr_eq(state, "stopped") &&
           code != NULL && code[0] != '\0' && strncmp(code, "Client.UserInitiated", 20) != 0 &&
           strcmp(code, "Client.InstanceInitiatedShutdown") != 0;
}

/* Will it never get there? `err` then says why, in AWS's words. */
static bool is_lost(const struct waiter *w, const char *id, const struct xml *item,
                    struct err *err) {
    const char *state = xml_text(item, "instanceState/name");
    const char *reason = xml_text(item, "stateReason/message");
    const char *code = xml_text(item, "stateReason/code");
    bool ended = cstr_eq(state, "terminated") || cstr_eq(state, "shutting-down");
    bool fell_back = has_fallen_back(w, state, code);
    if (w->want == WAIT_TERMINATED || (!ended && !fell_back))
        return false;
    err_set(err, ERRC_AWS, "%s %s: %s", id,
            ended ? "ended while it was waited for" : "did not start",
            reason == NULL || reason[0] == '\0' ? "no reason given" : reason);
    snprintf(err->aws_code, sizeof err->aws_code, "%s", code == NULL ? "" : code);
    err_hint(err, ended ? "run apply again: a new one is started"
                        : "run apply again later, or choose another type");
    return true;
}

/* Answers for a server that is lost. */
static int look_at(struct waiter *w, size_t i, const struct xml *item, bool *skip,
                   struct arena *arena) {
    struct err why = {0};
    if (is_there(w->want, xml_text(item, "instanceState/name"), item)) {
        w->ready[i] = true;
        return w->records == NULL ? 0 : server_record_of(item, arena, &w->records[i]);
    }
    if (is_lost(w, w->ids[i], item, &why)) {
        skip[i] = true;
        w->ops->failed(w->ops->ctx, w->changes[i], &why);
    }
    return 0;
}

void server_mark_missing(const struct err *err, const char *const *ids, size_t len, bool *gone) {
    for (size_t i = 0; i < len; i++)
        gone[i] |= ids[i] != NULL && strstr(err->msg, ids[i]) != NULL;
}

/* One DescribeInstances for all that are not ready. Each failure is answered for here. The answer
 * is forgotten at once: a long wait for many has many, of megabytes each. */
static int poll_once(struct waiter *w, bool *skip, struct arena *arena, struct err *err) {
    _cleanup_arena_ struct arena answer = {0};
    struct query q;
    struct xml *xml = NULL;
    size_t n = 0;
    query_init(&q, "DescribeInstances");
    for (size_t i = 0; i < w->len && n < SERVER_IDS_MAX; i++)
        if (!w->ready[i] && !skip[i])
            query_add_at(&q, "InstanceId.%zu", ++n, w->ids[i]);
    int rc = ec2_call(w->s, &q, "DescribeInstances", false, &answer, &xml, err);
    if (rc < 0 && ec2_is(err, "InvalidInstanceID.NotFound")) {
        /* Long gone, which is what a terminate wants: of those that it names; the others are looked
         * at next time. Or just made and not yet everywhere. */
        if (w->want == WAIT_TERMINATED)
            server_mark_missing(err, w->ids, w->len, w->ready);
        return w->want == WAIT_TERMINATED || w->waited_s < SETTLE_MAX_S ? 0 : rc;
    }
    if (rc < 0)
        return rc;
    for (const struct xml *r = xml_first_item(xml, "reservationSet"); r != NULL;
         r = xml_next_item(r))
        for (const struct xml *item = xml_first_item(r, "instancesSet"); item != NULL;
             item = xml_next_item(item)) {
            const char *id = xml_text(item, "instanceId");
            size_t i = names_find(&w->by_id, w->ids, w->len, sizeof *w->ids, id);
            if (i != SIZE_MAX && !w->ready[i] && !skip[i] && look_at(w, i, item, skip, arena) < 0)
                return err_no_memory(err);
        }
    return 0;
}

static size_t count_open(const struct waiter *w, const bool *skip) {
    size_t open = 0;
    for (size_t i = 0; i < w->len; i++)
        open += !w->ready[i] && !skip[i];
    return open;
}

static int wait_all(struct waiter *w, bool *skip, struct arena *arena, struct err *err) {
    static const char *const words[] = {[WAIT_RUNNING] = "waiting for it to run",
                                        [WAIT_STOPPED] = "waiting for it to stop",
                                        [WAIT_TERMINATED] = "waiting for it to end"};
    _Static_assert(sizeof words / sizeof words[0] == WAIT_TERMINATED + 1, "one word a wait");
    double pause = 0.1;
    bool said = false;
    for (;;) {
        int rc = count_open(w, skip) == 0 ? 0 : poll_once(w, skip, arena, err);
        if (rc < 0 || count_open(w, skip) == 0)
            return rc;
        for (size_t i = 0; !said && i < w->len; i++)
            if (!w->ready[i] && !skip[i])
                w->ops->progress(w->ops->ctx, w->changes[i], words[w->want]);
        said = true;
        if (w->waited_s > WAIT_MAX_S) {
            err_set(err, ERRC_TIMEOUT, "%s: not done after %d minutes", words[w->want],
                    WAIT_MAX_S / 60);
            err_hint(err, "look at it in the EC2 console; apply again goes on waiting");
            return -ERRC_TIMEOUT;
        }
        if (!ec2_sleep(w->s, pause))
            return err_set(err, ERRC_CANCELLED, "interrupted");
        w->waited_s += pause;
        pause = pause < 4 ? pause * 1.5 : 5;
    }
}

int server_await(struct ec2_session *s, enum server_wait want, struct change **changes,
                 const char **ids, size_t len, struct server_record *records, bool *skip,
                 const struct apply_ops *ops, struct arena *arena, struct err *err) {
    bool *ready = arena_calloc(arena, len, sizeof *ready);
    if (ready == NULL)
        return err_no_memory(err);
    struct waiter w = {.s = s,
                       .ops = ops,
                       .changes = changes,
                       .ids = ids,
                       .records = records,
                       .ready = ready,
                       .len = len,
                       .want = want};
    for (size_t i = 0; i < len; i++)
        if (ids[i] != NULL && names_add(&w.by_id, arena, ids, i + 1, sizeof *ids) < 0)
            return err_no_memory(err);
    return wait_all(&w, skip, arena, err);
}
