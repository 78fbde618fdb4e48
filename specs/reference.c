#include "specs/spec.h"
#include "specs/template.h"
#include "specs/unit.h"

static const char *const type_words[] = {
    [FIELD_BOOL] = "true or false",
    [FIELD_INT] = "whole number",
    [FIELD_SIZE] = "size",
    [FIELD_DURATION] = "time",
    [FIELD_STR] = "text",
    [FIELD_SECRET_REF] = "`{ env: NAME }` or `{ file: PATH }`",
    [FIELD_LIST] = "list of texts",
    [FIELD_MAP] = "map of texts",
    [FIELD_JSON] = "map of any shape",
    [FIELD_GROUP] = "map",
    [FIELD_RECORDS] = "list of maps",
};

_Static_assert(sizeof type_words / sizeof type_words[0] == FIELD_RECORDS + 1,
               "a field type has no word");

static void add_bounds(const struct field *f, struct buf *out) {
    bool number = f->type == FIELD_INT || f->type == FIELD_SIZE || f->type == FIELD_DURATION;
    if (!number || f->max <= f->min || f->max == INT64_MAX)
        return;
    buf_adds(out, ", ");
    if (f->type == FIELD_INT) {
        buf_addf(out, "%lld to %lld", (long long)f->min, (long long)f->max);
        return;
    }
    void (*print)(int64_t, struct buf *) =
        f->type == FIELD_SIZE ? unit_print_size : unit_print_duration;
    print(f->min, out);
    buf_adds(out, " to ");
    print(f->max, out);
}

static void add_type(const struct field *f, struct buf *out) {
    if (f->choices != NULL) {
        for (size_t i = 0; f->choices[i] != NULL; i++)
            buf_addf(out, "%s`%s`", i == 0 ? "" : ", ", f->choices[i]);
        if (f->check != NULL) {
            struct str none = {"", 0};
            const char *form = f->check(none);
            buf_addf(out, "; %s", form == NULL ? "or another" : form);
        }
        return;
    }
    bool many = (f->flags & FIELD_ONE_OR_MANY) != 0, is_short = (f->flags & FIELD_SHORT) != 0;
    if (is_short && f->type == FIELD_GROUP) { /* the first member alone, or all */
        if (f->sub->type == FIELD_BOOL)
            buf_adds(out, "true, false or map");
        else
            add_type(f->sub, out);
        buf_adds(out, f->sub->type == FIELD_BOOL ? "" : ", or map");
        return;
    }
    buf_adds(out, many && is_short ? "text, map, or a list of them"
                  : many           ? "text or list of texts"
                  : is_short       ? "list of texts or maps"
                                   : type_words[f->type]);
    add_bounds(f, out);
}

static void add_rows(const struct field *fields, const char *path, struct buf *out) {
    for (const struct field *f = fields; f->name != NULL; f++) {
        if (f->flags & (FIELD_LATER | FIELD_REFUSED))
            continue;
        _cleanup_buf_ struct buf inner = BUF_INIT(BUF_SMALL);
        buf_addf(&inner, "%s%s%s", path, path[0] == '\0' ? "" : ".", f->name);
        if (inner.failed)
            out->failed = true;
        buf_addf(out, "| `%s` | ", buf_cstr(&inner));
        add_type(f, out);
        buf_adds(out, " | ");
        if (f->flags & FIELD_REQUIRED)
            buf_adds(out, "required");
        else if (f->def != NULL)
            buf_addf(out, "`%s`", f->def);
        buf_addf(out, " | %s |\n", f->doc);
        if (f->type == FIELD_GROUP || f->type == FIELD_RECORDS)
            add_rows(f->sub, buf_cstr(&inner), out);
    }
}

static bool has_later(const struct field *fields) {
    for (const struct field *f = fields; f->name != NULL; f++)
        if (f->flags & FIELD_LATER)
            return true;
    return false;
}

static void add_later(const struct field *fields, struct buf *out) {
    const char *before = "\nNot supported yet: ";
    for (const struct field *f = fields; f->name != NULL; f++) {
        if (f->flags & FIELD_LATER) {
            buf_addf(out, "%s`%s`", before, f->name);
            before = ", ";
        }
    }
    buf_adds(out, ".\n");
}

/* With `provider: host`: rows that are others, and those that have no place. */
static void add_given(const struct section *section, struct buf *out) {
    const char *before = "\nErrors with `provider: host`: ";
    if (section->not_given != NULL)
        buf_addf(out, "\nAn error with `provider: host`: %s.\n", section->not_given);
    if (section->given == NULL)
        return;
    if (section->name[0] != '\0') {
        buf_addf(out,
                 "\nWith `provider: host`, a server that you already have, `%s` is:\n\n"
                 "| field | value | default | meaning |\n|---|---|---|---|\n",
                 section->name);
        add_rows(section->given, "", out);
    }
    for (const struct field *f = section->given; f->name != NULL; f++) {
        if (f->flags & FIELD_REFUSED) {
            buf_addf(out, "%s`%s`", before, f->name);
            before = ", ";
        }
    }
    buf_adds(out, ".\n");
}

void spec_reference_markdown(struct buf *out) {
    buf_adds(out,
             "# The spec language\n\n"
             "Made from the field tables in `specs/sections/`; `berth schema` prints the same\n"
             "as JSON Schema. Unknown keys, duplicate keys, anchors, aliases and tags are\n"
             "errors. Sizes and times carry units (`30 GiB`, `60 min`). Local paths are\n"
             "relative to the spec; `~` in a remote path is the login user's home.\n");
    for (size_t i = 0; sections[i] != NULL; i++) {
        const struct section *section = sections[i];
        if (section->later)
            continue;
        if (section->name[0] == '\0')
            buf_adds(out, "\n## Top level\n");
        else
            buf_addf(out, "\n## `%s`\n", section->name);
        buf_addf(out, "\n%s\n\n", section->doc);
        const struct field *fields =
            section->item_fields != NULL ? section->item_fields : section->fields;
        buf_adds(out, "| field | value | default | meaning |\n|---|---|---|---|\n");
        add_rows(fields, "", out);
        if (has_later(fields))
            add_later(fields, out);
        add_given(section, out);
    }
}
