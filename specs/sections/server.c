#include "specs/sections/check.h"
#include "specs/sections/sections.h"

static const char *const images[] = {"debian-12", "ubuntu-24.04", "amazon-linux-2023",
                                     "deep-learning-ubuntu-24.04", NULL};
static const char *const addresses[] = {"dynamic", "elastic", NULL};
static const char *const disk_types[] = {"gp3", "gp2", "standard", NULL};
static const char *const later_disk_types[] = {"io1", "io2", NULL}; /* they need IOPS as well */

static const struct field disk_fields[] = {
    {.name = "size",
     .doc = "Size of the root disk.",
     .type = FIELD_SIZE,
     .offset = offsetof(struct server_disk, size_gib),
     .min = 8,
     .max = 16384,
     .def = "30 GiB"},
    {.name = "type",
     .doc = "EBS volume type.",
     .type = FIELD_STR,
     .offset = offsetof(struct server_disk, type),
     .choices = disk_types,
     .later = later_disk_types,
     .def = "gp3"},
    {.name = "encrypted",
     .doc = "Encrypt the root disk.",
     .type = FIELD_BOOL,
     .offset = offsetof(struct server_disk, encrypted),
     .def = "true"},
    FIELD_END,
};

static const char *const data_types[] = {"gp3", "gp2", "st1", "sc1", "standard", NULL};

static const struct field data_fields[] = {
    {.name = "size",
     .doc = "Size; it may grow later, never shrink.",
     .type = FIELD_SIZE,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct server_data, size_gib),
     .min = 1,
     .max = 16384},
    {.name = "mount",
     .doc = "Folder on the server that it is mounted at, such as ~/work.",
     .type = FIELD_STR,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct server_data, mount),
     .check = check_mount,
     .pattern = "^(~/[A-Za-z0-9._~/@+-]+|/[A-Za-z0-9._~/@+-]+)$"},
    {.name = "type",
     .doc = "EBS volume type.",
     .type = FIELD_STR,
     .offset = offsetof(struct server_data, type),
     .choices = data_types,
     .later = later_disk_types,
     .def = "gp3"},
    {.name = "keep",
     .doc = "It outlives the spec: only `berth destroy -data` removes it.",
     .type = FIELD_BOOL,
     .offset = offsetof(struct server_data, keep),
     .def = "true"},
    {.name = "encrypted",
     .doc = "Encrypt it.",
     .type = FIELD_BOOL,
     .offset = offsetof(struct server_data, encrypted),
     .def = "true"},
    FIELD_END,
};

static const struct field stop_fields[] = {
    {.name = "idle",
     .doc = "After so long without work of a kernel, a terminal or a GPU, and without SSH.",
     .type = FIELD_DURATION,
     .offset = offsetof(struct server_stop, idle_s),
     .min = 30,
     .max = INT64_C(30) * 86400},
    {.name = "after",
     .doc = "After so long since its start, whatever it does.",
     .type = FIELD_DURATION,
     .offset = offsetof(struct server_stop, after_s),
     .min = 30,
     .max = INT64_C(365) * 86400},
    FIELD_END,
};

static const char *const interruptions[] = {"stop", "terminate", NULL};
static const char *const later_interruptions[] = {"hibernate", NULL};

static const struct field spot_fields[] = {
    {.name = "enabled",
     .doc = "Take spot capacity; a map without it means true.",
     .type = FIELD_BOOL,
     .offset = offsetof(struct server_spot, enabled),
     .def = "false"},
    {.name = "max_price",
     .doc = "At most so many US dollars an hour; without it, what the type costs on demand.",
     .type = FIELD_STR,
     .flags = FIELD_NUMBER,
     .offset = offsetof(struct server_spot, max_price),
     .check = check_price,
     .pattern = "^[0-9]{1,4}(\\.[0-9]{1,6})?$"},
    {.name = "interruption",
     .doc = "What EC2 does when it takes the capacity back. stop: the disk is kept, and the server "
            "starts again when there is capacity. terminate: it ends, and its root disk with it.",
     .type = FIELD_STR,
     .offset = offsetof(struct server_spot, interruption),
     .choices = interruptions,
     .later = later_interruptions,
     .def = "stop"},
    FIELD_END,
};

#define SWAP_ROW                                                                                   \
    {                                                                                              \
        .name = "swap", .doc = "Size of a swap file on the root disk.", .type = FIELD_SIZE,        \
        .offset = offsetof(struct server_section, swap_gib), .min = 1, .max = 256                  \
    }

#define PROTECT_ROW                                                                                \
    {                                                                                              \
        .name = "protect", .doc = "No plan may destroy or replace the server.",                    \
        .type = FIELD_BOOL, .offset = offsetof(struct server_section, protect), .def = "false"     \
    }

#define OF_GIVEN "write `provider: host` for a server that you already have"

static const struct field server_fields[] = {
    {.name = "image",
     .doc = "Image name, resolved to the newest AMI, or an ami-… id.",
     .type = FIELD_STR,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct server_section, image),
     .choices = images,
     .check = check_image_id,
     .pattern = "^ami-([0-9a-f]{8}|[0-9a-f]{17})$"},
    {.name = "type",
     .doc = "EC2 instance type.",
     .type = FIELD_STR,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct server_section, type),
     .check = check_instance_type,
     .pattern = "^[a-z][a-z0-9-]*\\.[a-z0-9-]+$"},
    {.name = "count",
     .doc = "Number of like servers: server[0], server[1], …",
     .type = FIELD_INT,
     .offset = offsetof(struct server_section, count),
     .min = 1,
     .max = 1000,
     .def = "1"},
    {.name = "disk",
     .doc = "The root disk.",
     .type = FIELD_GROUP,
     .offset = offsetof(struct server_section, disk),
     .sub = disk_fields},
    {.name = "address",
     .doc = "dynamic: another public address after each stop. elastic: one that stays, which costs "
            "also while the server is stopped.",
     .type = FIELD_STR,
     .offset = offsetof(struct server_section, address),
     .choices = addresses,
     .def = "dynamic"},
    {.name = "data",
     .doc = "A volume that outlives the server; each server has one of its own.",
     .type = FIELD_GROUP,
     .offset = offsetof(struct server_section, data),
     .sub = data_fields},
    SWAP_ROW,
    {.name = "stop",
     .doc = "The server stops itself, so that it costs no more than its disks.",
     .type = FIELD_GROUP,
     .offset = offsetof(struct server_section, stop),
     .sub = stop_fields},
    {.name = "subnet",
     .doc = "Subnet to be in; its VPC is the security group's too. Without it, the default VPC.",
     .type = FIELD_STR,
     .offset = offsetof(struct server_section, subnet),
     .check = check_subnet_id,
     .pattern = "^subnet-([0-9a-f]{8}|[0-9a-f]{17})$"},
    {.name = "iam_profile",
     .doc = "Name of the IAM instance profile whose role the server has.",
     .type = FIELD_STR,
     .offset = offsetof(struct server_section, iam_profile),
     .check = check_iam_name,
     .pattern = "^[A-Za-z0-9+=,.@_-]{1,128}$"},
    {.name = "tags",
     .doc = "Tags of your own on everything that is made.",
     .type = FIELD_MAP,
     .offset = offsetof(struct server_section, tags),
     .max = 40},
    PROTECT_ROW,
    {.name = "spot",
     .doc = "Capacity of the spot market: cheaper, and EC2 may take it back.",
     .type = FIELD_GROUP,
     .flags = FIELD_SHORT,
     .offset = offsetof(struct server_section, spot),
     .sub = spot_fields},
    {.name = "host", .doc = OF_GIVEN, .flags = FIELD_REFUSED},
    {.name = "port", .doc = OF_GIVEN, .flags = FIELD_REFUSED},
    {.name = "key", .doc = OF_GIVEN "; here the key is `key_pair`", .flags = FIELD_REFUSED},
    {.name = "jump", .doc = OF_GIVEN, .flags = FIELD_REFUSED},
    {.name = "host_key", .doc = OF_GIVEN, .flags = FIELD_REFUSED},
    FIELD_END,
};

#define IS_THERE "leave it out: the server is there already, as it is"

/* A server that berth did not make. */
static const struct field given_fields[] = {
    {.name = "host",
     .doc = "Where it is: [user@]name, an address, a DNS name, or a Host of ~/.ssh/config.",
     .type = FIELD_STR,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct server_section, host),
     .check = check_login,
     .pattern = "^([A-Za-z0-9._][A-Za-z0-9._-]*@)?[A-Za-z0-9._:%][A-Za-z0-9._:%-]*$"},
    {.name = "port",
     .doc = "Port of its SSH; without it, as ~/.ssh/config says, else 22.",
     .type = FIELD_INT,
     .offset = offsetof(struct server_section, port),
     .min = 1,
     .max = 65535},
    {.name = "key",
     .doc = "Private key file to log in with, relative to the spec; without it, your agent and "
            "what ~/.ssh/config says.",
     .type = FIELD_STR,
     .offset = offsetof(struct server_section, key),
     .check = check_nonempty},
    {.name = "jump",
     .doc = "Host to go through, [user@]host[:port], several with commas; without it, as "
            "~/.ssh/config says.",
     .type = FIELD_STR,
     .offset = offsetof(struct server_section, jump),
     .check = check_jump,
     .pattern = "^[A-Za-z0-9._@:,\\[\\]-]+$"},
    {.name = "host_key",
     .doc = "Its public host key, or the SHA256:… of it; without it, what known_hosts holds.",
     .type = FIELD_STR,
     .offset = offsetof(struct server_section, host_key),
     .check = check_host_key,
     .pattern = "^(SHA256:[A-Za-z0-9+/]{43}|(ssh|ecdsa)-[a-z0-9-]+ [A-Za-z0-9+/=]{32,})$"},
    SWAP_ROW,
    PROTECT_ROW,
    {.name = "image", .doc = IS_THERE, .flags = FIELD_REFUSED},
    {.name = "type", .doc = IS_THERE, .flags = FIELD_REFUSED},
    {.name = "count",
     .doc = "leave it out: a spec is for one server of yours; write another spec for another one",
     .type = FIELD_INT,
     .flags = FIELD_REFUSED,
     .offset = offsetof(struct server_section, count),
     .def = "1"},
    {.name = "disk", .doc = IS_THERE, .flags = FIELD_REFUSED},
    {.name = "data", .doc = "leave it out, and mount the disk by hand", .flags = FIELD_REFUSED},
    {.name = "address", .doc = IS_THERE ". Where it is, `host` says", .flags = FIELD_REFUSED},
    {.name = "spot", .doc = IS_THERE, .flags = FIELD_REFUSED},
    {.name = "subnet", .doc = IS_THERE, .flags = FIELD_REFUSED},
    {.name = "iam_profile", .doc = IS_THERE, .flags = FIELD_REFUSED},
    {.name = "tags", .doc = IS_THERE, .flags = FIELD_REFUSED},
    {.name = "stop",
     .doc = "leave it out: berth could not start a server of yours again",
     .flags = FIELD_REFUSED},
    FIELD_END,
};

/* https://docs.aws.amazon.com/ebs/latest/userguide/ebs-volume-types.html */
static void check_data(const struct server_data *data, struct tree *tree, struct diags *diags) {
    enum { THROUGHPUT_GIB_MIN = 125, MAGNETIC_GIB_MAX = 1024 };
    const struct tree *size = tree_get(tree, "size");
    bool hdd = cstr_eq(data->type, "st1") || cstr_eq(data->type, "sc1");
    if (size == NULL || data->size_gib == FIELD_UNSET)
        return;
    if (hdd && data->size_gib < THROUGHPUT_GIB_MIN)
        diag_add(diags, size->mark, "make it larger, or take type: gp3",
                 "an %s volume has at least 125 GiB", data->type);
    if (cstr_eq(data->type, "standard") && data->size_gib > MAGNETIC_GIB_MAX)
        diag_add(diags, size->mark, "make it smaller, or take type: gp3",
                 "a standard volume has at most 1 TiB");
}

/* Beside the system on the root disk: a file that leaves no room ends in a full disk. */
static void check_swap(const struct server_section *server, struct tree *tree,
                       struct diags *diags) {
    enum { SYSTEM_GIB = 4 };
    const struct tree *swap = tree_get(tree, "swap");
    if (swap == NULL || server->swap_gib == FIELD_UNSET || server->disk.size_gib == FIELD_UNSET ||
        server->swap_gib + SYSTEM_GIB <= server->disk.size_gib)
        return;
    diag_add(diags, swap->mark, "ask for less, or for a larger `server.disk.size`",
             "%lld GiB of swap leave no room on a root disk of %lld GiB",
             (long long)server->swap_gib, (long long)server->disk.size_gib);
}

/* EC2 stops no server of a one-time request, whoever asks: it would be ended with its disk.
 * https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-spot-instances-request.html */
static void check_spot(const struct server_section *server, struct tree *tree,
                       struct diags *diags) {
    const struct tree *stop = tree_get(tree, "stop");
    if (server->spot.enabled && stop != NULL && cstr_eq(server->spot.interruption, "terminate"))
        diag_add(diags, stop->mark, "take `interruption: stop`, or leave `stop` out",
                 "a spot server of `interruption: terminate` cannot be stopped");
}

static void check_server(const struct spec *spec, const void *record, struct tree *tree,
                         struct diags *diags) {
    const struct server_section *server = record;
    if (tree == NULL) {
        diag_add(diags, (struct mark){1, 1, 1},
                 spec->given ? "say at least `server: { host: … }`"
                             : "say at least `server: { image: …, type: … }`",
                 "`server` is missing");
        return;
    }
    if (spec->given) /* its rows say it all */
        return;
    const struct tree *stop = tree_get(tree, "stop");
    if (stop != NULL && stop->type == TREE_MAP && stop->len == 0)
        diag_add(diags, stop->mark, "say `stop: { idle: 60 min }`, or leave it out",
                 "`stop` says no time");
    const struct tree *image = tree_get(tree, "image");
    if (cstr_eq(spec->provider, "sandbox") && server->image != NULL &&
        str_starts(str_of(server->image), STR("ami-")))
        diag_add(diags, image->mark, "name one, such as debian-12 or amazon-linux-2023",
                 "the sandbox has images of its own, known by name: no `%s`", server->image);
    check_data(&server->data, tree_get(tree, "data"), diags);
    check_swap(server, tree, diags);
    check_spot(server, tree, diags);
    struct tree *tags = tree_get(tree, "tags");
    for (size_t i = 0; tags != NULL && tags->type == TREE_MAP && i < tags->len; i++) {
        struct str key = tags->keys[i];
        if (str_starts(key, STR("aws:")) || str_starts(key, STR("berth:")) ||
            str_eqc(key, "Name") || key.len == 0 || key.len > 128)
            diag_add(diags, tags->key_marks[i],
                     "expected 1 to 128 characters, not Name, aws:… or berth:…",
                     "`%s` is not a good tag key", key.ptr);
        if (tags->items[i]->text.len > 256)
            diag_add(diags, tags->items[i]->mark, "expected at most 256 characters",
                     "the value of tag `%s` is too long", key.ptr);
    }
}

const struct section section_server = {
    .name = "server",
    .doc = "The server: one instance, or many like ones.",
    .fields = server_fields,
    .given = given_fields,
    .size = sizeof(struct server_section),
    .check = check_server,
};

bool spec_has_data(const struct spec *spec) {
    return spec_server(spec)->data.size_gib != FIELD_UNSET;
}

const struct server_section *spec_server(const struct spec *spec) {
    return spec_record(spec, &section_server);
}

bool spec_has_stop(const struct spec *spec) { return tree_get(spec->root, "server.stop") != NULL; }
