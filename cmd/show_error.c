#include "cmd/show_error.h"

#include "cmd/text.h"

/* Messages may carry the tail of a remote program's output: keep its lines, indented. */
static void add_message(const char *msg, struct buf *out) {
    struct str rest = str_trim(str_of(msg)), line;
    bool first = true;
    while (str_split(&rest, '\n', &line)) {
        if (str_trim(line).len == 0)
            continue;
        buf_adds(out, first ? "" : "\n    ");
        text_add_clean(line, out);
        first = false;
    }
}

void show_error_at(const char *address, const struct err *err, const struct look *look,
                   struct buf *out) {
    text_paint(look, PAINT_RED, "error:", out);
    buf_addc(out, ' ');
    if (address != NULL)
        buf_addf(out, "%s: ", address);
    add_message(err->msg[0] != '\0' ? err->msg : err_code_text(err->code), out);
    buf_addc(out, '\n');
    if (err->aws_code[0] != '\0') {
        buf_adds(out, "  AWS: ");
        text_add_clean(str_of(err->aws_code), out);
        if (err->aws_http_status != 0)
            buf_addf(out, ", HTTP %d", err->aws_http_status);
        if (err->aws_request_id[0] != '\0') {
            buf_adds(out, " (request id ");
            text_add_clean(str_of(err->aws_request_id), out);
            buf_addc(out, ')');
        }
        buf_addc(out, '\n');
    }
    if (err->hint[0] != '\0') {
        buf_adds(out, "  try: ");
        text_add_clean(str_of(err->hint), out);
        buf_addc(out, '\n');
    }
}

void show_error(const struct err *err, const struct look *look, struct buf *out) {
    show_error_at(NULL, err, look, out);
}
