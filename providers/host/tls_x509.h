/* What the files about certificates share of OpenSSL's types. */
#pragma once

#include "providers/host/tls.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

/* Append as PEM; false when that fails. */
bool tls_cert_to_pem(X509 *cert, struct buf *out);
bool tls_key_to_pem(EVP_PKEY *key, struct buf *out); /* PKCS#8, not encrypted */
/* pem_password_cb(3) that asks nobody; `asked` is a bool that it sets, or NULL. */
int tls_no_passphrase(char *buffer, int size, int writing, void *asked);
/* As tls_leaf_read; `ca` may be NULL. */
int tls_leaf_of(struct arena *arena, X509 *cert, X509 *ca, time_t now, struct tls_leaf *ret);
