/* Secrets have their own type, so that printing one by accident does not compile. They are wiped
 * when freed, and never stand in state, logs, plans or errors. */
#pragma once

#include "specs/str.h"

struct secret {
    char *ptr; /* owned, NUL-terminated; NULL when there is none */
    size_t len;
};

/* Copies; 0 or -ERRC_NOMEM. An earlier content is wiped. */
int secret_set(struct secret *s, struct str value);
void secret_free(struct secret *s); /* wipes */
/* The only way to the bytes; the caller passes them on and keeps no copy. */
struct str secret_reveal(const struct secret *s);

#define _cleanup_secret_ __attribute__((cleanup(secret_free)))
