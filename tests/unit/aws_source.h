/* What answers a source of credentials in tests, and what was asked of it. */
#pragma once

#include "tests/unit/aws_world.h"
#include "tests/unit/loopback.h"

#define KEYS(id) "aws_access_key_id = " id "\naws_secret_access_key = s\n"
#define UNTIL "2015-08-30T13:36:00Z" /* an hour after world_now() */
#define SERVE(s, ...)                                                                              \
    do {                                                                                           \
        const struct answer answers_[] = {__VA_ARGS__};                                            \
        start(s, answers_, sizeof answers_ / sizeof answers_[0], 0);                               \
    } while (0)

static inline struct server *server(void) {
    struct server *s = calloc(1, sizeof *s);
    assert_non_null(s);
    return s;
}

static inline void expect_asked(const struct server *s, size_t i, const char *text) {
    if (i >= s->taken || strstr(s->requests[i], text) == NULL)
        fail_msg("request %zu of %zu does not say %s: %s", i, s->taken, text, s->requests[i]);
}

static inline void expect_hint(struct world *w, const char *profile, const char *text) {
    struct loaded l;
    struct err err;
    assert_true(load(w, profile, &l, &err) < 0);
    if (strstr(err.hint, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.hint, text);
}
