#include "specs/record.h"

#include <string.h>

enum { NO_PLACE = FIELD_LATER | FIELD_REFUSED }; /* in the record */

size_t fields_count(const struct field *fields) {
    size_t n = 0;
    while (fields[n].name != NULL)
        n++;
    return n;
}

const struct field *fields_find(const struct field *fields, const char *name, size_t *ret_index) {
    for (size_t i = 0; fields[i].name != NULL; i++) {
        if (strcmp(fields[i].name, name) == 0) {
            if (ret_index != NULL)
                *ret_index = i;
            return &fields[i];
        }
    }
    return NULL;
}

void record_init(const struct field *fields, void *record) {
    for (; fields->name != NULL; fields++) {
        void *at = (char *)record + fields->offset;
        if (fields->flags & NO_PLACE)
            continue;
        switch (fields->type) {
        case FIELD_INT:
        case FIELD_SIZE:
        case FIELD_DURATION:
            *(int64_t *)at = FIELD_UNSET;
            break;
        case FIELD_GROUP:
            record_init(fields->sub, at);
            break;
        default:
            break;
        }
    }
}

static int copy_list(struct arena *arena, struct strlist *to, const struct strlist *from) {
    *to = (struct strlist){0};
    for (size_t i = 0; i < from->len; i++)
        if (strlist_add(arena, to, from->items[i]) < 0)
            return -ERRC_NOMEM;
    return 0;
}

static int copy_map(struct arena *arena, struct strmap *to, const struct strmap *from) {
    *to = (struct strmap){0};
    return strmap_copy(arena, to, from);
}

static int copy_records(struct arena *arena, const struct field *f, struct reclist *to,
                        const struct reclist *from) {
    char *items = arena_calloc(arena, from->len == 0 ? 1 : from->len, f->sub_size);
    if (items == NULL)
        return -ERRC_NOMEM;
    for (size_t i = 0; i < from->len; i++) {
        int rc = record_copy(arena, f->sub, items + i * f->sub_size,
                             (const char *)from->items + i * f->sub_size);
        if (rc < 0)
            return rc;
    }
    *to = (struct reclist){items, from->len};
    return 0;
}

int record_copy_field(struct arena *arena, const struct field *f, void *to_record,
                      const void *from_record) {
    void *to = (char *)to_record + f->offset;
    const void *from = (const char *)from_record + f->offset;
    if (f->flags & NO_PLACE)
        return 0;
    switch (f->type) {
    case FIELD_BOOL:
        *(bool *)to = *(const bool *)from;
        return 0;
    case FIELD_INT:
    case FIELD_SIZE:
    case FIELD_DURATION:
        *(int64_t *)to = *(const int64_t *)from;
        return 0;
    case FIELD_STR:
    case FIELD_SECRET_REF:
    case FIELD_JSON: {
        const char *text = *(const char *const *)from;
        const char *copy = arena_dup(arena, text);
        if (text != NULL && copy == NULL)
            return -ERRC_NOMEM;
        *(const char **)to = copy;
        return 0;
    }
    case FIELD_LIST:
        return copy_list(arena, to, from);
    case FIELD_MAP:
        return copy_map(arena, to, from);
    case FIELD_GROUP:
        return record_copy(arena, f->sub, to, from);
    case FIELD_RECORDS:
        return copy_records(arena, f, to, from);
    }
    return -ERRC_INTERNAL;
}

int record_copy(struct arena *arena, const struct field *fields, void *to, const void *from) {
    for (; fields->name != NULL; fields++) {
        int rc = record_copy_field(arena, fields, to, from);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static bool records_equal(const struct field *f, const struct reclist *a, const struct reclist *b) {
    if (a->len != b->len)
        return false;
    for (size_t i = 0; i < a->len; i++)
        for (const struct field *s = f->sub; s->name != NULL; s++)
            if (!record_field_equal(s, (const char *)a->items + i * f->sub_size,
                                    (const char *)b->items + i * f->sub_size))
                return false;
    return true;
}

bool record_field_equal(const struct field *f, const void *record_a, const void *record_b) {
    const void *a = (const char *)record_a + f->offset;
    const void *b = (const char *)record_b + f->offset;
    if (f->flags & NO_PLACE)
        return true;
    switch (f->type) {
    case FIELD_BOOL:
        return *(const bool *)a == *(const bool *)b;
    case FIELD_INT:
    case FIELD_SIZE:
    case FIELD_DURATION:
        return *(const int64_t *)a == *(const int64_t *)b;
    case FIELD_STR:
    case FIELD_SECRET_REF:
    case FIELD_JSON:
        return cstr_eq(*(const char *const *)a, *(const char *const *)b);
    case FIELD_LIST:
        return f->flags & FIELD_SET ? strlist_equal_set(a, b) : strlist_equal(a, b);
    case FIELD_MAP:
        return strmap_equal(a, b);
    case FIELD_GROUP:
        for (const struct field *s = f->sub; s->name != NULL; s++)
            if (!record_field_equal(s, a, b))
                return false;
        return true;
    case FIELD_RECORDS:
        return records_equal(f, a, b);
    }
    return false;
}

bool record_field_is_set(const struct field *f, const void *record) {
    const void *at = (const char *)record + f->offset;
    if (f->flags & NO_PLACE)
        return false;
    switch (f->type) {
    case FIELD_BOOL:
        return true;
    case FIELD_INT:
    case FIELD_SIZE:
    case FIELD_DURATION:
        return *(const int64_t *)at != FIELD_UNSET;
    case FIELD_STR:
    case FIELD_SECRET_REF:
    case FIELD_JSON:
        return *(const char *const *)at != NULL;
    case FIELD_LIST:
        return ((const struct strlist *)at)->len > 0;
    case FIELD_MAP:
        return ((const struct strmap *)at)->len > 0;
    case FIELD_GROUP:
        for (const struct field *s = f->sub; s->name != NULL; s++)
            if (s->type != FIELD_BOOL && record_field_is_set(s, at))
                return true;
        return false;
    case FIELD_RECORDS:
        return ((const struct reclist *)at)->len > 0;
    }
    return false;
}
