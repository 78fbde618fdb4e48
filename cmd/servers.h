/* The servers of a project as a user thinks of them: where they are, the URL, how to log in. */
#pragma once

#include "cmd/session.h"

/* Servers that are shown one by one, unless -v; more are told of together. */
enum { SERVERS_SHOWN_MAX = 10 };

struct server_view {
    const char *address; /* "server[0]" */
    const char *id;
    struct endpoint endpoint;        /* as observed, else as recorded; zeroed when unknown */
    const char *host;                /* name or number to reach it by, or NULL */
    const char *url;                 /* of Jupyter, without a token; NULL when there is none */
    bool tunnel;                     /* Jupyter is there, and only a tunnel reaches it */
    const struct live *live;         /* NULL when nothing was observed */
    const struct recorded *recorded; /* NULL when it is not in the state */
};

struct server_list {
    struct server_view *items;
    size_t len;
};

/* From the state, and from the live world where it was observed. Lives in the session's arena. */
int servers_make(struct session *s, struct server_list *ret, struct err *err);
/* The first steps of the verbs that read the project folder only: spec, state, its servers. */
int servers_recorded(struct session *s, struct server_list *ret, struct err *err);
/* The one that a user names: "server[1]", "1", or NULL when there is only one. */
const struct server_view *servers_find(const struct server_list *list, const char *name,
                                       struct err *err);
/* Both: those steps, and the server that word number `at` of the command line names, if it has so
 * many. NULL with *err set. */
const struct server_view *servers_asked(struct session *s, size_t at, struct server_list *ret,
                                        struct err *err);
/* Append the URL of Jupyter at that host and port, without a token; the spec has a `jupyter`. */
void servers_add_url(const struct session *s, const char *host, int64_t port, struct buf *out);
/* What was recorded of Jupyter's health on that server, or NULL. */
struct host_health_record;
const struct host_health_record *servers_health(struct session *s, const struct server_view *v);
/* Is it the project's own authority that a browser has to trust? */
bool servers_trusts_ca(const struct session *s);
/* Append the URL with the login token behind it; the token is read from the project folder. */
int servers_login_url(const struct session *s, const struct server_view *server, struct buf *out,
                      struct err *err);
/* Whether there is a way to log in, as recorded: it runs, has an address, and its key file is
 * known. -ERRC_NOTFOUND with what brings it back. */
int servers_check_way(const struct server_view *v, struct err *err);
/* Append the token of the project. -ERRC_NOTFOUND when there is none. */
int servers_token(const struct session *s, struct buf *out, struct err *err);
/* The text after an apply: URL, how to log in, ssh. */
int servers_outputs(struct session *s, struct buf *out, struct err *err);
/* The argument that names the spec to other verbs: " -file X" where it is not berth.yaml, or "". */
const char *servers_file_option(struct session *s);
