#include "cmd/power.h"
#include "cmd/verbs.h"

static int run(struct cmd *cmd) { return power_run(cmd, "running", NULL); }

const struct verb verb_start = {
    .name = "start",
    .args = "[SERVER...]",
    .summary = "start stopped servers again; all of them, or those that are named",
    .details = "A server that was stopped has another address when it runs again, unless the\n"
               "spec says `address: elastic`. What has the address in it (the certificate) is\n"
               "made anew; all else stays as it is, whatever the spec says: that is for apply.",
    .options = {&option_file},
    .positional_max = POSITIONAL_MAX,
    .run = run,
};
