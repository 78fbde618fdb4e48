#include "specs/sections/check.h"
#include "specs/sections/sections.h"

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
    {.name = "mirror", .doc = "Delete what is not here.", .flags = FIELD_LATER},
    FIELD_END,
};

static void check_files(const struct spec *spec, const void *record, struct tree *tree,
                        struct diags *diags) {
    const struct reclist *files = record;
    const struct file_item *items = files->items;
    (void)spec;
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
