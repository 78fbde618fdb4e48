#include "cmd/copy.h"
#include "cmd/signals.h"
#include "cmd/verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* "server:path", "0:path", ":path": a colon before any slash. */
static bool is_remote(const char *word) {
    size_t at = strcspn(word, ":/");
    return word[at] == ':';
}

static const struct server_view *find_server(struct session *s, const struct server_list *list,
                                             const char *word, struct err *err) {
    const char *name =
        arena_dup_str(&s->arena, (struct str){word, (size_t)(strchr(word, ':') - word)});
    if (name == NULL) {
        err_no_memory(err);
        return NULL;
    }
    bool any = name[0] == '\0' || (strcmp(name, "server") == 0 && list->len == 1);
    return servers_find(list, any ? NULL : name, err);
}

/* The shell there starts in the home folder; a `-` in front must not become an option. */
static const char *remote_path(struct session *s, const char *word) {
    const char *path = strchr(word, ':') + 1;
    if (strcmp(path, "") == 0 || strcmp(path, "~") == 0 || strcmp(path, "~/") == 0)
        return ".";
    if (strncmp(path, "~/", 2) == 0)
        path += 2;
    return path[0] == '/' ? path : arena_printf(&s->arena, "./%s", path);
}

static int copy_up(struct copy *c, struct err *err) {
    struct stat st;
    if (stat(c->local, &st) < 0)
        return err_set_errno(err, ERRC_NOTFOUND, errno, "read %s", c->local);
    if (S_ISDIR(st.st_mode))
        return copy_folder_up(c, err);
    return S_ISREG(st.st_mode)
               ? copy_file_up(c, err)
               : err_set(err, ERRC_INVALID, "%s is neither a file nor a folder", c->local);
}

/* "3.0 MB", and "812 bytes" of what would be 0.0. */
static const char *size_text(char ret[32], int64_t bytes) {
    if (bytes < 100000)
        snprintf(ret, 32, "%lld byte%s", (long long)bytes, bytes == 1 ? "" : "s");
    else
        snprintf(ret, 32, "%.1f MB", (double)bytes / 1e6);
    return ret;
}

static void say_done(const struct copy *c, double took_s) {
    const struct cmd *cmd = c->s->cmd;
    char sent[32], kept[32];
    if (cmd->err_look.tty && c->shown_s > 0)
        fputs("\r\033[K", cmd->err);
    if (c->total == 0 && c->kept > 0)
        cmd_note(cmd, "all of it is there already: %s", size_text(kept, c->kept));
    else if (c->kept > 0)
        cmd_note(cmd, "copied %s in %.1f s; %s were there already", size_text(sent, c->total),
                 took_s, size_text(kept, c->kept));
    else
        cmd_note(cmd, "copied %s in %.1f s", size_text(sent, c->total), took_s);
}

static int run(struct cmd *cmd) {
    struct err err = {0};
    struct session s;
    struct server_list list = {0};
    const struct args *a = &cmd->args;
    if (a->positional_len != 2)
        return cmd_usage(cmd, "say from where and where to: berth cp FILE :FILE");
    bool up = is_remote(a->positional[1]);
    if (up == is_remote(a->positional[0]))
        return cmd_usage(cmd, "one of the two is on a server: berth cp FILE :FILE, or 0:FILE FILE");
    session_init(&s, cmd);
    struct copy c = {.s = &s,
                     .list = &list,
                     .local = a->positional[up ? 0 : 1],
                     .child = {.pid = -1, .in = -1, .out = -1, .errors = -1}};
    const char *there = a->positional[up ? 1 : 0];
    int rc = servers_recorded(&s, &list, &err);
    if (rc == 0 && (c.server = find_server(&s, &list, there, &err)) == NULL)
        rc = -err.code;
    if (rc == 0 && (c.remote = remote_path(&s, there)) == NULL)
        rc = err_no_memory(&err);
    double started_s = monotonic_s();
    if (rc == 0) {
        signals_catch(&s.cancel);
        rc = up ? copy_up(&c, &err) : copy_down(&c, &err);
        ssh_child_free(&c.child);
        signals_release();
    }
    free(c.bytes);
    if (rc < 0 && cmd->err_look.tty && c.shown_s > 0)
        fputc('\n', cmd->err);
    if (rc < 0)
        return session_fail(&s, &err);
    say_done(&c, monotonic_s() - started_s);
    session_free(&s);
    return EXIT_OK;
}

const struct verb verb_cp = {
    .name = "cp",
    .args = "SRC DST",
    .summary = "copy a file or a folder to a server, or from it",
    .details = "One of the two is `:PATH` on the only server, or `0:PATH`, `server[0]:PATH`;\n"
               "PATH is relative to the home folder there. As with cp -r, what is a folder\n"
               "already gets it inside. Modes are kept, links stay links in folders. What is\n"
               "there with the same content does not travel again: after a cut, the same\n"
               "command goes on.",
    .options = {&option_file},
    .positional_max = 2,
    .run = run,
};
