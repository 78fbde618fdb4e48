#include "providers/provider.h"

#include "specs/record.h"

int inputs_ask(struct inputs *in, enum input_type type, const char *name, const char *spec_path,
               bool required) {
    if (inputs_get(in, type, name) != NULL)
        return 0;
    if (in->len == INPUT_MAX)
        return -ERRC_LIMIT;
    struct input item = {
        .type = type,
        .name = arena_dup(in->arena, name),
        .spec_path = arena_dup(in->arena, spec_path == NULL ? "" : spec_path),
        .required = required,
    };
    if (item.name == NULL || item.spec_path == NULL)
        return -ERRC_NOMEM;
    in->items[in->len++] = item;
    return 0;
}

const struct input *inputs_get(const struct inputs *in, enum input_type type, const char *name) {
    for (size_t i = 0; i < in->len; i++)
        if (in->items[i].type == type && cstr_eq(in->items[i].name, name))
            return &in->items[i];
    return NULL;
}

void inputs_free(struct inputs *in) {
    for (size_t i = 0; i < in->len; i++)
        secret_free(&in->items[i].content);
    in->len = in->loaded = 0;
}

struct node *nodes_add(struct nodes *out, const struct kind *kind, const char *address,
                       const char *parent) {
    struct node *items = arena_grow(out->arena, out->items, out->len, sizeof *items, &out->cap);
    if (items == NULL)
        return NULL;
    out->items = items;
    struct node node = {
        .kind = kind,
        .address = arena_dup(out->arena, address),
        .parent = arena_dup(out->arena, parent),
        .desired = arena_alloc(out->arena, kind->size),
    };
    if (node.address == NULL || (parent != NULL && node.parent == NULL) || node.desired == NULL)
        return NULL;
    record_init(kind->fields, node.desired);
    out->items[out->len++] = node;
    if (names_add(&out->names, out->arena, out->items, out->len, sizeof node) < 0)
        return NULL;
    return &out->items[out->len - 1];
}

struct node *nodes_find(const struct nodes *nodes, const char *address) {
    size_t i = names_find(&nodes->names, nodes->items, nodes->len, sizeof nodes->items[0], address);
    return i == SIZE_MAX ? NULL : &nodes->items[i];
}

const struct recorded *recorded_find(const struct recorded_list *list, const char *address) {
    size_t i = names_find(&list->names, list->items, list->len, sizeof list->items[0], address);
    return i == SIZE_MAX ? NULL : &list->items[i];
}

struct live *observed_add(struct observed *out, const struct kind *kind, const char *address,
                          enum presence presence) {
    struct live *items = arena_grow(&out->arena, out->items, out->len, sizeof *items, &out->cap);
    if (items == NULL)
        return NULL;
    out->items = items;
    const char *copy = arena_dup(&out->arena, address);
    if (copy == NULL)
        return NULL;
    out->items[out->len++] = (struct live){.address = copy, .kind = kind, .presence = presence};
    if (names_add(&out->names, &out->arena, out->items, out->len, sizeof out->items[0]) < 0)
        return NULL;
    return &out->items[out->len - 1];
}

struct live *observed_find(const struct observed *in, const char *address) {
    size_t i = names_find(&in->names, in->items, in->len, sizeof in->items[0], address);
    return i == SIZE_MAX ? NULL : &in->items[i];
}

const char *change_id(const struct change *c) {
    if (c->live != NULL && c->live->id != NULL)
        return c->live->id;
    return c->recorded == NULL ? NULL : c->recorded->id;
}

bool given_login_equal(const struct given_login *a, const struct given_login *b) {
    return cstr_eq(a->host, b->host) && a->port == b->port && cstr_eq(a->key, b->key) &&
           cstr_eq(a->jump, b->jump) && cstr_eq(a->host_key, b->host_key);
}

bool world_serves(const struct world *world, const char *provider) {
    const char *const *name = world->providers;
    while (name != NULL && *name != NULL && !cstr_eq(*name, provider))
        name++;
    return name == NULL || provider == NULL || *name != NULL;
}

int token_mint(int (*random)(void *, size_t), struct arena *arena, const char **ret) {
    unsigned char bytes[16];
    _cleanup_buf_ struct buf token = BUF_INIT(BUF_SMALL);
    if (random(bytes, sizeof bytes) < 0)
        return -ERRC_INTERNAL;
    buf_adds(&token, "berth-");
    buf_add_hex(&token, bytes, sizeof bytes);
    const char *copy = token.failed ? NULL : arena_dup_str(arena, buf_str(&token));
    if (copy == NULL)
        return -ERRC_NOMEM;
    *ret = copy;
    return 0;
}

double monotonic_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

const struct kind *registry_find(const struct kind *const *kinds, const char *name) {
    for (; *kinds != NULL; kinds++)
        if (cstr_eq((*kinds)->name, name))
            return *kinds;
    return NULL;
}

int cost_items_add(struct cost_items *list, const struct cost_item *item) {
    struct cost_item copy = *item;
    if (list->len == COST_ITEMS_MAX)
        return -ERRC_LIMIT;
    copy.what = arena_dup(list->arena, item->what);
    copy.price = arena_dup(list->arena, item->price);
    if (copy.what == NULL || copy.price == NULL)
        return -ERRC_NOMEM;
    list->items[list->len++] = copy;
    return 0;
}
