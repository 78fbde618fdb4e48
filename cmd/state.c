#include "cmd/session.h"
#include "cmd/show_node.h"
#include "cmd/text.h"
#include "cmd/verbs.h"
#include "engine/state_edit.h"
#include "engine/state_json.h"

#include <string.h>

static const char *status_of(const struct recorded *r) {
    return r->status == RECORDED_PENDING  ? "being created"
           : r->status == RECORDED_FAILED ? "not finished"
                                          : NULL;
}

/* ---- Looking */

static int print_list_json(const struct session *s) {
    cJSON *out = cJSON_CreateArray();
    for (size_t i = 0; i < s->state.nodes.len; i++) {
        cJSON *entry = recorded_to_json(&s->state.nodes.items[i]);
        cJSON_DeleteItemFromObjectCaseSensitive(entry, "attributes");
        cJSON_AddItemToArray(out, entry);
    }
    return cmd_print_json(s->cmd, out);
}

static int list(struct session *s, struct err *err) {
    int rc = session_peek_state(s, err);
    if (rc < 0)
        return session_fail(s, err);
    if (s->cmd->args.json)
        return print_list_json(s);
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_LARGE);
    for (size_t i = 0; i < s->state.nodes.len; i++) {
        const struct recorded *r = &s->state.nodes.items[i];
        buf_adds(&text, r->address);
        if (r->id != NULL && r->parent == NULL)
            buf_addf(&text, "  %s", r->id);
        if (status_of(r) != NULL)
            buf_addf(&text, "  (%s)", status_of(r));
        buf_addc(&text, '\n');
    }
    return cmd_print(s->cmd, &text);
}

static int show(struct session *s, struct err *err) {
    int rc = session_peek_state(s, err);
    const struct recorded *r =
        rc < 0 ? NULL : state_entry(&s->state, s->cmd->args.positional[1], &s->arena, err);
    if (r == NULL)
        return session_fail(s, err);
    if (s->cmd->args.json)
        return cmd_print_json(s->cmd, recorded_to_json(r));
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_LARGE);
    show_node(r, &s->cmd->out_look, &text);
    return cmd_print(s->cmd, &text);
}

/* ---- Editing */

/* Under the lock, which the session holds until it is freed. */
static int open_to_edit(struct session *s, struct err *err) {
    int rc = session_open_state(s, true, err);
    if (rc < 0 || s->state.exists || s->state.replayed)
        return rc;
    return err_set(err, ERRC_NOTFOUND, "nothing is recorded for %s", s->name);
}

static int backup_hint(const struct session *s, int rc, struct buf *text, struct err *err) {
    if (rc < 0)
        return session_fail((struct session *)s, err);
    buf_addf(text, "The state before is kept in %s.backup.\n", s->state.path);
    return cmd_print(s->cmd, text);
}

static int rm(struct session *s, struct err *err) {
    const struct args *args = &s->cmd->args;
    const struct strlist patterns = {.items = (const char **)&args->positional[1],
                                     .len = args->positional_len - 1};
    struct recorded_list gone = {0};
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_LARGE);
    int rc = open_to_edit(s, err);
    if (rc == 0)
        rc = state_forget(&s->state, &patterns, &gone, err);
    if (rc == 0)
        rc = state_write(&s->state, err);
    for (size_t i = 0; rc == 0 && i < gone.len; i++) {
        const struct recorded *r = &gone.items[i];
        buf_addf(&text, "%s%s%s is not recorded any more", r->address,
                 r->id == NULL || r->parent != NULL ? "" : "  ",
                 r->id == NULL || r->parent != NULL ? "" : r->id);
        buf_adds(&text, r->id == NULL ? ".\n" : ", and goes on existing.\n");
    }
    buf_adds(&text, "What carries berth's tags is found by them: the next apply takes it over "
                    "again,\nand destroy takes it down.\n");
    return backup_hint(s, rc, &text, err);
}

static int mv(struct session *s, struct err *err) {
    const char *from = s->cmd->args.positional[1], *to = s->cmd->args.positional[2];
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    int rc = open_to_edit(s, err);
    if (rc == 0)
        rc = state_move(&s->state, from, to, err);
    if (rc == 0)
        rc = state_write(&s->state, err);
    buf_addf(&text, "%s is %s now. berth plan says what that changes.\n", from, to);
    return backup_hint(s, rc, &text, err);
}

static const struct word {
    const char *name, *usage;
    size_t least, most; /* words behind it */
    int (*run)(struct session *s, struct err *err);
} words[] = {
    {"list", "", 0, 0, list},
    {"show", " ADDRESS", 1, 1, show},
    {"rm", " ADDRESS...", 1, POSITIONAL_MAX, rm},
    {"mv", " FROM TO", 2, 2, mv},
};
enum { WORDS_LEN = sizeof words / sizeof words[0] };

static int run_word(struct cmd *cmd, const struct word *word) {
    struct err err = {0};
    struct session s;
    size_t n = cmd->args.positional_len - 1;
    if (n < word->least || n > word->most)
        return cmd_usage(cmd, "it is used so: berth state %s%s", word->name, word->usage);
    session_init(&s, cmd);
    if (session_load(&s, &err) < 0)
        return session_fail(&s, &err);
    int code = word->run(&s, &err);
    session_free(&s);
    return code;
}

static int run(struct cmd *cmd) {
    const char *names[WORDS_LEN + 1] = {0};
    if (cmd->args.positional_len == 0)
        return cmd_usage(cmd, "berth state needs a word: list, show, rm or mv");
    for (size_t i = 0; i < WORDS_LEN; i++) {
        names[i] = words[i].name;
        if (strcmp(cmd->args.positional[0], words[i].name) == 0)
            return run_word(cmd, &words[i]);
    }
    const char *nearest = str_nearest(str_of(cmd->args.positional[0]), names);
    if (nearest != NULL)
        return cmd_usage(cmd, "there is no berth state %s; did you mean %s?",
                         cmd->args.positional[0], nearest);
    return cmd_usage(cmd, "there is no berth state %s", cmd->args.positional[0]);
}

const struct verb verb_state = {
    .name = "state",
    .args = "list|show ADDRESS|rm ADDRESS...|mv FROM TO",
    .summary = "look into the state, or mend it by hand",
    .details = "list and show read the project folder only. rm forgets what is recorded: the\n"
               "thing itself goes on existing. mv gives it another number (server[0]\n"
               "server[2]), with what lives on it. Both take the lock and keep the state before\n"
               "as a backup.",
    .options = {&option_file, &option_by_name, &option_json},
    .positional_max = POSITIONAL_MAX,
    .run = run,
};
