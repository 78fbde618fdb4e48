#include "cmd/session.h"
#include "cmd/verbs.h"

static int run(struct cmd *cmd) {
    struct err err = {0};
    struct session s;
    struct lock_info info = {0};
    session_init(&s, cmd);
    int rc = session_load(&s, &err);
    if (rc == 0)
        rc = lock_break(s.project_dir, cmd->args.force, &info, &err);
    if (rc < 0)
        return session_fail(&s, &err);
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    if (info.holder[0] == '\0' && !info.held)
        buf_addf(&text, "%s is not locked.\n", s.name);
    else if (!info.held)
        buf_addf(&text,
                 "Cleared the mark of a run that did not end well: %s.\nIt held no lock any "
                 "more; what it did is taken into account by the next run.\n",
                 info.holder);
    else
        buf_addf(&text,
                 "Took the lock away from: %s.\nIf it is still at work, end it before "
                 "anything else is run here.\n",
                 info.holder[0] != '\0' ? info.holder : "a run that has only just begun");
    int code = cmd_print(cmd, &text);
    session_free(&s);
    return code;
}

const struct verb verb_unlock = {
    .name = "unlock",
    .args = "",
    .summary = "say who holds the lock, and clear it where its holder is gone",
    .details = "The lock goes by itself when its holder ends, also by a crash. While it is held,\n"
               "this is refused: -force takes it away all the same, which is for a holder on\n"
               "another machine that is gone for good. Two runs at once may make things twice.",
    .options = {&option_file, &option_by_name, &option_force},
    .run = run,
};
