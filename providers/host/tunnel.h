/* TCP connections carried over one SSH connection (RFC 4254, section 7: direct-tcpip), to ports of
 * the host's own loopback address. Many at once; a side that does not read holds its own connection
 * back and no other. */
#pragma once

#include "providers/host/ssh.h"

struct tunnel_port {
    int listener; /* listening socket, non-blocking; the caller's */
    int port;     /* on the host */
};

struct tunnel_in {
    struct ssh_in ssh; /* how to connect, first and again; `cancel` > 1 ends the tunnel */
    const struct tunnel_port *ports;
    size_t ports_len;
    /* A line for the user: connected, lost, connected again. */
    void (*say)(void *ctx, const char *text);
    void (*ready)(void *ctx); /* connected for the first time */
    /* Before each try to connect again: where to, or NULL for not now. NULL itself: as at first. */
    const struct endpoint *(*where)(void *ctx);
    void (*found)(void *ctx); /* it was reached there; may be NULL */
    void *ctx;
};

/* Until cancelled (0), or until there is no way to connect any more: -ERRC_HOSTKEY, -ERRC_AUTH; at
 * the first time any error of ssh_connect. A connection that breaks is made again. */
int tunnel_run(const struct tunnel_in *in, struct err *err);

/* Carry one connected socket to that port over a connection that nothing else uses meanwhile; takes
 * `fd` over. Returns when either side has closed it or at `until_s` (monotonic seconds). 0, or
 * -ERRC_NET when the port cannot be reached or the connection broke. */
int tunnel_carry(struct ssh *ssh, int port, int fd, double until_s);
