/* Carries out a plan: by dependency, independent batches side by side, every create journalled
 * before its call (the promises of docs/state.md). */
#pragma once

#include "engine/plan.h"

enum progress_event {
    PROGRESS_START,
    PROGRESS_BEGUN, /* its turn in its batch has come; seconds count anew */
    PROGRESS_NOTE,
    PROGRESS_DONE,
    PROGRESS_FAILED,
    PROGRESS_SKIPPED
};

struct progress {
    /* Thread-safe calls are serialised by the engine. `text` is a note or an error, or NULL;
     * `seconds` since this change started. */
    void (*report)(void *ctx, enum progress_event event, const struct change *change,
                   const char *text, double seconds);
    void *ctx;
};

struct change_error {
    const char *address;
    struct err err;
};

struct outcome {
    struct arena arena;
    size_t done, failed, skipped; /* changes; no-ops are not counted */
    struct change_error *errors;
    size_t errors_len;
    bool cancelled;
    double seconds;
};

/* Runs the plan, writes the state at the end (also after failures). Returns 0 when all was done;
 * -ERRC_PARTIAL when something failed or was skipped; -ERRC_CANCELLED after Ctrl-C. Other errors:
 * nothing was started, or the state could not be written at the end; the journal then holds what
 * was done. The outcome is filled in each case. */
int execute_plan(struct plan *plan, struct state *state, struct sessions *sessions,
                 const struct kind *const *kinds, const struct run *run,
                 const struct progress *progress, struct outcome *ret, struct err *err);
void outcome_free(struct outcome *outcome);
