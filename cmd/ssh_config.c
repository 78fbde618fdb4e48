#include "cmd/ssh_config.h"

#include "cmd/login.h"
#include "cmd/verbs.h"
#include "providers/host/route.h"
#include "specs/fs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define HEAD "# Written by `berth ssh-config`"

/* "server[2]" → "2" */
static struct str number_of(const char *address) {
    const char *open = strchr(address, '[');
    size_t len = open == NULL ? 0 : strcspn(open + 1, "]");
    return open == NULL ? str_of(address) : (struct str){open + 1, len};
}

/* The user's own entry of that name leads to the server: one above it would hide it, from berth
 * too.
 */
static bool is_taken(struct session *s, const struct server_view *v) {
    const char *host = v->endpoint.given.host, *user = NULL;
    return host != NULL && cstr_eq(ssh_route_split(&s->arena, host, &user), s->name);
}

static int add_entry(struct session *s, const struct server_view *v, bool only, struct buf *out,
                     struct err *err) {
    struct login_option options[LOGIN_OPTIONS + 1];
    struct strlist keys = {0};
    int rc = login_options(s, v, options, err);
    if (rc == 0)
        rc = login_host_keys(s, v, &keys, err);
    if (rc < 0)
        return rc;
    struct str number = number_of(v->address);
    buf_addf(out, "\nHost %s-%.*s", s->name, STR_FMT(number));
    if (only && !is_taken(s, v))
        buf_addf(out, " %s", s->name);
    buf_addc(out, '\n');
    for (const struct login_option *o = options; o->name != NULL; o++)
        buf_addf(out, "    %s %s\n", o->name, o->value);
    return 0;
}

/* Appends one `Host` entry a server that has an address, and writes known_hosts for them; how many
 * servers have none goes to *ret_left_out. -ERRC_NOTFOUND when no server has one. */
static int config_text(struct session *s, const struct server_list *list, struct buf *out,
                       size_t *ret_left_out, struct err *err) {
    size_t added = 0;
    buf_addf(out, HEAD " for the project %s: it may be written anew.\n", s->name);
    for (size_t i = 0; i < list->len; i++) {
        struct err why = {0};
        int rc = add_entry(s, &list->items[i], list->len == 1, out, &why);
        if (rc == 0)
            added++;
        else if (rc != -ERRC_NOTFOUND && rc != -ERRC_HOSTKEY) {
            *err = why;
            return rc;
        }
    }
    if (added == 0) {
        err_set(err, ERRC_NOTFOUND, "no server has an address now");
        err_hint(err, "berth status says how they are");
        return -ERRC_NOTFOUND;
    }
    if (out->failed)
        return err_set(err, ERRC_LIMIT, "too many servers for one file");
    *ret_left_out = list->len - added;
    return login_write_known_hosts(s, list, err);
}

/* A file that somebody else wrote is left alone. */
static int write_ours(const char *path, const struct buf *text, struct err *err) {
    _cleanup_buf_ struct buf old = BUF_INIT(BUF_MEDIUM);
    struct err why = {0};
    int rc = fs_read(path, &old, &why);
    if (rc == 0 && old.len > 0 && !str_starts(buf_str(&old), STR(HEAD))) {
        err_set(err, ERRC_CONFLICT, "%s was not written by berth ssh-config; it was left alone",
                path);
        err_hint(err, "name another file, and put `Include FILE` at the top of ~/.ssh/config; "
                      "-install does both");
        return -ERRC_CONFLICT;
    }
    if (rc < 0 && rc != -ERRC_NOTFOUND) {
        *err = why;
        return rc;
    }
    return fs_write(path, buf_str(text), 0600, err);
}

static const char *installed_path(struct session *s) {
    return arena_printf(&s->arena, "%s/ssh_config", s->project_dir);
}

int ssh_config_refresh(struct session *s, struct err *err) {
    const char *path = installed_path(s);
    struct server_list list = {0};
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    size_t left_out;
    if (path == NULL || !fs_exists(path))
        return 0;
    int rc = servers_make(s, &list, err);
    if (rc == 0)
        rc = config_text(s, &list, &text, &left_out, err);
    return rc < 0 ? rc : write_ours(path, &text, err);
}

/* ---- -install: `Include` at the top of the user's configuration, once */

static bool has_line(struct str text, struct str wanted) {
    struct str line;
    while (text.len > 0 && str_split(&text, '\n', &line)) {
        struct str trimmed = str_trim(line);
        if (trimmed.len == wanted.len && memcmp(trimmed.ptr, wanted.ptr, wanted.len) == 0)
            return true;
    }
    return false;
}

/* The file itself where ~/.ssh/config is a link, as in folders of dot files. */
static int user_config(struct session *s, const char **ret, unsigned *ret_mode, struct err *err) {
    const char *home = getenv("HOME");
    if (home == NULL || home[0] != '/') {
        err_set(err, ERRC_NOTFOUND, "HOME does not name a folder");
        err_hint(err, "use -out FILE");
        return -ERRC_NOTFOUND;
    }
    const char *folder = arena_printf(&s->arena, "%s/.ssh", home);
    const char *path = arena_printf(&s->arena, "%s/.ssh/config", home);
    if (folder == NULL || path == NULL)
        return err_no_memory(err);
    int rc = fs_exists(folder) ? 0 : fs_mkdirs(folder, 0700, err);
    if (rc < 0)
        return rc;
    struct stat st;
    bool there = stat(path, &st) == 0;
    char *real = there ? realpath(path, NULL) : NULL;
    *ret_mode = there ? st.st_mode & 07777 : 0600;
    *ret = real != NULL ? arena_dup(&s->arena, real) : path;
    free(real);
    return *ret == NULL ? err_no_memory(err) : 0;
}

static int include(struct session *s, const char *path, struct err *err) {
    _cleanup_buf_ struct buf old = BUF_INIT(BUF_MEDIUM);
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    const char *config = NULL;
    unsigned mode = 0600;
    char *real = realpath(path, NULL);
    if (real == NULL)
        return err_set_errno(err, ERRC_IO, errno, "find %s", path);
    buf_addf(&text, "Include \"%s\"", real);
    bool odd = strpbrk(real, "\"\\*?[") != NULL; /* Include takes patterns */
    free(real);
    if (odd) {
        err_set(err, ERRC_INVALID, "the path of %s cannot stand in ~/.ssh/config", path);
        err_hint(err, "use -out FILE, and include that");
        return -ERRC_INVALID;
    }
    int rc = user_config(s, &config, &mode, err);
    if (rc < 0)
        return rc;
    struct err why = {0};
    rc = fs_read(config, &old, &why);
    if (rc < 0 && rc != -ERRC_NOTFOUND) {
        *err = why;
        return rc;
    }
    if (has_line(buf_str(&old), buf_str(&text)))
        return 0;
    buf_adds(&text, old.len > 0 ? "\n\n" : "\n"); /* at the top: below a `Host` it would be its */
    buf_addstr(&text, buf_str(&old));
    rc = text.failed ? err_set(err, ERRC_LIMIT, "%s is too large", config)
                     : fs_write(config, buf_str(&text), mode, err);
    if (rc == 0)
        cmd_note(s->cmd, "added to the top of %s: Include …/%s", config, path);
    return rc;
}

static int run(struct cmd *cmd) {
    struct err err = {0};
    struct session s;
    struct server_list list = {0};
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    size_t left_out = 0;
    if (cmd->args.install && cmd->args.out != NULL)
        return cmd_usage(cmd, "-install and -out do not go together");
    session_init(&s, cmd);
    int rc = servers_recorded(&s, &list, &err);
    if (rc == 0)
        rc = config_text(&s, &list, &text, &left_out, &err);
    const char *path = cmd->args.install ? installed_path(&s) : cmd->args.out;
    if (rc == 0 && path != NULL)
        rc = write_ours(path, &text, &err);
    if (rc == 0 && cmd->args.install)
        rc = include(&s, path, &err);
    if (rc < 0)
        return session_fail(&s, &err);
    if (left_out > 0)
        cmd_note(cmd, "note: left out, since without an address now: %zu server%s", left_out,
                 left_out == 1 ? "" : "s");
    int code = path == NULL ? cmd_print(cmd, &text) : EXIT_OK;
    if (path != NULL)
        cmd_note(cmd, "wrote %s: ssh %s%s", path, s.name, list.len == 1 ? "" : "-0");
    session_free(&s);
    return code;
}

const struct verb verb_ssh_config = {
    .name = "ssh-config",
    .args = "",
    .summary = "entries for ~/.ssh/config: ssh, scp, rsync by name",
    .details = "Prints one `Host NAME-0` a server (also `Host NAME` for the only one), with its\n"
               "address, the key file, and the host key that apply pinned; any other is refused.\n"
               "-install writes them beside the state, includes that in ~/.ssh/config, and each\n"
               "later apply keeps it up to date. What berth did not write is not overwritten.",
    .options = {&option_file, &option_out_config, &option_install},
    .run = run,
};
