/* JSON Schema 2020-12 out of the field tables: what editors and other validators check a spec with.
 * Relations between fields stay with the sections' own checks. */
#include "specs/spec.h"

#include <cjson/cJSON.h>

struct schema {
    bool failed; /* memory ran out; sticky */
};

/* Ownership of `item` moves to `parent`, or it is freed. Returns it, or NULL. */
static cJSON *put(struct schema *s, cJSON *parent, const char *name, cJSON *item) {
    bool added = item != NULL && parent != NULL &&
                 (name == NULL ? cJSON_AddItemToArray(parent, item)
                               : cJSON_AddItemToObject(parent, name, item));
    if (added)
        return item;
    cJSON_Delete(item);
    s->failed = true;
    return NULL;
}

static void put_text(struct schema *s, cJSON *parent, const char *name, const char *text) {
    put(s, parent, name, cJSON_CreateString(text));
}

static cJSON *put_object(struct schema *s, cJSON *parent, const char *name) {
    return put(s, parent, name, cJSON_CreateObject());
}

/* Beyond it a JSON number would be rounded; such bounds only mean "none". */
static const int64_t NUMBER_MAX = INT64_C(1) << 53;

static void put_bounds(struct schema *s, cJSON *out, const struct field *f) {
    if (f->max <= f->min)
        return;
    put(s, out, "minimum", cJSON_CreateNumber((double)f->min));
    if (f->max < NUMBER_MAX)
        put(s, out, "maximum", cJSON_CreateNumber((double)f->max));
}

static void put_choices(struct schema *s, cJSON *out, const struct field *f) {
    cJSON *list = put(s, out, "enum", cJSON_CreateArray());
    for (size_t i = 0; f->choices[i] != NULL; i++)
        put_text(s, list, NULL, f->choices[i]);
}

/* One text: a choice, or what the pattern says. */
static void put_string(struct schema *s, cJSON *out, const struct field *f) {
    if (f->flags & FIELD_NUMBER) {
        cJSON *types = put(s, out, "type", cJSON_CreateArray());
        put_text(s, types, NULL, "number");
        put_text(s, types, NULL, "string");
        put(s, out, "exclusiveMinimum", cJSON_CreateNumber(0));
    } else {
        put_text(s, out, "type", "string");
    }
    if (f->choices != NULL && f->pattern != NULL) {
        cJSON *any = put(s, out, "anyOf", cJSON_CreateArray());
        put_choices(s, put_object(s, any, NULL), f);
        put_text(s, put_object(s, any, NULL), "pattern", f->pattern);
    } else if (f->choices != NULL) {
        put_choices(s, out, f);
    } else if (f->pattern != NULL) {
        put_text(s, out, "pattern", f->pattern);
    } else if (f->check != NULL) {
        put(s, out, "minLength", cJSON_CreateNumber(1));
    }
}

static void put_array(struct schema *s, cJSON *out, const struct field *f) {
    put_text(s, out, "type", "array");
    put_string(s, put_object(s, out, "items"), f);
    put(s, out, "uniqueItems", cJSON_CreateTrue());
    if (f->max > 0)
        put(s, out, "maxItems", cJSON_CreateNumber((double)f->max));
}

static void put_list(struct schema *s, cJSON *out, const struct field *f) {
    if (!(f->flags & FIELD_ONE_OR_MANY)) {
        put_array(s, out, f);
        return;
    }
    cJSON *any = put(s, out, "anyOf", cJSON_CreateArray());
    put_string(s, put_object(s, any, NULL), f);
    put_array(s, put_object(s, any, NULL), f);
}

static void put_map(struct schema *s, cJSON *out, const struct field *f) {
    static const char *const types[] = {"string", "number", "boolean"};
    put_text(s, out, "type", "object");
    cJSON *list = put(s, put_object(s, out, "additionalProperties"), "type", cJSON_CreateArray());
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        put_text(s, list, NULL, types[i]);
    if (f->max > 0)
        put(s, out, "maxProperties", cJSON_CreateNumber((double)f->max));
}

static void put_secret_ref(struct schema *s, cJSON *out) {
    put_text(s, out, "type", "object");
    cJSON *properties = put_object(s, out, "properties");
    put_text(s, put_object(s, properties, "env"), "type", "string");
    put_text(s, put_object(s, properties, "file"), "type", "string");
    put(s, out, "additionalProperties", cJSON_CreateFalse());
    put(s, out, "minProperties", cJSON_CreateNumber(1));
    put(s, out, "maxProperties", cJSON_CreateNumber(1));
}

static void put_default(struct schema *s, cJSON *out, const struct field *f) {
    if (f->def == NULL)
        return;
    int64_t number = 0;
    if (f->type == FIELD_BOOL)
        put(s, out, "default", cJSON_CreateBool(f->def[0] == 't'));
    else if (f->type == FIELD_INT && str_to_i64(str_of(f->def), f->min, f->max, &number))
        put(s, out, "default", cJSON_CreateNumber((double)number));
    else
        put_text(s, out, "default", f->def);
}

static void put_record(struct schema *s, cJSON *out, const struct field *fields);

static void put_field(struct schema *s, cJSON *out, const struct field *f);

/* The map of a group, or of an item; where a scalar may stand for it, both into `any`. */
static void put_member(struct schema *s, cJSON *any, cJSON *out, const struct field *f) {
    if (any == NULL) {
        put_record(s, out, f->sub);
        return;
    }
    put_field(s, put_object(s, any, NULL), f->sub);
    put_record(s, put_object(s, any, NULL), f->sub);
}

static void put_records(struct schema *s, cJSON *out, const struct field *f) {
    bool one = (f->flags & FIELD_ONE_OR_MANY) != 0, is_short = (f->flags & FIELD_SHORT) != 0;
    cJSON *any = one ? put(s, out, "anyOf", cJSON_CreateArray()) : NULL;
    if (one && is_short)
        put_member(s, any, NULL, f);
    else if (one)
        put_record(s, put_object(s, any, NULL), f->sub);
    cJSON *array = one ? put_object(s, any, NULL) : out;
    put_text(s, array, "type", "array");
    cJSON *items = put_object(s, array, "items");
    put_member(s, is_short ? put(s, items, "anyOf", cJSON_CreateArray()) : NULL, items, f);
    if (f->max > 0)
        put(s, array, "maxItems", cJSON_CreateNumber((double)f->max));
}

static void put_field(struct schema *s, cJSON *out, const struct field *f) {
    put_text(s, out, "description", f->doc);
    put_default(s, out, f);
    switch (f->type) {
    case FIELD_BOOL:
        put_text(s, out, "type", "boolean");
        return;
    case FIELD_INT:
        put_text(s, out, "type", "integer");
        put_bounds(s, out, f);
        return;
    case FIELD_SIZE:
        put_text(s, out, "type", "string");
        put_text(s, out, "pattern", "^[0-9]+ *(GiB|TiB)$");
        return;
    case FIELD_DURATION:
        put_text(s, out, "type", "string");
        put_text(s, out, "pattern", "^[0-9]+ *(s|min|h|d)$");
        return;
    case FIELD_STR:
        put_string(s, out, f);
        return;
    case FIELD_SECRET_REF:
        put_secret_ref(s, out);
        return;
    case FIELD_LIST:
        put_list(s, out, f);
        return;
    case FIELD_MAP:
        put_map(s, out, f);
        return;
    case FIELD_JSON:
        put_text(s, out, "type", "object");
        return;
    case FIELD_GROUP:
        put_member(s, f->flags & FIELD_SHORT ? put(s, out, "anyOf", cJSON_CreateArray()) : NULL,
                   out, f);
        return;
    case FIELD_RECORDS:
        put_records(s, out, f);
        return;
    }
}

/* The members of a map into its "properties" and "required". */
static void put_members(struct schema *s, cJSON *properties, cJSON *required,
                        const struct field *fields) {
    for (const struct field *f = fields; f->name != NULL; f++) {
        if (f->flags & (FIELD_LATER | FIELD_REFUSED))
            continue;
        put_field(s, put_object(s, properties, f->name), f);
        if (f->flags & FIELD_REQUIRED)
            put_text(s, required, NULL, f->name);
    }
}

static void put_record(struct schema *s, cJSON *out, const struct field *fields) {
    put_text(s, out, "type", "object");
    cJSON *properties = put_object(s, out, "properties");
    cJSON *required = put(s, out, "required", cJSON_CreateArray());
    put_members(s, properties, required, fields);
    put(s, out, "additionalProperties", cJSON_CreateFalse());
}

/* What holds with one sort of provider only, of all sections. */
static void put_rows_of(struct schema *s, cJSON *out, bool given) {
    cJSON *properties = put_object(s, out, "properties");
    const struct field *top = given ? sections[0]->given : sections[0]->fields;
    for (; top->name != NULL; top++)
        if (top->flags & FIELD_REFUSED)
            put(s, properties, top->name, cJSON_CreateFalse());
    for (size_t i = 1; sections[i] != NULL; i++) {
        if (given && sections[i]->not_given != NULL)
            put(s, properties, sections[i]->name, cJSON_CreateFalse());
        else if (sections[i]->given != NULL)
            put_record(s, put_object(s, properties, sections[i]->name),
                       given ? sections[i]->given : sections[i]->fields);
    }
}

static void put_provider_rows(struct schema *s, cJSON *root) {
    cJSON *is_host = put_object(s, root, "if");
    cJSON *provider = put_object(s, put_object(s, is_host, "properties"), "provider");
    put_text(s, provider, "const", "host");
    put_text(s, put(s, is_host, "required", cJSON_CreateArray()), NULL, "provider");
    put_rows_of(s, put_object(s, root, "then"), true);
    put_rows_of(s, put_object(s, root, "else"), false);
}

static void put_section(struct schema *s, cJSON *properties, cJSON *required,
                        const struct section *section) {
    cJSON *out = put_object(s, properties, section->name);
    put_text(s, out, "description", section->doc);
    if (section->given != NULL) { /* its rows: put_rows_of */
        put_text(s, out, "type", "object");
    } else if (section->item_fields != NULL) {
        put_text(s, out, "type", "array");
        put_record(s, put_object(s, out, "items"), section->item_fields);
    } else {
        put_record(s, out, section->fields);
    }
    /* A section with a required member is required itself. */
    for (const struct field *f = section->fields; f != NULL && f->name != NULL; f++) {
        if (f->flags & FIELD_REQUIRED) {
            put_text(s, required, NULL, section->name);
            return;
        }
    }
}

struct cJSON *spec_schema(void) {
    struct schema s = {false};
    cJSON *root = cJSON_CreateObject();
    if (root == NULL)
        return NULL;
    put_text(&s, root, "$schema", "https://json-schema.org/draft/2020-12/schema");
    put_text(&s, root, "title", "berth.yaml");
    put_text(&s, root, "type", "object");
    cJSON *properties = put_object(&s, root, "properties");
    cJSON *required = put(&s, root, "required", cJSON_CreateArray());
    put_members(&s, properties, required, sections[0]->fields);
    for (size_t i = 1; sections[i] != NULL; i++)
        if (!sections[i]->later)
            put_section(&s, properties, required, sections[i]);
    put(&s, root, "additionalProperties", cJSON_CreateFalse());
    put_provider_rows(&s, root);
    if (!s.failed)
        return root;
    cJSON_Delete(root);
    return NULL;
}
