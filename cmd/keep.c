/* berth keep: put off the stop of an idle server. */
#include "cmd/ssh_child.h"
#include "cmd/verbs.h"
#include "specs/sections/sections.h"
#include "specs/unit.h"

#include <stdio.h>

enum { KEEP_MAX_S = 30 * 86400 };

static bool take_time(const char *text, int64_t *ret_s) {
    return unit_parse_duration(str_of(text), ret_s) && *ret_s >= 1 && *ret_s <= KEEP_MAX_S;
}

static int keep(struct session *s, const struct server_list *list, const struct server_view *v,
                int64_t seconds, struct err *err) {
    char text[32];
    const char *const words[] = {"sudo", "-n", "/opt/berth/watch", "keep", text, NULL};
    /* A server of one's own may have no sudo where root logs in. */
    const char *const *rest = cstr_eq(v->endpoint.user, "root") ? words + 2 : words;
    snprintf(text, sizeof text, "%lld", (long long)seconds);
    if (!spec_has_stop(s->spec)) {
        err_set(err, ERRC_INVALID, "nothing would stop %s: the spec has no server.stop",
                v->address);
        if (!s->spec->given) /* server.stop is none of a server that berth cannot start again */
            err_hint(err, "write `stop: { idle: 60 min }` below `server:`, then berth apply");
        return -ERRC_INVALID;
    }
    return ssh_exec(s, list, v, rest, err);
}

static int run(struct cmd *cmd) {
    struct err err = {0};
    struct session s;
    struct server_list list = {0};
    int64_t seconds = 0;
    if (cmd->args.positional_len < 1)
        return cmd_usage(cmd, "say for how long: berth keep 2h");
    if (!take_time(cmd->args.positional[0], &seconds))
        return cmd_usage(cmd, "%s is no time: say 90min, 2h or 1d, at most 30d",
                         cmd->args.positional[0]);
    session_init(&s, cmd);
    const struct server_view *server = servers_asked(&s, 1, &list, &err);
    if (server != NULL)
        keep(&s, &list, server, seconds, &err);
    return session_fail(&s, &err);
}

const struct verb verb_keep = {
    .name = "keep",
    .args = "TIME [SERVER]",
    .summary = "keep a server from stopping itself for a while",
    .details = "With server.stop a server stops itself when it is idle, or has run for long\n"
               "enough; berth status shows in how long. TIME from now it may again: 90min, 2h,\n"
               "1d. SERVER is server[1] or 1; not needed for one server.",
    .options = {&option_file},
    .positional_max = 2,
    .run = run,
};
