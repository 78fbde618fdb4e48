#include "cmd/ssh_child.h"

#include "cmd/text.h"
#include "providers/host/route.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* GCM first: the processors of today have instructions for it. */
static const char ciphers[] = "Ciphers=aes128-gcm@openssh.com,aes256-gcm@openssh.com,"
                              "chacha20-poly1305@openssh.com,aes256-ctr,aes128-ctr";

/* A server that is gone answers nothing, and the kernel waits more than two minutes for that. */
#define CONNECT_WAIT "ConnectTimeout=15"

enum { WORDS_MAX = 512, SAID_MAX = 2048 };

struct words {
    const char **items;
    size_t len;
};

static int add(struct words *w, const char *word, struct err *err) {
    if (word == NULL)
        return err_no_memory(err);
    if (w->len == WORDS_MAX)
        return err_set(err, ERRC_LIMIT, "too many words for ssh");
    w->items[w->len++] = word;
    return 0;
}

static int add_options(struct session *s, const struct server_view *v, const char *const *extra,
                       struct words *w, struct err *err) {
    struct login_option options[LOGIN_OPTIONS + 1];
    int rc = login_options(s, v, options, err);
    for (const struct login_option *o = options; rc == 0 && o->name != NULL; o++) {
        rc = add(w, "-o", err);
        if (rc == 0)
            rc = add(w, arena_printf(&s->arena, "%s=%s", o->name, o->value), err);
    }
    if (rc == 0) /* of two that are the same, OpenSSH takes the first */
        rc = add(w, "-o", err);
    if (rc == 0)
        rc = add(w, CONNECT_WAIT, err);
    for (; rc == 0 && extra != NULL && *extra != NULL; extra++) {
        rc = add(w, "-o", err);
        if (rc == 0)
            rc = add(w, *extra, err);
    }
    return rc;
}

/* The name that the user calls a server of theirs by: what ~/.ssh/config says of it beside the way
 * there holds too. */
static const char *name_of(struct session *s, const struct server_view *v) {
    const char *user = NULL;
    return v->endpoint.given.host == NULL
               ? v->host
               : ssh_route_split(&s->arena, v->endpoint.given.host, &user);
}

int ssh_command(struct session *s, const struct server_list *list, const struct server_view *v,
                const char *const *extra, const char *const *rest, const char ***ret_argv,
                struct err *err) {
    struct words w = {.items = arena_calloc(&s->arena, WORDS_MAX + 1, sizeof *w.items)};
    struct strlist keys = {0};
    if (w.items == NULL)
        return err_no_memory(err);
    int rc = add(&w, "ssh", err);
    if (rc == 0)
        rc = add_options(s, v, extra, &w, err);
    if (rc == 0)
        rc = login_host_keys(s, v, &keys, err);
    if (rc == 0)
        rc = login_write_known_hosts(s, list, err);
    if (rc == 0)
        rc = add(&w, "--", err);
    if (rc == 0)
        rc = add(&w, name_of(s, v), err);
    for (; rc == 0 && rest != NULL && *rest != NULL; rest++)
        rc = add(&w, *rest, err);
    if (rc == 0)
        *ret_argv = w.items;
    return rc;
}

int ssh_exec(struct session *s, const struct server_list *list, const struct server_view *v,
             const char *const *rest, struct err *err) {
    const char **argv = NULL;
    int rc = ssh_command(s, list, v, NULL, rest, &argv, err);
    if (rc < 0 || argv == NULL)
        return rc;
    execvp(argv[0], (char *const *)argv);
    err_set_errno(err, ERRC_IO, errno, "start ssh");
    err_hint(err, "install the OpenSSH client (apt-get install openssh-client)");
    return -ERRC_IO;
}

static void close_fd(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int open_pipes(int to[2], int from[2], int *errors, struct err *err) {
    FILE *file = tmpfile();
    *errors = file == NULL ? -1 : fcntl(fileno(file), F_DUPFD_CLOEXEC, 3);
    if (file != NULL)
        fclose(file);
    if (*errors >= 0 && pipe(to) == 0) {
        if (pipe(from) == 0) {
            fcntl(to[1], F_SETFD, FD_CLOEXEC);
            fcntl(from[0], F_SETFD, FD_CLOEXEC);
            return 0;
        }
        close(to[0]);
        close(to[1]);
    }
    int rc = err_set_errno(err, ERRC_IO, errno, "make a pipe");
    close_fd(errors);
    return rc;
}

int ssh_child_start(struct session *s, const struct server_list *list, const struct server_view *v,
                    const char *command, struct ssh_child *ret, struct err *err) {
    static const char *const extra[] = {
        "BatchMode=yes", "Compression=no", "ClearAllForwardings=yes", "ServerAliveInterval=15",
        ciphers,
        /* What the user's configuration has for people: a terminal would change bytes. */
        "RequestTTY=no", "RemoteCommand=none", NULL};
    const char *const rest[] = {command, NULL};
    const char **argv = NULL;
    int to[2] = {-1, -1}, from[2] = {-1, -1}, errors = -1;
    int rc = ssh_command(s, list, v, extra, rest, &argv, err);
    if (rc == 0)
        rc = open_pipes(to, from, &errors, err);
    if (rc < 0 || argv == NULL)
        return rc;
    pid_t pid = fork();
    if (pid == 0) {
        struct sigaction action = {.sa_handler = SIG_DFL};
        sigaction(SIGPIPE, &action, NULL);
        if (dup2(to[0], 0) < 0 || dup2(from[1], 1) < 0 || dup2(errors, 2) < 0)
            _exit(127);
        close(to[0]);
        close(from[1]);
        execvp(argv[0], (char *const *)argv);
        dprintf(2, "ssh cannot be started: %s (apt-get install openssh-client)\n", strerror(errno));
        _exit(127);
    }
    int problem = errno;
    close(to[0]);
    close(from[1]);
    *ret = (struct ssh_child){.pid = pid,
                              .in = to[1],
                              .out = from[0],
                              .errors = errors,
                              .given = v->endpoint.given.host != NULL};
    if (pid > 0)
        return 0;
    ssh_child_free(ret);
    return err_set_errno(err, ERRC_IO, problem, "start ssh");
}

static int wait_for(pid_t pid) {
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

int ssh_child_end(struct ssh_child *child, int *ret_status, struct err *err) {
    close_fd(&child->in);
    close_fd(&child->out);
    int status = wait_for(child->pid);
    child->pid = -1;
    if (status < 0 || !WIFEXITED(status))
        return err_set(err, ERRC_HOST, "ssh was ended");
    *ret_status = WEXITSTATUS(status);
    return 0;
}

/* A shell says first which line of our script it was at: "berth-cp: 11: cannot create x". */
static struct str skip_place(struct str line) {
    static const char name[] = "berth-cp: ";
    size_t at = sizeof name - 1;
    if (!str_starts(line, STR(name)))
        return line;
    if (str_starts((struct str){line.ptr + at, line.len - at}, STR("line ")))
        at += 5;
    while (at < line.len && line.ptr[at] >= '0' && line.ptr[at] <= '9')
        at++;
    at += at + 1 < line.len && line.ptr[at] == ':' && line.ptr[at + 1] == ' ' ? 2 : 0;
    return (struct str){line.ptr + at, line.len - at};
}

int ssh_child_failed(struct ssh_child *child, int status, const char *what, struct err *err) {
    char said[SAID_MAX];
    _cleanup_buf_ struct buf clean = BUF_INIT(BUF_SMALL);
    off_t size = lseek(child->errors, 0, SEEK_END);
    ssize_t n = pread(child->errors, said, sizeof said,
                      size > (off_t)sizeof said ? size - (off_t)sizeof said : 0);
    struct str rest = {said, n > 0 ? (size_t)n : 0}, line;
    while (rest.len > 0 && str_split(&rest, '\n', &line)) {
        line = skip_place(str_trim(line));
        if (line.len == 0)
            continue;
        buf_adds(&clean, clean.len > 0 ? "; " : "");
        text_add_clean(line, &clean);
    }
    err_set(err, status == 255 ? ERRC_NET : ERRC_HOST, "%s: %s", what,
            clean.len > 0 ? buf_cstr(&clean) : "ssh ended without a word");
    err_hint(err,
             status != 255 ? "look there by hand: berth ssh"
             : child->given
                 ? "berth doctor says how to come to the server, and why it cannot be reached"
                 : "berth status says how the server is; is access.ssh open to your address of "
                   "now? berth apply renews it");
    return -err->code;
}

void ssh_child_free(struct ssh_child *child) {
    close_fd(&child->in);
    close_fd(&child->out);
    close_fd(&child->errors);
    if (child->pid > 0) {
        kill(child->pid, SIGTERM);
        wait_for(child->pid);
    }
    child->pid = -1;
}
