/* A kind: one sort of node, as a field table and a few pure functions. */
#pragma once

#include "providers/seam/change.h"
#include "providers/seam/cost.h"
#include "providers/seam/endpoint.h"
#include "providers/seam/input.h"
#include "providers/seam/node.h"
#include "specs/arena.h"
#include "specs/diag.h"
#include "specs/field.h"
#include "specs/spec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct world;

/* What desire sees. Pure: no clock, no environment but the inputs. */
struct desire {
    const struct spec *spec;
    const struct inputs *inputs;
    const char *lineage; /* of the state: who owns what is made */
};

/* Finds the newest known record of an address: applied in this run, else live, else recorded. NULL
 * when there is none (yet). */
struct lookup {
    const void *(*record)(void *ctx, const char *address, const struct kind **ret_kind);
    void *ctx;
};

struct kind {
    const char *name; /* "key_pair", "server", "server.python" */
    const struct world *world;
    const struct field *fields; /* at most 64 rows */
    size_t size;

    /* Ask for what desire will need; called again when that is loaded, until nobody asks for more:
     * a file may name others. May be NULL. Pure. */
    int (*ask)(const struct spec *spec, struct inputs *inputs);
    /* Declare the nodes of this kind that the spec wants. User mistakes that only show here go to
     * `diags`. Pure. */
    int (*desire)(const struct desire *in, struct nodes *out, struct diags *diags);
    /* Fill fields that were unknown, now that `lookup` may know the deps; clears bits of *unknown.
     * May be NULL. Pure. `record` is a copy of node->desired. */
    int (*resolve)(const struct node *node, const struct lookup *lookup, struct arena *arena,
                   void *record, uint64_t *unknown);
    /* Does the spec forbid to destroy what is of this kind, whether it wants it or not? May be
     * NULL. Pure. */
    bool (*protects)(const struct spec *spec);
    /* Can this difference of a FIELD_IMMUTABLE row be made in place all the same (a disk that
     * grows)? Both are whole records. May be NULL. Pure. */
    bool (*in_place)(const struct field *field, const void *before, const void *after);
    /* What is lost when this record's thing is destroyed ("the 30 GiB root disk"), or NULL. */
    const char *(*loses)(const void *record, struct arena *arena);
    /* What is lost when what is there becomes what is wanted, in place, or NULL. May be NULL. */
    const char *(*drops)(const void *before, const void *after, struct arena *arena);
    /* Is the thing of this record to outlive the spec: kept when it is not wanted any more, and
     * when all is destroyed (but for `destroy -data`), and never replaced? May be NULL. Pure. */
    bool (*keeps)(const void *record);
    /* What is of this kind is not berth's to make, replace or destroy: it is taken as it is, and
     * forgotten in the end, when all that lives in it has been removed from it. */
    bool given;
    /* A part that has the address of what it lives in in it: converged again after a start. */
    bool follows_address;
    /* What a thing that has vanished from the world still has on this machine, for the user ("the
     * key file"); or NULL. A forget then goes to world->apply, which removes it: `before` may be
     * NULL. What depended on it is gone by then. */
    const char *leaves;
    /* What a change does besides, for the user ("Jupyter restarts"), where a node of kind
     * `beside` is there with the same parent, and stays; or NULL. */
    const char *besides;
    const struct kind *beside;
    /* Kinds that others live in; else NULL. Strings live as long as the record. `project_dir` is
     * where a made private key lies. */
    int (*endpoint)(const void *record, const char *project_dir, struct arena *arena,
                    struct endpoint *ret);
    /* What it is charged for, as far as the record tells; `unknown` as in struct node. NULL for
     * what costs nothing. Pure. */
    int (*costs)(const void *record, uint64_t unknown, struct cost_items *ret);
    /* Changes with an equal key are applied by one call of world->apply ("server create",
     * "server[0]"); NULL result: alone. May be NULL. */
    const char *(*batch)(const struct change *change, struct arena *arena);
};
