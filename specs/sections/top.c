#include "specs/sections/check.h"
#include "specs/sections/sections.h"

static const char *const providers[] = {"ec2", "sandbox", "host", NULL};

#define COMMON_ROWS                                                                                \
    {.name = "berth",                                                                              \
     .doc = "Version of this language: 1.",                                                        \
     .type = FIELD_INT,                                                                            \
     .flags = FIELD_REQUIRED,                                                                      \
     .offset = offsetof(struct top_section, berth),                                                \
     .min = 1,                                                                                     \
     .max = INT64_MAX},                                                                            \
        {.name = "name",                                                                           \
         .doc = "Names the key pair, the security group, the tags and .berth/NAME/.",              \
         .type = FIELD_STR,                                                                        \
         .flags = FIELD_REQUIRED,                                                                  \
         .offset = offsetof(struct top_section, name),                                             \
         .check = check_spec_name,                                                                 \
         .pattern = "^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$"},                                          \
    {                                                                                              \
        .name = "provider",                                                                        \
        .doc = "Where the server runs: ec2 (AWS), sandbox (an embedded EC2 on this machine), or "  \
               "host (a server that you already have).",                                           \
        .type = FIELD_STR, .flags = FIELD_REQUIRED,                                                \
        .offset = offsetof(struct top_section, provider), .choices = providers                     \
    }

static const struct field top_fields[] = {
    COMMON_ROWS,
    {.name = "region",
     .doc = "AWS region; without it AWS_REGION, then the profile's.",
     .type = FIELD_STR,
     .offset = offsetof(struct top_section, region),
     .check = check_region,
     .pattern = "^[a-z][a-z0-9-]{2,30}$"},
    {.name = "profile",
     .doc = "Profile of ~/.aws/config; without it AWS_PROFILE.",
     .type = FIELD_STR,
     .offset = offsetof(struct top_section, profile),
     .check = check_nonempty},
    FIELD_END,
};

#define NOT_AWS "leave it out: a server of yours is nothing of AWS"

static const struct field given_fields[] = {
    COMMON_ROWS,
    {.name = "region", .doc = NOT_AWS, .flags = FIELD_REFUSED},
    {.name = "profile", .doc = NOT_AWS, .flags = FIELD_REFUSED},
    FIELD_END,
};

static void check_top(const struct spec *spec, const void *record, struct tree *tree,
                      struct diags *diags) {
    const struct top_section *top = record;
    (void)spec;
    if (top->berth != FIELD_UNSET && top->berth > 1)
        diag_add(diags, tree_get(tree, "berth")->mark, "install a newer berth",
                 "this berth speaks version 1 of the language, not %lld", (long long)top->berth);
}

const struct section section_top = {
    .name = "",
    .doc = "The top level.",
    .fields = top_fields,
    .given = given_fields,
    .size = sizeof(struct top_section),
    .check = check_top,
};

const struct top_section *spec_top(const struct spec *spec) {
    return spec_record(spec, &section_top);
}
