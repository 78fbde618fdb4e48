/* Certificates: the project CA and its leafs, made here (tls_cert.c); and files of the user's own
 * (tls_own.c). */
#pragma once

#include "providers/host/internal.h"

enum { CA_DAYS = 3650, CA_DAYS_LEFT = 90, LEAF_DAYS = 825, LEAF_DAYS_LEFT = 30 };

/* What a certificate says (RFC 5280); texts as for people. */
struct tls_leaf {
    struct strlist names; /* DNS names and addresses, in its order */
    const char *subject, *issuer;
    const char *not_after;   /* "2027-01-31T23:59:59Z" */
    const char *fingerprint; /* SHA-256 of its DER, hex */
    bool is_signed;          /* by the CA that it was compared with */
    bool ends_with_ca;       /* not before that CA itself ends */
    int days;                /* that are left; negative when it has ended */
};

/* The project's CA, made at first need: <project_dir>/ca.pem and ca.key. */
int tls_ca_ensure(const struct run *run, struct buf *ca_pem, struct err *err);
/* A key and a certificate for these names, good for LEAF_DAYS, but not longer than the CA. */
int tls_leaf_make(const struct run *run, const struct strlist *names, struct buf *cert_pem,
                  struct buf *key_pem, struct err *err);
/* The first certificate of a PEM text. `ca_pem` may be empty; `now` is the clock. Strings go to
 * `arena`. 0, -ERRC_INVALID when there is no certificate, or -ERRC_NOMEM. */
int tls_leaf_read(struct arena *arena, struct str cert_pem, struct str ca_pem, time_t now,
                  struct tls_leaf *ret);

/* Files of the user's own, checked. */
struct tls_own {
    struct tls_leaf leaf;
    const char *chain_pem; /* the certificates of the file and nothing else that it may hold */
    const char *chain_sha; /* SHA-256 of that, hex */
    const char *key_sha;   /* SHA-256 of what tls_own_key gives, hex */
    struct str key_file;   /* the bytes of the input; as long as the inputs */
};

/* Ask for the files, and for the clock. */
int tls_own_ask(const struct spec *spec, struct inputs *inputs);
/* Read and check them by the clock of the inputs. What is wrong goes to `diags` (which may be NULL)
 * at its place in the spec, and *ret is then left alone. 0 or -ERRC_NOMEM. */
int tls_own_read(const struct desire *in, struct arena *arena, struct diags *diags,
                 struct tls_own *ret, bool *ret_good);
/* The private key alone, PKCS#8 in PEM. False when it cannot be read. */
bool tls_own_key(struct str key_file, struct buf *out);
/* The name that server `n` is opened by: what the spec says, else the first DNS name of the
 * certificate that is no wildcard. NULL when there is none, or memory runs out. */
const char *tls_own_host(const struct spec *spec, const struct tls_own *own, int64_t n,
                         struct arena *arena);

/* The clock that the engine loaded; false when it did not. */
bool tls_clock(const struct inputs *inputs, time_t *ret);
