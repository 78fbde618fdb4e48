/* Keys as OpenSSH reads them. Private Ed25519 keys are "openssh-key-v1" without a passphrase:
 * https://cvsweb.openbsd.org/src/usr.bin/ssh/PROTOCOL.key; public ones RFC 8709. RSA keys are
 * sshkey_rsa.c's. */
#pragma once

#include "specs/buf.h"
#include "specs/err.h"

enum { SSHKEY_SEED_SIZE = 32 };

/* From a 32-byte seed: the private key file's text and the public line "ssh-ed25519 AAAA… COMMENT"
 * (comment "" for none). The caller wipes `private_text`. */
int sshkey_from_seed(const unsigned char seed[SSHKEY_SEED_SIZE], const char *comment,
                     struct buf *private_text, struct buf *public_line, struct err *err);
/* A new RSA key, the same way: seconds of work. The numbers are OpenSSL's own choice. */
int sshkey_make_rsa(const char *comment, struct buf *private_text, struct buf *public_line,
                    struct err *err);
/* The public line, without a comment, of a private key file as the two above write it; false when
 * it is none. */
bool sshkey_public_of(struct str private_text, struct buf *out);
bool sshkey_rsa_public_of(struct str private_text, struct buf *out);
/* "ed25519" or "rsa", what EC2 takes; NULL for anything else. */
const char *sshkey_type(struct str public_line);
/* "SHA256:…" of a public key line, as ssh-keygen -l prints it; false when it is not a key line. */
bool sshkey_fingerprint(struct str public_line, struct buf *out);
/* Type and base64 of a public key line, without its comment: "ssh-ed25519 AAAA…". */
bool sshkey_strip(struct str public_line, struct buf *out);
/* RFC 4251's string: its length, then its bytes. */
void sshkey_add_string(struct buf *b, const void *ptr, size_t len);
/* Takes one off the start of `s`: a view into it. False, and nothing is changed, when it is cut. */
bool sshkey_take_string(struct str *s, struct str *ret);
/* Append an openssh-key-v1 file without a passphrase. `fields` are the key's type and numbers as
 * PROTOCOL.key has them, secret ones included. */
bool sshkey_add_openssh(struct buf *out, struct str public_blob, struct str fields,
                        const char *comment);

/* The project's own secret, <project_dir>/secret: 32 random bytes, made at first need, 0600. */
int project_secret(const char *project_dir, int (*random)(void *, size_t),
                   unsigned char ret[SSHKEY_SEED_SIZE], struct err *err);
/* HMAC-SHA256 of a label and a text under the project's secret: keys and tags that can be derived
 * again. */
int project_derive(const unsigned char secret[SSHKEY_SEED_SIZE], const char *label, struct str text,
                   unsigned char ret[SSHKEY_SEED_SIZE]);
