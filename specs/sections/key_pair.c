#include "specs/sections/check.h"
#include "specs/sections/sections.h"

static const char *const types[] = {"ed25519", "rsa", NULL};

static const struct field key_pair_fields[] = {
    {.name = "type",
     .doc = "Kind of key that is made.",
     .type = FIELD_STR,
     .offset = offsetof(struct key_pair_section, type),
     .choices = types,
     .def = "ed25519"},
    {.name = "public_key",
     .doc = "Public key file of yours to import; without it a key is made here and kept 0600.",
     .type = FIELD_STR,
     .offset = offsetof(struct key_pair_section, public_key),
     .check = check_nonempty},
    FIELD_END,
};

const struct section section_key_pair = {
    .name = "key_pair",
    .doc = "The key that logs in.",
    .fields = key_pair_fields,
    .not_given =
        "leave it out: berth logs in with `server.key`, your agent, or what ~/.ssh/config says",
    .size = sizeof(struct key_pair_section),
};

const struct key_pair_section *spec_key_pair(const struct spec *spec) {
    return spec_record(spec, &section_key_pair);
}
