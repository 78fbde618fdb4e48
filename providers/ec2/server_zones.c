/* Zones: which of them offer the type, what the plan says of it, and which a launch tries. */
#include "providers/ec2/internal.h"

#include <stdio.h>
#include <string.h>

#define RECORD struct server_record

enum { TOKEN_LEN = 38, /* as minted: "berth-" and 32 hex digits */ NEAR_NAMES_MAX = 4000 };

static const RECORD *wanted(const struct observe_in *in) {
    const struct node *node = nodes_find(in->nodes, "server[0]");
    return node == NULL ? NULL : node->desired;
}

/* Is it to be made, or to become of another type, as far as the state tells? */
static bool is_to_be_placed(const struct observe_in *in, const struct node *node) {
    const struct recorded *known = recorded_find(in->recorded, node->address);
    const RECORD *was = known == NULL || known->id == NULL ? NULL : known->record;
    const RECORD *will = node->desired;
    return was == NULL || !cstr_eq(was->type, will->type) || !cstr_eq(was->image, will->image);
}

bool zones_are_needed(const struct observe_in *in) {
    for (size_t i = 0; i < in->nodes->len; i++)
        if (in->nodes->items[i].kind == &server_kind && is_to_be_placed(in, &in->nodes->items[i]))
            return true;
    return false;
}

static void ask(struct query *q, const char *type) {
    query_init(q, "DescribeInstanceTypeOfferings");
    query_add(q, "LocationType", "availability-zone");
    query_add_filter(q, 1, "instance-type", (const char *const[]){type, NULL});
}

void zones_ask_live(struct ec2_session *s, struct query *q) {
    ask(q, s->type == NULL ? "" : s->type);
}

void zones_begin(struct ec2_session *s, const struct observe_in *in) {
    const RECORD *r = wanted(in);
    s->type = r == NULL ? NULL : r->type;
}

static int list_zones(const struct xml *const *items, size_t len, struct arena *arena,
                      struct strlist *ret) {
    for (size_t i = 0; i < len; i++) {
        const char *zone = xml_text(items[i], "location");
        if (zone != NULL && !strlist_has(ret, zone) && strlist_add(arena, ret, zone) < 0)
            return -ERRC_NOMEM;
    }
    strlist_sort(ret);
    return 0;
}

/* The type that was probably meant, of those of the region. */
static const char *find_near(struct ec2_session *s, struct arena *arena) {
    const char **names = arena_calloc(arena, NEAR_NAMES_MAX + 1, sizeof *names);
    const char *next = NULL;
    size_t n = 0;
    for (int page = 0; names != NULL && page < EC2_PAGES_MAX; page++) {
        struct query q;
        struct xml *xml = NULL;
        struct err ignored;
        query_init(&q, "DescribeInstanceTypeOfferings");
        query_add(&q, "MaxResults", "1000");
        query_add(&q, "NextToken", next);
        if (ec2_call(s, &q, "DescribeInstanceTypeOfferings", false, arena, &xml, &ignored) < 0)
            return NULL;
        for (const struct xml *item = xml_first_item(xml, "instanceTypeOfferingSet");
             item != NULL && n < NEAR_NAMES_MAX; item = xml_next_item(item))
            if (xml_text(item, "instanceType") != NULL)
                names[n++] = xml_text(item, "instanceType");
        next = xml_text(xml, "nextToken");
        if (next == NULL || next[0] == '\0')
            return str_nearest(str_of(s->type), names);
    }
    return NULL;
}

static int refuse(struct live *live, struct observed *out, const struct node *node,
                  const struct err *why) {
    if (live == NULL)
        live = observed_add(out, node->kind, node->address, LIVE_UNREADABLE);
    if (live == NULL)
        return -ERRC_NOMEM;
    live->presence = LIVE_UNREADABLE;
    live->err = *why;
    return 0;
}

/* It is there, and of another type: can it become of that one where it is? */
static bool stays_without(const struct ec2_session *s, const struct live *live, struct err *ret) {
    const RECORD *r = live->record;
    if (r == NULL || cstr_eq(r->type, s->type) || r->zone == NULL ||
        strlist_has(&s->zones, r->zone))
        return false;
    err_set(ret, ERRC_NOTFOUND, "%s is not offered in %s, where it is", s->type, r->zone);
    err_hint(ret, "choose another type; to move it, berth apply -replace %s", live->address);
    return true;
}

static const char *join(const struct strlist *zones, size_t from, struct arena *arena) {
    const char *text = "";
    for (size_t i = from; text != NULL && i < zones->len; i++)
        text = arena_printf(arena, "%s%s%s", text, i == from ? "" : ", ", zones->items[i]);
    return text;
}

/* The zone of the data volume that waits for a server of this address; NULL: none does. */
const char *zones_of_data(struct observed *out, const char *server) {
    const char *address = volume_address(&out->arena, server_address_index(server));
    const struct live *live = address == NULL ? NULL : observed_find(out, address);
    return live == NULL || live->presence != LIVE_OURS || live->kind != &volume_kind
               ? NULL
               : ((const struct volume_record *)live->record)->zone;
}

/* A server that is to be made goes where its data is; true: its type cannot. */
static bool is_kept_out(const struct ec2_session *s, const char *zone, const char *server,
                        struct err *ret) {
    if (zone == NULL || strlist_has(&s->zones, zone))
        return false;
    err_set(ret, ERRC_NOTFOUND, "%s is not offered in %s, where the data volume of %s is", s->type,
            zone, server);
    err_hint(ret, "choose another type: a volume never leaves its zone");
    return true;
}

static int note_first(struct ec2_session *s, const struct node *node, struct observed *out) {
    const char *data = zones_of_data(out, node->address);
    struct live *live = observed_add(out, node->kind, node->address, LIVE_NONE);
    if (live == NULL)
        return -ERRC_NOMEM;
    if (data != NULL) {
        live->note = arena_printf(&out->arena, "it goes to %s, where its data volume is", data);
        return live->note == NULL ? -ERRC_NOMEM : 0;
    }
    const char *others = join(&s->zones, 1, &out->arena);
    live->note = s->zones.len == 1
                     ? arena_printf(&out->arena, "it goes to %s", s->zones.items[0])
                     : arena_printf(&out->arena, "it goes to %s; without capacity there, to %s",
                                    s->zones.items[0], others);
    return live->note == NULL ? -ERRC_NOMEM : 0;
}

int zones_read(struct ec2_session *s, const struct observe_in *in,
               const struct ec2_answers *answers, struct observed *out, struct err *err) {
    const struct ec2_answer *found = &answers->of[READ_OFFERINGS];
    struct err why = {0};
    bool noted = false;
    int rc = 0;
    s->zones = (struct strlist){0};
    s->zones_known = ec2_has(answers, READ_OFFERINGS);
    if (!s->zones_known)
        return 0;
    if (list_zones(found->items, found->len, &s->arena, &s->zones) < 0)
        return err_no_memory(err);
    if (s->zones.len == 0) {
        const char *near = find_near(s, answers->arena);
        err_set(&why, ERRC_NOTFOUND, "%s has no instance type %s", s->config.region, s->type);
        if (near != NULL)
            err_hint(&why, "did you mean %s?", near);
        else
            err_hint(&why, "aws ec2 describe-instance-type-offerings lists those that it has");
    }
    for (size_t i = 0; rc == 0 && i < in->nodes->len; i++) {
        const struct node *node = &in->nodes->items[i];
        struct err moved = {0};
        if (node->kind != &server_kind || !is_to_be_placed(in, node))
            continue;
        struct live *live = observed_find(out, node->address);
        bool there = live != NULL && live->presence == LIVE_OURS;
        const RECORD *r = there ? live->record : NULL;
        if (why.code != 0 && !(r != NULL && cstr_eq(r->type, s->type)))
            rc = refuse(live, out, node, &why);
        else if (why.code == 0 && there && stays_without(s, live, &moved))
            rc = refuse(live, out, node, &moved);
        else if (why.code == 0 && !there &&
                 is_kept_out(s, zones_of_data(out, node->address), node->address, &moved))
            rc = refuse(live, out, node, &moved);
        else if (why.code == 0 && live == NULL && !noted && s->subnet == NULL)
            rc = note_first(s, node, out);
        noted |= live == NULL;
    }
    return rc < 0 ? err_no_memory(err) : 0;
}

/* ---- Launches */

bool zones_is_full(const struct err *err) {
    static const char *const codes[] = {"InsufficientInstanceCapacity", "Unsupported",
                                        "SpotMaxPriceTooLow"};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (ec2_is(err, codes[i]))
            return true;
    /* A default VPC whose subnet there was deleted. */
    return (ec2_is(err, "MissingInput") || ec2_is(err, "InvalidInput")) &&
           strstr(err->msg, "No default subnet") != NULL;
}

/* Behind the token that the plan minted stands the zone that it is for, so that a run that takes a
 * launch up again asks for the same to the byte. */
const char *zones_token(const char *token, const char *zone, struct arena *arena) {
    return zone == NULL ? token : arena_printf(arena, "%.*s-%s", TOKEN_LEN, token, zone);
}

static const char *zone_of_token(const char *token) {
    return token != NULL && strlen(token) > TOKEN_LEN + 1 && token[TOKEN_LEN] == '-'
               ? token + TOKEN_LEN + 1
               : NULL;
}

static int add_offering(struct ec2_session *s, const char *type, struct arena *arena,
                        struct strlist *zones, struct err *err) {
    struct ec2_answers answers = {.arena = arena};
    struct query q;
    struct xml *xml = NULL;
    ask(&q, type);
    int rc = ec2_call(s, &q, "DescribeInstanceTypeOfferings", false, arena, &xml, err);
    if (rc < 0) /* EC2 chooses, then */
        return err->code == ERRC_CANCELLED ? rc : 0;
    rc = ec2_add_page(&answers, READ_OFFERINGS, xml);
    if (rc == 0)
        rc = list_zones(answers.of[READ_OFFERINGS].items, answers.of[READ_OFFERINGS].len, arena,
                        zones);
    return rc < 0 ? err_no_memory(err) : 0;
}

int zones_of_launch(struct ec2_session *s, const RECORD *r, const char *token, bool resumed,
                    const char *must, struct arena *arena, struct strlist *ret, struct err *err) {
    const char *begun = zone_of_token(token);
    struct strlist offering = {0}, zones = {0};
    int rc = 0;
    *ret = zones;
    /* It was asked for without one, and is again; or its subnet says where it goes. */
    if ((resumed && begun == NULL) || (r->subnet != NULL && must == NULL))
        return 0;
    if (must == NULL && s->zones_known && cstr_eq(s->type, r->type))
        offering = s->zones;
    else if (must == NULL)
        rc = add_offering(s, r->type, arena, &offering, err);
    if (rc < 0)
        return rc;
    if (must != NULL || begun != NULL)
        rc = strlist_add(arena, &zones, must != NULL ? must : begun);
    for (size_t i = 0; rc == 0 && i < offering.len; i++)
        if (!strlist_has(&zones, offering.items[i]))
            rc = strlist_add(arena, &zones, offering.items[i]);
    *ret = zones;
    return rc < 0 ? err_no_memory(err) : 0;
}

void zones_add_tried(const struct strlist *zones, struct arena *arena, struct err *err) {
    const char *text = join(zones, 0, arena);
    size_t len = strlen(err->msg);
    if (text == NULL || zones->len == 0)
        return;
    snprintf(err->msg + len, sizeof err->msg - len, " (tried %s)", text);
    if (ec2_is(err, "SpotMaxPriceTooLow"))
        return; /* its own hint is the better one */
    err_hint(err, "wait, or choose another type");
}
