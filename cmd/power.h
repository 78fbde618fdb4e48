/* What start and stop have in common. */
#pragma once

#include "cmd/cmd.h"

/* Plan the power of the servers that the command line names (all when it names none), show it, ask
 * (`question` is what for; NULL asks nothing), do it. The exit code. */
int power_run(struct cmd *cmd, const char *power, const char *question);
