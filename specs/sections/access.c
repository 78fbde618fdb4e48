#include "specs/sections/check.h"
#include "specs/sections/sections.h"

#include <arpa/inet.h>
#include <stdio.h>

#define CIDR_PATTERN "^(my-ip|[0-9a-fA-F.:]+/[0-9]{1,3})$"

static const char *const later_jupyter[] = {"tunnel", NULL};

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
     .later = later_jupyter,
     .check = check_cidr_or_my_ip,
     .pattern = CIDR_PATTERN,
     .def = "my-ip"},
    FIELD_END,
};

/* The block that a CIDR with bits behind its prefix meant; false when there are none. */
static bool correct_cidr(struct str text, char *out, size_t size) {
    struct str rest = text;
    struct str head;
    char address[64];
    unsigned char bytes[16];
    int64_t prefix = 0;
    if (text.len >= sizeof address || !str_split(&rest, '/', &head) ||
        !str_to_i64(rest, 0, 128, &prefix))
        return false;
    snprintf(address, sizeof address, "%.*s", STR_FMT(head));
    int family = inet_pton(AF_INET, address, bytes) == 1 ? AF_INET : AF_INET6;
    if (family == AF_INET6 && inet_pton(AF_INET6, address, bytes) != 1)
        return false;
    bool changed = false;
    for (size_t bit = (size_t)prefix; bit < (family == AF_INET ? 32u : 128u); bit++) {
        unsigned char one = (unsigned char)(0x80u >> bit % 8);
        changed = changed || (bytes[bit / 8] & one) != 0;
        bytes[bit / 8] = (unsigned char)(bytes[bit / 8] & ~one);
    }
    if (changed && inet_ntop(family, bytes, address, sizeof address) != NULL)
        snprintf(out, size, "%s/%lld", address, (long long)prefix);
    return changed;
}

static void check_list(struct tree *tree, const char *what, struct diags *diags) {
    struct tree *list = tree_get(tree, what);
    size_t len = list == NULL ? 0 : list->type == TREE_LIST ? list->len : 1;
    for (size_t i = 0; i < len; i++) {
        const struct tree *item = list->type == TREE_LIST ? list->items[i] : list;
        if (item->type != TREE_SCALAR)
            continue;
        char block[80];
        if (correct_cidr(item->text, block, sizeof block)) {
            char help[128];
            snprintf(help, sizeof help, "write `%s`", block);
            diag_add(diags, item->mark, help, "`%s` has bits behind its prefix", item->text.ptr);
        }
        if (str_ends(item->text, STR("/0")) && check_cidr_or_my_ip(item->text) == NULL)
            diag_warn(diags, item->mark, "my-ip opens it to your address alone",
                      "`%s` is open to the whole world", what);
    }
}

static void check_access(const struct spec *spec, const void *record, struct tree *tree,
                         struct diags *diags) {
    (void)spec;
    (void)record;
    check_list(tree, "ssh", diags);
    check_list(tree, "jupyter", diags);
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
