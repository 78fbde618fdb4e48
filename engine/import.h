/* Taking a thing that is there under a node of the spec, by its id. */
#pragma once

#include "engine/compile.h"
#include "engine/observe.h"

struct import_in {
    const struct desired *desired;
    struct sessions *sessions;
    const struct run *run;
    const char *address, *id;
    bool force; /* also what another project's tags are on */
};

/* Finds the thing, checks that it fits, reads it, and puts it into the state in memory, as it is:
 * the next plan says what differs from the spec. What the world cannot tell of it is taken to be as
 * the spec wants it. Errors: -ERRC_NOTFOUND (no such node, no such id here), -ERRC_CONFLICT (either
 * is recorded already, or it is another project's), -ERRC_INVALID, and what the calls give. */
int import_node(const struct import_in *in, struct state *state, struct err *err);
