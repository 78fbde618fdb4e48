#include "specs/toml_internal.h"

#include <string.h>

/* What may still be added to a table or an array; kept in valueint, which these do not use. */
enum {
    OPEN_IMPLIED = 0, /* a table that a longer name brought along */
    OPEN_DOTTED,      /* made by a key with dots */
    OPEN_HEADED,      /* had its [header] */
    OPEN_TABLES,      /* an array of [[tables]] */
    CLOSED            /* an inline table, a plain array */
};

static int parse_value(struct toml *t, int depth, cJSON **ret);

/* ---- Keys and tables */

/* The member of that name (t->text), or NULL; counts the members. */
static cJSON *find(const struct toml *t, const cJSON *table, size_t *ret_len) {
    *ret_len = 0;
    for (cJSON *c = table->child; c != NULL; c = c->next) {
        if (strcmp(c->string, buf_cstr(&t->text)) == 0)
            return c;
        (*ret_len)++;
    }
    return NULL;
}

static int add(struct toml *t, cJSON *table, size_t len, cJSON *value) {
    if (len >= TOML_KEYS_MAX) {
        cJSON_Delete(value);
        return err_set(t->err, ERRC_LIMIT, "line %zu: more than %d keys in a table", t->line,
                       TOML_KEYS_MAX);
    }
    if (value == NULL || !cJSON_AddItemToObject(table, buf_cstr(&t->text), value)) {
        cJSON_Delete(value);
        return toml_no_memory(t);
    }
    return 0;
}

static cJSON *last_of(const cJSON *array) {
    return array->child == NULL ? NULL : array->child->prev;
}

/* Into the table that t->text names in *table, made where there is none. `how`: by what. */
static int enter(struct toml *t, cJSON **table, int how) {
    size_t len;
    cJSON *child = find(t, *table, &len);
    if (child == NULL) {
        child = cJSON_CreateObject();
        int rc = add(t, *table, len, child);
        if (rc < 0)
            return rc;
        child->valueint = how;
    } else if (how == OPEN_DOTTED && child->valueint != OPEN_DOTTED) {
        return toml_fail(t, "a key that is there already");
    }
    if (cJSON_IsArray(child) && child->valueint == OPEN_TABLES)
        child = last_of(child);
    if (!cJSON_IsObject(child) || child->valueint == CLOSED)
        return toml_fail(t, "a name that is no open table");
    *table = child;
    return 0;
}

/* "a.b.c": up to the last name, which is left in t->text. */
static int take_path(struct toml *t, cJSON **table, int how) {
    for (int depth = 0;; depth++) {
        toml_skip_blanks(t);
        int rc = toml_key(t);
        if (rc < 0)
            return rc;
        toml_skip_blanks(t);
        if (!toml_take(t, "."))
            return 0;
        if (depth == TOML_DEPTH_MAX)
            return err_set(t->err, ERRC_LIMIT, "line %zu: a key of too many parts", t->line);
        rc = enter(t, table, how);
        if (rc < 0)
            return rc;
    }
}

static int head_table(struct toml *t, cJSON *table) {
    size_t len;
    cJSON *child = find(t, table, &len);
    if (child == NULL) {
        child = cJSON_CreateObject();
        int rc = add(t, table, len, child);
        if (rc < 0)
            return rc;
    } else if (!cJSON_IsObject(child) || child->valueint != OPEN_IMPLIED) {
        return toml_fail(t, "a table that is there already");
    }
    child->valueint = OPEN_HEADED;
    t->table = child;
    return 0;
}

static int head_array(struct toml *t, cJSON *table) {
    size_t len;
    cJSON *array = find(t, table, &len);
    if (array == NULL) {
        array = cJSON_CreateArray();
        int rc = add(t, table, len, array);
        if (rc < 0)
            return rc;
        array->valueint = OPEN_TABLES;
    } else if (!cJSON_IsArray(array) || array->valueint != OPEN_TABLES) {
        return toml_fail(t, "a name that is no array of tables");
    }
    cJSON *item = cJSON_CreateObject();
    if (item == NULL)
        return toml_no_memory(t);
    item->valueint = OPEN_HEADED;
    (void)cJSON_AddItemToArray(array, item);
    t->table = item;
    return 0;
}

static int parse_header(struct toml *t) {
    bool array = toml_take(t, "[[");
    cJSON *table = t->root;
    if (!array)
        t->at++;
    int rc = take_path(t, &table, OPEN_IMPLIED);
    if (rc == 0 && !toml_take(t, array ? "]]" : "]"))
        rc = toml_fail(t, "a header has no end");
    if (rc < 0)
        return rc;
    return array ? head_array(t, table) : head_table(t, table);
}

static int parse_pair(struct toml *t, cJSON *table, int depth) {
    size_t len;
    int rc = take_path(t, &table, OPEN_DOTTED);
    if (rc < 0)
        return rc;
    if (!toml_take(t, "="))
        return toml_fail(t, "expected =");
    if (find(t, table, &len) != NULL)
        return toml_fail(t, "a key that is there already");
    /* A value may use t->text: the name is kept beside it. */
    struct buf name = t->text;
    cJSON *value = NULL;
    t->text = BUF_INIT(BUF_MEDIUM);
    toml_skip_blanks(t);
    rc = parse_value(t, depth, &value);
    buf_free(&t->text);
    t->text = name;
    return rc < 0 ? rc : add(t, table, len, value);
}

/* ---- Values */

static int parse_array(struct toml *t, int depth, cJSON **ret) {
    cJSON *array = cJSON_CreateArray();
    if (array == NULL)
        return toml_no_memory(t);
    array->valueint = CLOSED;
    int rc = toml_skip_all(t);
    while (rc == 0 && !toml_take(t, "]")) {
        cJSON *value = NULL;
        rc = parse_value(t, depth + 1, &value);
        if (rc == 0)
            (void)cJSON_AddItemToArray(array, value);
        if (rc == 0)
            rc = toml_skip_all(t);
        if (rc == 0 && toml_take(t, ","))
            rc = toml_skip_all(t);
        else if (rc == 0 && !toml_is_at(t, "]"))
            rc = toml_fail(t, "expected , or ]");
    }
    if (rc < 0)
        cJSON_Delete(array);
    else
        *ret = array;
    return rc;
}

/* What is in it is closed with it: nothing is added later. */
static void close_all(cJSON *value) {
    value->valueint = CLOSED;
    for (cJSON *c = value->child; c != NULL; c = c->next)
        if (cJSON_IsObject(c))
            close_all(c);
}

static int parse_inline(struct toml *t, int depth, cJSON **ret) {
    cJSON *table = cJSON_CreateObject();
    if (table == NULL)
        return toml_no_memory(t);
    table->valueint = OPEN_DOTTED;
    int rc = toml_skip_all(t);
    while (rc == 0 && !toml_take(t, "}")) {
        rc = parse_pair(t, table, depth + 1);
        if (rc == 0)
            rc = toml_skip_all(t);
        if (rc == 0 && toml_take(t, ","))
            rc = toml_skip_all(t);
        else if (rc == 0 && !toml_is_at(t, "}"))
            rc = toml_fail(t, "expected , or }");
    }
    if (rc < 0) {
        cJSON_Delete(table);
        return rc;
    }
    close_all(table);
    *ret = table;
    return 0;
}

static int parse_value(struct toml *t, int depth, cJSON **ret) {
    if (depth >= TOML_DEPTH_MAX)
        return err_set(t->err, ERRC_LIMIT, "line %zu: values are nested too deep", t->line);
    if (toml_take(t, "["))
        return parse_array(t, depth, ret);
    if (toml_take(t, "{"))
        return parse_inline(t, depth, ret);
    if (!toml_is_at(t, "\"") && !toml_is_at(t, "'"))
        return toml_word(t, ret);
    int rc = toml_string(t);
    if (rc < 0)
        return rc;
    *ret = cJSON_CreateString(buf_cstr(&t->text));
    return *ret == NULL ? toml_no_memory(t) : 0;
}

static int parse_line(struct toml *t) {
    toml_skip_blanks(t);
    int rc = 0;
    if (toml_is_at(t, "["))
        rc = parse_header(t);
    else if (t->at < t->end && *t->at != '\n' && *t->at != '#' && !toml_is_at(t, "\r\n"))
        rc = parse_pair(t, t->table, 0);
    if (rc < 0)
        return rc;
    toml_skip_blanks(t);
    rc = toml_skip_comment(t);
    if (rc == 0 && t->at < t->end && !toml_take_newline(t))
        rc = toml_fail(t, "something is behind the value");
    return rc;
}

int toml_parse(struct str text, cJSON **ret, struct err *err) {
    struct toml t = {.at = text.ptr,
                     .end = text.len == 0 ? text.ptr : text.ptr + text.len,
                     .line = 1,
                     .root = cJSON_CreateObject(),
                     .text = BUF_INIT(BUF_MEDIUM),
                     .err = err};
    if (t.root == NULL)
        return toml_no_memory(&t);
    t.root->valueint = OPEN_HEADED;
    t.table = t.root;
    (void)toml_take(&t, "\xef\xbb\xbf"); /* a byte order mark */
    int rc = 0;
    while (rc == 0 && t.at < t.end)
        rc = parse_line(&t);
    buf_free(&t.text);
    if (rc < 0)
        cJSON_Delete(t.root);
    else
        *ret = t.root;
    return rc;
}
