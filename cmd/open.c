#include "cmd/tunnel.h"
#include "cmd/verbs.h"
#include "providers/host/host.h"
#include "specs/sections/sections.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Hand the address to the desktop's browser; false when there is none. */
static bool open_browser(const char *url) {
    const char *x = getenv("DISPLAY"), *wayland = getenv("WAYLAND_DISPLAY");
    if ((x == NULL || x[0] == '\0') && (wayland == NULL || wayland[0] == '\0'))
        return false;
    pid_t pid = fork();
    if (pid < 0)
        return false;
    if (pid == 0) {
        execlp("xdg-open", "xdg-open", url, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* "jupyter.example.org" of "https://jupyter.example.org:8888" */
static const char *name_in(struct session *s, const char *url) {
    const char *from = url == NULL ? NULL : strstr(url, "://");
    const char *end = from == NULL ? NULL : strrchr(from, ':');
    return end == NULL || end <= from + 3
               ? NULL
               : arena_dup_str(&s->arena, (struct str){from + 3, (size_t)(end - from - 3)});
}

/* Is that address one of those that the name stands for? */
static bool resolves_to(const char *name, const char *address, bool *ret_known) {
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char text[NI_MAXHOST];
    bool same = false;
    *ret_known = getaddrinfo(name, NULL, &hints, &found) == 0;
    for (const struct addrinfo *a = *ret_known ? found : NULL; a != NULL && !same; a = a->ai_next)
        same = getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) ==
                   0 &&
               strcmp(text, address) == 0;
    if (*ret_known)
        freeaddrinfo(found);
    return same;
}

/* A certificate of the user's own is good for its names alone: what DNS has to say about them. */
static void say_name(struct session *s, const struct server_view *v) {
    const struct host_health_record *health = servers_health(s, v);
    const char *name = health == NULL ? NULL : name_in(s, health->url);
    bool known = false;
    if (!spec_has_own_tls(s->spec) || name == NULL || health->certificate == NULL ||
        health->via == NULL)
        return;
    if (v->tunnel)
        cmd_note(
            s->cmd,
            "note: the certificate is for %s, and the browser will warn that it is not for "
            "127.0.0.1. Write the\nline `127.0.0.1 %s` into the hosts file of this machine and "
            "open it by that name, or take\n`tls: none`: SSH encrypts already.",
            name, name);
    else if (!resolves_to(name, health->via, &known))
        cmd_note(s->cmd,
                 "note: %s %s. Let its DNS record point to %s (address: elastic keeps that),\n"
                 "or write the line `%s %s` into the hosts file of this machine.",
                 name, known ? "leads to another address" : "is not known here", health->via,
                 health->via, name);
}

/* Print the address, say what there is to know about it, and start the browser at a terminal. */
static int show(struct session *s, const struct server_view *server, struct buf *url) {
    struct cmd *cmd = s->cmd;
    buf_addc(url, '\n');
    int code = cmd_print(cmd, url);
    say_name(s, server);
    if (servers_trusts_ca(s))
        cmd_note(cmd,
                 "The certificate is signed by this project's own authority. To trust it once, "
                 "import\n%s/ca.pem into the browser (Settings, Certificates, Authorities).",
                 s->project_dir);
    url->ptr[--url->len] = '\0';
    if (code == EXIT_OK && cmd->out_look.tty && !open_browser(buf_cstr(url)))
        cmd_note(cmd, "No browser was started here: open the address by hand.");
    return code;
}

struct opening {
    struct session *s;
    const struct server_view *server;
};

static int on_tunnel(void *ctx, const int *locals) {
    struct opening *opening = ctx;
    struct session *s = opening->s;
    struct err err = {0};
    _cleanup_secret_buf_ struct buf token = BUF_INIT(BUF_SMALL);
    _cleanup_secret_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    if (servers_token(s, &token, &err) < 0) {
        cmd_fail(s->cmd, &err);
        return -ERRC_IO;
    }
    servers_add_url(s, "127.0.0.1", locals[0], &text);
    buf_addf(&text, "?token=%s", buf_cstr(&token));
    int code = show(s, opening->server, &text);
    cmd_note(s->cmd, "It is carried over SSH until Ctrl-C.");
    return code == EXIT_OK ? 0 : -ERRC_IO;
}

/* No port is open: it takes a tunnel, for as long as this runs. */
static int open_by_tunnel(struct session *s, const struct server_view *server, struct err *err) {
    const struct tunnel_wish wish = {.remote = (int)spec_jupyter(s->spec)->port};
    struct opening opening = {s, server};
    return tunnel_forward(s, server, &wish, 1, on_tunnel, &opening, err);
}

static int run(struct cmd *cmd) {
    struct err err = {0};
    struct session s;
    struct server_list list = {0};
    session_init(&s, cmd);
    const struct server_view *server = servers_asked(&s, 0, &list, &err);
    _cleanup_secret_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    int code = EXIT_OK;
    if (server == NULL)
        return session_fail(&s, &err);
    int rc = server->tunnel ? open_by_tunnel(&s, server, &err)
                            : servers_login_url(&s, server, &text, &err);
    if (rc < 0)
        return session_fail(&s, &err);
    if (!server->tunnel)
        code = show(&s, server, &text);
    session_free(&s);
    return code;
}

const struct verb verb_open = {
    .name = "open",
    .args = "[SERVER]",
    .summary = "print the logged-in address of Jupyter, and open it in the browser",
    .details = "At a terminal with a display the browser is started (xdg-open); elsewhere the\n"
               "address is only printed. It carries the login token: treat it like a password.\n"
               "With access.jupyter: tunnel it leads through SSH, for as long as this runs.",
    .options = {&option_file},
    .positional_max = 1,
    .run = run,
};
