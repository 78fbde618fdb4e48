#include "specs/tree.h"

#include <string.h>
#include <yaml.h>

struct parse {
    struct arena *arena;
    struct diags *diags;
    yaml_parser_t yaml;
    yaml_event_t event;
    size_t nodes;
    bool failed;
};

static struct mark mark_of(const yaml_mark_t *start, const yaml_mark_t *end) {
    size_t len =
        end->line == start->line && end->column > start->column ? end->column - start->column : 1;
    return (struct mark){start->line + 1, start->column + 1, len};
}

static struct mark event_mark(const struct parse *p) {
    return mark_of(&p->event.start_mark, &p->event.end_mark);
}

static void *out_of_memory(struct parse *p) {
    p->failed = true;
    diag_add(p->diags, (struct mark){0}, NULL, "out of memory");
    return NULL;
}

static void *refuse(struct parse *p, struct mark mark, const char *help, const char *what) {
    p->failed = true;
    diag_add(p->diags, mark, help, "%s", what);
    return NULL;
}

/* Moves to the next event; false after an error, which is diagnosed. */
static bool advance(struct parse *p) {
    yaml_event_delete(&p->event);
    memset(&p->event, 0, sizeof p->event);
    if (p->failed)
        return false;
    if (yaml_parser_parse(&p->yaml, &p->event))
        return true;
    p->failed = true;
    struct mark mark = {p->yaml.problem_mark.line + 1, p->yaml.problem_mark.column + 1, 1};
    if (p->yaml.error == YAML_READER_ERROR) {
        /* The reader knows an offset only. */
        mark = (struct mark){1, 1, 1};
        for (size_t i = 0; i < p->yaml.problem_offset && i < p->diags->source.len; i++) {
            mark.col++;
            if (p->diags->source.ptr[i] == '\n') {
                mark.line++;
                mark.col = 1;
            }
        }
    }
    const char *context = p->yaml.context;
    size_t at = p->yaml.error == YAML_SCANNER_ERROR ? p->yaml.problem_mark.index : SIZE_MAX;
    bool tab = at < p->diags->source.len && p->diags->source.ptr[at] == '\t';
    diag_add(p->diags, mark, tab ? "indent with spaces, not tabs" : NULL, "not YAML: %s%s%s",
             p->yaml.problem == NULL ? "cannot be read" : p->yaml.problem,
             context == NULL ? "" : " ", context == NULL ? "" : context);
    return false;
}

static struct tree *parse_node(struct parse *p, size_t depth);

static bool grow(struct parse *p, struct tree *t, size_t *cap) {
    if (t->len < *cap)
        return true;
    size_t want = *cap == 0 ? 8 : *cap * 2;
    struct tree **items = arena_calloc(p->arena, want, sizeof *items);
    struct str *keys = arena_calloc(p->arena, want, sizeof *keys);
    struct mark *marks = arena_calloc(p->arena, want, sizeof *marks);
    if (items == NULL || keys == NULL || marks == NULL)
        return out_of_memory(p) != NULL;
    if (t->len > 0) {
        memcpy(items, t->items, t->len * sizeof *items);
        memcpy(keys, t->keys, t->len * sizeof *keys);
        memcpy(marks, t->key_marks, t->len * sizeof *marks);
    }
    t->items = items;
    t->keys = keys;
    t->key_marks = marks;
    *cap = want;
    return true;
}

static bool check_plain(struct parse *p, const yaml_char_t *anchor, const yaml_char_t *tag) {
    if (anchor != NULL)
        return refuse(p, event_mark(p), "write the value out", "anchors are not allowed") != NULL;
    if (tag != NULL)
        return refuse(p, event_mark(p), "leave the tag out", "tags are not allowed") != NULL;
    return true;
}

static struct tree *parse_scalar(struct parse *p, struct tree *t) {
    if (!check_plain(p, p->event.data.scalar.anchor, p->event.data.scalar.tag))
        return NULL;
    struct str text = {(const char *)p->event.data.scalar.value, p->event.data.scalar.length};
    if (text.len > 0 && memchr(text.ptr, '\0', text.len) != NULL)
        return refuse(p, t->mark, NULL, "a NUL character is not allowed");
    const char *copy = arena_dup_str(p->arena, text);
    if (copy == NULL)
        return out_of_memory(p);
    t->text = (struct str){copy, text.len};
    t->quoted = p->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    bool null = !t->quoted && (text.len == 0 || str_eqc(text, "~") || str_eqc(text, "null"));
    t->type = null ? TREE_NULL : TREE_SCALAR;
    return t;
}

static struct tree *parse_list(struct parse *p, struct tree *t, size_t depth) {
    if (!check_plain(p, p->event.data.sequence_start.anchor, p->event.data.sequence_start.tag))
        return NULL;
    t->type = TREE_LIST;
    size_t cap = 0;
    while (advance(p) && p->event.type != YAML_SEQUENCE_END_EVENT) {
        struct tree *item = parse_node(p, depth + 1);
        if (item == NULL || !grow(p, t, &cap))
            return NULL;
        t->items[t->len++] = item;
    }
    return p->failed ? NULL : t;
}

static struct tree *parse_map(struct parse *p, struct tree *t, size_t depth) {
    if (!check_plain(p, p->event.data.mapping_start.anchor, p->event.data.mapping_start.tag))
        return NULL;
    t->type = TREE_MAP;
    size_t cap = 0;
    while (advance(p) && p->event.type != YAML_MAPPING_END_EVENT) {
        struct mark key_mark = event_mark(p);
        if (p->event.type != YAML_SCALAR_EVENT)
            return refuse(p, key_mark, NULL, "a key must be a word");
        struct tree *key = parse_node(p, depth + 1);
        if (key == NULL)
            return NULL;
        if (str_eqc(key->text, "<<"))
            return refuse(p, key_mark, "write the values out", "merge keys are not allowed");
        for (size_t i = 0; i < t->len; i++) {
            if (str_eq(t->keys[i], key->text)) {
                char help[64];
                snprintf(help, sizeof help, "it stands first in line %zu", t->key_marks[i].line);
                diag_add(p->diags, key_mark, help, "duplicate key `%s`", key->text.ptr);
                break;
            }
        }
        if (!advance(p))
            return NULL;
        struct tree *value = parse_node(p, depth + 1);
        if (value == NULL || !grow(p, t, &cap))
            return NULL;
        value->key = key_mark;
        t->keys[t->len] = key->text;
        t->key_marks[t->len] = key_mark;
        t->items[t->len++] = value;
    }
    return p->failed ? NULL : t;
}

/* The current event starts the node; afterwards it is the node's last. */
static struct tree *parse_node(struct parse *p, size_t depth) {
    struct mark mark = event_mark(p);
    if (depth > TREE_DEPTH_MAX)
        return refuse(p, mark, NULL, "nested too deep");
    if (++p->nodes > TREE_NODES_MAX)
        return refuse(p, mark, NULL, "too many values");
    struct tree *t = ARENA_NEW(p->arena, struct tree);
    if (t == NULL)
        return out_of_memory(p);
    t->mark = mark;
    switch (p->event.type) {
    case YAML_SCALAR_EVENT:
        return parse_scalar(p, t);
    case YAML_SEQUENCE_START_EVENT:
        return parse_list(p, t, depth);
    case YAML_MAPPING_START_EVENT:
        return parse_map(p, t, depth);
    case YAML_ALIAS_EVENT:
        return refuse(p, mark, "write the value out", "aliases are not allowed");
    default:
        return refuse(p, mark, NULL, "not a value");
    }
}

static struct tree *parse_stream(struct parse *p) {
    if (!advance(p)) /* the stream's start */
        return NULL;
    if (!advance(p)) /* the document's */
        return NULL;
    if (p->event.type == YAML_STREAM_END_EVENT)
        return refuse(p, (struct mark){1, 1, 1}, "`berth init` writes one to start from",
                      "the spec is empty");
    if (!advance(p))
        return NULL;
    struct tree *root = parse_node(p, 0);
    if (root == NULL || !advance(p)) /* the document's end */
        return NULL;
    if (!advance(p)) /* the stream's, if all is well */
        return NULL;
    if (p->event.type != YAML_STREAM_END_EVENT)
        return refuse(p, event_mark(p), "keep one document a file",
                      "a second document is not allowed");
    return root;
}

struct tree *tree_parse(struct arena *arena, struct diags *diags) {
    struct parse p = {.arena = arena, .diags = diags};
    if (diags->source.len > TREE_BYTES_MAX) {
        diag_add(diags, (struct mark){0}, NULL, "the spec is larger than %d bytes",
                 (int)TREE_BYTES_MAX);
        return NULL;
    }
    if (!yaml_parser_initialize(&p.yaml))
        return out_of_memory(&p);
    yaml_parser_set_encoding(&p.yaml, YAML_UTF8_ENCODING);
    /* With the encoding fixed, libyaml does not skip a byte order mark itself. */
    struct str text = diags->source;
    size_t skip = str_starts(text, STR("\xef\xbb\xbf")) ? 3 : 0;
    yaml_parser_set_input_string(&p.yaml, (const unsigned char *)text.ptr + skip, text.len - skip);
    struct tree *root = parse_stream(&p);
    yaml_event_delete(&p.event);
    yaml_parser_delete(&p.yaml);
    return root;
}

struct tree *tree_get(struct tree *root, const char *path) {
    struct str rest = str_of(path);
    struct str key;
    struct tree *t = root;
    while (t != NULL && str_split(&rest, '.', &key)) {
        struct tree *next = NULL;
        /* "files[2]" steps into a list. */
        size_t name_len = key.len;
        int64_t index = -1;
        const char *bracket = key.len == 0 ? NULL : memchr(key.ptr, '[', key.len);
        if (bracket != NULL && key.ptr[key.len - 1] == ']') {
            name_len = (size_t)(bracket - key.ptr);
            struct str digits = {bracket + 1, key.len - name_len - 2};
            if (!str_to_i64(digits, 0, TREE_NODES_MAX, &index))
                return NULL;
        }
        for (size_t i = 0; t->type == TREE_MAP && i < t->len; i++)
            if (str_eq(t->keys[i], (struct str){key.ptr, name_len}))
                next = t->items[i];
        if (next != NULL && index >= 0)
            next = next->type == TREE_LIST && (size_t)index < next->len ? next->items[index] : NULL;
        t = next;
    }
    return t;
}
