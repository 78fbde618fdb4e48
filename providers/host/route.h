/* The way to a server that berth did not make, as its user's OpenSSH would go: what the spec says,
 * then what ~/.ssh/config says of it, read by `ssh -G`; and the host keys that known_hosts holds.
 */
#pragma once

#include "providers/provider.h"

struct ssh_route {
    const char *user, *address;
    int port;
    struct strlist keys;        /* private key files, in the order to try; some may not exist */
    bool only_keys;             /* of an agent too, no other keys than these */
    const char *agent;          /* socket of the agent; NULL: there is none */
    struct strlist proxy;       /* words of a program that is the connection; empty: TCP */
    const char *proxy_jump;     /* for OpenSSH's own use: what `proxy` was made from, or NULL */
    const char *proxy_command;  /* the same */
    const char *connect_wait;   /* ConnectTimeout: seconds, or "none"; NULL: not told */
    struct strlist known_hosts; /* files */
    const char *known_as;       /* in these */
};

/* Works without an `ssh` program too; then the spec alone counts. Strings live in `arena`.
 * -ERRC_INVALID with what OpenSSH says of its configuration, -ERRC_UNSUPPORTED. */
int ssh_route_find(const struct given_login *login, struct arena *arena, struct ssh_route *ret,
                   struct err *err);
/* The same from what `ssh -G` printed ("" for nothing). */
int ssh_route_read(const struct given_login *login, struct str config, struct arena *arena,
                   struct ssh_route *ret, struct err *err);
/* "me" or NULL, and the name behind the @ (host: "[me@]name"); NULL when memory runs out. */
const char *ssh_route_split(struct arena *arena, const char *host, const char **ret_user);

struct known_keys {
    struct strlist keys;    /* "ssh-ed25519 AAAA…" */
    struct strlist revoked; /* the same, marked @revoked */
    bool authority;         /* a @cert-authority is known for it */
};

/* What ssh-keygen -F finds in the route's files, hashed names and patterns too. */
int ssh_route_known(const struct ssh_route *route, struct arena *arena, struct known_keys *ret,
                    struct err *err);
/* Adds lines of known_hosts. 0 or -ERRC_NOMEM. */
int ssh_route_read_known(struct str text, struct arena *arena, struct known_keys *out);
