/* The project as entries of ssh_config(5). */
#pragma once

#include "cmd/servers.h"

/* Append one `Host` entry a server that has an address, and write known_hosts for them; how many
 * servers have none goes to *ret_left_out. -ERRC_NOTFOUND when no server has one. */
int ssh_config_text(struct session *s, const struct server_list *list, struct buf *out,
                    size_t *ret_left_out, struct err *err);
/* After an apply: where `berth ssh-config -install` wrote a file, bring it up to date. */
int ssh_config_refresh(struct session *s, struct err *err);
