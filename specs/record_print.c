#include "specs/record.h"

#include "specs/unit.h"

/* Text that a reader could take for something else is quoted. */
static void print_text(const char *text, struct buf *out) {
    bool quote = text[0] == '\0' || text[0] == ' ' || text[0] == '(';
    for (const char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            quote = true;
    if (!quote) {
        buf_adds(out, text);
        return;
    }
    buf_addc(out, '"');
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '\n')
            buf_adds(out, "\\n");
        else if ((unsigned char)*c < 0x20 || *c == 0x7f)
            buf_addf(out, "\\x%02x", (unsigned char)*c);
        else
            buf_addc(out, *c);
    }
    buf_addc(out, '"');
}

static void print_value(const struct field *f, const void *at, struct buf *out);

static void print_members(const struct field *fields, const void *record, struct buf *out) {
    bool first = true;
    buf_addc(out, '{');
    for (; fields->name != NULL; fields++) {
        if (!record_field_is_set(fields, record))
            continue;
        buf_addf(out, "%s%s: ", first ? "" : ", ", fields->name);
        print_value(fields, (const char *)record + fields->offset, out);
        first = false;
    }
    buf_addc(out, '}');
}

static void print_value(const struct field *f, const void *at, struct buf *out) {
    switch (f->type) {
    case FIELD_BOOL:
        buf_adds(out, *(const bool *)at ? "true" : "false");
        return;
    case FIELD_INT:
        buf_addf(out, "%lld", (long long)*(const int64_t *)at);
        return;
    case FIELD_SIZE:
        unit_print_size(*(const int64_t *)at, out);
        return;
    case FIELD_DURATION:
        unit_print_duration(*(const int64_t *)at, out);
        return;
    case FIELD_STR:
    case FIELD_SECRET_REF:
    case FIELD_JSON:
        print_text(*(const char *const *)at, out);
        return;
    case FIELD_LIST: {
        const struct strlist *list = at;
        buf_addc(out, '[');
        for (size_t i = 0; i < list->len; i++) {
            buf_adds(out, i == 0 ? "" : ", ");
            print_text(list->items[i], out);
        }
        buf_addc(out, ']');
        return;
    }
    case FIELD_MAP: {
        const struct strmap *map = at;
        buf_addc(out, '{');
        for (size_t i = 0; i < map->len; i++) {
            buf_addf(out, "%s%s: ", i == 0 ? "" : ", ", map->items[i].key);
            print_text(map->items[i].value, out);
        }
        buf_addc(out, '}');
        return;
    }
    case FIELD_GROUP:
        print_members(f->sub, at, out);
        return;
    case FIELD_RECORDS: {
        const struct reclist *list = at;
        buf_addc(out, '[');
        for (size_t i = 0; i < list->len; i++) {
            buf_adds(out, i == 0 ? "" : ", ");
            print_members(f->sub, (const char *)list->items + i * f->sub_size, out);
        }
        buf_addc(out, ']');
        return;
    }
    }
}

void record_print_field(const struct field *f, const void *record, struct buf *out) {
    if (!record_field_is_set(f, record))
        buf_adds(out, "(none)");
    else if (f->flags & FIELD_SECRET)
        buf_adds(out, "(secret)");
    else
        print_value(f, (const char *)record + f->offset, out);
}
