/* The server kind: what the spec wants of it. What EC2 says of it is server_live.c's, making and
 * changing it server_apply.c's. */
#include "providers/ec2/internal.h"
#include "providers/ec2/prices.h"
#include "specs/sections/sections.h"

#include <stdio.h>
#include <string.h>

#define RECORD struct server_record

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

enum {
    F_IMAGE,
    F_TYPE,
    F_DISK = SERVER_FIELD_DISK,
    F_KEY_NAME,
    F_GROUP,
    F_TAGS,
    F_IMDS = SERVER_FIELD_IMDS,
    F_POWER = SERVER_FIELD_POWER,
    F_ELASTIC_IP = SERVER_FIELD_ELASTIC_IP,
    F_TAGGED,
    F_SUBNET = SERVER_FIELD_SUBNET,
    F_IAM_PROFILE,
    F_SPOT
};

/* What berth start and stop record. */
static const char *const kept_powers[] = {"running", "stopped", NULL};

static const struct field fields[] = {
    [F_IMAGE] = {.name = "image",
                 .doc = "Image, by its name in the spec.",
                 .type = FIELD_STR,
                 .flags = FIELD_IMMUTABLE | FIELD_DESTROYS_DATA | FIELD_UNREADABLE,
                 .offset = offsetof(RECORD, image)},
    [F_TYPE] = {.name = "type",
                .doc = "Instance type.",
                .type = FIELD_STR,
                .flags = FIELD_NEEDS_STOP | FIELD_IMMUTABLE | FIELD_DESTROYS_DATA,
                .offset = offsetof(RECORD, type)},
    [F_DISK] = {.name = "disk",
                .doc = "Root disk.",
                .type = FIELD_GROUP,
                .flags = FIELD_IMMUTABLE | FIELD_DESTROYS_DATA,
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
    [F_POWER] = {.name = "power",
                 .doc = "Running, pending or stopped.",
                 .type = FIELD_STR,
                 .flags = FIELD_KEPT,
                 .choices = kept_powers,
                 .offset = offsetof(RECORD, power)},
    [F_ELASTIC_IP] = {.name = "elastic_ip",
                      .doc = "Elastic address, when it has one.",
                      .type = FIELD_STR,
                      .flags = FIELD_MOVES,
                      .offset = offsetof(RECORD, elastic_ip)},
    [F_TAGGED] = {.name = "tagged",
                  .doc = "It and its disk carry the tags that berth finds them by.",
                  .type = FIELD_BOOL,
                  .offset = offsetof(RECORD, tagged)},
    [F_SUBNET] = {.name = "subnet",
                  .doc = "Subnet that it is in, where the spec says one.",
                  .type = FIELD_STR,
                  .flags = FIELD_IMMUTABLE | FIELD_DESTROYS_DATA,
                  .offset = offsetof(RECORD, subnet)},
    [F_IAM_PROFILE] = {.name = "iam_profile",
                       .doc = "IAM instance profile.",
                       .type = FIELD_STR,
                       .offset = offsetof(RECORD, iam_profile)},
    [F_SPOT] = {.name = "spot",
                .doc = "Capacity of the spot market.",
                .type = FIELD_GROUP,
                .flags = FIELD_IMMUTABLE | FIELD_DESTROYS_DATA,
                .offset = offsetof(RECORD, spot),
                .sub = server_spot_fields},
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
    {.name = "id",
     .doc = "Instance id.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, instance_id)},
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
    {.name = "root_volume",
     .doc = "Volume id of its root disk.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, root_volume)},
    {.name = "host_key",
     .doc = "Host key that the first connection expects.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, host_key)},
    /* It lets in the key of its launch, whatever becomes of the key pair. */
    {.name = "key_type",
     .doc = "Type of the project's key that it lets in.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, key_type)},
    {.name = "spot_request",
     .doc = "Spot request behind it.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, spot_request)},
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
    node->unknown = 1u << F_GROUP;
    r->image = server->image;
    r->type = server->type;
    r->disk = (struct server_disk_record){server->disk.size_gib, server->disk.type,
                                          server->disk.encrypted};
    r->key_name = arena_printf(out->arena, "berth-%s", in->spec->name);
    r->subnet = server->subnet;
    r->iam_profile = server->iam_profile;
    if (server_spot_desire(&server->spot, out->arena, &r->spot) < 0)
        return -ERRC_NOMEM;
    r->imds = "required";
    r->power = "running";
    r->tagged = true;
    r->key_type = spec_key_pair(in->spec)->type;
    /* An AMI of one's own: EC2 does not say who logs in. Amazon's is the commonest. */
    r->user = image == NULL ? "ec2-user" : image->user;
    if (strmap_copy(out->arena, &r->tags, &server->tags) < 0)
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
    if (cstr_eq(server->address, "elastic")) {
        node->unknown |= 1u << F_ELASTIC_IP;
        if (strlist_addf(out->arena, &node->deps, "address[%lld]",
                         (long long)server_address_index(node->address)) < 0)
            return -ERRC_NOMEM;
    }
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
    const struct access_record *access = lookup->record(lookup->ctx, "access", NULL);
    RECORD *r = record;
    char name[32];
    if (access != NULL && access->group_id != NULL) {
        r->group_id = arena_dup(arena, access->group_id);
        *unknown &= ~(UINT64_C(1) << F_GROUP);
        if (r->group_id == NULL)
            return -ERRC_NOMEM;
    }
    if (!(node->unknown >> F_ELASTIC_IP & 1))
        return 0;
    snprintf(name, sizeof name, "address[%lld]", (long long)server_address_index(node->address));
    const struct address_record *address = lookup->record(lookup->ctx, name, NULL);
    if (address == NULL || address->public_ip == NULL)
        return 0;
    r->elastic_ip = arena_dup(arena, address->public_ip);
    *unknown &= ~(UINT64_C(1) << F_ELASTIC_IP);
    return r->elastic_ip == NULL ? -ERRC_NOMEM : 0;
}

static bool protects(const struct spec *spec) { return spec_server(spec)->protect; }

static const char *loses(const void *record, struct arena *arena) {
    const RECORD *r = record;
    if (r->type == NULL) /* a spot request that has launched nothing */
        return NULL;
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
        .port = SSH_PORT,
        .key_path = r->key_file != NULL
                        ? r->key_file
                        : arena_printf(arena, "%s/%s", project_dir, key_pair_file(r->key_type)),
        .host_key = r->host_key,
        .public_dns = r->public_dns,
        .private_address = r->private_ip,
        .running = cstr_eq(r->power, "running"),
    };
    return ret->key_path == NULL ? -ERRC_NOMEM : 0;
}

/* A root disk grows and changes its type while it is in use; it never shrinks, and is encrypted or
 * not from its making on. EC2 does not modify magnetic ones.
 * https://docs.aws.amazon.com/ebs/latest/userguide/modify-volume-requirements.html
 * A server is resized where it is, unless it is of the spot market.
 * https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-resize.html */
static bool in_place(const struct field *field, const void *before, const void *after) {
    if (field == &fields[F_TYPE])
        return !((const RECORD *)before)->spot.enabled;
    const struct server_disk_record *was = &((const RECORD *)before)->disk;
    const struct server_disk_record *will = &((const RECORD *)after)->disk;
    return field == &fields[F_DISK] && was->encrypted == will->encrypted &&
           was->size_gib != FIELD_UNSET && will->size_gib >= was->size_gib &&
           !cstr_eq(was->type, "standard") && !cstr_eq(will->type, "standard");
}

bool server_is_power_alone(const struct change *c) {
    return c->fields_len == 1 && c->fields[0].field == &fields[F_POWER];
}

bool server_is_tags_alone(const struct change *c) {
    for (size_t i = 0; i < c->fields_len; i++)
        if (c->fields[i].field != &fields[F_TAGS] && c->fields[i].field != &fields[F_TAGGED])
            return false;
    return c->fields_len > 0;
}

/* Like creates go into one RunInstances; all terminations, stops and starts into one call. */
static const char *batch(const struct change *c, struct arena *arena) {
    switch (c->action) {
    case ACTION_CREATE:
    case ACTION_DESTROY:
        return "server";
    case ACTION_RESUME:
        return arena_printf(arena, "server %s", c->token);
    case ACTION_UPDATE:
        return server_is_power_alone(c)
                   ? arena_printf(arena, "server power %s", ((const RECORD *)c->after)->power)
               : server_is_tags_alone(c) ? "server tags"
                                         : NULL;
    default:
        return NULL;
    }
}

const struct kind server_kind = {
    .name = "server",
    .world = &ec2_world,
    .fields = fields,
    .size = sizeof(RECORD),
    .desire = desire,
    .resolve = resolve,
    .protects = protects,
    .loses = loses,
    .in_place = in_place,
    .endpoint = endpoint,
    .costs = server_costs,
    .batch = batch,
};
