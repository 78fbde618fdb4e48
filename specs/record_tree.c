/* Filling a record from a spec's tree by its field table: the part of the compiler that users meet.
 */
#include "specs/diag.h"
#include "specs/json_text.h"
#include "specs/record.h"
#include "specs/tree.h"
#include "specs/unit.h"

#include <stdio.h>

struct fill {
    struct arena *arena;
    struct diags *diags;
    const char *where; /* "server.disk" */
};

static const char *found_word(const struct tree *t) {
    static const char *const words[] = {[TREE_NULL] = "nothing",
                                        [TREE_SCALAR] = "text",
                                        [TREE_LIST] = "a list",
                                        [TREE_MAP] = "a map"};
    _Static_assert(sizeof words / sizeof words[0] == TREE_MAP + 1, "one word a type of tree");
    return words[t->type];
}

static void expected(const struct fill *x, const struct field *f, const struct tree *t,
                     const char *what) {
    char help[256];
    snprintf(help, sizeof help, "expected %s", what);
    if (t->type == TREE_SCALAR)
        diag_add(x->diags, t->mark, help, "`%s` is not a good value for `%s`", t->text.ptr,
                 f->name);
    else
        diag_add(x->diags, t->mark, help, "`%s` is %s", f->name, found_word(t));
}

static void check_bounds(const struct fill *x, const struct field *f, const struct tree *t,
                         int64_t value) {
    if (f->max <= f->min || (value >= f->min && value <= f->max))
        return;
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    void (*print)(int64_t, struct buf *) = f->type == FIELD_SIZE       ? unit_print_size
                                           : f->type == FIELD_DURATION ? unit_print_duration
                                                                       : NULL;
    buf_adds(&text, f->max == INT64_MAX ? "expected at least " : "expected ");
    if (print != NULL)
        print(f->min, &text);
    else
        buf_addf(&text, "%lld", (long long)f->min);
    if (f->max != INT64_MAX) {
        buf_adds(&text, " to ");
        if (print != NULL)
            print(f->max, &text);
        else
            buf_addf(&text, "%lld", (long long)f->max);
    }
    diag_add(x->diags, t->mark, buf_cstr(&text), "`%s` is out of bounds", f->name);
}

static void fill_number(const struct fill *x, const struct field *f, const struct tree *t,
                        int64_t *ret) {
    static const char *const words[] = {
        [FIELD_INT] = "a whole number",
        [FIELD_SIZE] = "a size in KiB, MiB, GiB or TiB, such as 30 GiB",
        [FIELD_DURATION] = "a time in s, min, h or d, such as 60 min"};
    bool good = false;
    if (t->type == TREE_SCALAR) {
        if (f->type == FIELD_INT)
            good = !t->quoted && str_to_i64(t->text, INT64_MIN + 1, INT64_MAX, ret);
        else
            good = f->type == FIELD_SIZE ? unit_parse_size(t->text, ret)
                                         : unit_parse_duration(t->text, ret);
    }
    if (good)
        check_bounds(x, f, t, *ret);
    else
        expected(x, f, t, words[f->type]);
}

/* Diagnoses a value of a later version; false when it is none. */
static bool refuse_later(const struct fill *x, const struct field *f, const struct tree *t) {
    for (size_t i = 0; f->later != NULL && f->later[i] != NULL; i++) {
        bool map = cstr_eq(f->later[i], "{}") && t->type == TREE_MAP;
        if (!map && (t->type != TREE_SCALAR || !str_eqc(t->text, f->later[i])))
            continue;
        diag_add(x->diags, t->mark, "leave it out for now", "`%s: %s` is not supported yet",
                 f->name, map ? "{ … }" : f->later[i]);
        return true;
    }
    return false;
}

/* Text by the row's choices and check; true when it may be used. */
static bool check_text(const struct fill *x, const struct field *f, const struct tree *t) {
    if (refuse_later(x, f, t))
        return false;
    if (t->type != TREE_SCALAR) {
        expected(x, f, t, "text");
        return false;
    }
    if (f->choices != NULL) {
        for (size_t i = 0; f->choices[i] != NULL; i++)
            if (str_eqc(t->text, f->choices[i]))
                return true;
        if (f->check == NULL || f->check(t->text) != NULL) {
            char help[DIAG_HELP_SIZE];
            diag_suggest(t->text, f->choices, help, sizeof help);
            diag_add(x->diags, t->mark, help, "`%s` is not a value of `%s`", t->text.ptr, f->name);
            return false;
        }
        return true;
    }
    const char *problem = f->check == NULL ? NULL : f->check(t->text);
    if (problem != NULL)
        expected(x, f, t, problem);
    return problem == NULL;
}

static void no_memory(const struct fill *x) {
    diag_add(x->diags, (struct mark){0}, NULL, "out of memory");
}

static void fill_list(const struct fill *x, const struct field *f, const struct tree *t,
                      struct strlist *list) {
    if (t->type == TREE_SCALAR && f->flags & FIELD_ONE_OR_MANY) {
        if (check_text(x, f, t) && strlist_add(x->arena, list, t->text.ptr) < 0)
            no_memory(x);
        return;
    }
    if (t->type != TREE_LIST) {
        expected(x, f, t, "a list, such as [a, b]");
        return;
    }
    if (f->max > 0 && t->len > (size_t)f->max) {
        diag_add(x->diags, t->mark, NULL, "`%s` has more than %lld items", f->name,
                 (long long)f->max);
        return;
    }
    for (size_t i = 0; i < t->len; i++) {
        const struct tree *item = t->items[i];
        if (!check_text(x, f, item))
            continue;
        if (strlist_has(list, item->text.ptr))
            diag_add(x->diags, item->mark, "leave it out", "`%s` stands twice in `%s`",
                     item->text.ptr, f->name);
        else if (strlist_add(x->arena, list, item->text.ptr) < 0)
            no_memory(x);
    }
}

static void fill_map(const struct fill *x, const struct field *f, const struct tree *t,
                     struct strmap *map) {
    if (t->type != TREE_MAP) {
        expected(x, f, t, "a map, such as { team: growth }");
        return;
    }
    if (f->max > 0 && t->len > (size_t)f->max) {
        diag_add(x->diags, t->mark, NULL, "`%s` has more than %lld entries", f->name,
                 (long long)f->max);
        return;
    }
    for (size_t i = 0; i < t->len; i++) {
        const struct tree *item = t->items[i];
        if (item->type != TREE_SCALAR)
            diag_add(x->diags, item->mark, "expected text", "`%s.%s` is %s", f->name,
                     t->keys[i].ptr, found_word(item));
        else if (strmap_set(x->arena, map, t->keys[i].ptr, item->text.ptr) < 0)
            no_memory(x);
    }
}

static void fill_secret_ref(const struct fill *x, const struct field *f, const struct tree *t,
                            const char **ret) {
    static const char form[] = "{ env: NAME } or { file: PATH }: a secret is never written here";
    const struct tree *value = t->type == TREE_MAP && t->len == 1 ? t->items[0] : NULL;
    if (value == NULL || value->type != TREE_SCALAR || value->text.len == 0 ||
        (!str_eqc(t->keys[0], "env") && !str_eqc(t->keys[0], "file"))) {
        /* Not echoed: it may be the secret itself. */
        char help[128];
        snprintf(help, sizeof help, "expected %s", form);
        diag_add_hidden(x->diags, t->mark, help, "`%s` must say where the secret is", f->name);
        return;
    }
    *ret = arena_printf(x->arena, "%s:%s", t->keys[0].ptr, value->text.ptr);
    if (*ret == NULL)
        no_memory(x);
}

static const char *joined(const struct fill *x, const char *name) {
    const char *out = x->where[0] == '\0' ? name : arena_printf(x->arena, "%s.%s", x->where, name);
    return out == NULL ? name : out;
}

static void fill_value(const struct fill *x, const struct field *f, struct tree *t, void *at);

/* A scalar in place of a map: the first member, which is then called as the whole is. */
static void fill_short(const struct fill *x, const struct field *f, struct tree *t,
                       const char *where, void *at) {
    struct field first = f->sub[0];
    first.name = f->name;
    record_from_tree(x->arena, f->sub, NULL, where, at, x->diags);
    fill_value(x, &first, t, (char *)at + first.offset);
}

static void fill_group(const struct fill *x, const struct field *f, struct tree *t, void *at) {
    const struct field *first = f->sub;
    if (f->flags & FIELD_SHORT && t->type == TREE_SCALAR) {
        fill_short(x, f, t, joined(x, f->name), at);
        return;
    }
    record_from_tree(x->arena, f->sub, t, joined(x, f->name), at, x->diags);
    if (f->flags & FIELD_SHORT && first->type == FIELD_BOOL && tree_get(t, first->name) == NULL)
        *(bool *)((char *)at + first->offset) = true;
}

/* Does the last of the items say the same as one before it? By the first member. */
static bool stands_twice(const struct field *f, const char *items, size_t len) {
    const struct field *first = f->sub;
    for (size_t i = 0; i + 1 < len; i++)
        if (record_field_is_set(first, items + i * f->sub_size) &&
            record_field_equal(first, items + i * f->sub_size, items + (len - 1) * f->sub_size))
            return true;
    return false;
}

static void fill_records(const struct fill *x, const struct field *f, struct tree *t,
                         struct reclist *list) {
    bool one = t->type != TREE_LIST && f->flags & FIELD_ONE_OR_MANY;
    size_t len = one ? 1 : t->len;
    if (t->type != TREE_LIST && !one) {
        expected(x, f, t, "a list");
        return;
    }
    if (f->max > 0 && len > (size_t)f->max) {
        diag_add(x->diags, t->mark, NULL, "`%s` has more than %lld items", f->name,
                 (long long)f->max);
        return;
    }
    char *items = arena_calloc(x->arena, len == 0 ? 1 : len, f->sub_size);
    if (items == NULL) {
        no_memory(x);
        return;
    }
    for (size_t i = 0; i < len; i++) {
        struct tree *item = one ? t : t->items[i];
        const char *path = joined(x, f->name);
        const char *where = one ? path : arena_printf(x->arena, "%s[%zu]", path, i);
        void *at = items + i * f->sub_size;
        if (f->flags & FIELD_SHORT && item->type == TREE_SCALAR)
            fill_short(x, f, item, where == NULL ? f->name : where, at);
        else
            record_from_tree(x->arena, f->sub, item, where == NULL ? f->name : where, at, x->diags);
        if (f->flags & FIELD_SHORT && stands_twice(f, items, i + 1))
            diag_add(x->diags, item->mark, "leave it out", "it stands twice in `%s`", f->name);
    }
    *list = (struct reclist){items, len};
}

static void fill_value(const struct fill *x, const struct field *f, struct tree *t, void *at) {
    switch (f->type) {
    case FIELD_BOOL:
        if (t->type == TREE_SCALAR && !t->quoted &&
            (str_eqc(t->text, "true") || str_eqc(t->text, "false")))
            *(bool *)at = t->text.ptr[0] == 't';
        else
            expected(x, f, t, "true or false");
        return;
    case FIELD_INT:
    case FIELD_SIZE:
    case FIELD_DURATION:
        fill_number(x, f, t, at);
        return;
    case FIELD_STR:
        if (check_text(x, f, t))
            *(const char **)at = t->text.ptr;
        return;
    case FIELD_SECRET_REF:
        fill_secret_ref(x, f, t, at);
        return;
    case FIELD_LIST:
        fill_list(x, f, t, at);
        return;
    case FIELD_MAP:
        fill_map(x, f, t, at);
        return;
    case FIELD_JSON:
        if (t->type != TREE_MAP)
            expected(x, f, t, "a map");
        else if ((*(const char **)at = json_text_of_tree(x->arena, t)) == NULL)
            no_memory(x);
        return;
    case FIELD_GROUP:
        fill_group(x, f, t, at);
        return;
    case FIELD_RECORDS:
        fill_records(x, f, t, at);
        return;
    }
}

/* Defaults are written in the spec's own words and are trusted: a test compiles them all. */
static void fill_default(const struct fill *x, const struct field *f, void *at) {
    if (f->type == FIELD_GROUP) {
        record_from_tree(x->arena, f->sub, NULL, f->name, at, x->diags);
        return;
    }
    if (f->def == NULL)
        return;
    struct tree value = {.type = TREE_SCALAR, .text = str_of(f->def)};
    fill_value(x, f, &value, at);
}

static void unknown_key(const struct fill *x, const struct field *fields, struct tree *t,
                        size_t index) {
    enum { NAMES_MAX = 63 };
    const char *names[NAMES_MAX + 1];
    size_t n = 0;
    for (const struct field *f = fields; f->name != NULL && n < NAMES_MAX; f++)
        if (!(f->flags & (FIELD_LATER | FIELD_REFUSED)))
            names[n++] = f->name;
    names[n] = NULL;
    char help[DIAG_HELP_SIZE];
    diag_suggest(t->keys[index], names, help, sizeof help);
    diag_add(x->diags, t->key_marks[index], help, "unknown key `%s`%s%s%s", t->keys[index].ptr,
             x->where[0] == '\0' ? "" : " in `", x->where, x->where[0] == '\0' ? "" : "`");
}

void record_from_tree(struct arena *arena, const struct field *fields, struct tree *tree,
                      const char *where, void *record, struct diags *diags) {
    struct fill x = {arena, diags, where};
    record_init(fields, record);
    if (tree != NULL && tree->type != TREE_MAP && tree->type != TREE_NULL) {
        diag_add(diags, tree->mark, "expected a map of keys and values", "`%s` is %s", where,
                 found_word(tree));
        tree = NULL;
    }
    for (size_t i = 0; tree != NULL && i < tree->len; i++) {
        const struct field *f = fields_find(fields, tree->keys[i].ptr, NULL);
        if (f == NULL)
            unknown_key(&x, fields, tree, i);
        else if (f->flags & FIELD_LATER)
            diag_add(diags, tree->key_marks[i], "leave it out for now", "`%s` is not supported yet",
                     f->name);
        else if (f->flags & FIELD_REFUSED)
            diag_add(diags, tree->key_marks[i], f->doc, "`%s` does not go with this `provider`",
                     f->name);
        else if (tree->items[i]->type == TREE_NULL)
            diag_add(diags, tree->key_marks[i], "give it a value, or leave the key out",
                     "`%s` has no value", f->name);
        else
            fill_value(&x, f, tree->items[i], (char *)record + f->offset);
    }
    for (const struct field *f = fields; f->name != NULL; f++) {
        bool written = false;
        for (size_t i = 0; tree != NULL && i < tree->len && !written; i++)
            written = str_eqc(tree->keys[i], f->name);
        if (written || f->flags & FIELD_LATER)
            continue;
        if (f->flags & FIELD_REQUIRED && tree != NULL)
            diag_add(diags, tree->key.line > 0 ? tree->key : tree->mark, f->doc,
                     "`%s` is missing%s%s%s", f->name, where[0] == '\0' ? "" : " in `", where,
                     where[0] == '\0' ? "" : "`");
        fill_default(&x, f, (char *)record + f->offset);
    }
}
