/* The plan: plain data, computed by decide() from desired × recorded × live. Pure. Printing it is
 * the job of cmd/, writing it to a file that of planfile.h. */
#pragma once

#include "engine/compile.h"
#include "engine/observe.h"
#include "engine/state.h"
#include "providers/provider.h"
#include "specs/hash.h"

#include <cjson/cJSON.h>

struct plan_warning {
    const char *address; /* or NULL */
    const char *text;
    bool note; /* nothing to worry about */
};

/* What is asked of a plan beside the spec. Zeroed: make the spec true. */
struct plan_options {
    bool destroy; /* all that is recorded or ours by tag; the nodes are empty then */
    bool data;    /* what is to be kept (kind->keeps) goes too */
    /* Addresses as address.h takes them; NULL or empty: all. The plan is partial then. */
    const struct strlist *targets;
    /* Addresses of what is destroyed and created anew; NULL or empty: none. */
    const struct strlist *replaces;
    /* "running", "stopped": nothing but the power of the targets changes (and what follows their
     * address); NULL: as it was recorded last. */
    const char *power;
};

struct plan {
    struct arena arena;
    struct change *changes; /* dependency order: creates by deps, destroys in reverse, after them */
    size_t len;
    size_t others_len; /* behind them: those that targets, or a stop or start, leave alone */
    size_t counts[ACTION_COUNT];
    size_t drifted;  /* changes whose why is drift (or both) */
    bool partial;    /* by targets */
    size_t left_out; /* changes that a whole plan has more */
    struct plan_warning *warnings;
    size_t warnings_len;
    /* Errors of cases 3, 14, 17 and 19: the plan is shown, nothing may be applied. */
    struct plan_warning *blockers;
    size_t blockers_len;
    bool destroy;                       /* made for `destroy` */
    char spec_sha256[SHA256_HEX_SIZE];  /* of the canonical desired nodes */
    char state_sha256[SHA256_HEX_SIZE]; /* of the state as parsed (serial and lineage in it) */
    char live_sha256[SHA256_HEX_SIZE];  /* of what was observed */
};

/* `random` mints tokens for creates (pure otherwise: same input, same plan but for tokens).
 * -ERRC_NOTFOUND for a target or replacement that nobody knows, with the nearest in the hint;
 * -ERRC_INVALID for one that cannot be done alone. */
int plan_make(const struct desired *desired, const struct state *state,
              const struct live_world *live, const struct plan_options *options,
              int (*random)(void *, size_t), struct plan *ret, struct err *err);
void plan_free(struct plan *plan);

/* Anything to do? No-ops and what is kept do not count; unknown does. */
bool plan_has_changes(const struct plan *plan);
/* True for a no-op that still has news for the state: an address that moved, protect, a half-way
 * mark to take off. Carrying out the plan writes it. */
bool plan_noop_moves_state(const struct change *change);
/* What is there already and stays, to which the change does what its kind says (kind->besides): the
 * service that restarts for it. NULL when there is none. */
const struct change *plan_beside(const struct plan *plan, const struct change *change);
const char *action_name(enum action action); /* "create", "stop-update-start" */
const char *why_name(enum why why);

/* As JSON, for -json and the plan file: docs/plan.md. */
cJSON *plan_to_json(const struct plan *plan);
