/* Any bytes as a state file, and as a journal: reading them never crashes, says why it refuses, and
 * what it accepts prints to a state that reads back to the same print. */
#include "engine/journal.h"
#include "engine/state.h"
#include "specs/buf.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_whole(const struct state *state) {
    for (size_t i = 0; i < state->nodes.len; i++) {
        const struct recorded *r = &state->nodes.items[i];
        if (r->address == NULL || r->kind_name == NULL || r->status > RECORDED_FAILED)
            abort();
    }
    if (memchr(state->lineage, '\0', sizeof state->lineage) == NULL)
        abort();
}

static void check_round_trip(const struct state *state) {
    _cleanup_buf_ struct buf first = BUF_INIT(BUF_LARGE);
    _cleanup_buf_ struct buf second = BUF_INIT(BUF_LARGE);
    _cleanup_arena_ struct arena arena = {0};
    struct state again = {0};
    struct err err = {0};
    check_whole(state);
    if (state_print(state, &first) < 0 ||
        state_parse(&arena, registry_kinds, buf_str(&first), &again, &err) < 0 ||
        state_print(&again, &second) < 0 || strcmp(buf_cstr(&first), buf_cstr(&second)) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct str bytes = {(const char *)data, size};
    _cleanup_arena_ struct arena arena = {0};
    struct state state = {0};
    struct err err = {0};
    int rc = state_parse(&arena, registry_kinds, bytes, &state, &err);
    if ((rc < 0) != (err.code != 0) || (rc < 0 && state.nodes.len > 0))
        abort();
    if (rc == 0)
        check_round_trip(&state);

    struct state replayed = {0};
    struct err refused = {0};
    rc = journal_replay(bytes, registry_kinds, &replayed, &refused);
    if ((rc < 0) != (refused.code != 0))
        abort();
    if (rc == 0)
        check_round_trip(&replayed);
    state_free(&replayed);
    return 0;
}
