/* Any bytes as the user's certificate and key files: they are refused with a word at their place,
 * or what is read of them can be sent and compared. */
#define _GNU_SOURCE /* memmem */
#include "providers/host/tls.h"
#include "specs/sections/sections.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char spec_text[] = "berth: 1\n"
                                "name: fuzz\n"
                                "provider: ec2\n"
                                "server: { image: debian-12, type: t3.small }\n"
                                "jupyter: { tls: { cert: cert, key: key } }\n";

/* Up to a line "=" it is the one file, behind it the other; without such a line it is both. */
static void load(struct inputs *inputs, struct str all) {
    const char *cut = all.len == 0 ? NULL : memmem(all.ptr, all.len, "\n=\n", 3);
    struct str cert = {all.ptr, cut == NULL ? all.len : (size_t)(cut - all.ptr) + 1};
    struct str key = cut == NULL ? all : (struct str){cut + 3, all.len - cert.len - 2};
    for (size_t i = 0; i < inputs->len; i++) {
        struct input *in = &inputs->items[i];
        struct str content = in->type == INPUT_CLOCK         ? STR("2000000000")
                             : strcmp(in->name, "cert") == 0 ? cert
                                                             : key;
        in->found = true;
        if (secret_set(&in->content, content) < 0)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_secret_buf_ struct buf key = BUF_INIT(BUF_MEDIUM);
    struct inputs *inputs = arena_calloc(&arena, 1, sizeof *inputs);
    struct diags diags = {.arena = &arena, .file = "spec", .source = STR(spec_text)};
    const struct spec *spec = spec_compile(&arena, &diags);
    struct tls_own own = {0};
    struct tls_leaf leaf;
    bool good = false;
    if (inputs == NULL || spec == NULL)
        abort();
    inputs->arena = &arena;
    if (tls_own_ask(spec, inputs) < 0)
        abort();
    struct str all = {(const char *)data, size};
    load(inputs, all);
    const struct desire in = {.spec = spec, .inputs = inputs, .lineage = "l"};
    if (tls_own_read(&in, &arena, &diags, &own, &good) == 0 &&
        (good != (diags.errors == 0) || (good && (!tls_own_key(own.key_file, &key) ||
                                                  tls_own_host(spec, &own, 0, &arena) == NULL))))
        abort();
    tls_leaf_read(&arena, all, all, 0, &leaf); /* as a server might show it */
    inputs_free(inputs);
    return 0;
}
