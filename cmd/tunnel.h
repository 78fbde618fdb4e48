/* Forwarding from this machine's loopback to servers, for `berth tunnel` and `berth open`. */
#pragma once

#include "cmd/servers.h"

struct tunnel_wish {
    int local;  /* port here; 0: the same as there, or another when that is taken */
    int remote; /* port there */
};

enum { TUNNEL_WISHES = 32 };

/* Forward until Ctrl-C. `ready` is called when it stands, with the ports here in the order of the
 * wishes. */
int tunnel_forward(struct session *s, const struct server_view *v, const struct tunnel_wish *wishes,
                   size_t len, int (*ready)(void *ctx, const int *local_ports), void *ctx,
                   struct err *err);
