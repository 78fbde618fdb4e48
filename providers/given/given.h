/* The world of servers that berth did not make (`provider: host`): the server of the spec is taken
 * as it is; all that berth does there is the host world's. */
#pragma once

#include "providers/provider.h"

extern const struct world given_world;
extern const struct kind given_kind;

struct given_record {
    const char *host; /* "[user@]name" */
    int64_t port;     /* FIELD_UNSET: as ~/.ssh/config says */
    const char *key, *jump, *host_key;
    /* As they were found to be. */
    const char *user, *address, *key_path;
    int64_t ssh_port;
};
