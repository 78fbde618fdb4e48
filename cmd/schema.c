#include "cmd/verbs.h"
#include "specs/spec.h"

static int run(struct cmd *cmd) { return cmd_print_json(cmd, spec_schema()); }

const struct verb verb_schema = {
    .name = "schema",
    .args = "",
    .summary = "print the spec language as JSON Schema 2020-12, for editors",
    .run = run,
};
