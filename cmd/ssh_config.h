/* The project as entries of ssh_config(5). */
#pragma once

#include "cmd/servers.h"

/* After an apply: where `berth ssh-config -install` wrote a file, bring it up to date. */
int ssh_config_refresh(struct session *s, struct err *err);
