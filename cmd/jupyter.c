/* berth jupyter rotate: another login token, certificate or authority. Each takes the path of an
 * apply of one part of Jupyter alone; when that is not agreed to, the old one stays. */
#include "cmd/run_plan.h"
#include "cmd/servers.h"
#include "cmd/show_plan.h"
#include "cmd/verbs.h"
#include "specs/fs.h"
#include "specs/sections/sections.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { TOKEN_BYTES = 32 };

static int make_token(struct session *s, struct buf *out, struct err *err) {
    unsigned char bytes[TOKEN_BYTES];
    (void)s;
    if (session_random(bytes, sizeof bytes) < 0)
        return err_set(err, ERRC_INTERNAL, "no random numbers to be had");
    buf_add_hex(out, bytes, sizeof bytes);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return 0;
}

static int need_authority(const struct session *s, struct err *err) {
    if (servers_trusts_ca(s))
        return 0;
    bool own = spec_has_own_tls(s->spec);
    err_set(err, ERRC_INVALID,
            own ? "the certificate is yours: berth does not make another"
                : "the spec says jupyter.tls: none: there is no certificate");
    if (own)
        err_hint(err, "renew %s where it comes from; berth apply then sends it",
                 spec_jupyter(s->spec)->tls.cert);
    return -ERRC_INVALID;
}

/* The mark of a certificate says when it was asked for. */
static int make_mark(struct session *s, struct buf *out, struct err *err) {
    struct timespec now;
    struct tm tm;
    char text[32] = "";
    int rc = need_authority(s, err);
    if (rc < 0)
        return rc;
    if (clock_gettime(CLOCK_REALTIME, &now) < 0 || gmtime_r(&now.tv_sec, &tm) == NULL)
        return err_set(err, ERRC_INTERNAL, "no clock to be had");
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    buf_addf(out, "%s.%03ldZ", text, now.tv_nsec / 1000000);
    return 0;
}

/* Where there is none, apply makes one. */
static int make_none(struct session *s, struct buf *out, struct err *err) {
    (void)out;
    return need_authority(s, err);
}

/* One row a thing that can be had anew: the file that says which one it is now. */
static const struct rotation {
    const char *word, *file;
    unsigned mode;    /* of the file */
    const char *node; /* its part of a server */
    /* The new content; none: the file is removed. */
    int (*make)(struct session *s, struct buf *out, struct err *err);
    bool is_there; /* the file: apply makes the first one */
    const char *question, *done;
} rotations[] = {
    {"token", "token", 0600, "jupyter", make_token, true,
     "\nGive Jupyter this token? Who is logged in by the old one is logged out. [y/N]",
     "the new token: berth output token; logged in with it: berth open"},
    {"certificate", "certificate", 0600, "tls", make_mark, false,
     "\nMake another key and certificate? Browsers that trust the project go on without a word. "
     "[y/N]",
     "Jupyter has another certificate, by the same authority"},
    {"authority", "ca.pem", 0644, "tls", make_none, true,
     "\nMake another authority? Browsers trust it only when its ca.pem is imported. [y/N]",
     "import the new ca.pem into the browser, and take the old one out: berth output ca"},
};

struct rotating {
    const struct rotation *what;
    const char *path;
    struct buf made; /* the new content */
};

static int find_nodes(struct session *s, const struct rotation *what, struct err *err) {
    if (!spec_has(s->spec, &section_jupyter))
        return err_set(err, ERRC_INVALID, "the spec has no jupyter");
    /* The service restarts with it, which the plan then says. */
    for (int64_t i = 0; i < spec_server(s->spec)->count; i++)
        if (strlist_addf(&s->arena, &s->targets, "server[%lld].%s", (long long)i, what->node) < 0 ||
            strlist_addf(&s->arena, &s->targets, "server[%lld].jupyter.service", (long long)i) < 0)
            return err_no_memory(err);
    s->options.targets = &s->targets;
    return 0;
}

/* The plan is made with the new one, under the lock; the file is as it was until that is agreed
 * to: a run that is cut before that has done nothing. */
static int plan_with(struct session *s, struct rotating *r, struct err *err) {
    r->path = arena_printf(&s->arena, "%s/%s", s->project_dir, r->what->file);
    if (r->path == NULL)
        return err_no_memory(err);
    int rc = r->what->make(s, &r->made, err);
    if (rc < 0)
        return rc;
    if (r->what->is_there && !fs_exists(r->path)) {
        err_set(err, ERRC_NOTFOUND, "there is no %s yet", r->what->word);
        err_hint(err, "berth apply makes one");
        return -ERRC_NOTFOUND;
    }
    s->instead = (struct input_instead){r->what->file, buf_str(&r->made)};
    rc = session_open_worlds(s, err);
    if (rc == 0)
        rc = session_desire(s, err);
    return rc < 0 ? rc : session_plan(s, err);
}

/* From here on an apply would go on with it. */
static int put_in_place(const struct rotating *r, struct err *err) {
    return r->made.len > 0 ? fs_write(r->path, buf_str(&r->made), r->what->mode, err)
                           : fs_remove(r->path, err);
}

static int rotate(struct session *s, struct rotating *r) {
    static const char *const yes[] = {"y", "yes", NULL};
    struct err err = {0};
    int rc = find_nodes(s, r->what, &err);
    if (rc == 0)
        rc = session_open_state(s, true, &err);
    if (rc == 0)
        rc = plan_with(s, r, &err);
    if (rc < 0)
        return err.msg[0] == '\0' ? EXIT_FAILED : cmd_fail(s->cmd, &err);
    int code = run_plan_approve(s, r->what->question, yes);
    if (code != EXIT_OK)
        return code;
    if (show_plan_count(&s->plan) == 0) {
        cmd_note(s->cmd, "the old %s stays: no server can be given another one now", r->what->word);
        return EXIT_FAILED;
    }
    if (put_in_place(r, &err) < 0)
        return cmd_fail(s->cmd, &err);
    code = run_plan_execute(s);
    if (code == EXIT_OK)
        cmd_note(s->cmd, "%s", r->what->done);
    return code;
}

static const struct rotation *find_rotation(const struct args *args) {
    const char *word = args->positional_len > 1 ? args->positional[1] : rotations[0].word;
    for (size_t i = 0; i < sizeof rotations / sizeof rotations[0]; i++)
        if (strcmp(rotations[i].word, word) == 0)
            return &rotations[i];
    return NULL;
}

static int run(struct cmd *cmd) {
    struct err err = {0};
    struct session s;
    const struct args *args = &cmd->args;
    struct rotating r = {.what = find_rotation(args), .made = BUF_INIT(BUF_SMALL)};
    if (args->positional_len == 0 || strcmp(args->positional[0], "rotate") != 0)
        return cmd_usage(cmd, "say what to do with it: berth jupyter rotate");
    if (r.what == NULL)
        return cmd_usage(cmd, "rotate takes token, certificate or authority, not %s",
                         args->positional[1]);
    session_init(&s, cmd);
    if (session_load_spec(&s, NULL, &err) < 0)
        return session_fail(&s, &err);
    int code = rotate(&s, &r);
    buf_wipe(&r.made);
    session_free(&s);
    return code;
}

const struct verb verb_jupyter = {
    .name = "jupyter",
    .args = "rotate [token | certificate | authority]",
    .summary = "give Jupyter another login token, certificate or authority",
    .details = "rotate token (as without a word) makes a new token, shows the change, asks,\n"
               "and restarts Jupyter with it: addresses with the old one log nobody in any\n"
               "more, and kernels end. The password of the spec is not touched; change it\n"
               "where the spec says that it stands. rotate certificate makes another key and\n"
               "certificate by the project's authority, which also restarts Jupyter; one that\n"
               "would end within 30 days is made anew by every apply. rotate authority makes\n"
               "another authority as well, which browsers have to be told to trust. Files of\n"
               "yours (jupyter.tls) are yours to renew.",
    .options = {&option_file, &option_auto_approve},
    .positional_max = 2,
    .run = run,
};
