#include "specs/json_text.h"

#include "specs/buf.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_number(struct str s) {
    size_t i = s.len > 0 && s.ptr[0] == '-' ? 1 : 0;
    size_t digits = 0, dots = 0, exponents = 0;
    for (; i < s.len; i++) {
        char c = s.ptr[i];
        if (c >= '0' && c <= '9')
            digits++;
        else if (c == '.' && dots == 0 && exponents == 0 && digits > 0)
            dots++;
        else if ((c == 'e' || c == 'E') && exponents == 0 && digits > 0 && i + 1 < s.len) {
            exponents++;
            if (s.ptr[i + 1] == '-' || s.ptr[i + 1] == '+')
                i++;
        } else
            return false;
    }
    char last = s.len > 0 ? s.ptr[s.len - 1] : 'x';
    return digits > 0 && last >= '0' && last <= '9';
}

static cJSON *scalar_to_json(const struct tree *tree) {
    struct str s = tree->text;
    if (!tree->quoted) {
        if (str_eqc(s, "true") || str_eqc(s, "false"))
            return cJSON_CreateBool(s.ptr[0] == 't');
        /* What no double holds, such as 1e999, stays text. */
        double value = is_number(s) ? strtod(s.ptr, NULL) : NAN;
        if (isfinite(value))
            return cJSON_CreateNumber(value);
    }
    return cJSON_CreateString(s.ptr);
}

static cJSON *tree_to_json(const struct tree *tree) {
    switch (tree->type) {
    case TREE_NULL:
        return cJSON_CreateNull();
    case TREE_SCALAR:
        return scalar_to_json(tree);
    case TREE_LIST:
    case TREE_MAP:
        break;
    }
    bool map = tree->type == TREE_MAP;
    cJSON *out = map ? cJSON_CreateObject() : cJSON_CreateArray();
    for (size_t i = 0; out != NULL && i < tree->len; i++) {
        cJSON *item = tree_to_json(tree->items[i]);
        bool added = item != NULL && (map ? cJSON_AddItemToObject(out, tree->keys[i].ptr, item)
                                          : cJSON_AddItemToArray(out, item));
        if (!added) {
            cJSON_Delete(item);
            cJSON_Delete(out);
            return NULL;
        }
    }
    return out;
}

static int compare_names(const void *a, const void *b) {
    return strcmp((*(const cJSON *const *)a)->string, (*(const cJSON *const *)b)->string);
}

static void print_string(const char *text, struct buf *out) {
    buf_addc(out, '"');
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            buf_addf(out, "\\%c", c);
        else if (c == '\n')
            buf_adds(out, "\\n");
        else if (c == '\t')
            buf_adds(out, "\\t");
        else if (c < 0x20)
            buf_addf(out, "\\u%04x", c);
        else
            buf_addc(out, (char)c);
    }
    buf_addc(out, '"');
}

static void print_number(double value, struct buf *out) {
    if (!isfinite(value)) { /* what was read is more than a double holds; "inf" is no JSON */
        buf_adds(out, value < 0 ? "-1e999" : "1e999");
        return;
    }
    if (fabs(value) < 1e15 && (double)(int64_t)value == value) {
        buf_addf(out, "%.0f", value);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        char text[40];
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (digits == 17 || !(fabs(strtod(text, NULL) - value) > 0)) {
            buf_adds(out, text);
            return;
        }
    }
}

static void print_canonical(const cJSON *json, struct buf *out);

static void print_object(const cJSON *json, struct buf *out) {
    size_t len = (size_t)cJSON_GetArraySize(json);
    const cJSON **items = calloc(len + 1, sizeof *items);
    if (items == NULL) {
        out->failed = true;
        return;
    }
    size_t i = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, json) items[i++] = item;
    qsort(items, len, sizeof *items, compare_names);
    buf_addc(out, '{');
    for (i = 0; i < len; i++) {
        buf_adds(out, i == 0 ? "" : ",");
        print_string(items[i]->string, out);
        buf_addc(out, ':');
        print_canonical(items[i], out);
    }
    buf_addc(out, '}');
    free(items);
}

static void print_canonical(const cJSON *json, struct buf *out) {
    if (cJSON_IsObject(json)) {
        print_object(json, out);
    } else if (cJSON_IsArray(json)) {
        buf_addc(out, '[');
        const cJSON *item;
        cJSON_ArrayForEach(item, json) {
            buf_adds(out, item == json->child ? "" : ",");
            print_canonical(item, out);
        }
        buf_addc(out, ']');
    } else if (cJSON_IsString(json)) {
        print_string(json->valuestring, out);
    } else if (cJSON_IsNumber(json)) {
        print_number(json->valuedouble, out);
    } else {
        buf_adds(out, cJSON_IsTrue(json) ? "true" : cJSON_IsFalse(json) ? "false" : "null");
    }
}

const char *json_text_of_json(struct arena *arena, const cJSON *json) {
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LARGE);
    print_canonical(json, &out);
    return out.failed ? NULL : arena_dup_str(arena, buf_str(&out));
}

const char *json_text_of_tree(struct arena *arena, const struct tree *tree) {
    cJSON *json = tree_to_json(tree);
    if (json == NULL)
        return NULL;
    const char *text = json_text_of_json(arena, json);
    cJSON_Delete(json);
    return text;
}
