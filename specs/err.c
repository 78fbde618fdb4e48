#include "specs/err.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const char *const texts[ERRC_CODE_COUNT] = {[ERRC_NONE] = "no error",
#define X(code, words) [code] = (words),
                                                   ERRC_CODES(X)
#undef X
};

static int err_vset(struct err *err, enum err_code code, const char *fmt, va_list args) {
    if (err != NULL) {
        /* The arguments may point into err itself (a cause quoted in its own successor). */
        char msg[sizeof err->msg];
        vsnprintf(msg, sizeof msg, fmt, args);
        memset(err, 0, sizeof *err);
        err->code = code;
        memcpy(err->msg, msg, sizeof msg);
    }
    return -(int)code;
}

int err_set(struct err *err, enum err_code code, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int rc = err_vset(err, code, fmt, args);
    va_end(args);
    return rc;
}

int err_no_memory(struct err *err) { return err_set(err, ERRC_NOMEM, "out of memory"); }

int err_set_errno(struct err *err, enum err_code code, int errno_value, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int rc = err_vset(err, code, fmt, args);
    va_end(args);
    if (err != NULL) {
        size_t used = strlen(err->msg);
        char text[128];
        /* The POSIX strerror_r; the GNU one needs _GNU_SOURCE, which the build does not define
         * for the ground. */
        if (strerror_r(errno_value, text, sizeof text) != 0)
            snprintf(text, sizeof text, "errno %d", errno_value);
        snprintf(err->msg + used, sizeof err->msg - used, ": %s", text);
    }
    return rc;
}

void err_hint(struct err *err, const char *fmt, ...) {
    if (err == NULL)
        return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->hint, sizeof err->hint, fmt, args);
    va_end(args);
}

int err_wrap(struct err *err, const char *fmt, ...) {
    if (err == NULL)
        return -ERRC_INTERNAL;
    char cause[sizeof err->msg];
    memcpy(cause, err->msg, sizeof cause);
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, args);
    va_end(args);
    size_t used = strlen(err->msg);
    snprintf(err->msg + used, sizeof err->msg - used, ": %s", cause);
    return -err->code;
}

static int err_index(int code) {
    if (code < 0)
        code = -code;
    return code < ERRC_CODE_COUNT ? code : ERRC_INTERNAL;
}

const char *err_code_text(int code) { return texts[err_index(code)]; }
