/* Spec text → desired nodes. The pure front of the engine: parse and check, list what is needed
 * from outside (inputs), and, once those are loaded, let every kind declare its nodes. */
#pragma once

#include "providers/provider.h"
#include "specs/diag.h"

struct desired {
    struct arena *arena;
    const struct spec *spec;
    struct nodes nodes; /* in registry order, dependencies checked, no cycles */
};

/* Ask every kind what it needs. `inputs->arena` is set by the caller. */
int compile_ask(const struct kind *const *kinds, const struct spec *spec, struct inputs *inputs,
                struct err *err);

/* Declare the nodes. Missing required inputs are diagnosed at their spec_path. Unknown deps are an
 * internal error; a cycle is reported with its whole path ("a → b → a"). Returns 0, or
 * -ERRC_INVALID when `diags` has errors. */
int compile_nodes(const struct kind *const *kinds, const struct spec *spec,
                  const struct inputs *inputs, const char *lineage, struct arena *arena,
                  struct diags *diags, struct desired *ret, struct err *err);

/* The same of some kinds alone, in the order that they declare them. What they depend on may be of
 * other kinds. */
int compile_some(const struct kind *const *kinds, const struct spec *spec,
                 const struct inputs *inputs, const char *lineage, struct arena *arena,
                 struct diags *diags, struct desired *ret, struct err *err);
