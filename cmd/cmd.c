#include "cmd/cmd.h"

#include "cmd/show_error.h"
#include "cmd/verbs.h"

#include <cjson/cJSON.h>
#include <stdarg.h>

int cmd_print(const struct cmd *cmd, const struct buf *text) {
    bool bad = text->failed || fwrite(buf_cstr(text), 1, text->len, cmd->out) != text->len;
    if (fflush(cmd->out) != 0 || bad) {
        fputs("error: the output could not be written\n", cmd->err);
        return EXIT_FAILED;
    }
    return EXIT_OK;
}

int cmd_print_json(const struct cmd *cmd, cJSON *json) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_LARGE);
    char *printed = json == NULL ? NULL : cJSON_Print(json);
    cJSON_Delete(json);
    if (printed == NULL) {
        struct err err = {0};
        err_no_memory(&err);
        return cmd_fail(cmd, &err);
    }
    buf_adds(&text, printed);
    buf_addc(&text, '\n');
    cJSON_free(printed);
    return cmd_print(cmd, &text);
}

int cmd_fail(const struct cmd *cmd, const struct err *err) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    show_error(err, &cmd->err_look, &text);
    fputs(buf_cstr(&text), cmd->err);
    switch (err->code) {
    case ERRC_PARTIAL:
        return EXIT_PARTIAL;
    case ERRC_CANCELLED:
        return EXIT_INTERRUPTED;
    default:
        return EXIT_FAILED;
    }
}

int cmd_usage(const struct cmd *cmd, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    fputs("error: ", cmd->err);
    vfprintf(cmd->err, fmt, ap);
    va_end(ap);
    if (cmd->verb != NULL)
        fprintf(cmd->err, "\n  try: berth %s --help\n", cmd->verb->name);
    else
        fputs("\n  try: berth help\n", cmd->err);
    return EXIT_USAGE;
}

void cmd_note(const struct cmd *cmd, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vfprintf(cmd->err, fmt, ap);
    va_end(ap);
    fputc('\n', cmd->err);
}
