/* A project CA and its leafs, made here by OpenSSL. The CA's key never leaves this machine. */
#include "providers/host/tls_x509.h"
#include "specs/fs.h"
#include "specs/hash.h"

#include <arpa/inet.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

enum { COMMON_NAME_MAX = 64 };

static int failed(struct err *err) {
    return err_set(err, ERRC_INTERNAL, "OpenSSL cannot make a certificate");
}

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value) {
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool good = e != NULL && X509_add_ext(cert, e, -1) == 1;
    X509_EXTENSION_free(e);
    return good;
}

static bool set_serial(X509 *cert) {
    BIGNUM *n = BN_new();
    bool good = n != NULL && BN_rand(n, 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
                BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)) != NULL;
    BN_free(n);
    return good;
}

/* An hour back: the server's clock may be a little behind. */
static bool set_times(X509 *cert, time_t now, int days) {
    time_t start = now;
    return X509_time_adj_ex(X509_getm_notBefore(cert), 0, -3600, &start) != NULL &&
           X509_time_adj_ex(X509_getm_notAfter(cert), days, 0, &start) != NULL;
}

/* `name` is its common name: RFC 5280, appendix A.1, has at most 64 characters for it. */
static X509 *make_cert(EVP_PKEY *key, const char *name, time_t now, int days) {
    X509 *cert = X509_new();
    bool good = cert != NULL && X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
                set_times(cert, now, days) && X509_set_pubkey(cert, key) == 1 &&
                X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
                                           (const unsigned char *)name, -1, -1, 0) == 1;
    if (!good) {
        X509_free(cert);
        return NULL;
    }
    return cert;
}

bool tls_cert_to_pem(X509 *cert, struct buf *out) {
    BIO *bio = BIO_new(BIO_s_mem());
    char *bytes;
    bool good = bio != NULL && PEM_write_bio_X509(bio, cert) == 1;
    long len = good ? BIO_get_mem_data(bio, &bytes) : 0;
    if (good)
        buf_add(out, bytes, (size_t)len);
    BIO_free(bio);
    return good && !out->failed;
}

bool tls_key_to_pem(EVP_PKEY *key, struct buf *out) {
    BIO *bio = BIO_new(BIO_s_secmem());
    char *bytes;
    bool good = bio != NULL && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
    long len = good ? BIO_get_mem_data(bio, &bytes) : 0;
    if (good)
        buf_add(out, bytes, (size_t)len);
    BIO_free(bio);
    return good && !out->failed;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is OpenSSL's. */
int tls_no_passphrase(char *buffer, int size, int writing, void *asked) {
    (void)buffer, (void)size, (void)writing;
    if (asked != NULL)
        *(bool *)asked = true;
    return -1;
}

static void ca_path(const struct run *run, const char *name, char *ret, size_t size) {
    snprintf(ret, size, "%s/%s", run->project_dir, name);
}

static int make_ca(const struct run *run, struct buf *ca_pem, struct err *err) {
    char path[4096], name[128];
    _cleanup_secret_buf_ struct buf key_pem = BUF_INIT(BUF_SMALL);
    snprintf(name, sizeof name, "berth %s CA", run->name);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key == NULL ? NULL : make_cert(key, name, run->now(run->clock_ctx), CA_DAYS);
    bool good = cert != NULL && X509_set_issuer_name(cert, X509_get_subject_name(cert)) == 1 &&
                add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
                add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
                add_extension(cert, cert, NID_subject_key_identifier, "hash") &&
                X509_sign(cert, key, EVP_sha256()) > 0 && tls_cert_to_pem(cert, ca_pem) &&
                tls_key_to_pem(key, &key_pem);
    X509_free(cert);
    EVP_PKEY_free(key);
    int rc = good ? 0 : failed(err);
    /* The key first: a CA without its key would be used and be of no use. */
    ca_path(run, "ca.key", path, sizeof path);
    if (rc == 0)
        rc = fs_write(path, buf_str(&key_pem), 0600, err);
    ca_path(run, "ca.pem", path, sizeof path);
    if (rc == 0)
        rc = fs_write(path, buf_str(ca_pem), 0644, err);
    return rc;
}

int tls_ca_ensure(const struct run *run, struct buf *ca_pem, struct err *err) {
    char path[4096];
    struct err why;
    ca_path(run, "ca.pem", path, sizeof path);
    int rc = fs_read(path, ca_pem, &why);
    if (rc == -ERRC_NOTFOUND)
        return make_ca(run, ca_pem, err);
    if (rc < 0)
        *err = why;
    return rc;
}

static X509 *read_cert(struct str pem) {
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    X509 *cert = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, tls_no_passphrase, NULL);
    BIO_free(bio);
    return cert;
}

static int read_ca(const struct run *run, X509 **ret_cert, EVP_PKEY **ret_key, struct err *err) {
    char path[4096];
    _cleanup_buf_ struct buf cert = BUF_INIT(BUF_SMALL);
    _cleanup_secret_buf_ struct buf key = BUF_INIT(BUF_SMALL);
    int rc = tls_ca_ensure(run, &cert, err);
    ca_path(run, "ca.key", path, sizeof path);
    if (rc == 0)
        rc = fs_read(path, &key, err);
    if (rc < 0)
        return rc;
    BIO *bio = BIO_new_mem_buf(key.ptr, (int)key.len);
    *ret_cert = read_cert(buf_str(&cert));
    *ret_key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, tls_no_passphrase, NULL);
    BIO_free(bio);
    if (*ret_cert == NULL || *ret_key == NULL) {
        X509_free(*ret_cert);
        EVP_PKEY_free(*ret_key);
        return err_set(err, ERRC_STATE, "%s/ca.pem and ca.key are not a CA", run->project_dir);
    }
    return 0;
}

static void alt_names(const struct strlist *names, struct buf *out) {
    for (size_t i = 0; i < names->len; i++) {
        unsigned char bytes[16];
        bool address = inet_pton(AF_INET, names->items[i], bytes) == 1 ||
                       inet_pton(AF_INET6, names->items[i], bytes) == 1;
        buf_addf(out, "%s%s:%s", i == 0 ? "" : ",", address ? "IP" : "DNS", names->items[i]);
    }
}

int tls_leaf_make(const struct run *run, const struct strlist *names, struct buf *cert_pem,
                  struct buf *key_pem, struct err *err) {
    X509 *ca = NULL;
    EVP_PKEY *ca_key = NULL;
    _cleanup_buf_ struct buf san = BUF_INIT(BUF_SMALL);
    int rc = read_ca(run, &ca, &ca_key, err);
    if (rc < 0)
        return rc;
    alt_names(names, &san);
    const ASN1_TIME *end = X509_get0_notAfter(ca);
    /* For people: the names that count stand in the extension. */
    bool fits = names->len > 0 && strlen(names->items[0]) <= COMMON_NAME_MAX;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key == NULL ? NULL
                             : make_cert(key, fits ? names->items[0] : run->name,
                                         run->now(run->clock_ctx), LEAF_DAYS);
    bool good = cert != NULL && X509_set_issuer_name(cert, X509_get_subject_name(ca)) == 1 &&
                (ASN1_TIME_compare(X509_get0_notAfter(cert), end) <= 0 ||
                 X509_set1_notAfter(cert, end) == 1) &&
                add_extension(cert, ca, NID_basic_constraints, "critical,CA:FALSE") &&
                add_extension(cert, ca, NID_key_usage, "critical,digitalSignature") &&
                add_extension(cert, ca, NID_ext_key_usage, "serverAuth") &&
                add_extension(cert, ca, NID_subject_key_identifier, "hash") &&
                add_extension(cert, ca, NID_authority_key_identifier, "keyid") &&
                add_extension(cert, ca, NID_subject_alt_name, buf_cstr(&san)) &&
                X509_sign(cert, ca_key, EVP_sha256()) > 0 && tls_cert_to_pem(cert, cert_pem) &&
                tls_key_to_pem(key, key_pem);
    X509_free(cert);
    EVP_PKEY_free(key);
    X509_free(ca);
    EVP_PKEY_free(ca_key);
    return good ? 0 : failed(err);
}

static int read_names(struct arena *arena, X509 *cert, struct strlist *names) {
    GENERAL_NAMES *list = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    int rc = 0;
    for (int i = 0; rc == 0 && i < sk_GENERAL_NAME_num(list); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(list, i);
        char text[INET6_ADDRSTRLEN];
        if (name->type == GEN_DNS) {
            const char *copy = arena_dup_str(
                arena, (struct str){(const char *)ASN1_STRING_get0_data(name->d.dNSName),
                                    (size_t)ASN1_STRING_length(name->d.dNSName)});
            rc = copy == NULL ? -ERRC_NOMEM : strlist_add(arena, names, copy);
        } else if (name->type == GEN_IPADD) {
            int family = ASN1_STRING_length(name->d.iPAddress) == 4 ? AF_INET : AF_INET6;
            if (inet_ntop(family, ASN1_STRING_get0_data(name->d.iPAddress), text, sizeof text))
                rc = strlist_add(arena, names, text);
        }
    }
    GENERAL_NAMES_free(list);
    return rc;
}

static const char *end_text(struct arena *arena, X509 *cert) {
    struct tm tm;
    char text[32] = "";
    if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1)
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return arena_dup(arena, text);
}

/* RFC 4514: control characters and such are escaped. */
static const char *name_text(struct arena *arena, const X509_NAME *name) {
    BIO *bio = BIO_new(BIO_s_mem());
    char *bytes = NULL;
    const char *text = NULL;
    if (bio != NULL &&
        X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0) {
        long len = BIO_get_mem_data(bio, &bytes);
        text = arena_dup_str(arena, (struct str){bytes, len > 0 ? (size_t)len : 0});
    }
    BIO_free(bio);
    return text;
}

static const char *fingerprint(struct arena *arena, X509 *cert) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    _cleanup_buf_ struct buf hex = BUF_INIT(BUF_SMALL);
    if (X509_digest(cert, EVP_sha256(), digest, &len) != 1)
        return NULL;
    buf_add_hex(&hex, digest, len);
    return arena_dup(arena, buf_cstr(&hex));
}

/* Days from `now` to then, rounded down. */
static int days_to(const ASN1_TIME *then, time_t now) {
    int days = 0, seconds = 0;
    ASN1_TIME *from = ASN1_TIME_set(NULL, now);
    if (from != NULL && ASN1_TIME_diff(&days, &seconds, from, then) == 1 && seconds < 0)
        days--;
    ASN1_TIME_free(from);
    return days;
}

int tls_leaf_of(struct arena *arena, X509 *cert, X509 *ca, time_t now, struct tls_leaf *ret) {
    EVP_PKEY *key = ca == NULL ? NULL : X509_get0_pubkey(ca);
    struct tls_leaf leaf = {
        .subject = name_text(arena, X509_get_subject_name(cert)),
        .issuer = name_text(arena, X509_get_issuer_name(cert)),
        .not_after = end_text(arena, cert),
        .fingerprint = fingerprint(arena, cert),
        .is_signed = key != NULL && X509_verify(cert, key) == 1,
        .ends_with_ca =
            ca != NULL && ASN1_TIME_compare(X509_get0_notAfter(cert), X509_get0_notAfter(ca)) >= 0,
        .days = days_to(X509_get0_notAfter(cert), now),
    };
    if (leaf.subject == NULL || leaf.issuer == NULL || leaf.not_after == NULL ||
        leaf.fingerprint == NULL || read_names(arena, cert, &leaf.names) < 0)
        return -ERRC_NOMEM;
    *ret = leaf;
    return 0;
}

int tls_leaf_read(struct arena *arena, struct str cert_pem, struct str ca_pem, time_t now,
                  struct tls_leaf *ret) {
    X509 *cert = read_cert(cert_pem);
    X509 *ca = ca_pem.len == 0 ? NULL : read_cert(ca_pem);
    int rc = cert == NULL ? -ERRC_INVALID : tls_leaf_of(arena, cert, ca, now, ret);
    X509_free(cert);
    X509_free(ca);
    return rc;
}
