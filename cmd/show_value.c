#include "cmd/show_value.h"

#include "cmd/text.h"
#include "specs/record.h"

#include <cjson/cJSON.h>
#include <string.h>

static const char unknown_text[] = "(known after apply)";

static const void *value_at(const struct field *f, const void *record) {
    return (const char *)record + f->offset;
}

static const char *text_of(const struct field *f, const void *record) {
    const char *text = *(const char *const *)value_at(f, record);
    return text == NULL ? "" : text;
}

static size_t count_lines(const char *text) {
    size_t n = 0;
    for (const char *c = text; *c != '\0'; c++)
        n += *c == '\n' || c[1] == '\0';
    return n;
}

/* ---- A flat view of collections: key and value each, for lists the value alone */

struct item {
    const char *key; /* "" in lists */
    const char *value;
};

struct items {
    struct arena arena;
    struct item *items;
    size_t len, cap;
    bool failed;
};

static void items_add(struct items *to, const char *key, const char *value) {
    struct item *grown = arena_grow(&to->arena, to->items, to->len, sizeof *grown, &to->cap);
    if (grown == NULL) {
        to->failed = true;
        return;
    }
    to->items = grown;
    struct item item = {arena_dup(&to->arena, key), arena_dup(&to->arena, value)};
    if (item.key == NULL || item.value == NULL)
        to->failed = true;
    else
        to->items[to->len++] = item;
}

/* Leaves of a JSON value by dotted path; arrays are leaves. */
static void add_json(struct items *to, const char *path, const cJSON *json) {
    const cJSON *member;
    if (cJSON_IsObject(json) && json->child != NULL) {
        cJSON_ArrayForEach(member, json) {
            const char *sub = path[0] == '\0'
                                  ? arena_dup(&to->arena, member->string)
                                  : arena_printf(&to->arena, "%s.%s", path, member->string);
            if (sub != NULL)
                add_json(to, sub, member);
            else
                to->failed = true;
        }
        return;
    }
    char *text = cJSON_PrintUnformatted(json);
    if (text != NULL)
        items_add(to, path, text);
    else
        to->failed = true;
    cJSON_free(text);
}

static void add_group(struct items *to, const char *path, const struct field *fields,
                      const void *record) {
    for (; fields->name != NULL; fields++) {
        if (!record_field_is_set(fields, record))
            continue;
        const char *sub =
            path[0] == '\0' ? fields->name : arena_printf(&to->arena, "%s.%s", path, fields->name);
        _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
        record_print_field(fields, record, &text);
        if (sub != NULL)
            items_add(to, sub, buf_cstr(&text));
    }
}

/* False when the field is not a collection (or its JSON cannot be read). */
static bool flatten(const struct field *f, const void *record, struct items *to) {
    switch (f->type) {
    case FIELD_LIST: {
        const struct strlist *list = value_at(f, record);
        for (size_t i = 0; i < list->len; i++)
            items_add(to, "", list->items[i]);
        return true;
    }
    case FIELD_MAP: {
        const struct strmap *map = value_at(f, record);
        for (size_t i = 0; i < map->len; i++)
            items_add(to, map->items[i].key, map->items[i].value);
        return true;
    }
    case FIELD_JSON: {
        const char *text = text_of(f, record);
        cJSON *json = text[0] == '\0' ? cJSON_CreateObject() : cJSON_Parse(text);
        if (json == NULL)
            return false;
        if (!cJSON_IsObject(json) || json->child != NULL)
            add_json(to, "", json);
        cJSON_Delete(json);
        return true;
    }
    case FIELD_GROUP:
        add_group(to, "", f->sub, value_at(f, record));
        return true;
    case FIELD_RECORDS: {
        const struct reclist *list = value_at(f, record);
        for (size_t i = 0; i < list->len; i++) {
            const char *path = arena_printf(&to->arena, "[%zu]", i);
            if (path != NULL)
                add_group(to, path, f->sub, (const char *)list->items + i * f->sub_size);
        }
        return true;
    }
    default:
        return false;
    }
}

/* ---- Lines */

static void add_name(const char *name, size_t indent, struct buf *out) {
    buf_addn(out, ' ', indent);
    buf_addf(out, "%s:", name);
}

static void wrap_value(const struct look *look, const char *value, size_t col, size_t indent,
                       struct buf *out) {
    text_wrap(look, str_of(value), col, indent, out);
}

void show_field(const struct look *look, const struct field *f, const void *record, bool unknown,
                size_t indent, struct buf *out) {
    if (!unknown && !record_field_is_set(f, record))
        return;
    _cleanup_buf_ struct buf value = BUF_INIT(BUF_MEDIUM);
    if (unknown)
        buf_adds(&value, unknown_text);
    else if (f->flags & FIELD_SECRET)
        buf_adds(&value, "(secret)");
    else if (f->flags & FIELD_MULTILINE)
        buf_addf(&value, "(%zu lines)", count_lines(text_of(f, record)));
    else
        record_print_field(f, record, &value);
    add_name(f->name, indent, out);
    buf_addc(out, ' ');
    wrap_value(look, buf_cstr(&value), indent + strlen(f->name) + 2, indent + 4, out);
    buf_addc(out, '\n');
    out->failed |= value.failed;
}

static void add_signed(const struct look *look, char sign, const struct item *item, const char *was,
                       size_t indent, struct buf *out) {
    char text[2] = {sign, '\0'};
    buf_addn(out, ' ', indent);
    text_paint(look, sign == '+' ? PAINT_GREEN : sign == '-' ? PAINT_RED : PAINT_YELLOW, text, out);
    buf_addc(out, ' ');
    _cleanup_buf_ struct buf line = BUF_INIT(BUF_MEDIUM);
    if (item->key[0] != '\0')
        buf_addf(&line, "%s: ", item->key);
    if (was != NULL)
        buf_addf(&line, "%s %s ", was, text_arrow(look));
    buf_adds(&line, item->value);
    wrap_value(look, buf_cstr(&line), indent + 2, indent + 6, out);
    buf_addc(out, '\n');
    out->failed |= line.failed;
}

static const struct item *find_item(const struct items *in, const struct item *like, bool keyed) {
    for (size_t i = 0; i < in->len; i++)
        if (strcmp(in->items[i].key, like->key) == 0 &&
            (keyed || strcmp(in->items[i].value, like->value) == 0))
            return &in->items[i];
    return NULL;
}

/* False when no line came out: the same items in another order. */
static bool diff_items(const struct look *look, const struct items *before,
                       const struct items *after, bool keyed, size_t indent, struct buf *out) {
    size_t start = out->len;
    for (size_t i = 0; i < before->len; i++) {
        const struct item *b = &before->items[i], *a = find_item(after, b, keyed);
        if (a == NULL)
            add_signed(look, '-', b, NULL, indent, out);
        else if (strcmp(a->value, b->value) != 0)
            add_signed(look, '~', a, b->value, indent, out);
    }
    for (size_t i = 0; i < after->len; i++)
        if (find_item(before, &after->items[i], keyed) == NULL)
            add_signed(look, '+', &after->items[i], NULL, indent, out);
    return out->len > start;
}

static void add_mark(const struct look *look, const char *mark, struct buf *out) {
    if (mark == NULL)
        return;
    buf_addc(out, ' ');
    text_paint(look, PAINT_DIM, mark, out);
}

static bool show_collection(const struct look *look, const struct field *f, const void *before,
                            const void *after, const char *mark, size_t indent, struct buf *out) {
    struct items b = {0}, a = {0};
    bool shown = flatten(f, before, &b) && flatten(f, after, &a);
    if (shown) {
        size_t start = out->len;
        add_name(f->name, indent, out);
        add_mark(look, mark, out);
        buf_addc(out, '\n');
        bool keyed = f->type != FIELD_LIST;
        shown = diff_items(look, &b, &a, keyed, indent + 2, out);
        if (!shown)
            out->len = start;
    }
    out->failed |= a.failed || b.failed;
    arena_free(&a.arena);
    arena_free(&b.arena);
    return shown;
}

void show_field_change(const struct look *look, const struct field *f, const void *before,
                       const void *after, bool unknown, const char *mark, size_t indent,
                       struct buf *out) {
    buf_addn(out, ' ', indent);
    text_paint(look, PAINT_YELLOW, "~", out);
    buf_addc(out, ' ');
    size_t start = out->len;
    bool secret = f->flags & FIELD_SECRET, both = before != NULL && after != NULL && !unknown;
    if (both && !secret && f->flags & FIELD_MULTILINE) {
        add_name(f->name, 0, out);
        add_mark(look, mark, out);
        buf_addc(out, '\n');
        text_diff(look, str_of(text_of(f, before)), str_of(text_of(f, after)), indent + 4, out);
        return;
    }
    if (both && !secret) {
        _cleanup_buf_ struct buf lines = BUF_INIT(BUF_MEDIUM);
        if (show_collection(look, f, before, after, mark, indent + 2, &lines)) {
            /* The sign stands already where the first line's indentation ends. */
            buf_add(out, buf_cstr(&lines) + indent + 2, lines.len - indent - 2);
            out->failed |= lines.failed;
            return;
        }
    }
    _cleanup_buf_ struct buf value = BUF_INIT(BUF_MEDIUM);
    if (before != NULL)
        record_print_field(f, before, &value);
    else
        buf_adds(&value, "(none)");
    buf_addf(&value, " %s ", text_arrow(look));
    if (unknown)
        buf_adds(&value, unknown_text);
    else if (secret)
        buf_adds(&value, "(secret, changed)");
    else if (after != NULL)
        record_print_field(f, after, &value);
    if (mark != NULL)
        buf_addf(&value, " %s", mark);
    out->len = start;
    add_name(f->name, 0, out);
    buf_addc(out, ' ');
    wrap_value(look, buf_cstr(&value), indent + 4 + strlen(f->name), indent + 6, out);
    buf_addc(out, '\n');
    out->failed |= value.failed;
}
