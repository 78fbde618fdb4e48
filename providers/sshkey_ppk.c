/* PuTTY's private key files: https://the.earth.li/~sgtatham/putty/latest/htmldoc/AppendixC.html */
#include "providers/sshkey_private.h"

#include <argon2.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <string.h>

/* PuTTYgen's own defaults: 8 MiB, and passes that take about 0.1 s. */
enum { MEMORY_KIB = 8192, PASSES = 21, LANES = 1, SALT_SIZE = 16 };
enum { LINE = 64, BLOCK = 16, KEY_SIZE = 32, MAC_KEY_SIZE = 32 };

static const char mac_label[] = "putty-private-key-file-mac-key"; /* version 2 */

struct secrets {
    unsigned char key[KEY_SIZE], iv[BLOCK]; /* of the cipher; unused without a passphrase */
    unsigned char mac_key[MAC_KEY_SIZE];
    size_t mac_key_len;
};

static bool add_private_blob(const struct sshkey_private *k, struct buf *out) {
    static const char *const rsa[] = {OSSL_PKEY_PARAM_RSA_D, OSSL_PKEY_PARAM_RSA_FACTOR1,
                                      OSSL_PKEY_PARAM_RSA_FACTOR2,
                                      OSSL_PKEY_PARAM_RSA_COEFFICIENT1};
    if (k->rsa) {
        for (size_t i = 0; i < sizeof rsa / sizeof rsa[0]; i++)
            if (!sshkey_add_number(out, k->key, rsa[i]))
                return false;
        return true;
    }
    unsigned char seed[SSHKEY_SEED_SIZE];
    bool good = sshkey_seed_of(k->key, seed);
    if (good)
        sshkey_add_string(out, seed, sizeof seed);
    OPENSSL_cleanse(seed, sizeof seed);
    return good;
}

/* Version 3: Argon2id gives the cipher's key, its start and the MAC's key. */
static int derive3(const struct sshkey_export *in, struct secrets *s, struct buf *head,
                   struct err *err) {
    unsigned char salt[SALT_SIZE], all[KEY_SIZE + BLOCK + MAC_KEY_SIZE];
    if (in->passphrase.len == 0)
        return 0;
    if (in->random(salt, sizeof salt) < 0)
        return err_set(err, ERRC_INTERNAL, "no random numbers to be had");
    int rc = argon2id_hash_raw(PASSES, MEMORY_KIB, LANES, in->passphrase.ptr, in->passphrase.len,
                               salt, sizeof salt, all, sizeof all);
    if (rc != ARGON2_OK)
        return err_set(err, ERRC_INTERNAL, "argon2: %s", argon2_error_message(rc));
    memcpy(s->key, all, KEY_SIZE);
    memcpy(s->iv, all + KEY_SIZE, BLOCK);
    memcpy(s->mac_key, all + KEY_SIZE + BLOCK, MAC_KEY_SIZE);
    s->mac_key_len = MAC_KEY_SIZE;
    OPENSSL_cleanse(all, sizeof all);
    buf_addf(head,
             "Key-Derivation: Argon2id\nArgon2-Memory: %d\nArgon2-Passes: %d\n"
             "Argon2-Parallelism: %d\nArgon2-Salt: ",
             MEMORY_KIB, PASSES, LANES);
    buf_add_hex(head, salt, sizeof salt);
    buf_addc(head, '\n');
    return 0;
}

/* Version 2: SHA-1 of a counter and the passphrase; the cipher starts at zero. */
static int derive2(const struct sshkey_export *in, struct secrets *s, struct err *err) {
    _cleanup_secret_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    unsigned char digest[SHA_DIGEST_LENGTH];
    for (unsigned char i = 0; i < 2; i++) {
        const unsigned char count[4] = {0, 0, 0, i};
        size_t at = (size_t)i * SHA_DIGEST_LENGTH;
        buf_reset(&text);
        buf_add(&text, count, sizeof count);
        buf_addstr(&text, in->passphrase);
        SHA1((const unsigned char *)text.ptr, text.len, digest);
        memcpy(s->key + at, digest, KEY_SIZE - at < sizeof digest ? KEY_SIZE - at : sizeof digest);
    }
    buf_reset(&text);
    buf_adds(&text, mac_label);
    buf_addstr(&text, in->passphrase);
    SHA1((const unsigned char *)text.ptr, text.len, s->mac_key);
    s->mac_key_len = SHA_DIGEST_LENGTH;
    OPENSSL_cleanse(digest, sizeof digest);
    return text.failed ? err_no_memory(err) : 0;
}

/* To whole blocks, as PuTTY does: with what its SHA-1 begins with. */
static void pad(struct buf *blob) {
    unsigned char digest[SHA_DIGEST_LENGTH];
    SHA1((const unsigned char *)blob->ptr, blob->len, digest);
    buf_add(blob, digest, (BLOCK - blob->len % BLOCK) % BLOCK);
}

static bool encrypt(const struct secrets *s, struct buf *blob) {
    int len = 0, end = 0;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    unsigned char *bytes = (unsigned char *)blob->ptr;
    bool good = ctx != NULL &&
                EVP_EncryptInit_ex(ctx, EVP_aes_256_cbc(), NULL, s->key, s->iv) == 1 &&
                EVP_CIPHER_CTX_set_padding(ctx, 0) == 1 &&
                EVP_EncryptUpdate(ctx, bytes, &len, bytes, (int)blob->len) == 1 &&
                EVP_EncryptFinal_ex(ctx, bytes + len, &end) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return good && (size_t)len == blob->len;
}

static void add_lines(struct buf *out, const char *name, const struct buf *blob) {
    _cleanup_secret_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    buf_add_base64(&text, blob->ptr, blob->len);
    buf_addf(out, "%s-Lines: %zu\n", name, (text.len + LINE - 1) / LINE);
    for (size_t at = 0; at < text.len; at += LINE) {
        buf_add(out, text.ptr + at, text.len - at < LINE ? text.len - at : LINE);
        buf_addc(out, '\n');
    }
}

static const char *type_of(const struct sshkey_private *k) {
    return k->rsa ? "ssh-rsa" : "ssh-ed25519";
}

/* Over all that the file says, the private part as it is without the cipher. */
static bool add_mac(const struct sshkey_private *k, bool version3, const char *cipher,
                    const struct secrets *s, const struct buf *blob, struct buf *out) {
    _cleanup_secret_buf_ struct buf all = BUF_INIT(BUF_SMALL);
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    sshkey_add_string(&all, type_of(k), strlen(type_of(k)));
    sshkey_add_string(&all, cipher, strlen(cipher));
    sshkey_add_string(&all, k->comment.ptr, k->comment.len);
    sshkey_add_string(&all, k->public_blob.ptr, k->public_blob.len);
    sshkey_add_string(&all, blob->ptr, blob->len);
    if (all.failed || HMAC(version3 ? EVP_sha256() : EVP_sha1(), s->mac_key, (int)s->mac_key_len,
                           (const unsigned char *)all.ptr, all.len, mac, &len) == NULL)
        return false;
    buf_adds(out, "Private-MAC: ");
    buf_add_hex(out, mac, len);
    buf_addc(out, '\n');
    return true;
}

static int write_blobs(const struct sshkey_private *k, const struct sshkey_export *in,
                       struct secrets *s, struct buf *out, struct err *err) {
    _cleanup_secret_buf_ struct buf blob = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf head = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf mac = BUF_INIT(BUF_SMALL);
    bool version3 = in->format == SSHKEY_PPK3, closed = in->passphrase.len > 0;
    const char *cipher = closed ? "aes256-cbc" : "none";
    int rc = version3 ? derive3(in, s, &head, err) : derive2(in, s, err);
    if (rc < 0)
        return rc;
    if (!add_private_blob(k, &blob))
        return err_set(err, ERRC_INTERNAL, "OpenSSL does not give the key's numbers");
    if (closed)
        pad(&blob);
    if (blob.failed || !add_mac(k, version3, cipher, s, &blob, &mac) ||
        (closed && !encrypt(s, &blob)))
        return err_set(err, ERRC_INTERNAL, "OpenSSL cannot seal the key");
    buf_addf(out, "PuTTY-User-Key-File-%d: %s\nEncryption: %s\nComment: %s\n", version3 ? 3 : 2,
             type_of(k), cipher, buf_cstr(&k->comment));
    add_lines(out, "Public", &k->public_blob);
    buf_addstr(out, buf_str(&head));
    add_lines(out, "Private", &blob);
    buf_addstr(out, buf_str(&mac));
    return out->failed ? err_no_memory(err) : 0;
}

int sshkey_write_ppk(const struct sshkey_private *k, const struct sshkey_export *in,
                     struct buf *out, struct err *err) {
    struct secrets s = {0};
    int rc = write_blobs(k, in, &s, out, err);
    OPENSSL_cleanse(&s, sizeof s);
    return rc;
}
