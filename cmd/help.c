#include "cmd/verbs.h"

#include <string.h>

/* Columns of the left half of the two-column lists. */
enum { LEFT = 12, LEFT_OPTIONS = 22 };

static void add_padded(const char *text, size_t width, struct buf *out) {
    size_t len = strlen(text);
    buf_adds(out, text);
    buf_addn(out, ' ', len < width ? width - len : 1);
}

static void help_all(const struct verb *const *verbs, struct buf *out) {
    buf_adds(out, "berth makes one YAML spec true: a Jupyter server on EC2, and keeps it true.\n\n"
                  "usage: berth VERB [OPTIONS]\n\n");
    for (; *verbs != NULL; verbs++) {
        buf_adds(out, "  ");
        add_padded((*verbs)->name, LEFT, out);
        buf_addf(out, "%s\n", (*verbs)->summary);
    }
    buf_adds(out, "\nberth VERB --help says more. Start with: berth init\n");
}

static void add_option(const struct option_row *o, struct buf *out) {
    _cleanup_buf_ struct buf left = BUF_INIT(BUF_SMALL);
    buf_addf(&left, "-%s", o->name);
    if (o->alias != NULL)
        buf_addf(&left, ", -%s", o->alias);
    if (o->value != NULL)
        buf_addf(&left, " %s", o->value);
    buf_adds(out, "  ");
    add_padded(buf_cstr(&left), LEFT_OPTIONS, out);
    buf_addf(out, "%s\n", o->doc);
}

static void add_usage(const struct verb *verb, struct buf *out) {
    buf_addf(out, "berth %s [OPTIONS]%s%s\n", verb->name, verb->args[0] != '\0' ? " " : "",
             verb->args);
}

void help_verb(const struct verb *verb, struct buf *out) {
    buf_addf(out, "berth %s: %s\n\nusage: ", verb->name, verb->summary);
    add_usage(verb, out);
    if (verb->details != NULL)
        buf_addf(out, "\n%s\n", verb->details);
    buf_adds(out, "\noptions (one dash or two):\n");
    for (size_t i = 0; verb->options[i] != NULL; i++)
        add_option(verb->options[i], out);
    for (size_t i = 0; options_common[i] != NULL; i++)
        add_option(options_common[i], out);
}

void help_markdown(const struct verb *const *verbs, struct buf *out) {
    buf_adds(out, "# Commands\n\nMade from the verb table in `cmd/`; the tests check that it is "
                  "current. Exit codes are in [exit-codes.md](exit-codes.md).\n");
    for (; *verbs != NULL; verbs++) {
        buf_addf(out, "\n## berth %s\n\n```\n", (*verbs)->name);
        help_verb(*verbs, out);
        buf_adds(out, "```\n");
    }
}

static int run(struct cmd *cmd) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    if (cmd->args.positional_len == 0) {
        help_all(cmd->verbs, &text);
        return cmd_print(cmd, &text);
    }
    const char *name = cmd->args.positional[0];
    const struct verb *verb = verbs_find(cmd->verbs, name);
    if (verb == NULL) {
        const char *nearest = verbs_nearest(cmd->verbs, name);
        if (nearest != NULL)
            return cmd_usage(cmd, "there is no verb %s; did you mean %s?", name, nearest);
        return cmd_usage(cmd, "there is no verb %s", name);
    }
    help_verb(verb, &text);
    return cmd_print(cmd, &text);
}

const struct verb verb_help = {
    .name = "help",
    .args = "[VERB]",
    .summary = "say what there is, or how a verb is used",
    .positional_max = 1,
    .run = run,
};
