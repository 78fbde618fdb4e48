#include "providers/sshkey_private.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

static int write_pem(const struct sshkey_private *k, const struct sshkey_export *in,
                     struct buf *out, struct err *err) {
    BIO *bio = BIO_new(BIO_s_mem()); /* wiped when it is freed */
    char *text = NULL;
    int good = 0;
    if (bio != NULL && in->passphrase.len > 0)
        good = PEM_write_bio_PKCS8PrivateKey(bio, k->key, EVP_aes_256_cbc(), in->passphrase.ptr,
                                             (int)in->passphrase.len, NULL, NULL);
    else if (bio != NULL && k->rsa)
        good = PEM_write_bio_PrivateKey_traditional(bio, k->key, NULL, NULL, 0, NULL, NULL);
    else if (bio != NULL)
        good = PEM_write_bio_PKCS8PrivateKey(bio, k->key, NULL, NULL, 0, NULL, NULL);
    long len = good == 1 ? BIO_get_mem_data(bio, &text) : 0;
    if (len > 0)
        buf_add(out, text, (size_t)len);
    BIO_free(bio);
    ERR_clear_error();
    return len <= 0      ? err_set(err, ERRC_INTERNAL, "OpenSSL cannot write the key")
           : out->failed ? err_no_memory(err)
                         : 0;
}

static bool add_openssh_fields(const struct sshkey_private *k, struct buf *out) {
    static const char *const rsa[] = {OSSL_PKEY_PARAM_RSA_N,       OSSL_PKEY_PARAM_RSA_E,
                                      OSSL_PKEY_PARAM_RSA_D,       OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
                                      OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2};
    if (k->rsa) {
        sshkey_add_string(out, "ssh-rsa", strlen("ssh-rsa"));
        for (size_t i = 0; i < sizeof rsa / sizeof rsa[0]; i++)
            if (!sshkey_add_number(out, k->key, rsa[i]))
                return false;
        return true;
    }
    unsigned char both[2 * SSHKEY_SEED_SIZE];
    if (!sshkey_seed_of(k->key, both))
        return false;
    memcpy(both + SSHKEY_SEED_SIZE, k->public_blob.ptr + k->public_blob.len - SSHKEY_SEED_SIZE,
           SSHKEY_SEED_SIZE);
    buf_addstr(out, buf_str(&k->public_blob));
    sshkey_add_string(out, both, sizeof both);
    OPENSSL_cleanse(both, sizeof both);
    return true;
}

static int write_openssh(const struct sshkey_private *k, const struct sshkey_export *in,
                         struct buf *out, struct err *err) {
    if (in->passphrase.len > 0) {
        err_set(err, ERRC_UNSUPPORTED, "berth cannot put a passphrase on an OpenSSH key");
        err_hint(err, "export it without one, then: ssh-keygen -p -f FILE");
        return -ERRC_UNSUPPORTED;
    }
    _cleanup_secret_buf_ struct buf fields = BUF_INIT(BUF_SMALL);
    if (!add_openssh_fields(k, &fields))
        return err_set(err, ERRC_INTERNAL, "OpenSSL does not give the key's numbers");
    return !fields.failed && sshkey_add_openssh(out, buf_str(&k->public_blob), buf_str(&fields),
                                                buf_cstr(&k->comment))
               ? 0
               : err_no_memory(err);
}

int sshkey_export(const struct sshkey_export *in, struct buf *out, struct err *err) {
    static int (*const writers[])(const struct sshkey_private *, const struct sshkey_export *,
                                  struct buf *, struct err *) = {
        [SSHKEY_PEM] = write_pem,
        [SSHKEY_OPENSSH] = write_openssh,
        [SSHKEY_PPK3] = sshkey_write_ppk,
        [SSHKEY_PPK2] = sshkey_write_ppk,
    };
    struct sshkey_private k;
    int rc = sshkey_private_read(in->text, &k, err);
    if (rc < 0)
        return rc;
    if (k.comment.len == 0)
        buf_adds(&k.comment, in->comment);
    for (size_t i = 0; i < k.comment.len; i++) /* it is a line of a PPK file */
        if (k.comment.ptr[i] == '\n' || k.comment.ptr[i] == '\r' || k.comment.ptr[i] == '\0')
            k.comment.ptr[i] = ' ';
    rc = writers[in->format](&k, in, out, err);
    sshkey_private_free(&k);
    return rc;
}
