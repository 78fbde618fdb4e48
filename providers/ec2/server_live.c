/* The server kind: what EC2 says of it. */
#include "providers/ec2/internal.h"

#include <string.h>

#define RECORD struct server_record

enum { INDEX_MAX = 100000, SIZE_GIB_MAX = 1 << 20 };

const char *const server_live_states[] = {"pending", "running", "stopping", "stopped", NULL};

void server_ask_live(struct ec2_session *s, struct query *q) {
    query_init(q, "DescribeInstances");
    query_add_filter(q, 1, "tag:berth:name", (const char *const[]){s->run->name, NULL});
    query_add_filter(q, 2, "instance-state-name", server_live_states);
    query_add(q, "MaxResults", "1000");
}

static const char *text_or_null(struct arena *arena, const struct xml *item, const char *path) {
    const char *text = xml_text(item, path);
    return text == NULL || text[0] == '\0' ? NULL : arena_dup(arena, text);
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

int64_t ec2_index_of(const char *address, const char *kind) {
    int64_t index = 0;
    struct str digits = str_of(address);
    size_t len = strlen(kind);
    if (!str_starts(digits, str_of(kind)) || digits.len < len + 3 || digits.ptr[len] != '[' ||
        digits.ptr[digits.len - 1] != ']')
        return -1;
    digits = (struct str){digits.ptr + len + 1, digits.len - len - 2};
    return str_to_i64(digits, 0, INDEX_MAX, &index) ? index : -1;
}

int64_t server_address_index(const char *address) { return ec2_index_of(address, "server"); }

static int64_t launch_index_of(const struct xml *item) {
    const char *text = xml_text(item, "amiLaunchIndex");
    int64_t index;
    return text != NULL && str_to_i64(str_of(text), 0, INDEX_MAX, &index) ? index : 0;
}

int64_t server_index_of(const struct xml *item) {
    const char *base = ec2_tag_of(item, "berth:index");
    int64_t index;
    if (base == NULL || !str_to_i64(str_of(base), -INDEX_MAX, INDEX_MAX, &index))
        return -1;
    index += launch_index_of(item);
    return index < 0 ? -1 : index;
}

/* "arn:aws:iam::123456789012:instance-profile/path/name" */
static const char *profile_of(const struct xml *item, struct arena *arena) {
    const char *arn = xml_text(item, "iamInstanceProfile/arn");
    const char *slash = arn == NULL ? NULL : strrchr(arn, '/');
    return slash == NULL || slash[1] == '\0' ? NULL : arena_dup(arena, slash + 1);
}

static const char *root_volume_of(const struct xml *item, struct arena *arena) {
    const char *root = xml_text(item, "rootDeviceName");
    for (const struct xml *disk = xml_first_item(item, "blockDeviceMapping"); disk != NULL;
         disk = xml_next_item(disk))
        if (root != NULL && cstr_eq(xml_text(disk, "deviceName"), root))
            return text_or_null(arena, disk, "ebs/volumeId");
    return NULL;
}

int server_record_of(const struct xml *item, struct arena *arena, RECORD *r) {
    const char *state = xml_text(item, "instanceState/name");
    /* One that starts takes no volume and no elastic address yet, and may have no public address
     * to be reached at. */
    bool coming = cstr_eq(state, "pending");
    r->type = text_or_null(arena, item, "instanceType");
    r->key_name = text_or_null(arena, item, "keyName");
    r->imds = text_or_null(arena, item, "metadataOptions/httpTokens");
    r->power = coming ? "pending" : cstr_eq(state, "running") ? "running" : "stopped";
    r->instance_id = text_or_null(arena, item, "instanceId");
    r->ami = text_or_null(arena, item, "imageId");
    r->public_ip = text_or_null(arena, item, "ipAddress");
    r->private_ip = text_or_null(arena, item, "privateIpAddress");
    r->public_dns = text_or_null(arena, item, "dnsName");
    r->zone = text_or_null(arena, item, "placement/availabilityZone");
    r->launch_index = launch_index_of(item);
    r->root_volume = root_volume_of(item, arena);
    r->iam_profile = profile_of(item, arena);
    server_spot_read(item, arena, r);
    int rc = read_groups(item, arena, r);
    return rc < 0 ? rc : ec2_read_tags(item, arena, &r->tags);
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

/* What the answers are read with. */
struct reader {
    struct ec2_session *s;
    const struct observe_in *in;
    const struct ec2_answers *answers;
    struct ec2_attachments disks, addresses;
    struct observed *out;
};

/* What EC2 cannot tell is carried from the state, so that the record is whole. */
static void carry(const struct reader *reader, struct live *live) {
    struct arena *arena = &reader->out->arena;
    const struct recorded *known = recorded_find(reader->in->recorded, live->address);
    const RECORD *old = known == NULL ? NULL : known->record;
    RECORD *r = live->record;
    const struct node *node = nodes_find(reader->in->nodes, live->address);
    const RECORD *wanted = node == NULL ? NULL : node->desired;
    server_spot_carry(r, old, wanted);
    if (old != NULL) {
        r->image = old->image;
        r->user = old->user;
        r->key_file = old->key_file;
        r->host_key = old->host_key;
        r->key_type = old->key_type;
        if (live->unread >> SERVER_FIELD_DISK & 1)
            r->disk = old->disk;
        if (live->unread >> SERVER_FIELD_ELASTIC_IP & 1)
            r->elastic_ip = old->elastic_ip;
        return;
    }
    r->user = wanted == NULL ? NULL : wanted->user;
    r->key_file = wanted == NULL ? NULL : wanted->key_file;
    r->key_type = wanted == NULL ? NULL : wanted->key_type;
    struct err ignored; /* without the secret, the host key node says what to do */
    r->host_key =
        live->token == NULL ? NULL : server_host_key(reader->s, live->token, arena, NULL, &ignored);
}

/* Its root disk; false where the volume does not tell. */
static bool read_disk(const struct reader *reader, const struct xml *volume, RECORD *r) {
    const char *size = xml_text(volume, "size");
    r->disk.size_gib = FIELD_UNSET;
    if (size == NULL || !str_to_i64(str_of(size), 1, SIZE_GIB_MAX, &r->disk.size_gib))
        return false;
    r->disk.type = text_or_null(&reader->out->arena, volume, "volumeType");
    r->disk.encrypted = cstr_eq(xml_text(volume, "encrypted"), "true");
    return r->disk.type != NULL;
}

/* Its disk is found by the same tags, and has the user's: those that its server has, or had when
 * berth set them last. */
static bool is_disk_tagged(const struct reader *reader, const struct xml *disk, const char *address,
                           const RECORD *r) {
    const struct recorded *known = recorded_find(reader->in->recorded, address);
    const RECORD *old = known == NULL ? NULL : known->record;
    int64_t index = server_address_index(address) - r->launch_index;
    return disk == NULL ||
           (ec2_is_tagged(disk, reader->s->run, "server", index) &&
            (ec2_has_tags(disk, &r->tags) || (old != NULL && ec2_has_tags(disk, &old->tags))));
}

/* The elastic address that it has, if any; false where the addresses were not asked for. */
static bool read_elastic_ip(const struct ec2_answers *answers,
                            const struct ec2_attachments *addresses, const char *id,
                            struct arena *arena, RECORD *r) {
    r->elastic_ip = text_or_null(arena, ec2_attached_to(addresses, id, ""), "publicIp");
    return ec2_has(answers, READ_ADDRESSES);
}

/* By what the spec has for it (server.stop): no drift, and nothing to undo. EC2 tells it from a
 * stop by its API: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html */
static bool has_stopped_itself(const struct reader *reader, const struct xml *item,
                               const char *address) {
    const char *state = xml_text(item, "instanceState/name");
    const char *stop = arena_printf(&reader->out->arena, "%s.stop", address);
    return (cstr_eq(state, "stopped") || cstr_eq(state, "stopping")) &&
           cstr_eq(xml_text(item, "stateReason/code"), "Client.InstanceInitiatedShutdown") &&
           stop != NULL && nodes_find(reader->in->nodes, stop) != NULL;
}

/* Where the spec never named one, any is as good: that it is in one is no news, nor drift when
 * another is named. */
static const char *subnet_of(const struct reader *reader, const struct xml *item,
                             const char *address) {
    const struct node *node = nodes_find(reader->in->nodes, address);
    const struct recorded *known = recorded_find(reader->in->recorded, address);
    const char *wanted = node == NULL ? NULL : ((const RECORD *)node->desired)->subnet;
    const char *live = text_or_null(&reader->out->arena, item, "subnetId");
    bool named =
        known == NULL || known->record == NULL || ((const RECORD *)known->record)->subnet != NULL;
    return wanted != NULL && (named || cstr_eq(live, wanted)) ? live : NULL;
}

static int read_instance(const struct reader *reader, const struct xml *item) {
    struct observed *out = reader->out;
    RECORD *r = ARENA_NEW(&out->arena, RECORD);
    if (r == NULL || server_record_of(item, &out->arena, r) < 0)
        return -ERRC_NOMEM;
    const char *address = address_of(reader->in, item, out);
    struct live *live =
        address == NULL ? NULL : observed_add(out, &server_kind, address, LIVE_OURS);
    if (live == NULL)
        return -ERRC_NOMEM;
    live->id = arena_dup(&out->arena, xml_text(item, "instanceId"));
    live->token = text_or_null(&out->arena, item, "clientToken");
    live->record = r;
    int64_t index = server_address_index(address);
    const struct xml *disk =
        ec2_attached_to(&reader->disks, live->id, xml_text(item, "rootDeviceName"));
    r->tagged = ec2_is_tagged(item, reader->s->run, "server", index - r->launch_index) &&
                is_disk_tagged(reader, disk, address, r);
    if (r->imds == NULL)
        live->unread |= UINT64_C(1) << SERVER_FIELD_IMDS;
    if (!read_disk(reader, disk, r))
        live->unread |= UINT64_C(1) << SERVER_FIELD_DISK;
    if (!read_elastic_ip(reader->answers, &reader->addresses, live->id, &out->arena, r))
        live->unread |= UINT64_C(1) << SERVER_FIELD_ELASTIC_IP;
    r->subnet = subnet_of(reader, item, address);
    carry(reader, live);
    if (has_stopped_itself(reader, item, address)) {
        live->accepted |= UINT64_C(1) << SERVER_FIELD_POWER;
        live->note = arena_printf(&out->arena,
                                  "it stopped itself, as server.stop says; berth start brings it "
                                  "back");
    } else if ((live->note = server_spot_note(item, &out->arena)) != NULL) {
        return 0;
    } else if (has_newer_ami(reader->s, reader->in, r))
        live->note = arena_printf(&out->arena, "a newer image exists: %s (it runs %s)",
                                  reader->s->ami, r->ami);
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

int server_read_live(struct ec2_session *s, const struct observe_in *in,
                     const struct ec2_answers *answers, struct observed *out, struct err *err) {
    const struct ec2_answer *instances = &answers->of[READ_INSTANCES];
    struct reader reader = {.s = s, .in = in, .answers = answers, .out = out};
    int rc = volumes_by_attachment(answers, answers->arena, &reader.disks);
    if (rc == 0)
        rc = addresses_by_instance(answers, answers->arena, &reader.addresses);
    for (size_t i = 0; rc == 0 && i < instances->len; i++)
        if (is_news(instances->items[i], out))
            rc = read_instance(&reader, instances->items[i]);
    return rc < 0 ? err_no_memory(err) : 0;
}

/* Was it elsewhere when berth looked last? An elastic address may have been given to it by hand. */
static bool has_strange_address(const struct observe_in *in, const struct live *live) {
    const struct recorded *known =
        live->kind != &server_kind ? NULL : recorded_find(in->recorded, live->address);
    const RECORD *old = known == NULL ? NULL : known->record;
    const RECORD *r = live->record;
    return old != NULL && r != NULL && live->unread >> SERVER_FIELD_ELASTIC_IP & 1 &&
           r->public_ip != NULL && !cstr_eq(r->public_ip, old->public_ip);
}

/* One call more where one such is, since a dynamic one does not change by itself. */
static int read_strange_addresses(struct ec2_session *s, const struct observe_in *in,
                                  struct observed *out, struct err *err) {
    _cleanup_arena_ struct arena arena = {0};
    struct ec2_answers answers = {.arena = &arena};
    struct ec2_attachments addresses;
    struct err denied = {0};
    bool any = false;
    for (size_t i = 0; i < out->len; i++)
        any |= has_strange_address(in, &out->items[i]);
    if (!any)
        return 0;
    int rc = ec2_read_one(s, READ_ADDRESSES, &answers, &denied);
    if (rc < 0 && answers.of[READ_ADDRESSES].err.code == 0) {
        *err = denied;
        return rc;
    }
    if (rc == 0 && addresses_by_instance(&answers, &arena, &addresses) < 0)
        return err_no_memory(err);
    for (size_t i = 0; rc == 0 && i < out->len; i++)
        if (has_strange_address(in, &out->items[i]) &&
            read_elastic_ip(&answers, &addresses, out->items[i].id, &out->arena,
                            out->items[i].record))
            out->items[i].unread &= ~(UINT64_C(1) << SERVER_FIELD_ELASTIC_IP);
    return 0;
}

static int read_all(struct ec2_session *s, const struct observe_in *in,
                    const struct ec2_answers *answers, struct observed *out, struct err *err) {
    int rc = server_read_live(s, in, answers, out, err);
    if (rc == 0)
        rc = server_find_rest(s, in, answers, out, err);
    return rc < 0 ? rc : read_strange_addresses(s, in, out, err);
}

const struct ec2_kind server_ec2 = {
    .kind = &server_kind,
    .needs = 1u << READ_INSTANCES,
    .read = read_all,
    .apply = server_apply,
};
