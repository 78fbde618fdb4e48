/* What a private key file is, as far as it says without its passphrase. */
#pragma once

#include "specs/buf.h"

struct key_file {
    bool there;  /* and can be read */
    bool locked; /* by a passphrase */
    bool rsa;
    struct buf blob; /* public half, RFC 4253, 6.6; empty when it cannot be told. The caller's */
};

/* The file, and PATH.pub where it does not hold its public half in the open. */
void key_file_look(const char *path, struct key_file *out);
/* The text of one; `public` is that of its .pub, or "". */
void key_file_read(struct str text, struct str public, struct key_file *out);
/* Is that the type of this public key? "ssh-rsa" */
bool key_blob_is(struct str blob, const char *type);
