#include "cmd/power.h"
#include "cmd/verbs.h"

static int run(struct cmd *cmd) {
    return power_run(cmd, "stopped",
                     "\nStop? What runs there ends, what is on the disks stays. [y/N]");
}

const struct verb verb_stop = {
    .name = "stop",
    .args = "[SERVER...]",
    .summary = "stop all servers, or those that are named; their disks cost on",
    .details = "SERVER is server[1], 1, or 0..2. A stopped server is wanted so: plan and apply\n"
               "leave it alone until berth start.",
    .options = {&option_file, &option_auto_approve},
    .positional_max = POSITIONAL_MAX,
    .run = run,
};
