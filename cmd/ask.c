#include "cmd/ask.h"

#include "cmd/verbs.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

int ask_person(const struct cmd *cmd, const char *question, const char *const *yes,
               struct err *err) {
    if (!isatty(STDIN_FILENO)) {
        err_set(err, ERRC_INVALID, "there is no terminal to ask at; nothing was changed");
        err_hint(err, "look at the plan, then run berth %s -auto-approve", cmd->verb->name);
        return -ERRC_INVALID;
    }
    fflush(cmd->out);
    fprintf(cmd->err, "%s ", question);
    fflush(cmd->err);
    char line[64] = "";
    if (fgets(line, sizeof line, stdin) == NULL)
        fputc('\n', cmd->err);
    line[strcspn(line, "\n")] = '\0';
    for (; *yes != NULL; yes++)
        if (strcasecmp(line, *yes) == 0)
            return 0;
    return err_set(err, ERRC_CANCELLED, "not approved; nothing was changed");
}
