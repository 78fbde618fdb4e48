#include "specs/spec.h"

#include "specs/record.h"
#include "specs/sections/sections.h"

static size_t section_index(const struct section *section) {
    size_t i = 0;
    while (sections[i] != section)
        i++;
    return i;
}

const void *spec_record(const struct spec *spec, const struct section *section) {
    return spec->records[section_index(section)];
}

bool spec_has(const struct spec *spec, const struct section *section) {
    return spec->present[section_index(section)];
}

const struct field *spec_fields(const struct spec *spec, const struct section *section) {
    return spec->given && section->given != NULL ? section->given : section->fields;
}

struct mark spec_mark(const struct spec *spec, const char *path) {
    const struct tree *t = tree_get(spec->root, path);
    return t == NULL ? (struct mark){0} : t->mark;
}

/* Splits the root: what is not a section's name belongs to the top level's own table. */
static struct tree *top_tree(struct arena *arena, const struct tree *root) {
    struct tree *top = ARENA_NEW(arena, struct tree);
    if (top == NULL)
        return NULL;
    *top = *root;
    top->items = arena_calloc(arena, root->len + 1, sizeof *top->items);
    top->keys = arena_calloc(arena, root->len + 1, sizeof *top->keys);
    top->key_marks = arena_calloc(arena, root->len + 1, sizeof *top->key_marks);
    if (top->items == NULL || top->keys == NULL || top->key_marks == NULL)
        return NULL;
    top->len = 0;
    for (size_t i = 0; i < root->len; i++) {
        bool is_section = false;
        for (size_t s = 1; sections[s] != NULL && !is_section; s++)
            is_section = str_eqc(root->keys[i], sections[s]->name);
        if (is_section)
            continue;
        top->items[top->len] = root->items[i];
        top->keys[top->len] = root->keys[i];
        top->key_marks[top->len++] = root->key_marks[i];
    }
    return top;
}

/* Every key that may stand at the top level; returns how many. */
static size_t top_names(const char *names[], size_t max) {
    size_t n = 0;
    for (const struct field *f = section_top.fields; f->name != NULL && n < max; f++)
        names[n++] = f->name;
    for (size_t s = 1; sections[s] != NULL && n < max; s++)
        if (!sections[s]->later)
            names[n++] = sections[s]->name;
    return n;
}

/* Diagnoses unknown keys of the top level and takes them out: its own table alone would neither
 * list nor suggest the sections. */
static void drop_unknown(struct diags *diags, struct tree *top) {
    const char *names[2 * SECTION_MAX + 1];
    size_t n = top_names(names, 2 * SECTION_MAX);
    names[n] = NULL;
    size_t kept = 0;
    for (size_t i = 0; i < top->len; i++) {
        if (fields_find(section_top.fields, top->keys[i].ptr, NULL) == NULL) {
            char help[DIAG_HELP_SIZE];
            diag_suggest(top->keys[i], names, help, sizeof help);
            diag_add(diags, top->key_marks[i], help, "unknown key `%s`", top->keys[i].ptr);
            continue;
        }
        top->items[kept] = top->items[i];
        top->keys[kept] = top->keys[i];
        top->key_marks[kept++] = top->key_marks[i];
    }
    top->len = kept;
}

static void *compile_list(struct arena *arena, const struct section *section, struct tree *tree,
                          struct diags *diags) {
    struct reclist *list = ARENA_NEW(arena, struct reclist);
    if (list == NULL)
        return NULL;
    const struct field row = {.name = section->name,
                              .type = FIELD_RECORDS,
                              .sub = section->item_fields,
                              .sub_size = section->size};
    struct tree *const items[] = {tree};
    struct str keys[] = {str_of(section->name)};
    struct mark marks[] = {tree == NULL ? (struct mark){0} : tree->key};
    struct tree map = {.type = TREE_MAP,
                       .items = (struct tree **)items,
                       .keys = keys,
                       .key_marks = marks,
                       .len = 1};
    const struct field rows[] = {row, FIELD_END};
    if (tree != NULL)
        record_from_tree(arena, rows, &map, "", list, diags);
    return list;
}

static bool compile_section(struct spec *spec, size_t index, struct tree *tree,
                            struct diags *diags) {
    const struct section *section = sections[index];
    spec->present[index] = tree != NULL;
    if (section->later) {
        if (tree != NULL)
            diag_add(diags, tree->key, "leave it out for now", "`%s` is not supported yet",
                     section->name);
        return true;
    }
    if (section->item_fields != NULL) {
        spec->records[index] = compile_list(spec->arena, section, tree, diags);
        return spec->records[index] != NULL;
    }
    spec->records[index] = arena_alloc(spec->arena, section->size);
    if (spec->records[index] == NULL)
        return false;
    if (spec->given && section->not_given != NULL && tree != NULL) {
        diag_add(diags, tree->key, section->not_given, "`%s` does not go with `provider: host`",
                 section->name);
        tree = NULL;
    }
    record_init(section->fields, spec->records[index]); /* also what the other rows leave out */
    record_from_tree(spec->arena, spec_fields(spec, section), tree, section->name,
                     spec->records[index], diags);
    return true;
}

static bool compile_sections(struct spec *spec, struct tree *top, struct diags *diags) {
    for (size_t i = 0; sections[i] != NULL; i++) {
        struct tree *tree = i == 0 ? top : tree_get(spec->root, sections[i]->name);
        if (!compile_section(spec, i, tree, diags))
            return false;
        if (i == 0) {
            const struct top_section *record = spec_top(spec);
            spec->name = record->name;
            spec->provider = record->provider;
        }
    }
    for (size_t i = 0; sections[i] != NULL; i++)
        if (sections[i]->check != NULL)
            sections[i]->check(spec, spec->records[i],
                               i == 0 ? top : tree_get(spec->root, sections[i]->name), diags);
    return true;
}

struct spec *spec_compile(struct arena *arena, struct diags *diags) {
    struct spec *spec = ARENA_NEW(arena, struct spec);
    struct tree *root = tree_parse(arena, diags);
    if (spec == NULL)
        diag_add(diags, (struct mark){0}, NULL, "out of memory");
    if (spec == NULL || root == NULL)
        return NULL;
    if (root->type != TREE_MAP) {
        diag_add(diags, root->mark, "expected keys and values, as `berth init` writes them",
                 "this is not a spec");
        return NULL;
    }
    *spec = (struct spec){.arena = arena, .root = root};
    const struct tree *provider = tree_get(root, "provider"); /* says which rows hold */
    spec->given = provider != NULL && str_eqc(provider->text, "host");
    struct tree *top = top_tree(arena, root);
    if (top != NULL)
        drop_unknown(diags, top);
    if (top == NULL || !compile_sections(spec, top, diags)) {
        diag_add(diags, (struct mark){0}, NULL, "out of memory");
        return NULL;
    }
    return diags->errors > 0 ? NULL : spec;
}
