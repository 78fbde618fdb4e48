/* Any bytes as a spec: compile never crashes, says why it refuses, and what it accepts prints to a
 * spec that compiles to the same print. */
#include "specs/spec.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(const struct spec *spec) {
    _cleanup_buf_ struct buf first = BUF_INIT(BUF_LARGE);
    _cleanup_buf_ struct buf second = BUF_INIT(BUF_LARGE);
    spec_print(spec, &first);
    if (first.failed)
        abort();
    _cleanup_arena_ struct arena arena = {0};
    struct diags diags = {.arena = &arena, .file = "print", .source = buf_str(&first)};
    const struct spec *again = spec_compile(&arena, &diags);
    if (again == NULL) {
        diags_render(&diags, false, 100, &second);
        fprintf(stderr, "%s\n%s", buf_cstr(&first), buf_cstr(&second));
        abort();
    }
    spec_print(again, &second);
    if (strcmp(buf_cstr(&first), buf_cstr(&second)) != 0) {
        fprintf(stderr, "%s\n%s", buf_cstr(&first), buf_cstr(&second));
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_MEDIUM);
    struct diags diags = {.arena = &arena, .file = "fuzz", .source = {(const char *)data, size}};
    const struct spec *spec = spec_compile(&arena, &diags);
    if ((spec == NULL) != (diags.errors > 0))
        abort();
    diags_render(&diags, size % 2 == 0, 80, &out);
    /* A print may be longer than the limit on what is read. */
    if (spec != NULL && size < TREE_BYTES_MAX / 16)
        check_round_trip(spec);
    return 0;
}
