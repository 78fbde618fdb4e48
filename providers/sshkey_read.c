/* Private key files of others: what ssh-keygen and OpenSSL write, without a passphrase. */
#include "providers/sshkey_private.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <string.h>

enum { CIPHERED = 1 };

static BIGNUM *number(struct str s) {
    return s.len > 2048 ? NULL : BN_bin2bn((const unsigned char *)s.ptr, (int)s.len, NULL);
}

/* d modulo p - 1, which the file leaves out. */
static BIGNUM *exponent(const BIGNUM *d, const BIGNUM *p, BN_CTX *ctx) {
    BIGNUM *out = BN_new();
    BIGNUM *less = BN_dup(p);
    bool good = out != NULL && less != NULL && !BN_is_zero(less) && BN_sub_word(less, 1) == 1 &&
                !BN_is_zero(less) && BN_mod(out, d, less, ctx) == 1;
    BN_clear_free(less);
    if (good)
        return out;
    BN_clear_free(out);
    return NULL;
}

enum { N, E, D, IQMP, P, Q, NUMBERS }; /* the order of PROTOCOL.key */

static EVP_PKEY *make_rsa(BIGNUM *const numbers[NUMBERS]) {
    static const char *const names[NUMBERS] = {
        OSSL_PKEY_PARAM_RSA_N,       OSSL_PKEY_PARAM_RSA_E,
        OSSL_PKEY_PARAM_RSA_D,       OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
        OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2,
    };
    EVP_PKEY *key = NULL;
    BN_CTX *bn = BN_CTX_new();
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    BIGNUM *dp = bn == NULL ? NULL : exponent(numbers[D], numbers[P], bn);
    BIGNUM *dq = bn == NULL ? NULL : exponent(numbers[D], numbers[Q], bn);
    bool good = build != NULL && ctx != NULL && dp != NULL && dq != NULL;
    for (int i = 0; good && i < NUMBERS; i++)
        good = OSSL_PARAM_BLD_push_BN(build, names[i], numbers[i]) == 1;
    good = good && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_EXPONENT1, dp) == 1 &&
           OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_EXPONENT2, dq) == 1;
    OSSL_PARAM *params = good ? OSSL_PARAM_BLD_to_param(build) : NULL;
    if (params != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    BN_clear_free(dp);
    BN_clear_free(dq);
    BN_CTX_free(bn);
    return key;
}

static EVP_PKEY *take_rsa(struct str *fields) {
    BIGNUM *numbers[NUMBERS] = {0};
    bool good = true;
    for (int i = 0; good && i < NUMBERS; i++) {
        struct str text;
        good = sshkey_take_string(fields, &text) && (numbers[i] = number(text)) != NULL;
    }
    EVP_PKEY *key = good ? make_rsa(numbers) : NULL;
    for (int i = 0; i < NUMBERS; i++)
        BN_clear_free(numbers[i]);
    return key;
}

static EVP_PKEY *take_ed25519(struct str *fields) {
    struct str public, both;
    if (!sshkey_take_string(fields, &public) || !sshkey_take_string(fields, &both) ||
        both.len != 2 * (size_t)SSHKEY_SEED_SIZE)
        return NULL;
    return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)both.ptr,
                                        SSHKEY_SEED_SIZE);
}

/* 0, CIPHERED, or < 0. */
static int read_openssh(struct str text, struct sshkey_private *k) {
    static const char magic[] = "openssh-key-v1";
    _cleanup_secret_buf_ struct buf base64 = BUF_INIT(BUF_SMALL);
    _cleanup_secret_buf_ struct buf bytes = BUF_INIT(BUF_SMALL);
    struct str line, cipher, kdf, options, blob, part, type, comment;
    while (str_split(&text, '\n', &line))
        if (!str_starts(line, STR("-----")))
            buf_addstr(&base64, str_trim(line));
    if (!buf_add_base64_decoded(&bytes, buf_str(&base64)) || bytes.len < sizeof magic ||
        memcmp(bytes.ptr, magic, sizeof magic) != 0)
        return -1;
    struct str rest = {bytes.ptr + sizeof magic, bytes.len - sizeof magic};
    if (!sshkey_take_string(&rest, &cipher) || !sshkey_take_string(&rest, &kdf) ||
        !sshkey_take_string(&rest, &options) || rest.len < 4)
        return -1;
    rest = (struct str){rest.ptr + 4, rest.len - 4}; /* how many keys: one */
    if (!str_eqc(cipher, "none"))
        return CIPHERED;
    if (!sshkey_take_string(&rest, &blob) || !sshkey_take_string(&rest, &part) || part.len < 8)
        return -1;
    part = (struct str){part.ptr + 8, part.len - 8}; /* the check words */
    if (!sshkey_take_string(&part, &type))
        return -1;
    k->key = str_eqc(type, "ssh-rsa")       ? take_rsa(&part)
             : str_eqc(type, "ssh-ed25519") ? take_ed25519(&part)
                                            : NULL;
    if (k->key == NULL || !sshkey_take_string(&part, &comment))
        return -1;
    buf_addstr(&k->comment, comment);
    return 0;
}

/* Nobody is asked; that it was needed is noted. */
static int no_passphrase(char *ret, int size, int writing, void *ctx) {
    (void)writing;
    *(bool *)ctx = true;
    if (size > 0)
        ret[0] = '\0';
    return -1;
}

static int read_pem(struct str text, struct sshkey_private *k) {
    bool ciphered = false;
    BIO *bio = text.len > BUF_SMALL ? NULL : BIO_new_mem_buf(text.ptr, (int)text.len);
    k->key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &ciphered);
    BIO_free(bio);
    ERR_clear_error();
    return k->key != NULL ? 0 : ciphered ? CIPHERED : -1;
}

bool sshkey_seed_of(const EVP_PKEY *key, unsigned char ret[SSHKEY_SEED_SIZE]) {
    size_t len = SSHKEY_SEED_SIZE;
    return EVP_PKEY_get_raw_private_key(key, ret, &len) == 1 && len == SSHKEY_SEED_SIZE;
}

static bool add_public(struct sshkey_private *k) {
    k->rsa = EVP_PKEY_is_a(k->key, "RSA") == 1;
    if (k->rsa) {
        sshkey_add_string(&k->public_blob, "ssh-rsa", strlen("ssh-rsa"));
        return sshkey_add_number(&k->public_blob, k->key, OSSL_PKEY_PARAM_RSA_E) &&
               sshkey_add_number(&k->public_blob, k->key, OSSL_PKEY_PARAM_RSA_N);
    }
    unsigned char public[SSHKEY_SEED_SIZE];
    size_t len = sizeof public;
    if (EVP_PKEY_is_a(k->key, "ED25519") != 1 ||
        EVP_PKEY_get_raw_public_key(k->key, public, &len) != 1)
        return false;
    sshkey_add_string(&k->public_blob, "ssh-ed25519", strlen("ssh-ed25519"));
    sshkey_add_string(&k->public_blob, public, len);
    return true;
}

void sshkey_private_free(struct sshkey_private *k) {
    EVP_PKEY_free(k->key);
    buf_free(&k->public_blob);
    buf_free(&k->comment);
    *k = (struct sshkey_private){0};
}

int sshkey_private_read(struct str text, struct sshkey_private *ret, struct err *err) {
    struct sshkey_private k = {.public_blob = BUF_INIT(BUF_SMALL), .comment = BUF_INIT(BUF_SMALL)};
    int rc =
        str_starts(text, STR("-----BEGIN OPENSSH ")) ? read_openssh(text, &k) : read_pem(text, &k);
    if (rc == 0 && add_public(&k) && !k.public_blob.failed && !k.comment.failed) {
        *ret = k;
        return 0;
    }
    sshkey_private_free(&k);
    if (rc == CIPHERED) {
        err_set(err, ERRC_INVALID, "the key has a passphrase");
        err_hint(err, "puttygen and ssh-keygen -p ask for it");
    } else {
        err_set(err, ERRC_INVALID, "it is no private Ed25519 or RSA key that berth can read");
        err_hint(err, "puttygen and ssh-keygen know more kinds");
    }
    return -ERRC_INVALID;
}
