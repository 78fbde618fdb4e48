#include "providers/aws/xml.h"

#include "specs/buf.h"

#include <expat.h>
#include <string.h>

struct builder {
    struct arena *arena;
    struct xml *stack[XML_DEPTH_MAX];
    struct xml **tail[XML_DEPTH_MAX]; /* where the next child of stack[i] goes */
    size_t depth, elements;
    struct xml *root;
    struct buf text;
    const char *problem;
    XML_Parser parser;
};

static void stop(struct builder *b, const char *problem) {
    if (b->problem == NULL)
        b->problem = problem;
    XML_StopParser(b->parser, XML_FALSE);
}

static void on_start(void *ctx, const char *name, const char **attributes) {
    struct builder *b = ctx;
    (void)attributes;
    if (b->problem != NULL)
        return;
    struct xml *node = ARENA_NEW(b->arena, struct xml);
    const char *copy = arena_dup(b->arena, name);
    if (node == NULL || copy == NULL) {
        stop(b, "out of memory");
        return;
    }
    if (b->depth == XML_DEPTH_MAX || ++b->elements > XML_ELEMENTS_MAX) {
        stop(b, b->depth == XML_DEPTH_MAX ? "nested too deep" : "too many elements");
        return;
    }
    node->name = copy;
    node->text = "";
    if (b->depth == 0) {
        b->root = node;
    } else {
        *b->tail[b->depth - 1] = node;
        b->tail[b->depth - 1] = &node->next;
    }
    b->stack[b->depth] = node;
    b->tail[b->depth] = &node->child;
    b->depth++;
    buf_reset(&b->text);
}

static void on_end(void *ctx, const char *name) {
    struct builder *b = ctx;
    (void)name;
    /* After a stop expat still ends an empty element whose start was not taken. */
    if (b->problem != NULL)
        return;
    struct xml *node = b->stack[--b->depth];
    if (node->child == NULL && b->text.len > 0 &&
        (node->text = arena_dup_str(b->arena, buf_str(&b->text))) == NULL)
        stop(b, "out of memory");
    buf_reset(&b->text);
}

static void on_text(void *ctx, const char *text, int len) {
    struct builder *b = ctx;
    buf_add(&b->text, text, (size_t)len);
    if (b->text.failed)
        stop(b, "text too long");
}

static void on_doctype(void *ctx, const char *name, const char *system, const char *public,
                       int internal) {
    (void)name;
    (void)system;
    (void)public;
    (void)internal;
    stop(ctx, "a DOCTYPE is not allowed");
}

struct xml *xml_parse(struct arena *arena, struct str bytes, struct err *err) {
    if (bytes.len > XML_BYTES_MAX) {
        err_set(err, ERRC_LIMIT, "the answer is too large");
        return NULL;
    }
    struct builder b = {.arena = arena, .text = BUF_INIT(BUF_MEDIUM)};
    b.parser = XML_ParserCreate(NULL);
    if (b.parser == NULL) {
        err_no_memory(err);
        return NULL;
    }
    XML_SetUserData(b.parser, &b);
    XML_SetElementHandler(b.parser, on_start, on_end);
    XML_SetCharacterDataHandler(b.parser, on_text);
    XML_SetStartDoctypeDeclHandler(b.parser, on_doctype);
    bool good = XML_Parse(b.parser, bytes.ptr, (int)bytes.len, 1) == XML_STATUS_OK;
    if (!good)
        err_set(err, ERRC_NET, "the answer is not good XML: %s",
                b.problem != NULL ? b.problem : XML_ErrorString(XML_GetErrorCode(b.parser)));
    XML_ParserFree(b.parser);
    buf_free(&b.text);
    return good ? b.root : NULL;
}

const struct xml *xml_get(const struct xml *node, const char *path) {
    struct str rest = str_of(path);
    struct str name;
    while (node != NULL && str_split(&rest, '/', &name)) {
        const struct xml *child = node->child;
        while (child != NULL && !str_eqc(name, child->name))
            child = child->next;
        node = child;
    }
    return node;
}

const char *xml_text(const struct xml *node, const char *path) {
    const struct xml *found = xml_get(node, path);
    return found == NULL ? NULL : found->text;
}

const struct xml *xml_first_item(const struct xml *node, const char *path) {
    const struct xml *list = xml_get(node, path);
    const struct xml *item = list == NULL ? NULL : list->child;
    return item == NULL || strcmp(item->name, "item") == 0 ? item : xml_next_item(item);
}

const struct xml *xml_next_item(const struct xml *item) {
    do {
        item = item->next;
    } while (item != NULL && strcmp(item->name, "item") != 0);
    return item;
}
