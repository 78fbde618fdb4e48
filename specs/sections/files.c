#include "specs/sections/check.h"
#include "specs/sections/sections.h"

#include <string.h>

static const struct field file_fields[] = {
    {.name = "from",
     .doc = "File or folder here, relative to the spec.",
     .type = FIELD_STR,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct file_item, from),
     .check = check_nonempty},
    {.name = "to",
     .doc = "Path on the server; ~ is the login user's home.",
     .type = FIELD_STR,
     .flags = FIELD_REQUIRED,
     .offset = offsetof(struct file_item, to),
     .check = check_remote_path,
     .pattern = "^(~|~/.*|/.*)$"},
    {.name = "mode",
     .doc = "Octal mode; without it as it is here.",
     .type = FIELD_STR,
     .offset = offsetof(struct file_item, mode),
     .check = check_file_mode,
     .pattern = "^0?[0-7]{3}$"},
    {.name = "owner",
     .doc = "User on the server; without it the login user below ~, else root.",
     .type = FIELD_STR,
     .offset = offsetof(struct file_item, owner),
     .check = check_user,
     .pattern = "^[a-z_][a-z0-9_-]{0,31}$"},
    {.name = "mirror",
     .doc = "true: files there that are not here are deleted; each is shown in the plan.",
     .type = FIELD_BOOL,
     .offset = offsetof(struct file_item, mirror),
     .def = "false"},
    FIELD_END,
};

/* A folder that holds more than was sent there: its files are others'. */
static bool is_too_wide(const char *to) {
    const char *rest = to[0] == '~' ? to + 1 : strchr(to + 1, '/');
    while (rest != NULL && (*rest == '/' || (*rest == '.' && (rest[1] == '/' || rest[1] == '\0'))))
        rest++;
    return rest == NULL || *rest == '\0';
}

static void check_files(const struct spec *spec, const void *record, struct tree *tree,
                        struct diags *diags) {
    const struct reclist *files = record;
    const struct file_item *items = files->items;
    (void)spec;
    for (size_t i = 0; i < files->len; i++)
        if (items[i].mirror && items[i].to != NULL && is_too_wide(items[i].to))
            diag_add(diags, tree->items[i]->mark, "mirror a folder of its own, such as ~/notebooks",
                     "`%s` cannot be mirrored: it holds what others need", items[i].to);
    for (size_t i = 0; i < files->len; i++)
        for (size_t j = 0; j < i; j++)
            if (items[i].to != NULL && cstr_eq(items[i].to, items[j].to)) {
                diag_add(diags, tree->items[i]->mark, "give each a path of its own",
                         "`%s` is written twice", items[i].to);
                break;
            }
}

const struct section section_files = {
    .name = "files",
    .doc = "Files and folders that are copied to the server.",
    .item_fields = file_fields,
    .size = sizeof(struct file_item),
    .check = check_files,
};

const struct reclist *spec_files(const struct spec *spec) {
    return spec_record(spec, &section_files);
}
