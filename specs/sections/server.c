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

#define LATER(field_name, text)                                                                    \
    { .name = (field_name), .doc = (text), .type = FIELD_STR, .flags = FIELD_LATER }

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
    {.name = "tags",
     .doc = "Tags of your own on everything that is made.",
     .type = FIELD_MAP,
     .offset = offsetof(struct server_section, tags),
     .max = 40},
    {.name = "protect",
     .doc = "No plan may destroy or replace the server.",
     .type = FIELD_BOOL,
     .offset = offsetof(struct server_section, protect),
     .def = "false"},
    LATER("data", "A volume that outlives the server."),
    LATER("spot", "Use spot capacity."),
    LATER("swap", "Swap space."),
    LATER("subnet", "Subnet id."),
    LATER("iam_profile", "IAM instance profile."),
    LATER("stop", "Stop when idle."),
    FIELD_END,
};

static void check_server(const struct spec *spec, const void *record, struct tree *tree,
                         struct diags *diags) {
    const struct server_section *server = record;
    if (tree == NULL) {
        diag_add(diags, (struct mark){1, 1, 1}, "say at least `server: { image: …, type: … }`",
                 "`server` is missing");
        return;
    }
    const struct tree *image = tree_get(tree, "image");
    if (cstr_eq(spec->provider, "sandbox") && server->image != NULL &&
        !cstr_eq(server->image, "debian-12"))
        diag_add(diags, image->mark, "use debian-12",
                 "the sandbox has no root file system for `%s` yet", server->image);
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
    .size = sizeof(struct server_section),
    .check = check_server,
};

const struct server_section *spec_server(const struct spec *spec) {
    return spec_record(spec, &section_server);
}
