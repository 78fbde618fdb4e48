/* What one logs in to Jupyter with: the project's token, and a password as Jupyter keeps it. */
#pragma once

#include "providers/provider.h"

enum { TOKEN_SIZE = 64 }; /* hex digits */

/* Appends the token of <project_dir>/token, which is made at first need: random hex digits, 0600.
 * The caller wipes it, and holds the lock of those who may make it at once. */
int jupyter_token(const struct run *run, struct buf *token, struct err *err);
/* Appends "argon2:$argon2id$v=19$m=10240,t=10,p=8$…", with a salt of its own, as
 * jupyter_server.auth.security.passwd() makes it. */
int jupyter_hash_password(const struct run *run, struct str password, struct buf *out,
                          struct err *err);
