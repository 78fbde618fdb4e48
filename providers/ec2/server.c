/* The server kind: what the spec wants of it, and what EC2 says of it. Making and changing them is
 * server_apply.c's. */
#include "providers/ec2/internal.h"
#include "specs/sections/sections.h"

#include <stdio.h>
#include <string.h>

#define RECORD struct server_record

enum { INDEX_MAX = 100000 };

static const struct field disk_fields[] = {
    {.name = "size",
     .doc = "Size.",
     .type = FIELD_SIZE,
     .offset = offsetof(struct server_disk_record, size_gib)},
    {.name = "type",
     .doc = "Volume type.",
     .type = FIELD_STR,
     .offset = offsetof(struct server_disk_record, type)},
    {.name = "encrypted",
     .doc = "Encrypted.",
     .type = FIELD_BOOL,
     .offset = offsetof(struct server_disk_record, encrypted)},
    FIELD_END,
};

enum { F_IMAGE, F_TYPE, F_DISK, F_KEY_NAME, F_GROUP, F_TAGS, F_IMDS };

static const struct field fields[] = {
    [F_IMAGE] = {.name = "image",
                 .doc = "Image, by its name in the spec.",
                 .type = FIELD_STR,
                 .flags = FIELD_IMMUTABLE | FIELD_DESTROYS_DATA | FIELD_UNREADABLE,
                 .offset = offsetof(RECORD, image)},
    [F_TYPE] = {.name = "type",
                .doc = "Instance type.",
                .type = FIELD_STR,
                .flags = FIELD_NEEDS_STOP,
                .offset = offsetof(RECORD, type)},
    /* DescribeInstances does not tell sizes; a call of its own a plan is not worth it. */
    [F_DISK] = {.name = "disk",
                .doc = "Root disk.",
                .type = FIELD_GROUP,
                .flags = FIELD_IMMUTABLE | FIELD_DESTROYS_DATA | FIELD_UNREADABLE,
                .offset = offsetof(RECORD, disk),
                .sub = disk_fields},
    [F_KEY_NAME] = {.name = "key_pair",
                    .doc = "Key pair that logs in.",
                    .type = FIELD_STR,
                    .flags = FIELD_IMMUTABLE | FIELD_DESTROYS_DATA,
                    .offset = offsetof(RECORD, key_name)},
    [F_GROUP] = {.name = "group",
                 .doc = "Security group.",
                 .type = FIELD_STR,
                 .offset = offsetof(RECORD, group_id)},
    [F_TAGS] = {.name = "tags",
                .doc = "Your own tags.",
                .type = FIELD_MAP,
                .offset = offsetof(RECORD, tags)},
    [F_IMDS] = {.name = "imds",
                .doc = "Instance metadata: session tokens (IMDSv2) required or optional.",
                .type = FIELD_STR,
                .offset = offsetof(RECORD, imds)},
    {.name = "power",
     .doc = "Running, pending or stopped.",
     .type = FIELD_STR,
     .offset = offsetof(RECORD, power)},
    {.name = "user",
     .doc = "Login user of the image.",
     .type = FIELD_STR,
     .flags = FIELD_UNREADABLE,
     .offset = offsetof(RECORD, user)},
    {.name = "key_file",
     .doc = "Private key file, when it is yours.",
     .type = FIELD_STR,
     .flags = FIELD_UNREADABLE,
     .offset = offsetof(RECORD, key_file)},
    {.name = "ami",
     .doc = "AMI that it was made from.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, ami)},
    {.name = "public_ip",
     .doc = "Public address.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, public_ip)},
    {.name = "private_ip",
     .doc = "Private address.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, private_ip)},
    {.name = "public_dns",
     .doc = "Public name.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, public_dns)},
    {.name = "zone",
     .doc = "Availability zone.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, zone)},
    {.name = "host_key",
     .doc = "Host key that the first connection expects.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, host_key)},
    {.name = "launch_index",
     .doc = "Index within its launch.",
     .type = FIELD_INT,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, launch_index)},
    FIELD_END,
};

/* ---- Desired */

static int fill_desired(const struct desire *in, struct nodes *out, struct node *node) {
    const struct server_section *server = spec_server(in->spec);
    const char *public_key = spec_key_pair(in->spec)->public_key;
    const struct image *image = image_find(server->image);
    RECORD *r = node->desired;
    node->protect = server->protect;
    node->mark = spec_mark(in->spec, "server");
    node->unknown = 1u << F_GROUP;
    r->image = server->image;
    r->type = server->type;
    r->disk = (struct server_disk_record){server->disk.size_gib, server->disk.type,
                                          server->disk.encrypted};
    r->key_name = arena_printf(out->arena, "berth-%s", in->spec->name);
    r->imds = "required";
    r->power = "running";
    /* An AMI of one's own: EC2 does not say who logs in. Amazon's is the commonest. */
    r->user = image == NULL ? "ec2-user" : image->user;
    for (size_t i = 0; i < server->tags.len; i++)
        if (strmap_set(out->arena, &r->tags, server->tags.items[i].key,
                       server->tags.items[i].value) < 0)
            return -ERRC_NOMEM;
    strmap_sort(&r->tags);
    if (public_key != NULL && str_ends(str_of(public_key), STR(".pub"))) {
        r->key_file = arena_dup_str(out->arena,
                                    (struct str){public_key, strlen(public_key) - strlen(".pub")});
        if (r->key_file == NULL)
            return -ERRC_NOMEM;
    }
    if (r->key_name == NULL || strlist_add(out->arena, &node->deps, "key_pair") < 0)
        return -ERRC_NOMEM;
    return strlist_add(out->arena, &node->deps, "access");
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    (void)diags;
    for (int64_t i = 0; i < spec_server(in->spec)->count; i++) {
        char address[32];
        snprintf(address, sizeof address, "server[%lld]", (long long)i);
        struct node *node = nodes_add(out, &server_kind, address, NULL);
        if (node == NULL || fill_desired(in, out, node) < 0)
            return -ERRC_NOMEM;
    }
    return 0;
}

static int resolve(const struct node *node, const struct lookup *lookup, struct arena *arena,
                   void *record, uint64_t *unknown) {
    (void)node;
    const struct access_record *access = lookup->record(lookup->ctx, "access", NULL);
    if (access == NULL || access->group_id == NULL)
        return 0;
    RECORD *r = record;
    r->group_id = arena_dup(arena, access->group_id);
    *unknown &= ~(UINT64_C(1) << F_GROUP);
    return r->group_id == NULL ? -ERRC_NOMEM : 0;
}

static const char *loses(const void *record, struct arena *arena) {
    const RECORD *r = record;
    return r->disk.size_gib == FIELD_UNSET || r->disk.size_gib == 0
               ? "its root disk and everything on it"
               : arena_printf(arena, "its %lld GiB root disk and everything on it",
                              (long long)r->disk.size_gib);
}

static int endpoint(const void *record, const char *project_dir, struct arena *arena,
                    struct endpoint *ret) {
    const RECORD *r = record;
    *ret = (struct endpoint){
        .user = r->user,
        .address = r->public_ip != NULL ? r->public_ip : r->private_ip,
        .port = 22,
        .key_path =
            r->key_file != NULL ? r->key_file : arena_printf(arena, "%s/id_ed25519", project_dir),
        .host_key = r->host_key,
        .public_dns = r->public_dns,
        .private_address = r->private_ip,
        .running = cstr_eq(r->power, "running"),
    };
    return ret->key_path == NULL ? -ERRC_NOMEM : 0;
}

/* Like creates go into one RunInstances; all terminations into one call. */
static const char *batch(const struct change *c, struct arena *arena) {
    switch (c->action) {
    case ACTION_CREATE:
    case ACTION_DESTROY:
        return "server";
    case ACTION_RESUME:
        return arena_printf(arena, "server %s", c->token);
    default:
        return NULL;
    }
}

const struct kind server_kind = {
    .name = "server",
    .world = &ec2_world,
    .fields = fields,
    .size = sizeof(RECORD),
    .noun = "server",
    .desire = desire,
    .resolve = resolve,
    .loses = loses,
    .endpoint = endpoint,
    .batch = batch,
};

/* ---- Live */

const char *const server_live_states[] = {"pending", "running", "stopping", "stopped", NULL};

void server_ask_live(struct ec2_session *s, struct query *q, const char *next_token) {
    query_init(q, "DescribeInstances");
    query_add_filter(q, 1, "tag:berth:name", (const char *const[]){s->run->name, NULL});
    query_add_filter(q, 2, "instance-state-name", server_live_states);
    query_add(q, "MaxResults", "1000");
    query_add(q, "NextToken", next_token);
}

static const char *tag_of(const struct xml *item, const char *key) {
    for (const struct xml *tag = xml_first_item(item, "tagSet"); tag != NULL;
         tag = xml_next_item(tag))
        if (cstr_eq(xml_text(tag, "key"), key))
            return xml_text(tag, "value");
    return NULL;
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

static int64_t launch_index_of(const struct xml *item) {
    const char *text = xml_text(item, "amiLaunchIndex");
    int64_t index;
    return text != NULL && str_to_i64(str_of(text), 0, INDEX_MAX, &index) ? index : 0;
}

int64_t server_index_of(const struct xml *item) {
    const char *base = tag_of(item, "berth:index");
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
    if (r->imds == NULL)
        live->unread |= UINT64_C(1) << F_IMDS;
    /* What EC2 cannot tell is carried from the state, so that the record is whole. */
    const struct recorded *known = recorded_find(in->recorded, address);
    const RECORD *old = known == NULL ? NULL : known->record;
    if (old != NULL) {
        r->image = old->image;
        r->disk = old->disk;
        r->user = old->user;
        r->key_file = old->key_file;
        r->host_key = old->host_key;
    } else {
        const struct node *node = nodes_find(in->nodes, address);
        const RECORD *wanted = node == NULL ? NULL : node->desired;
        r->user = wanted == NULL ? NULL : wanted->user;
        r->key_file = wanted == NULL ? NULL : wanted->key_file;
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
