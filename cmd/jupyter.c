/* berth jupyter rotate: another login token. It takes the path of an apply of Jupyter's
 * configuration alone; when that is not agreed to, the old token stays. */
#include "cmd/run_plan.h"
#include "cmd/servers.h"
#include "cmd/verbs.h"
#include "specs/fs.h"
#include "specs/sections/sections.h"

#include <openssl/crypto.h>
#include <string.h>

enum { TOKEN_BYTES = 32 };

static const char *token_path(struct session *s) {
    return arena_printf(&s->arena, "%s/token", s->project_dir);
}

static int make_token(struct buf *out, struct err *err) {
    unsigned char bytes[TOKEN_BYTES];
    if (session_random(bytes, sizeof bytes) < 0)
        return err_set(err, ERRC_INTERNAL, "no random numbers to be had");
    buf_add_hex(out, bytes, sizeof bytes);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return 0;
}

static int find_jupyter(struct session *s, struct err *err) {
    if (!spec_has(s->spec, &section_jupyter))
        return err_set(err, ERRC_INVALID, "the spec has no jupyter");
    for (int64_t i = 0; i < spec_server(s->spec)->count; i++)
        if (strlist_addf(&s->arena, &s->targets, "server[%lld].jupyter", (long long)i) < 0)
            return err_set(err, ERRC_NOMEM, "out of memory");
    s->options.targets = &s->targets;
    return 0;
}

/* The plan is made with the new token in place, under the lock. */
static int plan_with(struct session *s, struct buf *old, struct err *err) {
    _cleanup_secret_buf_ struct buf token = BUF_INIT(BUF_SMALL);
    const char *path = token_path(s);
    int rc = path == NULL ? err_set(err, ERRC_NOMEM, "out of memory") : fs_read(path, old, err);
    if (rc == -ERRC_NOTFOUND) {
        err_set(err, ERRC_NOTFOUND, "there is no token yet");
        err_hint(err, "berth apply makes one");
    }
    if (rc == 0)
        rc = make_token(&token, err);
    if (rc == 0)
        rc = fs_write(path, buf_str(&token), 0600, err);
    if (rc == 0)
        rc = session_open_worlds(s, err);
    if (rc == 0)
        rc = session_desire(s, err);
    return rc < 0 ? rc : session_plan(s, err);
}

static void put_back(struct session *s, const struct buf *old) {
    struct err err = {0};
    if (old->len > 0 && fs_write(token_path(s), buf_str(old), 0600, &err) < 0)
        cmd_note(s->cmd, "warning: the old token could not be put back: %s", err.msg);
}

static int rotate(struct session *s, struct buf *old) {
    static const char *const yes[] = {"y", "yes", NULL};
    struct err err = {0};
    int rc = find_jupyter(s, &err);
    if (rc == 0)
        rc = session_open_state(s, true, &err);
    if (rc == 0)
        rc = plan_with(s, old, &err);
    if (rc < 0) {
        put_back(s, old);
        return cmd_fail(s->cmd, &err);
    }
    int code = run_plan_approve(
        s, "\nGive Jupyter this token? Who is logged in by the old one is logged out. [y/N]", yes);
    if (code != EXIT_OK) {
        put_back(s, old);
        return code;
    }
    code = run_plan_execute(s);
    if (code == EXIT_OK)
        cmd_note(s->cmd, "the new token: berth output token; logged in with it: berth open");
    return code;
}

static int run(struct cmd *cmd) {
    struct err err = {0};
    struct session s;
    _cleanup_secret_buf_ struct buf old = BUF_INIT(BUF_SMALL);
    const char *word = cmd->args.positional_len > 0 ? cmd->args.positional[0] : "";
    if (strcmp(word, "rotate") != 0)
        return cmd_usage(cmd, "say what to do with it: berth jupyter rotate");
    session_init(&s, cmd);
    if (session_load_spec(&s, NULL, &err) < 0)
        return session_fail(&s, &err);
    int code = rotate(&s, &old);
    session_free(&s);
    return code;
}

const struct verb verb_jupyter = {
    .name = "jupyter",
    .args = "rotate",
    .summary = "give Jupyter another login token",
    .details = "rotate makes a new token, shows the change, asks, and restarts Jupyter with it:\n"
               "addresses with the old one log nobody in any more, and kernels end. The password\n"
               "of the spec is not touched; change it where the spec says that it stands.",
    .options = {&option_file, &option_auto_approve},
    .positional_max = 1,
    .run = run,
};
