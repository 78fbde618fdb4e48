#include "specs/record.h"

#include <math.h>

static cJSON *list_to_json(const struct strlist *list) {
    cJSON *out = cJSON_CreateArray();
    for (size_t i = 0; out != NULL && i < list->len; i++) {
        cJSON *item = cJSON_CreateString(list->items[i]);
        if (item == NULL || !cJSON_AddItemToArray(out, item)) {
            cJSON_Delete(item);
            cJSON_Delete(out);
            return NULL;
        }
    }
    return out;
}

static cJSON *map_to_json(const struct strmap *map) {
    cJSON *out = cJSON_CreateObject();
    for (size_t i = 0; out != NULL && i < map->len; i++) {
        if (cJSON_AddStringToObject(out, map->items[i].key, map->items[i].value) == NULL) {
            cJSON_Delete(out);
            return NULL;
        }
    }
    return out;
}

static cJSON *records_to_json(const struct field *f, const struct reclist *list, bool all) {
    cJSON *out = cJSON_CreateArray();
    for (size_t i = 0; out != NULL && i < list->len; i++) {
        cJSON *item = record_to_json(f->sub, (const char *)list->items + i * f->sub_size, all);
        if (item == NULL || !cJSON_AddItemToArray(out, item)) {
            cJSON_Delete(item);
            cJSON_Delete(out);
            return NULL;
        }
    }
    return out;
}

static cJSON *value_to_json(const struct field *f, const void *at, bool all) {
    switch (f->type) {
    case FIELD_BOOL:
        return cJSON_CreateBool(*(const bool *)at);
    case FIELD_INT:
    case FIELD_SIZE:
    case FIELD_DURATION:
        return cJSON_CreateNumber((double)*(const int64_t *)at);
    case FIELD_STR:
    case FIELD_SECRET_REF:
    case FIELD_JSON: /* text, so that reading it back gives the same bytes */
        return cJSON_CreateString(*(const char *const *)at);
    case FIELD_LIST:
        return list_to_json(at);
    case FIELD_MAP:
        return map_to_json(at);
    case FIELD_GROUP:
        return record_to_json(f->sub, at, all);
    case FIELD_RECORDS:
        return records_to_json(f, at, all);
    }
    return NULL;
}

cJSON *record_to_json(const struct field *fields, const void *record, bool all) {
    cJSON *out = cJSON_CreateObject();
    for (; out != NULL && fields->name != NULL; fields++) {
        if (!record_field_is_set(fields, record) ||
            (!all && fields->flags & (FIELD_UNSTORED | FIELD_SECRET)))
            continue;
        cJSON *value = value_to_json(fields, (const char *)record + fields->offset, all);
        if (value == NULL || !cJSON_AddItemToObject(out, fields->name, value)) {
            cJSON_Delete(value);
            cJSON_Delete(out);
            return NULL;
        }
    }
    return out;
}

static int wrong_type(const struct field *f, struct err *err) {
    return err_set(err, ERRC_STATE, "member \"%s\" has the wrong type", f->name);
}

static int list_from_json(struct arena *arena, const struct field *f, const cJSON *json,
                          struct strlist *out, struct err *err) {
    if (!cJSON_IsArray(json))
        return wrong_type(f, err);
    const cJSON *item;
    cJSON_ArrayForEach(item, json) {
        if (!cJSON_IsString(item))
            return wrong_type(f, err);
        if (strlist_add(arena, out, item->valuestring) < 0)
            return err_no_memory(err);
    }
    return 0;
}

static int map_from_json(struct arena *arena, const struct field *f, const cJSON *json,
                         struct strmap *out, struct err *err) {
    bool list = cJSON_IsArray(json); /* of an older berth: the keys alone */
    if (!cJSON_IsObject(json) && !list)
        return wrong_type(f, err);
    const cJSON *item;
    cJSON_ArrayForEach(item, json) {
        if (!cJSON_IsString(item))
            return wrong_type(f, err);
        if (strmap_set(arena, out, list ? item->valuestring : item->string,
                       list ? "" : item->valuestring) < 0)
            return err_no_memory(err);
    }
    return 0;
}

static int records_from_json(struct arena *arena, const struct field *f, const cJSON *json,
                             struct reclist *out, struct err *err) {
    if (!cJSON_IsArray(json))
        return wrong_type(f, err);
    size_t len = (size_t)cJSON_GetArraySize(json);
    char *items = arena_calloc(arena, len == 0 ? 1 : len, f->sub_size);
    if (items == NULL)
        return err_no_memory(err);
    size_t i = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, json) {
        int rc = record_from_json(arena, f->sub, item, items + i++ * f->sub_size, err);
        if (rc < 0)
            return rc;
    }
    *out = (struct reclist){items, len};
    return 0;
}

/* 2^53: beyond it a JSON number may have been rounded. */
#define NUMBER_MAX 9007199254740992.0

static int value_from_json(struct arena *arena, const struct field *f, const cJSON *json, void *at,
                           struct err *err) {
    switch (f->type) {
    case FIELD_BOOL:
        if (!cJSON_IsBool(json))
            return wrong_type(f, err);
        *(bool *)at = cJSON_IsTrue(json);
        return 0;
    case FIELD_INT:
    case FIELD_SIZE:
    case FIELD_DURATION:
        if (!cJSON_IsNumber(json) || fabs(json->valuedouble) > NUMBER_MAX ||
            (double)(int64_t)json->valuedouble != json->valuedouble)
            return wrong_type(f, err);
        *(int64_t *)at = (int64_t)json->valuedouble;
        return 0;
    case FIELD_STR:
    case FIELD_SECRET_REF:
    case FIELD_JSON:
        if (!cJSON_IsString(json))
            return wrong_type(f, err);
        *(const char **)at = arena_dup(arena, json->valuestring);
        return *(const char **)at == NULL ? err_no_memory(err) : 0;
    case FIELD_LIST:
        return list_from_json(arena, f, json, at, err);
    case FIELD_MAP:
        return map_from_json(arena, f, json, at, err);
    case FIELD_GROUP:
        return record_from_json(arena, f->sub, json, at, err);
    case FIELD_RECORDS:
        return records_from_json(arena, f, json, at, err);
    }
    return err_set(err, ERRC_INTERNAL, "field %s has no type", f->name);
}

int record_from_json(struct arena *arena, const struct field *fields, const cJSON *json,
                     void *record, struct err *err) {
    if (!cJSON_IsObject(json))
        return err_set(err, ERRC_STATE, "attributes are not an object");
    record_init(fields, record);
    for (; fields->name != NULL; fields++) {
        const cJSON *member = cJSON_GetObjectItemCaseSensitive(json, fields->name);
        if (member == NULL || cJSON_IsNull(member))
            continue;
        int rc = value_from_json(arena, fields, member, (char *)record + fields->offset, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}
