/* One TCP connection in a tunnel, and all of them over one SSH connection. */
#pragma once

#include "providers/host/ssh_internal.h"

#include <poll.h>

enum { FLOW_BYTES = 64 * 1024, FLOWS_MAX = 256 };

enum flow_stage {
    FLOW_WAITING, /* for its turn to open a channel: one at a time */
    FLOW_OPEN,
    FLOW_CLOSING,
    FLOW_CLOSED,
};

struct flow_buffer {
    char bytes[FLOW_BYTES];
    size_t at, len; /* what is still to be passed on */
    bool ended;     /* nothing more comes */
    bool passed;    /* and the other side knows */
};

struct flow {
    struct flow *next;
    enum flow_stage stage;
    LIBSSH2_CHANNEL *channel;
    int fd, port;
    struct flow_buffer up, down; /* to the host, from the host */
};

struct flows {
    struct ssh *ssh;
    struct flow *list;
    size_t len;
    struct flow *opening;
    /* libssh2 gives up a packet that went out by half unless the very same call is made again
     * before any other: the flow and the call. */
    struct flow *stuck;
    int (*stuck_call)(struct flows *flows, struct flow *flow);
    LIBSSH2_CHANNEL *idle; /* never used: to read from, so that what comes in is dealt with */
};

/* Takes `fd` over. False when memory runs out. */
bool flows_add(struct flows *flows, int fd, int port);
/* Move what can be moved: 1 something did, 0 nothing, -1 the SSH connection is broken. */
int flows_step(struct flows *flows);
/* What poll(2) is to wait for: fills up to `max` entries, the SSH socket first. */
size_t flows_poll(const struct flows *flows, struct pollfd *fds, size_t max);
/* Close all sockets; the channels go with the SSH connection. */
void flows_free(struct flows *flows);
