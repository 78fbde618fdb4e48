#include "specs/cidr.h"
#include "specs/sections/check.h"
#include "specs/sections/sections.h"

#include <stdio.h>

#define CIDR_PATTERN "^(my-ip|[0-9a-fA-F.:]+/[0-9]{1,3})$"

#define JUPYTER_PATTERN "^(tunnel|my-ip|[0-9a-fA-F.:]+/[0-9]{1,3})$"

static const char *check_tunnel_or_cidr(struct str s) {
    return str_eqc(s, "tunnel") ? NULL : check_cidr_or_my_ip(s);
}

static const char *check_tunnel_or_world(struct str s) {
    bool good = str_eqc(s, "tunnel") || str_eqc(s, "0.0.0.0/0") || str_eqc(s, "::/0");
    return good
               ? NULL
               : "tunnel, or 0.0.0.0/0 or ::/0 where the server's own firewall decides: berth sets "
                 "none there";
}

#define DESCRIPTION_ROW                                                                            \
    {                                                                                              \
        .name = "description", .doc = "What EC2 shows beside the rule.", .type = FIELD_STR,        \
        .offset = offsetof(struct access_item, description), .check = check_rule_description       \
    }

static const struct field ssh_fields[] = {
    {.name = "cidr",
     .doc = "my-ip, or a CIDR block.",
     .type = FIELD_STR,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct access_item, cidr),
     .check = check_cidr_or_my_ip,
     .pattern = CIDR_PATTERN},
    DESCRIPTION_ROW,
    FIELD_END,
};

static const struct field jupyter_fields[] = {
    {.name = "cidr",
     .doc = "my-ip, a CIDR block, or tunnel.",
     .type = FIELD_STR,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct access_item, cidr),
     .check = check_tunnel_or_cidr,
     .pattern = JUPYTER_PATTERN},
    DESCRIPTION_ROW,
    FIELD_END,
};

static const struct field access_fields[] = {
    {.name = "ssh",
     .doc = "Who may log in: my-ip, a CIDR block, or a list of them.",
     .type = FIELD_RECORDS,
     .flags = FIELD_ONE_OR_MANY | FIELD_SHORT,
     .offset = offsetof(struct access_section, ssh),
     .max = 50,
     .sub = ssh_fields,
     .sub_size = sizeof(struct access_item),
     .def = "my-ip"},
    {.name = "jupyter",
     .doc =
         "Who may reach Jupyter: my-ip, a CIDR block, a list of them; or tunnel: no port is open, "
         "berth open and berth tunnel carry it over SSH.",
     .type = FIELD_RECORDS,
     .flags = FIELD_ONE_OR_MANY | FIELD_SHORT,
     .offset = offsetof(struct access_section, jupyter),
     .max = 50,
     .sub = jupyter_fields,
     .sub_size = sizeof(struct access_item),
     .def = "my-ip"},
    FIELD_END,
};

static const struct field given_jupyter_fields[] = {
    {.name = "cidr",
     .doc = "tunnel, 0.0.0.0/0 or ::/0.",
     .type = FIELD_STR,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct access_item, cidr),
     .check = check_tunnel_or_world,
     .pattern = "^(tunnel|0\\.0\\.0\\.0/0|::/0)$"},
    {.name = "description",
     .doc = "leave it out: berth sets no firewall on a server of yours",
     .flags = FIELD_REFUSED},
    FIELD_END,
};

/* On a server that berth did not make it has no firewall to set: nothing finer could be held. */
static const struct field given_fields[] = {
    {.name = "ssh",
     .doc = "leave it out: who may log in to a server of yours, its own firewall decides",
     .flags = FIELD_REFUSED},
    {.name = "jupyter",
     .doc = "tunnel: Jupyter listens on 127.0.0.1, berth open and berth tunnel carry it over SSH; "
            "0.0.0.0/0 or ::/0: it listens on all addresses, and the server's own firewall "
            "decides.",
     .type = FIELD_RECORDS,
     .flags = FIELD_ONE_OR_MANY | FIELD_SHORT,
     .offset = offsetof(struct access_section, jupyter),
     .max = 2,
     .sub = given_jupyter_fields,
     .sub_size = sizeof(struct access_item),
     .def = "tunnel"},
    FIELD_END,
};

static void check_item(const struct tree *item, const char *what, bool given, struct diags *diags) {
    struct cidr cidr;
    if (item == NULL || item->type != TREE_SCALAR || cidr_parse(item->text, &cidr) != NULL)
        return;
    if (cidr_mask(&cidr)) {
        char block[CIDR_TEXT_SIZE], help[CIDR_TEXT_SIZE + 16];
        cidr_print(&cidr, block);
        snprintf(help, sizeof help, "write `%s`", block);
        diag_add(diags, item->mark, help, "`%s` has bits behind its prefix", item->text.ptr);
    }
    if (cidr_is_world(&cidr) && given)
        diag_warn(
            diags, item->mark, "`tunnel` opens it to nobody",
            "berth sets no firewall on a server of yours: Jupyter is open to all that its own "
            "lets through");
    else if (cidr_is_world(&cidr))
        diag_warn(diags, item->mark, "my-ip opens it to your address alone",
                  "`%s` is open to the whole world", what);
}

static void check_list(struct tree *tree, const char *what, bool given, struct diags *diags) {
    struct tree *list = tree_get(tree, what);
    size_t len = list == NULL ? 0 : list->type == TREE_LIST ? list->len : 1;
    for (size_t i = 0; i < len; i++) {
        struct tree *item = list->type == TREE_LIST ? list->items[i] : list;
        check_item(item->type == TREE_MAP ? tree_get(item, "cidr") : item, what, given, diags);
    }
}

static bool names_tunnel(const struct access_section *access) {
    const struct access_item *items = access->jupyter.items;
    for (size_t i = 0; i < access->jupyter.len; i++)
        if (cstr_eq(items[i].cidr, "tunnel"))
            return true;
    return false;
}

static void check_access(const struct spec *spec, const void *record, struct tree *tree,
                         struct diags *diags) {
    const struct access_section *access = record;
    const struct tree *jupyter = tree_get(tree, "jupyter");
    check_list(tree, "ssh", false, diags);
    check_list(tree, "jupyter", spec->given, diags);
    if (jupyter != NULL && access->jupyter.len > 1 && names_tunnel(access))
        diag_add(diags, jupyter->mark, "write `jupyter: tunnel` alone, or only addresses",
                 "`tunnel` means that no address may come in");
    if (spec->given && jupyter != NULL && jupyter->type == TREE_LIST && jupyter->len == 0)
        diag_add(diags, jupyter->mark, "write `jupyter: tunnel`",
                 "berth sets no firewall on a server of yours that would let nobody in");
}

const struct section section_access = {
    .name = "access",
    .doc = "Who may come in. Nothing is open to the world unless you say so.",
    .fields = access_fields,
    .given = given_fields,
    .size = sizeof(struct access_section),
    .check = check_access,
};

bool spec_has_tunnel(const struct spec *spec) { return names_tunnel(spec_access(spec)); }

const char *spec_listen_address(const struct spec *spec) {
    const struct access_section *access = spec_access(spec);
    const struct access_item *items = access->jupyter.items;
    if (names_tunnel(access))
        return "127.0.0.1";
    for (size_t i = 0; spec->given && i < access->jupyter.len; i++)
        if (cstr_eq(items[i].cidr, "::/0"))
            return "*";
    return "0.0.0.0";
}

const struct access_section *spec_access(const struct spec *spec) {
    return spec_record(spec, &section_access);
}
