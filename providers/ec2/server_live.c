/* The server kind: what EC2 says of it. */
#include "providers/ec2/internal.h"

#include <string.h>

#define RECORD struct server_record

enum { INDEX_MAX = 100000 };

const char *const server_live_states[] = {"pending", "running", "stopping", "stopped", NULL};

void server_ask_live(struct ec2_session *s, struct query *q, const char *next_token) {
    query_init(q, "DescribeInstances");
    query_add_filter(q, 1, "tag:berth:name", (const char *const[]){s->run->name, NULL});
    query_add_filter(q, 2, "instance-state-name", server_live_states);
    query_add(q, "MaxResults", "1000");
    query_add(q, "NextToken", next_token);
}

static const char *text_or_null(struct arena *arena, const struct xml *item, const char *path) {
    const char *text = xml_text(item, path);
    return text == NULL || text[0] == '\0' ? NULL : arena_dup(arena, text);
}

static int read_tags(const struct xml *item, struct arena *arena, RECORD *r) {
    for (const struct xml *tag = xml_first_item(item, "tagSet"); tag != NULL;
         tag = xml_next_item(tag)) {
        const char *key = xml_text(tag, "key");
        const char *value = xml_text(tag, "value");
        if (key == NULL || value == NULL || strncmp(key, "berth:", 6) == 0 ||
            strncmp(key, "aws:", 4) == 0)
            continue;
        if (strcmp(key, "Name") == 0)
            continue;
        if (strmap_set(arena, &r->tags, key, value) < 0)
            return -ERRC_NOMEM;
    }
    strmap_sort(&r->tags);
    return 0;
}

/* Every group counts: another one that somebody added opens what `access` does not. */
static int read_groups(const struct xml *item, struct arena *arena, RECORD *r) {
    struct strlist ids = {0};
    for (const struct xml *group = xml_first_item(item, "groupSet"); group != NULL;
         group = xml_next_item(group)) {
        const char *id = xml_text(group, "groupId");
        if (id != NULL && !strlist_has(&ids, id) && strlist_add(arena, &ids, id) < 0)
            return -ERRC_NOMEM;
    }
    strlist_sort(&ids);
    for (size_t i = 0; i < ids.len; i++) {
        r->group_id =
            i == 0 ? ids.items[i] : arena_printf(arena, "%s,%s", r->group_id, ids.items[i]);
        if (r->group_id == NULL)
            return -ERRC_NOMEM;
    }
    return 0;
}

int64_t server_address_index(const char *address) {
    int64_t index = 0;
    struct str digits = str_of(address);
    if (str_starts(digits, STR("server[")) && str_ends(digits, STR("]"))) {
        digits.ptr += strlen("server[");
        digits.len -= strlen("server[]");
        if (str_to_i64(digits, 0, INDEX_MAX, &index))
            return index;
    }
    return -1;
}

static int64_t launch_index_of(const struct xml *item) {
    const char *text = xml_text(item, "amiLaunchIndex");
    int64_t index;
    return text != NULL && str_to_i64(str_of(text), 0, INDEX_MAX, &index) ? index : 0;
}

int64_t server_index_of(const struct xml *item) {
    const char *base = ec2_tag_of(item, "berth:index");
    int64_t index;
    if (base == NULL || !str_to_i64(str_of(base), 0, INDEX_MAX, &index))
        return -1;
    return index + launch_index_of(item);
}

int server_record_of(const struct xml *item, struct arena *arena, RECORD *r) {
    const char *state = xml_text(item, "instanceState/name");
    const char *ip = xml_text(item, "ipAddress");
    /* One that starts gets its public address some seconds later: until then nobody knows where to
     * reach it, and its private address is no place to try. */
    bool coming = cstr_eq(state, "pending") && (ip == NULL || ip[0] == '\0');
    bool up = cstr_eq(state, "running") || cstr_eq(state, "pending");
    r->type = text_or_null(arena, item, "instanceType");
    r->key_name = text_or_null(arena, item, "keyName");
    r->imds = text_or_null(arena, item, "metadataOptions/httpTokens");
    r->power = coming ? "pending" : up ? "running" : "stopped";
    r->ami = text_or_null(arena, item, "imageId");
    r->public_ip = text_or_null(arena, item, "ipAddress");
    r->private_ip = text_or_null(arena, item, "privateIpAddress");
    r->public_dns = text_or_null(arena, item, "dnsName");
    r->zone = text_or_null(arena, item, "placement/availabilityZone");
    r->launch_index = launch_index_of(item);
    int rc = read_groups(item, arena, r);
    return rc < 0 ? rc : read_tags(item, arena, r);
}

/* Whose is this instance? By id, or by tag and launch index. */
static const char *address_of(const struct observe_in *in, const struct xml *item,
                              struct observed *out) {
    const char *id = xml_text(item, "instanceId");
    for (size_t i = 0; i < in->recorded->len; i++)
        if (in->recorded->items[i].kind == &server_kind && cstr_eq(in->recorded->items[i].id, id))
            return in->recorded->items[i].address;
    int64_t index = server_index_of(item);
    if (index < 0)
        return arena_printf(&out->arena, "orphan.%s", id);
    const char *address = arena_printf(&out->arena, "server[%lld]", (long long)index);
    const struct recorded *known = recorded_find(in->recorded, address);
    bool taken = known != NULL && known->id != NULL; /* by another instance */
    return taken || observed_find(out, address) != NULL ? arena_printf(&out->arena, "orphan.%s", id)
                                                        : address;
}

/* The AMI in hand is of the spec's image and type. What was made from another image, or for other
 * processors, is no older one of it. */
static bool has_newer_ami(const struct ec2_session *s, const struct observe_in *in,
                          const RECORD *r) {
    const struct node *node = nodes_find(in->nodes, "server[0]");
    const RECORD *wanted = node == NULL ? NULL : node->desired;
    if (wanted == NULL || wanted->type == NULL || r->type == NULL || r->ami == NULL ||
        s->ami == NULL || s->ami[0] == '\0')
        return false;
    return !cstr_eq(s->ami, r->ami) && (r->image == NULL || cstr_eq(r->image, wanted->image)) &&
           image_is_arm(r->type) == image_is_arm(wanted->type);
}

static int read_instance(struct ec2_session *s, const struct observe_in *in, const struct xml *item,
                         struct observed *out) {
    RECORD *r = ARENA_NEW(&out->arena, RECORD);
    if (r == NULL)
        return -ERRC_NOMEM;
    r->disk.size_gib = FIELD_UNSET;
    if (server_record_of(item, &out->arena, r) < 0)
        return -ERRC_NOMEM;
    const char *address = address_of(in, item, out);
    struct live *live =
        address == NULL ? NULL : observed_add(out, &server_kind, address, LIVE_OURS);
    if (live == NULL)
        return -ERRC_NOMEM;
    live->id = arena_dup(&out->arena, xml_text(item, "instanceId"));
    live->token = text_or_null(&out->arena, item, "clientToken");
    live->record = r;
    int64_t index = server_address_index(address);
    r->tagged = ec2_is_tagged(item, s->run, "server", index - r->launch_index);
    if (r->imds == NULL)
        live->unread |= UINT64_C(1) << SERVER_FIELD_IMDS;
    /* What EC2 cannot tell is carried from the state, so that the record is whole. */
    const struct recorded *known = recorded_find(in->recorded, address);
    const RECORD *old = known == NULL ? NULL : known->record;
    if (old != NULL) {
        r->image = old->image;
        r->disk = old->disk;
        r->user = old->user;
        r->key_file = old->key_file;
        r->host_key = old->host_key;
        r->key_type = old->key_type;
    } else {
        const struct node *node = nodes_find(in->nodes, address);
        const RECORD *wanted = node == NULL ? NULL : node->desired;
        r->user = wanted == NULL ? NULL : wanted->user;
        r->key_file = wanted == NULL ? NULL : wanted->key_file;
        r->key_type = wanted == NULL ? NULL : wanted->key_type;
        struct err ignored; /* without the secret, the host key node says what to do */
        r->host_key = live->token == NULL
                          ? NULL
                          : server_host_key(s, live->token, &out->arena, NULL, &ignored);
    }
    if (has_newer_ami(s, in, r))
        live->note =
            arena_printf(&out->arena, "a newer image exists: %s (it runs %s)", s->ami, r->ami);
    return 0;
}

/* Is there anything to say of it? Not of one that has ended, nor twice of the same: pages that move
 * while they are read may repeat one, which must not pass for a second. */
static bool is_news(const struct xml *item, const struct observed *out) {
    const char *id = xml_text(item, "instanceId");
    const char *state = xml_text(item, "instanceState/name");
    if (id == NULL || cstr_eq(state, "shutting-down") || cstr_eq(state, "terminated"))
        return false;
    for (size_t i = 0; i < out->len; i++)
        if (out->items[i].kind == &server_kind && cstr_eq(out->items[i].id, id))
            return false;
    return true;
}

int server_read_live(struct ec2_session *s, const struct observe_in *in, const struct xml *xml,
                     struct observed *out, struct err *err) {
    for (const struct xml *reservation = xml_first_item(xml, "reservationSet"); reservation != NULL;
         reservation = xml_next_item(reservation))
        for (const struct xml *item = xml_first_item(reservation, "instancesSet"); item != NULL;
             item = xml_next_item(item))
            if (is_news(item, out) && read_instance(s, in, item, out) < 0)
                return err_set(err, ERRC_NOMEM, "out of memory");
    return 0;
}

static void ask_first(struct ec2_session *s, struct query *q) { server_ask_live(s, q, NULL); }

const struct ec2_kind server_ec2 = {
    .kind = &server_kind,
    .action = "DescribeInstances",
    .ask = ask_first,
    .read = server_read_live,
    .read_on = server_read_on,
    .apply = server_apply,
};
