/* Servers of the spot market: what they are launched with, the request behind each of them, and
 * what EC2 says when it takes one back.
 * https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-requests.html */
#include "providers/ec2/internal.h"
#include "specs/sections/sections.h"

#include <string.h>

#define RECORD struct server_record

const struct field server_spot_fields[] = {
    {.name = "enabled",
     .doc = "It is of the spot market.",
     .type = FIELD_BOOL,
     .offset = offsetof(struct server_spot_record, enabled)},
    {.name = "max_price",
     .doc = "Most US dollars an hour.",
     .type = FIELD_STR,
     .offset = offsetof(struct server_spot_record, max_price)},
    {.name = "interruption",
     .doc = "What becomes of it when EC2 takes it back.",
     .type = FIELD_STR,
     .offset = offsetof(struct server_spot_record, interruption)},
    FIELD_END,
};

/* "00.0100" is "0.01": another way to write a price is no other price. */
static const char *plain_price(const char *price, struct arena *arena) {
    struct str s = str_of(price);
    while (s.len > 1 && s.ptr[0] == '0' && s.ptr[1] != '.')
        s = (struct str){s.ptr + 1, s.len - 1};
    if (memchr(s.ptr, '.', s.len) != NULL) {
        while (s.ptr[s.len - 1] == '0')
            s.len--;
        s.len -= s.ptr[s.len - 1] == '.';
    }
    return arena_dup_str(arena, s);
}

int server_spot_desire(const struct server_spot *spec, struct arena *arena,
                       struct server_spot_record *ret) {
    struct server_spot_record spot = {.enabled = spec->enabled};
    if (spec->enabled) {
        spot.interruption = spec->interruption;
        spot.max_price = spec->max_price == NULL ? NULL : plain_price(spec->max_price, arena);
        if (spec->max_price != NULL && spot.max_price == NULL)
            return -ERRC_NOMEM;
    }
    *ret = spot;
    return 0;
}

void server_spot_read(const struct xml *item, struct arena *arena, RECORD *r) {
    const char *request = xml_text(item, "spotInstanceRequestId");
    r->spot.enabled = cstr_eq(xml_text(item, "instanceLifecycle"), "spot");
    r->spot_request = request == NULL || request[0] == '\0' ? NULL : arena_dup(arena, request);
}

void server_spot_carry(RECORD *r, const RECORD *old, const RECORD *wanted) {
    const RECORD *known = old != NULL && old->spot.enabled ? old : wanted;
    if (!r->spot.enabled || known == NULL || !known->spot.enabled)
        return;
    r->spot.max_price = known->spot.max_price;
    r->spot.interruption = known->spot.interruption;
}

/* A persistent request starts a stopped server again; one that is for once ends with its server.
 * https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_SpotMarketOptions.html */
void server_spot_ask(struct query *q, const struct server_spot_record *spot) {
    if (!spot->enabled)
        return;
    bool stops = cstr_eq(spot->interruption, "stop");
    query_add(q, "InstanceMarketOptions.MarketType", "spot");
    query_add(q, "InstanceMarketOptions.SpotOptions.MaxPrice", spot->max_price);
    query_add(q, "InstanceMarketOptions.SpotOptions.SpotInstanceType",
              stops ? "persistent" : "one-time");
    query_add(q, "InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior",
              spot->interruption);
}

const char *server_spot_note(const struct xml *item, struct arena *arena) {
    const char *code = xml_text(item, "stateReason/code");
    const char *state = xml_text(item, "instanceState/name");
    bool up = cstr_eq(state, "running") || cstr_eq(state, "pending");
    if (code == NULL || up || strncmp(code, "Server.SpotInstance", 19) != 0)
        return NULL;
    bool stopped = cstr_eq(state, "stopped") || cstr_eq(state, "stopping");
    return arena_printf(arena, "EC2 took %s back: spot capacity (%s)%s",
                        xml_text(item, "instanceId"), code,
                        stopped ? "; it starts again when there is some" : "");
}

void server_spot_refuse_stop(struct change **changes, const char *const *ids, size_t len,
                             bool *skip, const struct apply_ops *ops) {
    for (size_t i = 0; i < len; i++) {
        const RECORD *r = changes[i]->before;
        struct err why = {0};
        if (skip[i] || r == NULL || !r->spot.enabled || !cstr_eq(r->spot.interruption, "terminate"))
            continue;
        err_set(&why, ERRC_UNSUPPORTED,
                "%s is a spot server of interruption: terminate, which EC2 does not stop", ids[i]);
        err_hint(&why,
                 "berth destroy -target %s ends it, with its root disk; one of interruption: "
                 "stop can be stopped",
                 changes[i]->address);
        skip[i] = true;
        ops->failed(ops->ctx, changes[i], &why);
    }
}

/* As recorded where EC2 shows the instance no more: the request may be open still. */
static const char *request_of(const struct change *c) {
    const RECORD *r = c->before != NULL     ? c->before
                      : c->recorded == NULL ? NULL
                                            : c->recorded->record;
    return r == NULL ? NULL : r->spot_request;
}

/* 0 when there is none to end. */
static int send_cancel(struct ec2_session *s, const char *const *ids, size_t len, const bool *gone,
                       struct arena *arena, struct err *err) {
    struct query q;
    struct xml *xml;
    size_t n = 0;
    query_init(&q, "CancelSpotInstanceRequests");
    for (size_t i = 0; i < len; i++)
        if (!gone[i])
            query_add_at(&q, "SpotInstanceRequestId.%zu", ++n, ids[i]);
    if (n > 0)
        return ec2_call(s, &q, "CancelSpotInstanceRequests", false, arena, &xml, err);
    query_free(&q);
    return 0;
}

static size_t count(const bool *gone, size_t len) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += gone[i];
    return n;
}

/* https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CancelSpotInstanceRequests.html: one
 * that is cancelled or closed may be cancelled again; one that is missing fails the whole call. */
int server_spot_cancel(struct ec2_session *s, struct change *const *changes, size_t len,
                       struct arena *arena, struct err *err) {
    const char **ids = arena_calloc(arena, len, sizeof *ids);
    bool *gone = arena_calloc(arena, len, sizeof *gone);
    if (ids == NULL || gone == NULL)
        return err_no_memory(err);
    for (size_t i = 0; i < len; i++) {
        ids[i] = request_of(changes[i]);
        gone[i] = ids[i] == NULL;
    }
    for (;;) {
        struct err why = {0};
        int rc = send_cancel(s, ids, len, gone, arena, &why);
        size_t before = count(gone, len);
        if (rc == 0)
            return 0;
        if (ec2_is(&why, "InvalidSpotInstanceRequestID.NotFound"))
            server_mark_missing(&why, ids, len, gone);
        if (count(gone, len) > before)
            continue;
        *err = why;
        return rc;
    }
}
