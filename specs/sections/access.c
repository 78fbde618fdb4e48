#include "specs/sections/check.h"
#include "specs/sections/sections.h"

#define CIDR_PATTERN "^(my-ip|[0-9a-fA-F.:]+/[0-9]{1,3})$"

static const struct field access_fields[] = {
    {.name = "ssh",
     .doc = "Who may log in: my-ip, a CIDR block, or a list of them.",
     .type = FIELD_LIST,
     .flags = FIELD_SET | FIELD_ONE_OR_MANY,
     .offset = offsetof(struct access_section, ssh),
     .max = 50,
     .check = check_cidr_or_my_ip,
     .pattern = CIDR_PATTERN,
     .def = "my-ip"},
    {.name = "jupyter",
     .doc = "Who may reach Jupyter: my-ip, a CIDR block, or a list of them.",
     .type = FIELD_LIST,
     .flags = FIELD_SET | FIELD_ONE_OR_MANY,
     .offset = offsetof(struct access_section, jupyter),
     .max = 50,
     .check = check_cidr_or_my_ip,
     .pattern = CIDR_PATTERN,
     .def = "my-ip"},
    FIELD_END,
};

static void warn_world(struct tree *tree, const char *what, struct diags *diags) {
    struct tree *list = tree_get(tree, what);
    size_t len = list == NULL ? 0 : list->type == TREE_LIST ? list->len : 1;
    for (size_t i = 0; i < len; i++) {
        const struct tree *item = list->type == TREE_LIST ? list->items[i] : list;
        if (str_eqc(item->text, "0.0.0.0/0") || str_eqc(item->text, "::/0"))
            diag_warn(diags, item->mark, "my-ip opens it to your address alone",
                      "`%s` is open to the whole world", what);
    }
}

static void check_access(const struct spec *spec, const void *record, struct tree *tree,
                         struct diags *diags) {
    (void)spec;
    (void)record;
    warn_world(tree, "ssh", diags);
    warn_world(tree, "jupyter", diags);
}

const struct section section_access = {
    .name = "access",
    .doc = "Who may come in. Nothing is open to the world unless you say so.",
    .fields = access_fields,
    .size = sizeof(struct access_section),
    .check = check_access,
};

const struct access_section *spec_access(const struct spec *spec) {
    return spec_record(spec, &section_access);
}
