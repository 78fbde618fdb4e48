/* A compiled spec back as canonical YAML: block style for sections, flow style for what is inside a
 * value. Compiling the print gives equal records; a test holds that. */
#include "specs/json_text.h"
#include "specs/record.h"
#include "specs/spec.h"
#include "specs/unit.h"
#include "specs/yaml_text.h"

#include <stdio.h>

struct printer {
    const struct spec *spec;
    struct buf *out;
};

static void print_json(const cJSON *json, struct buf *out) {
    const cJSON *item;
    if (cJSON_IsObject(json) || cJSON_IsArray(json)) {
        bool map = cJSON_IsObject(json);
        buf_addc(out, map ? '{' : '[');
        cJSON_ArrayForEach(item, json) {
            buf_adds(out, item == json->child ? "" : ", ");
            if (map)
                yaml_text_print_key(str_of(item->string), out);
            print_json(item, out);
        }
        buf_addc(out, map ? '}' : ']');
    } else if (cJSON_IsString(json)) {
        yaml_text_print(str_of(json->valuestring), out);
    } else if (cJSON_IsNumber(json)) {
        /* The canonical text of a number, so that it reads back as the same one. */
        struct arena scratch = {0};
        const char *text = json_text_of_json(&scratch, json);
        if (text == NULL)
            out->failed = true;
        else
            buf_adds(out, text);
        arena_free(&scratch);
    } else {
        buf_adds(out, cJSON_IsTrue(json) ? "true" : cJSON_IsFalse(json) ? "false" : "null");
    }
}

static void print_json_text(const char *text, struct buf *out) {
    cJSON *json = cJSON_Parse(text);
    if (json == NULL)
        out->failed = true;
    else
        print_json(json, out);
    cJSON_Delete(json);
}

static void print_list(const struct strlist *list, struct buf *out) {
    buf_addc(out, '[');
    for (size_t i = 0; i < list->len; i++) {
        buf_adds(out, i == 0 ? "" : ", ");
        yaml_text_print(str_of(list->items[i]), out);
    }
    buf_addc(out, ']');
}

static void print_map(const struct strmap *map, struct buf *out) {
    buf_addc(out, '{');
    for (size_t i = 0; i < map->len; i++) {
        buf_adds(out, i == 0 ? "" : ", ");
        yaml_text_print_key(str_of(map->items[i].key), out);
        yaml_text_print(str_of(map->items[i].value), out);
    }
    buf_addc(out, '}');
}

/* "env:NAME" → { env: NAME } */
static void print_secret_ref(const char *text, struct buf *out) {
    struct str rest = str_of(text);
    struct str source = {NULL, 0};
    (void)str_split(&rest, ':', &source);
    buf_addf(out, "{%.*s: ", STR_FMT(source));
    yaml_text_print(rest, out);
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
        yaml_text_print(str_of(*(const char *const *)at), out);
        return;
    case FIELD_SECRET_REF:
        print_secret_ref(*(const char *const *)at, out);
        return;
    case FIELD_LIST:
        print_list(at, out);
        return;
    case FIELD_MAP:
        print_map(at, out);
        return;
    case FIELD_JSON:
        print_json_text(*(const char *const *)at, out);
        return;
    case FIELD_GROUP:
    case FIELD_RECORDS: /* print_members does these */
        return;
    }
}

static void print_members(const struct printer *p, const struct field *fields, const void *record,
                          const char *path, size_t indent);

static void print_items(const struct printer *p, const struct field *fields, size_t size,
                        const struct reclist *list, const char *path, size_t indent) {
    if (list->len == 0)
        buf_adds(p->out, " []");
    for (size_t i = 0; i < list->len; i++) {
        buf_addc(p->out, '\n');
        buf_addn(p->out, ' ', indent);
        buf_adds(p->out, "-");
        char item[256];
        snprintf(item, sizeof item, "%s[%zu]", path, i);
        print_members(p, fields, (const char *)list->items + i * size, item, indent + 2);
    }
}

/* A group that has to say something is there only when it was written. */
static bool must_be_written(const struct field *f) {
    if (f->type != FIELD_GROUP)
        return false;
    for (const struct field *sub = f->sub; sub->name != NULL; sub++)
        if (sub->flags & FIELD_REQUIRED)
            return true;
    return false;
}

/* What an absent key would not give back: set members, and an empty value that was written. */
static bool is_printed(const struct printer *p, const struct field *f, const void *record,
                       const char *path) {
    if (f->flags & (FIELD_LATER | FIELD_REFUSED))
        return false;
    if (f->type != FIELD_GROUP && record_field_is_set(f, record))
        return true;
    return spec_mark(p->spec, path).line > 0 ||
           (f->type == FIELD_GROUP && !must_be_written(f) && record_field_is_set(f, record));
}

static void print_members(const struct printer *p, const struct field *fields, const void *record,
                          const char *path, size_t indent) {
    size_t printed = 0;
    for (const struct field *f = fields; f->name != NULL; f++) {
        const char *at = (const char *)record + f->offset;
        char inner[256];
        snprintf(inner, sizeof inner, "%s%s%s", path, path[0] == '\0' ? "" : ".", f->name);
        if (!is_printed(p, f, record, inner))
            continue;
        buf_addc(p->out, '\n');
        buf_addn(p->out, ' ', indent);
        buf_addf(p->out, "%s:", f->name);
        printed++;
        if (f->type == FIELD_GROUP) {
            print_members(p, f->sub, at, inner, indent + 2);
        } else if (f->type == FIELD_RECORDS) {
            print_items(p, f->sub, f->sub_size, (const struct reclist *)(const void *)at, inner,
                        indent + 2);
        } else {
            buf_addc(p->out, ' ');
            print_value(f, at, p->out);
        }
    }
    if (printed == 0)
        buf_adds(p->out, " {}");
}

static void print_section(const struct printer *p, size_t index) {
    const struct section *section = sections[index];
    const void *record = p->spec->records[index];
    buf_addf(p->out, "\n%s:", section->name);
    if (section->item_fields != NULL)
        print_items(p, section->item_fields, section->size, record, section->name, 2);
    else
        print_members(p, spec_fields(p->spec, section), record, section->name, 2);
}

void spec_print(const struct spec *spec, struct buf *out) {
    _cleanup_buf_ struct buf text = BUF_INIT(out->max);
    const struct printer p = {spec, &text};
    print_members(&p, spec_fields(spec, sections[0]), spec->records[0], "", 0);
    for (size_t i = 1; sections[i] != NULL; i++)
        if (spec->present[i] && !sections[i]->later)
            print_section(&p, i);
    buf_addc(&text, '\n');
    if (text.failed) {
        out->failed = true;
        return;
    }
    buf_add(out, text.ptr + 1, text.len - 1); /* without the first line break */
}
