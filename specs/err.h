/* Errors as values. A function that can fail returns 0 or a negative code (-ERRC_…) and takes a
 * `struct err *` last. Success leaves the error alone; failure leaves the outputs alone. */
#pragma once

/* The codes, in one place: name, short text. */
#define ERRC_CODES(X)                                                                              \
    X(ERRC_INVALID, "invalid input")                                                               \
    X(ERRC_NOMEM, "out of memory")                                                                 \
    X(ERRC_LIMIT, "limit exceeded")                                                                \
    X(ERRC_IO, "input/output error")                                                               \
    X(ERRC_NET, "network error")                                                                   \
    X(ERRC_TIMEOUT, "timed out")                                                                   \
    X(ERRC_AUTH, "credentials missing or refused")                                                 \
    X(ERRC_AWS, "AWS refused the call")                                                            \
    X(ERRC_HOST, "host step failed")                                                               \
    X(ERRC_HOSTKEY, "host key mismatch")                                                           \
    X(ERRC_STATE, "state file unusable")                                                           \
    X(ERRC_LOCKED, "state is locked")                                                              \
    X(ERRC_CONFLICT, "conflict")                                                                   \
    X(ERRC_NOTFOUND, "not found")                                                                  \
    X(ERRC_STALE, "plan is stale")                                                                 \
    X(ERRC_PARTIAL, "stopped part-way")                                                            \
    X(ERRC_CANCELLED, "cancelled")                                                                 \
    X(ERRC_UNSUPPORTED, "not supported")                                                           \
    X(ERRC_INTERNAL, "internal error")

enum err_code {
    ERRC_NONE = 0,
#define X(name, text) name,
    ERRC_CODES(X)
#undef X
        ERRC_CODE_COUNT
};

/* Fixed buffers, so that reporting an error never allocates. `hint` is what to do next. The three
 * aws_ fields are empty unless the error came from an AWS answer. */
struct err {
    int code; /* enum err_code; 0 when there is no error */
    char msg[1024];
    char hint[512];
    char aws_code[96];
    char aws_request_id[96];
    int aws_http_status;
};

/* Set `err` (which may be NULL) and return -code, so that `return err_set(…)` reads well.
 * Resets hint and the aws_ fields. Messages have no trailing full stop or newline. */
__attribute__((format(printf, 3, 4))) int err_set(struct err *err, enum err_code code,
                                                  const char *fmt, ...);

/* The one for memory that ran out: -ERRC_NOMEM. */
int err_no_memory(struct err *err);

/* As err_set, with strerror(errno_value) appended: "open berth.yaml: No such file or directory". */
__attribute__((format(printf, 4, 5))) int err_set_errno(struct err *err, enum err_code code,
                                                        int errno_value, const char *fmt, ...);

/* Set what the user should do next. Keeps everything else. */
__attribute__((format(printf, 2, 3))) void err_hint(struct err *err, const char *fmt, ...);

/* Put context in front of the message ("CONTEXT: message"), keep code, hint and aws_ fields.
 * Returns -err->code. Once a layer. */
__attribute__((format(printf, 2, 3))) int err_wrap(struct err *err, const char *fmt, ...);

/* "input/output error"; never NULL. Codes may be given negative or positive. */
const char *err_code_text(int code);
