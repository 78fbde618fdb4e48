/* RSA keys: the private half as PEM of PKCS#1, which OpenSSH, libssh2 and PuTTYgen read, and which
 * EC2 itself hands out; the public line is RFC 4253, section 6.6. */
#include "providers/sshkey_private.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

/* EC2 imports 1024, 2048 and 4096 bits:
 * https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/create-key-pairs.html */
enum { BITS = 4096, NUMBER_BYTES_MAX = 2048 };

/* RFC 4251's mpint: no leading zeros, but one where the first bit would be a sign. */
bool sshkey_add_number(struct buf *b, const EVP_PKEY *key, const char *name) {
    unsigned char bytes[1 + NUMBER_BYTES_MAX] = {0};
    BIGNUM *number = NULL;
    bool good = EVP_PKEY_get_bn_param(key, name, &number) == 1;
    int len = good ? BN_num_bytes(number) : 0;
    good = len > 0 && len <= NUMBER_BYTES_MAX && BN_bn2bin(number, bytes + 1) == len;
    BN_free(number);
    if (good) {
        bool sign = (bytes[1] & 0x80) != 0;
        sshkey_add_string(b, bytes + !sign, (size_t)len + sign);
    }
    return good;
}

static bool add_public_line(struct buf *out, const EVP_PKEY *key) {
    _cleanup_buf_ struct buf blob = BUF_INIT(BUF_SMALL);
    sshkey_add_string(&blob, "ssh-rsa", strlen("ssh-rsa"));
    if (!sshkey_add_number(&blob, key, OSSL_PKEY_PARAM_RSA_E) ||
        !sshkey_add_number(&blob, key, OSSL_PKEY_PARAM_RSA_N) || blob.failed)
        return false;
    buf_adds(out, "ssh-rsa ");
    buf_add_base64(out, blob.ptr, blob.len);
    return !out->failed;
}

static bool add_pem(struct buf *out, const EVP_PKEY *key) {
    char *text = NULL;
    BIO *bio = BIO_new(BIO_s_mem()); /* wiped when it is freed */
    bool good = bio != NULL &&
                PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
    long len = good ? BIO_get_mem_data(bio, &text) : 0;
    if (len > 0)
        buf_add(out, text, (size_t)len);
    BIO_free(bio);
    return len > 0 && !out->failed;
}

int sshkey_make_rsa(const char *comment, struct buf *private_text, struct buf *public_line,
                    struct err *err) {
    EVP_PKEY *key = EVP_RSA_gen(BITS);
    bool good = key != NULL && add_pem(private_text, key) && add_public_line(public_line, key);
    if (good && comment[0] != '\0')
        buf_addf(public_line, " %s", comment);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return good && !public_line->failed
               ? 0
               : err_set(err, ERRC_INTERNAL, "OpenSSL cannot make an RSA key");
}

/* A key with a passphrase is none of ours, and nobody is asked for it. */
static int no_passphrase(char *ret, int size, int writing, void *ctx) {
    (void)writing, (void)ctx;
    if (size > 0)
        ret[0] = '\0';
    return -1;
}

bool sshkey_rsa_public_of(struct str private_text, struct buf *out) {
    BIO *bio = private_text.len > BUF_SMALL
                   ? NULL
                   : BIO_new_mem_buf(private_text.ptr, (int)private_text.len);
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    bool good = key != NULL && EVP_PKEY_is_a(key, "RSA") && add_public_line(out, key);
    EVP_PKEY_free(key);
    BIO_free(bio);
    ERR_clear_error();
    return good;
}
