/* What to do with one node: the numbered table of docs/decisions.md. Pure. */
#pragma once

#include "providers/provider.h"

struct situation {
    const struct node *node;         /* NULL: the spec does not want it */
    const struct recorded *recorded; /* NULL: the state does not know it */
    enum presence presence;
    const struct live *live;     /* NULL when presence was derived (a parent that is not there) */
    const void *desired;         /* node's record, resolved as far as can be; NULL without node */
    uint64_t unknown;            /* bits of desired that are known only after apply */
    const struct change *parent; /* what happens to the node that it lives in, or NULL */
    bool protect;                /* the spec forbids to lose it, whatever was recorded */
    bool data;                   /* what is to be kept goes too */
    bool replace;                /* asked for by name: destroy it and create it anew */
};

/* Fills address, kind, action, case_number, why, fields, before, after, with_parent, note, loses,
 * deps, parent. Fields and records live in `arena`. */
int decide(const struct situation *s, struct arena *arena, struct change *ret, struct err *err);
