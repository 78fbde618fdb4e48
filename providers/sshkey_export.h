/* The private key of a project in other programs' formats. */
#pragma once

#include "specs/buf.h"
#include "specs/err.h"

enum sshkey_format {
    SSHKEY_PEM,     /* as OpenSSL writes it: PKCS#1 for RSA without a passphrase, else PKCS#8 */
    SSHKEY_OPENSSH, /* openssh-key-v1 */
    SSHKEY_PPK3,    /* PuTTY 0.75 and later */
    SSHKEY_PPK2,    /* every PuTTY */
};

struct sshkey_export {
    struct str text; /* a private key file: openssh-key-v1 or PEM, Ed25519 or RSA */
    enum sshkey_format format;
    const char *comment;   /* where the file itself has none */
    struct str passphrase; /* of the new file; empty for none */
    int (*random)(void *, size_t);
};

/* Appends the new file; the caller wipes it. -ERRC_INVALID when the file is no such key or has a
 * passphrase, -ERRC_UNSUPPORTED for a passphrase in the OpenSSH format. */
int sshkey_export(const struct sshkey_export *in, struct buf *out, struct err *err);
