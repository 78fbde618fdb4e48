/* Any bytes as a host's answer to the probe: it is refused, or every kind reads a record from it
 * that can be printed, stored and read back. */
#include "providers/host/internal.h"
#include "specs/record.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char spec_text[] = "berth: 1\n"
                                "name: fuzz\n"
                                "provider: ec2\n"
                                "server: { image: debian-12, type: t3.small, swap: 1 GiB,\n"
                                "  data: { size: 1 GiB, mount: /d } }\n"
                                "packages:\n"
                                "  system: [git]\n"
                                "  python: { version: \"3.12\", packages: [\"a==1.*\", b] }\n"
                                "files: [{ from: x, to: ~/x }]\n"
                                "jupyter: { password: { env: P }, extensions: [jupyterlab-git], "
                                "kernels: [{ name: k, python: \"3.11\", "
                                "packages: [c] }] }\n";

/* As if loaded: a tree of one file, a password, the project's secret and token. */
static void load(struct arena *arena, struct inputs *inputs) {
    static struct input_entry entry = {.path = "f", .sha256 = "00", .mode = 0644};
    for (size_t i = 0; i < inputs->len; i++) {
        struct input *in = &inputs->items[i];
        in->found = in->type != INPUT_LOCAL || strcmp(in->name, "ca.pem") != 0;
        in->sha256 = arena_dup(arena, "00");
        if (in->type == INPUT_TREE) {
            in->entries = &entry;
            in->entries_len = 1;
        } else if (in->found &&
                   secret_set(&in->content, STR("0123456789abcdef0123456789abcdef")) < 0) {
            abort();
        }
    }
}

static void make_nodes(struct arena *arena, struct inputs *inputs, struct nodes *nodes) {
    struct diags diags = {.arena = arena, .file = "spec", .source = str_of(spec_text)};
    const struct spec *spec = spec_compile(arena, &diags);
    if (spec == NULL)
        abort();
    for (size_t i = 0; host_kinds[i] != NULL; i++)
        if (host_kinds[i]->kind->ask != NULL && host_kinds[i]->kind->ask(spec, inputs) < 0)
            abort();
    load(arena, inputs);
    const struct desire in = {.spec = spec, .inputs = inputs, .lineage = "l"};
    for (size_t i = 0; host_kinds[i] != NULL; i++)
        if (host_kinds[i]->kind->desire(&in, nodes, &diags) < 0 || diags.errors > 0)
            abort();
}

static void use(const struct kind *kind, const void *record, struct arena *arena) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_LARGE);
    struct err err = {0};
    for (const struct field *f = kind->fields; f->name != NULL; f++)
        record_print_field(f, record, &text);
    cJSON *json = record_to_json(kind->fields, record, false);
    void *back = arena_alloc(arena, kind->size);
    if (json == NULL || back == NULL || record_from_json(arena, kind->fields, json, back, &err) < 0)
        abort();
    cJSON_Delete(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_arena_ struct arena arena = {0};
    struct inputs *inputs = arena_calloc(&arena, 1, sizeof *inputs);
    struct nodes nodes = {.arena = &arena};
    struct facts facts = {0};
    struct err err = {0};
    struct host_connection connection = {.endpoint = {.user = "admin", .address = "::1"}};
    if (inputs == NULL)
        abort();
    inputs->arena = &arena;
    if (facts_parse((struct str){(const char *)data, size}, &facts, &err) < 0) {
        if (err.code == 0)
            abort();
        return 0;
    }
    make_nodes(&arena, inputs, &nodes);
    for (size_t i = 0; i < nodes.len; i++) {
        const struct host_kind *kind = host_kind_of(nodes.items[i].kind);
        void *record = arena_alloc(&arena, nodes.items[i].kind->size);
        enum presence presence = LIVE_NONE;
        /* With and without a memory of it: the desired record stands for what was applied. */
        struct host_node node = {.address = nodes.items[i].address,
                                 .desired = nodes.items[i].desired,
                                 .recorded = size % 2 == 0 ? nodes.items[i].desired : NULL,
                                 .extra = nodes.items[i].extra,
                                 .connection = &connection,
                                 .arena = &arena};
        if (record == NULL)
            abort();
        record_init(nodes.items[i].kind->fields, record);
        /* Health is no fact of the probe: it is asked for over the network. */
        if (kind != &host_health_host && kind->read != NULL &&
            kind->read(&node, &facts, record, &presence, &err) == 0)
            use(nodes.items[i].kind, record, &arena);
    }
    facts_free(&facts);
    inputs_free(inputs);
    return 0;
}
