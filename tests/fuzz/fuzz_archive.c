/* Any bytes as the archive of a server: they are passed on or refused, however they are cut into
 * pieces. */
#include "cmd/copy_guard.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int look(const struct copy_entries *listed, const uint8_t *data, size_t size, size_t piece) {
    struct copy_guard guard;
    struct err err = {0};
    int rc = 0;
    copy_guard_init(&guard, listed);
    for (size_t at = 0; rc == 0 && at < size; at += piece)
        rc = copy_guard_look(&guard, (const char *)data + at, size - at < piece ? size - at : piece,
                             &err);
    copy_guard_free(&guard);
    if ((rc < 0) != (err.code != 0))
        abort();
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct copy_entry items[] = {{.type = 'l', .path = "link"},
                                 {.type = 'd', .path = "sub"},
                                 {.type = 'f', .path = "sub/a"}};
    const struct copy_entries listed = {.items = items, .len = sizeof items / sizeof items[0]};
    int whole = look(&listed, data, size, size + 1);
    if (look(&listed, data, size, 1) != whole || look(&listed, data, size, 1000) != whole)
        abort();
    return 0;
}
