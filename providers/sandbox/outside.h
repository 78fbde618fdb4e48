/* What of this machine's settings the guests go by: its HTTP proxy and its package indexes, as its
 * environment and pip's files name them. */
#pragma once

#include <stdbool.h>

struct outside_proxy {
    char host[256], port[8];
    char authorization[512]; /* "Basic …", or "" */
};

/* The proxy that this machine itself would take to there; false: it goes straight. */
bool outside_proxy_for(bool tunnel, const char *host, struct outside_proxy *ret);
/* Is it a package index of this machine's? Such a one may well have a private address. */
bool outside_is_index(const char *host, const char *port);
/* A setting of pip's [global] section ("index-url"); false when there is none. */
bool outside_pip_setting(const char *name, char *ret, unsigned long size);
