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

/* JSON is UTF-8 (RFC 8259, 8.1); names of files on a host need not be. */
static void add_utf8(struct str text, struct buf *out) {
    while (text.len > 0) {
        size_t len = str_code_point(text), good = 0;
        while (len > 0) {
            good += len;
            len = str_code_point((struct str){text.ptr + good, text.len - good});
        }
        buf_add(out, text.ptr, good);
        buf_adds(out, good < text.len ? "\xef\xbf\xbd" : ""); /* U+FFFD */
        good += good < text.len;
        text = (struct str){text.ptr + good, text.len - good};
    }
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
    add_utf8(str_of(printed), &text);
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
