#include "cmd/tunnel.h"

#include "cmd/follow.h"
#include "cmd/login.h"
#include "cmd/signals.h"
#include "cmd/text.h"
#include "cmd/verbs.h"
#include "providers/host/route.h"
#include "providers/host/tunnel.h"
#include "specs/sections/sections.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 64, PORT_MAX = 65535 };

/* ---- Listening here, on the loopback address alone */

/* The socket, or -1 with errno; the port that it got goes to *ret. */
static int listen_on(int port, int *ret) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) < 0) {
        int problem = errno;
        close(fd);
        errno = problem;
        return -1;
    }
    *ret = ntohs(address.sin_port);
    return fd;
}

static int listen_for(const struct tunnel_wish *wish, int *ret_fd, int *ret_port, struct err *err) {
    int wanted = wish->local != 0 ? wish->local : wish->remote;
    int fd = listen_on(wanted, ret_port);
    if (fd < 0 && wish->local == 0 && (errno == EADDRINUSE || errno == EACCES))
        fd = listen_on(0, ret_port); /* any that is free */
    if (fd < 0) {
        err_set_errno(err, ERRC_IO, errno, "listen on port %d of this machine", wanted);
        err_hint(err, "choose another one: berth tunnel -local PORT");
        return -ERRC_IO;
    }
    *ret_fd = fd;
    return 0;
}

/* ---- The run */

struct forward {
    struct session *s;
    int locals[TUNNEL_WISHES];
    int (*ready)(void *ctx, const int *local_ports);
    void *ctx;
    int code;
    struct follow follow;
};

static void say(void *ctx, const char *text) {
    const struct forward *f = ctx;
    _cleanup_buf_ struct buf clean = BUF_INIT(BUF_SMALL);
    text_add_clean(str_of(text), &clean);
    cmd_note(f->s->cmd, "note: %s", buf_cstr(&clean));
}

static void on_ready(void *ctx) {
    struct forward *f = ctx;
    f->code = f->ready(f->ctx, f->locals);
    if (f->code != 0)
        atomic_store(&f->s->cancel, 2);
}

static const struct endpoint *where(void *ctx) {
    struct forward *f = ctx;
    return follow_look(&f->follow);
}

static void on_found(void *ctx) {
    struct forward *f = ctx;
    follow_found(&f->follow);
}

int tunnel_forward(struct session *s, const struct server_view *v, const struct tunnel_wish *wishes,
                   size_t len, int (*ready)(void *ctx, const int *local_ports), void *ctx,
                   struct err *err) {
    struct tunnel_port ports[TUNNEL_WISHES];
    struct forward forward = {.s = s, .ready = ready, .ctx = ctx};
    struct strlist keys = {0};
    size_t open = 0;
    struct ssh_route route = {0};
    struct known_keys known = {0};
    struct endpoint endpoint = v->endpoint;
    bool given = v->endpoint.given.host != NULL;
    int rc = servers_check_way(v, err);
    if (rc == 0)
        rc = login_host_keys(s, v, &keys, err);
    if (rc == 0 && given)
        rc = ssh_route_find(&v->endpoint.given, &s->arena, &route, err);
    if (rc == 0 && given)
        rc = ssh_route_known(&route, &s->arena, &known, err);
    if (rc == 0 && given) { /* as ~/.ssh/config has it now */
        endpoint.user = route.user;
        endpoint.address = route.address;
        endpoint.port = route.port;
    }
    for (size_t i = 0; rc == 0 && i < len && i < TUNNEL_WISHES; i++) {
        ports[i].port = wishes[i].remote;
        rc = listen_for(&wishes[i], &ports[i].listener, &forward.locals[i], err);
        open += rc == 0;
    }
    if (rc == 0) {
        const struct tunnel_in in = {.ssh = {.endpoint = &endpoint,
                                             .route = given ? &route : NULL,
                                             .host_keys = &keys,
                                             .revoked = &known.revoked,
                                             .cancel = &s->cancel},
                                     .ports = ports,
                                     .ports_len = open,
                                     .say = say,
                                     .ready = on_ready,
                                     .where = given ? NULL : where,
                                     .found = given ? NULL : on_found,
                                     .ctx = &forward};
        /* There is nothing to finish first: one Ctrl-C ends it. */
        atomic_store(&s->cancel, 1);
        follow_init(&forward.follow, s, v->address, &v->endpoint);
        forward.follow.say = say;
        forward.follow.say_ctx = &forward;
        signals_catch(&s->cancel);
        rc = tunnel_run(&in, err);
        signals_release();
        follow_free(&forward.follow);
    }
    for (size_t i = 0; i < open; i++)
        close(ports[i].listener);
    return rc < 0 ? rc : forward.code;
}

/* ---- The verb */

struct request {
    struct session *s;
    const struct server_view *server;
    struct tunnel_wish wishes[TUNNEL_WISHES];
    size_t len;
};

static int print_ports(void *ctx, const int *locals) {
    struct request *r = ctx;
    struct session *s = r->s;
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    bool jupyter = spec_has(s->spec, &section_jupyter);
    for (size_t i = 0; i < r->len; i++) {
        if (jupyter && r->wishes[i].remote == spec_jupyter(s->spec)->port)
            servers_add_url(s, "127.0.0.1", locals[i], &text);
        else
            buf_addf(&text, "127.0.0.1:%d", locals[i]);
        buf_addc(&text, '\n');
    }
    int code = cmd_print(s->cmd, &text);
    for (size_t i = 0; i < r->len; i++)
        if (locals[i] != r->wishes[i].remote && r->wishes[i].local == 0)
            cmd_note(s->cmd, "note: port %d of this machine is taken; it is %d here",
                     r->wishes[i].remote, locals[i]);
    cmd_note(s->cmd, "Forwarding to %s over SSH until Ctrl-C.", r->server->address);
    return code == EXIT_OK ? 0 : -ERRC_IO;
}

static bool read_port(struct str text, int *ret) {
    int64_t value;
    if (!str_to_i64(text, 1, PORT_MAX, &value))
        return false;
    *ret = (int)value;
    return true;
}

/* "8888" or "9000:8888" */
static bool read_wish(const char *word, struct tunnel_wish *ret) {
    struct str rest = str_of(word), local;
    struct tunnel_wish wish = {0};
    if (strchr(word, ':') != NULL &&
        (!str_split(&rest, ':', &local) || rest.ptr == NULL || !read_port(local, &wish.local)))
        return false;
    if (!read_port(rest, &wish.remote))
        return false;
    *ret = wish;
    return true;
}

/* A number names a server only where there are several. */
static bool names_server(const struct server_list *list, const char *word) {
    return list->len != 1 || strncmp(word, "server[", strlen("server[")) == 0;
}

static int read_words(struct request *r, const struct server_list *list, struct err *err) {
    const struct args *args = &r->s->cmd->args;
    size_t at = 0;
    const char *name = NULL;
    if (args->positional_len > 0 && names_server(list, args->positional[0]))
        name = args->positional[at++];
    r->server = servers_find(list, name, err);
    if (r->server == NULL)
        return -err->code;
    for (; at < args->positional_len; at++) {
        if (r->len == TUNNEL_WISHES)
            return err_set(err, ERRC_LIMIT, "at most %d ports at once", TUNNEL_WISHES);
        if (!read_wish(args->positional[at], &r->wishes[r->len++])) {
            err_set(err, ERRC_INVALID, "`%s` is no port", args->positional[at]);
            err_hint(err, "write the port on the server, 1 to 65535, or PORT_HERE:PORT_THERE");
            return -ERRC_INVALID;
        }
    }
    if (r->len == 0 && !spec_has(r->s->spec, &section_jupyter)) {
        err_set(err, ERRC_INVALID, "the spec has no `jupyter`: there is no port to forward");
        err_hint(err, "name one: berth tunnel 5432");
        return -ERRC_INVALID;
    }
    if (r->len == 0)
        r->wishes[r->len++].remote = (int)spec_jupyter(r->s->spec)->port;
    return 0;
}

static int run(struct cmd *cmd) {
    struct err err = {0};
    struct session s;
    struct server_list list = {0};
    struct request r = {.s = &s};
    int local = 0;
    if (cmd->args.local != NULL && !read_port(str_of(cmd->args.local), &local))
        return cmd_usage(cmd, "-local takes a port, 1 to 65535, not %s", cmd->args.local);
    session_init(&s, cmd);
    int rc = servers_recorded(&s, &list, &err);
    if (rc == 0)
        rc = read_words(&r, &list, &err);
    if (rc == 0 && local != 0 && r.len > 1) {
        session_free(&s);
        return cmd_usage(cmd, "-local is for one port; write HERE:THERE for several");
    }
    if (rc == 0 && local != 0)
        r.wishes[0].local = local;
    if (rc == 0)
        rc = tunnel_forward(&s, r.server, r.wishes, r.len, print_ports, &r, &err);
    if (rc < 0)
        return session_fail(&s, &err);
    session_free(&s);
    return EXIT_OK;
}

const struct verb verb_tunnel = {
    .name = "tunnel",
    .args = "[SERVER] [[HERE:]PORT...]",
    .summary = "bring ports of a server to this machine, over SSH",
    .details = "PORT is one on the server, HERE the one on this machine (default: the same, or\n"
               "another when that is taken); Jupyter's when none is named. Only programs on this\n"
               "machine can connect. Goes on until Ctrl-C, and connects again when it has to.",
    .options = {&option_local, &option_file},
    .positional_max = POSITIONAL_MAX,
    .run = run,
};
