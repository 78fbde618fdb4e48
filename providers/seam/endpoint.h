/* How to reach a node that other nodes live in. */
#pragma once

#include <stdbool.h>

/* How the user of a server that berth did not make says to come to it: what ~/.ssh/config, an agent
 * and known_hosts add is found when it is connected to. */
struct given_login {
    const char *host;     /* "[user@]name"; NULL: berth made the server */
    int port;             /* 0: not said */
    const char *key;      /* private key file, or NULL */
    const char *jump;     /* hosts to go through (ssh(1) -J), or NULL */
    const char *host_key; /* public key line or "SHA256:…", or NULL */
};

bool given_login_equal(const struct given_login *a, const struct given_login *b);

struct endpoint { /* how to reach a node that other nodes live in */
    const char *user;
    const char *address; /* numeric or name; NULL when it has none now */
    int port;
    const char *key_path;        /* private key file of the login user; NULL: see `given` */
    const char *host_key;        /* one-time public host key line ("ssh-ed25519 AAAA…") */
    const char *public_dns;      /* or NULL */
    const char *private_address; /* or NULL */
    struct given_login given;
    bool running;
};
