#include "cmd/power.h"
#include "cmd/verbs.h"

static int run(struct cmd *cmd) { return power_run(cmd, "running", NULL); }

const struct verb verb_start = {
    .name = "start",
    .args = "[SERVER...]",
    .summary = "start stopped servers again; all of them, or those that are named",
    .details = "A server that was stopped has another address when it runs again, unless the spec\n"
               "says `address: elastic`. What has the address in it (the certificate) is made\n"
               "anew; nothing else is changed, whatever the spec says: berth apply does that.",
    .options = {&option_file},
    .positional_max = POSITIONAL_MAX,
    .run = run,
};
