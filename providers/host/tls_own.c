/* A certificate of the user's own: two PEM files, checked before anything is touched. Pure: the
 * files and the clock are inputs. */
#include "providers/host/tls_x509.h"
#include "specs/hash.h"
#include "specs/sections/check.h"
#include "specs/sections/sections.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

enum { CHAIN_MAX = 16 };

struct chain {
    X509 *items[CHAIN_MAX];
    size_t len;
    bool more; /* than are taken */
};

static void free_chain(struct chain *chain) {
    for (size_t i = 0; i < chain->len; i++)
        X509_free(chain->items[i]);
    ERR_clear_error(); /* the end of a file is one */
}

#define _cleanup_chain_ __attribute__((cleanup(free_chain)))

static void read_chain(struct str pem, struct chain *ret) {
    BIO *bio = BIO_new_mem_buf(pem.ptr == NULL ? "" : pem.ptr, (int)pem.len);
    X509 *cert = NULL;
    while (bio != NULL && (cert = PEM_read_bio_X509(bio, NULL, tls_no_passphrase, NULL)) != NULL) {
        ret->more = ret->len == CHAIN_MAX;
        if (ret->more) {
            X509_free(cert);
            break;
        }
        ret->items[ret->len++] = cert;
    }
    BIO_free(bio);
}

static EVP_PKEY *read_key(struct str pem, bool *ret_encrypted) {
    BIO *bio = BIO_new_mem_buf(pem.ptr == NULL ? "" : pem.ptr, (int)pem.len);
    *ret_encrypted = false;
    EVP_PKEY *key =
        bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, tls_no_passphrase, ret_encrypted);
    BIO_free(bio);
    ERR_clear_error();
    return key;
}

bool tls_own_key(struct str key_file, struct buf *out) {
    bool encrypted;
    EVP_PKEY *key = read_key(key_file, &encrypted);
    bool good = key != NULL && tls_key_to_pem(key, out);
    EVP_PKEY_free(key);
    return good;
}

bool tls_clock(const struct inputs *inputs, time_t *ret) {
    const struct input *in = inputs_get(inputs, INPUT_CLOCK, "");
    int64_t now = 0;
    if (in == NULL || !in->found || !str_to_i64(secret_reveal(&in->content), 0, INT64_MAX, &now))
        return false;
    *ret = (time_t)now;
    return true;
}

int tls_own_ask(const struct spec *spec, struct inputs *inputs) {
    const struct jupyter_tls *tls = &spec_jupyter(spec)->tls;
    int rc = inputs_ask(inputs, INPUT_FILE, tls->cert, "jupyter.tls.cert", true);
    if (rc == 0)
        rc = inputs_ask(inputs, INPUT_FILE, tls->key, "jupyter.tls.key", true);
    return rc < 0 ? rc : inputs_ask(inputs, INPUT_CLOCK, "", "jupyter.tls.cert", false);
}

/* ---- What is wrong with them */

struct checking {
    const struct spec *spec;
    const struct jupyter_tls *tls;
    struct diags *diags;
    struct mark cert, key;
    time_t now;
    bool clock, good;
};

#define REFUSE(x, mark, ...)                                                                       \
    do {                                                                                           \
        (x)->good = false;                                                                         \
        if ((x)->diags != NULL)                                                                    \
            diag_add((x)->diags, mark, __VA_ARGS__);                                               \
    } while (0)
#define WARN(x, mark, ...)                                                                         \
    do {                                                                                           \
        if ((x)->diags != NULL)                                                                    \
            diag_warn((x)->diags, mark, __VA_ARGS__);                                              \
    } while (0)

static void check_key(struct checking *x, const struct chain *chain, EVP_PKEY *key,
                      bool encrypted) {
    if (key == NULL && encrypted) {
        REFUSE(x, x->key,
               "the server starts without anybody who could type it; decrypt it: openssl pkey -in "
               "FILE -out NEWFILE (chmod 600 NEWFILE)",
               "the key in %s has a passphrase", x->tls->key);
        return;
    }
    if (key == NULL) {
        REFUSE(x, x->key, "expected PEM: -----BEGIN PRIVATE KEY-----", "%s holds no private key",
               x->tls->key);
        return;
    }
    for (size_t i = 0; i < chain->len; i++) {
        if (X509_check_private_key(chain->items[i], key) != 1)
            continue;
        if (i > 0)
            REFUSE(x, x->cert, "put the server's own certificate first, then each one's issuer",
                   "the first certificate in %s is not the key's; number %zu is", x->tls->cert,
                   i + 1);
        ERR_clear_error();
        return;
    }
    ERR_clear_error();
    if (chain->len > 0)
        REFUSE(x, x->key, "give the key that the certificate was asked for with",
               "the key in %s does not fit the certificate in %s", x->tls->key, x->tls->cert);
}

static void check_chain(struct checking *x, const struct chain *chain) {
    if (chain->len == 0)
        REFUSE(x, x->cert, "expected PEM: -----BEGIN CERTIFICATE-----", "%s holds no certificate",
               x->tls->cert);
    if (chain->more)
        REFUSE(x, x->cert, "give the server's own and those between it and its authority",
               "%s holds more than %d certificates", x->tls->cert, CHAIN_MAX);
    for (size_t i = 1; i < chain->len; i++)
        if (X509_check_issued(chain->items[i], chain->items[i - 1]) != X509_V_OK)
            WARN(x, x->cert, "browsers may not find the way to the authority: put them in order",
                 "in %s, certificate %zu did not sign the one before it", x->tls->cert, i + 1);
}

static void check_times(struct checking *x, X509 *cert, const struct tls_leaf *leaf) {
    time_t now = x->now;
    if (!x->clock)
        return;
    if (X509_cmp_time(X509_get0_notAfter(cert), &now) < 0)
        REFUSE(x, x->cert, "renew it, and put the new one there",
               "the certificate in %s ended on %.10s", x->tls->cert, leaf->not_after);
    else if (X509_cmp_time(X509_get0_notBefore(cert), &now) > 0)
        REFUSE(x, x->cert, "look at the clock of this machine, or wait",
               "the certificate in %s is not good yet", x->tls->cert);
    else if (leaf->days <= LEAF_DAYS_LEFT)
        WARN(x, x->cert, "renew it, and put the new one there; berth apply then sends it",
             "the certificate in %s ends on %.10s, in %d day%s", x->tls->cert, leaf->not_after,
             leaf->days, leaf->days == 1 ? "" : "s");
}

/* Is every server's name one that the certificate is good for? */
static int check_names(struct checking *x, X509 *cert, const struct tls_own *own,
                       struct arena *arena) {
    const unsigned flags =
        X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
    int64_t count = spec_server(x->spec)->count;
    bool several = count > 1 && (x->tls->host == NULL || strstr(x->tls->host, "{n}") == NULL);
    struct mark mark = x->tls->host == NULL ? x->cert : spec_mark(x->spec, "jupyter.tls.host");
    for (int64_t i = 0; i < count; i++) {
        const char *host = tls_own_host(x->spec, own, i, arena);
        if (host == NULL) {
            REFUSE(x, x->cert, "say by which name it is opened: jupyter.tls.host",
                   "the certificate in %s has no DNS name but wildcards", x->tls->cert);
            return 0;
        }
        if (X509_check_host(cert, host, 0, flags, NULL) != 1) {
            REFUSE(x, mark, "take one of its names, or a certificate that has this one",
                   "the certificate in %s is not good for %s", x->tls->cert, host);
            return 0;
        }
    }
    if (several)
        WARN(x, mark,
             "give each its own: jupyter.tls.host with {n} in it, such as lab-{n}.example.org",
             "%lld servers are opened by one name", (long long)count);
    return 0;
}

/* ---- Reading them */

static int add_chain(struct arena *arena, const struct chain *chain, struct tls_own *own) {
    _cleanup_buf_ struct buf pem = BUF_INIT(BUF_MEDIUM);
    char hex[SHA256_HEX_SIZE];
    for (size_t i = 0; i < chain->len; i++)
        if (!tls_cert_to_pem(chain->items[i], &pem))
            return -ERRC_NOMEM;
    sha256_hex(buf_str(&pem), hex);
    own->chain_pem = arena_dup(arena, buf_cstr(&pem));
    own->chain_sha = arena_dup(arena, hex);
    return own->chain_pem == NULL || own->chain_sha == NULL ? -ERRC_NOMEM : 0;
}

static int add_key(struct arena *arena, EVP_PKEY *key, struct tls_own *own) {
    _cleanup_secret_buf_ struct buf pem = BUF_INIT(BUF_SMALL);
    char hex[SHA256_HEX_SIZE];
    if (!tls_key_to_pem(key, &pem))
        return -ERRC_NOMEM;
    sha256_hex(buf_str(&pem), hex);
    own->key_sha = arena_dup(arena, hex);
    return own->key_sha == NULL ? -ERRC_NOMEM : 0;
}

static struct str text_of(const struct inputs *inputs, const char *name) {
    const struct input *in = inputs_get(inputs, INPUT_FILE, name);
    return in == NULL || !in->found ? (struct str){"", 0} : secret_reveal(&in->content);
}

static int check_all(struct checking *x, struct arena *arena, const struct chain *chain,
                     EVP_PKEY *key, struct tls_own *own) {
    if (chain->len == 0 || key == NULL || !x->good) /* it is not known which one is meant */
        return 0;
    X509 *cert = chain->items[0];
    int rc = tls_leaf_of(arena, cert, NULL, x->now, &own->leaf);
    if (rc < 0)
        return rc;
    check_times(x, cert, &own->leaf);
    if (X509_check_purpose(cert, X509_PURPOSE_SSL_SERVER, 0) != 1)
        REFUSE(x, x->cert, "ask for one with the extended key usage serverAuth",
               "the certificate in %s is not for servers", x->tls->cert);
    rc = check_names(x, cert, own, arena);
    if (rc == 0)
        rc = add_chain(arena, chain, own);
    return rc < 0 ? rc : add_key(arena, key, own);
}

int tls_own_read(const struct desire *in, struct arena *arena, struct diags *diags,
                 struct tls_own *ret, bool *ret_good) {
    _cleanup_chain_ struct chain chain = {0};
    const struct jupyter_tls *tls = &spec_jupyter(in->spec)->tls;
    struct tls_own own = {.key_file = text_of(in->inputs, tls->key)};
    struct checking x = {.spec = in->spec,
                         .tls = tls,
                         .diags = diags,
                         .cert = spec_mark(in->spec, "jupyter.tls.cert"),
                         .key = spec_mark(in->spec, "jupyter.tls.key"),
                         .good = true};
    bool encrypted;
    x.clock = tls_clock(in->inputs, &x.now);
    read_chain(text_of(in->inputs, tls->cert), &chain);
    EVP_PKEY *key = read_key(own.key_file, &encrypted);
    check_chain(&x, &chain);
    check_key(&x, &chain, key, encrypted);
    int rc = check_all(&x, arena, &chain, key, &own);
    EVP_PKEY_free(key);
    if (rc < 0)
        return rc;
    *ret_good = x.good;
    if (x.good)
        *ret = own;
    return 0;
}

const char *tls_own_host(const struct spec *spec, const struct tls_own *own, int64_t n,
                         struct arena *arena) {
    const char *host = spec_jupyter(spec)->tls.host;
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    for (const char *at; host != NULL && (at = strstr(host, "{n}")) != NULL; host = at + 3)
        buf_addf(&text, "%.*s%lld", (int)(at - host), host, (long long)n);
    if (host != NULL) {
        buf_adds(&text, host);
        return text.failed ? NULL : arena_dup(arena, buf_cstr(&text));
    }
    for (size_t i = 0; i < own->leaf.names.len; i++)
        if (check_host_name(str_of(own->leaf.names.items[i])) == NULL)
            return own->leaf.names.items[i];
    return NULL;
}
