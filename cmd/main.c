/* The composition root: the only file that names the registry. Finds the verb, parses its options,
 * runs it. Nothing else happens before the verb's own work. */
#include "cmd/look.h"
#include "cmd/verbs.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static int usage_error(const struct cmd *cmd, const struct err *err) {
    if (err->hint[0] != '\0')
        return cmd_usage(cmd, "%s; %s", err->msg, err->hint);
    return cmd_usage(cmd, "%s", err->msg);
}

static bool is_spec(const char *word) {
    const char *dot = strrchr(word, '.');
    return dot != NULL && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

static int run_verb(struct cmd *cmd, int argc, char **argv) {
    struct err err = {0};
    if (options_parse(cmd->verb->options, argc, argv, &cmd->args, &err) < 0)
        return usage_error(cmd, &err);
    cmd->out_look = look_at(cmd->out, cmd->args.no_color);
    cmd->err_look = look_at(cmd->err, cmd->args.no_color);
    cmd->out_look.each = cmd->err_look.each = cmd->args.verbose;
    if (cmd->args.help) {
        _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
        help_verb(cmd->verb, &text);
        return cmd_print(cmd, &text);
    }
    if (cmd->args.positional_len > cmd->verb->positional_max) {
        const char *word = cmd->args.positional[cmd->verb->positional_max];
        return cmd_usage(cmd, "berth %s does not take `%s`%s%s", cmd->verb->name, word,
                         is_spec(word) ? "; a spec is named by -file " : "",
                         is_spec(word) ? word : "");
    }
    if (cmd->args.rest != NULL && !cmd->verb->rest)
        return cmd_usage(cmd, "berth %s takes nothing after `--`", cmd->verb->name);
    return cmd->verb->run(cmd);
}

/* A closed stream must not become the number of a file that is opened later: the plan would be
 * printed into the journal. Open for reading only, so that what is printed is still an error. */
static void hold_streams(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != fd)
            abort();
}

int main(int argc, char **argv) {
    hold_streams();
    struct cmd cmd = {.kinds = registry_kinds, .verbs = verbs_table, .out = stdout, .err = stderr};
    const char *name = argc < 2 ? "help" : argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "-version") == 0)
        name = "version";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    cmd.verb = verbs_find(cmd.verbs, name);
    if (cmd.verb == NULL) {
        const char *nearest = verbs_nearest(cmd.verbs, name);
        if (nearest != NULL && name[0] != '-')
            return cmd_usage(&cmd, "there is no verb %s; did you mean berth %s?", name, nearest);
        if (name[0] == '-')
            return cmd_usage(&cmd, "options stand behind the verb: berth VERB %s", name);
        return cmd_usage(&cmd, "there is no verb %s", name);
    }
    return run_verb(&cmd, argc < 2 ? 0 : argc - 2, argv + (argc < 2 ? argc : 2));
}
