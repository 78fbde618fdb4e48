#include "cmd/signals.h"
#include "cmd/ssh_child.h"
#include "cmd/text.h"
#include "cmd/verbs.h"
#include "providers/host/host.h"
#include "specs/sections/sections.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { LINES_MAX = 1000000 };

#define JOURNAL "journalctl --no-pager -o short-iso -u " HOST_SERVICE " -n "

/* A journalctl that follows does not notice that nobody reads: it is ended when our end of its
 * input is closed, however that comes about. */
#define FOLLOW                                                                                     \
    "exec %ssh -c 'exec 3<&0; " JOURNAL "%lld -f </dev/null & p=$! ; "                             \
    "{ cat <&3 >/dev/null; kill $p; } 2>/dev/null >/dev/null & wait $p'"

static bool print_line(const struct cmd *cmd, struct str line) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    text_add_clean(line, &text);
    buf_addc(&text, '\n');
    return fwrite(buf_cstr(&text), 1, text.len, cmd->out) == text.len && fflush(cmd->out) == 0;
}

/* What comes next, as read(2) has it. A pipe whose reader is gone would tell only at the next line,
 * and there may be none for hours (`berth logs -f | head -3`): *ret_taken is false then. */
static ssize_t read_next(const struct cmd *cmd, int from, char *bytes, size_t size,
                         bool *ret_taken) {
    struct pollfd fds[] = {{.fd = from, .events = POLLIN}, {.fd = fileno(cmd->out)}};
    if (poll(fds, 2, -1) < 0)
        return -1;
    *ret_taken = (fds[1].revents & (POLLERR | POLLHUP)) == 0;
    return *ret_taken ? read(from, bytes, size) : 0;
}

/* Whole lines as they come, until the end, Ctrl-C, or nobody takes them any more: then false. */
static bool pass_on(struct session *s, const struct ssh_child *child) {
    _cleanup_buf_ struct buf line = BUF_INIT(BUF_MEDIUM);
    char chunk[16384];
    bool taken = true;
    while (taken && atomic_load(&s->cancel) == 0) {
        ssize_t n = read_next(s->cmd, child->out, chunk, sizeof chunk, &taken);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        struct str rest = {chunk, (size_t)n};
        const char *end;
        while (taken && (end = memchr(rest.ptr, '\n', rest.len)) != NULL) {
            size_t len = (size_t)(end - rest.ptr);
            buf_add(&line, rest.ptr, len);
            taken = print_line(s->cmd, buf_str(&line));
            buf_reset(&line);
            rest = (struct str){end + 1, rest.len - len - 1};
        }
        buf_addstr(&line, rest);
    }
    if (taken && line.len > 0)
        taken = print_line(s->cmd, buf_str(&line));
    return taken;
}

static int show(struct session *s, const struct server_list *list, const struct server_view *v,
                int64_t lines, struct err *err) {
    char command[512];
    struct ssh_child child;
    bool follow = s->cmd->args.follow;
    snprintf(command, sizeof command, follow ? FOLLOW : "exec %s" JOURNAL "%lld",
             cstr_eq(v->endpoint.user, "root") ? "" : "sudo -n ", (long long)lines);
    signals_catch(&s->cancel);
    int rc = ssh_child_start(s, list, v, command, &child, err);
    if (rc == 0) {
        int status = 0;
        bool ended = !pass_on(s, &child) || atomic_load(&s->cancel) > 0;
        rc = ssh_child_end(&child, &status, err);
        if (ended) /* as it was asked for */
            rc = 0;
        else if (rc == 0 && status != 0)
            rc = ssh_child_failed(&child, status, v->address, err);
        ssh_child_free(&child);
    }
    signals_release();
    return rc;
}

static int run(struct cmd *cmd) {
    struct err err = {0};
    struct session s;
    struct server_list list = {0};
    int64_t lines = 100;
    if (cmd->args.lines != NULL && !str_to_i64(str_of(cmd->args.lines), 0, LINES_MAX, &lines))
        return cmd_usage(cmd, "-n takes a number of lines, not %s", cmd->args.lines);
    session_init(&s, cmd);
    const struct server_view *server = servers_asked(&s, 0, &list, &err);
    if (server == NULL)
        return session_fail(&s, &err);
    if (!spec_has(s.spec, &section_jupyter)) {
        err_set(&err, ERRC_NOTFOUND, "the spec has no `jupyter`: there is no log of it");
        err_hint(&err, "berth ssh -- sudo journalctl shows the whole journal");
        return session_fail(&s, &err);
    }
    if (show(&s, &list, server, lines, &err) < 0)
        return session_fail(&s, &err);
    session_free(&s);
    return EXIT_OK;
}

const struct verb verb_logs = {
    .name = "logs",
    .args = "[SERVER]",
    .summary = "print what Jupyter said last, and with -f what it says from now on",
    .details = "From the journal of the service on the server, the last 100 lines unless -n says\n"
               "otherwise. -f goes on until Ctrl-C.",
    .options = {&option_follow, &option_lines, &option_file_only},
    .positional_max = 1,
    .run = run,
};
