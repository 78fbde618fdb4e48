/* What the files that read and write private keys share. */
#pragma once

#include "providers/sshkey.h"
#include "providers/sshkey_export.h"

#include <openssl/evp.h>

struct sshkey_private {
    EVP_PKEY *key;
    bool rsa;
    struct buf public_blob; /* as on the wire: RFC 4253, section 6.6; RFC 8709 */
    struct buf comment;
};

/* From the text of a key file. -ERRC_INVALID with a hint when it cannot be used. */
int sshkey_private_read(struct str text, struct sshkey_private *ret, struct err *err);
void sshkey_private_free(struct sshkey_private *k);
/* Append one of the key's numbers (OSSL_PKEY_PARAM_RSA_N, …) as RFC 4251's mpint. */
bool sshkey_add_number(struct buf *b, const EVP_PKEY *key, const char *name);
/* The 32 bytes of RFC 8032. */
bool sshkey_seed_of(const EVP_PKEY *key, unsigned char ret[SSHKEY_SEED_SIZE]);
/* PuTTY's "Appendix C: PPK file format". */
int sshkey_write_ppk(const struct sshkey_private *k, const struct sshkey_export *in,
                     struct buf *out, struct err *err);
