#include "providers/sshkey.h"

#include "specs/fs.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

enum { PUBLIC_SIZE = 32, LINE_WIDTH = 70, BLOCK = 8 };

static void add_u32(struct buf *b, size_t value) {
    unsigned char bytes[4] = {(unsigned char)(value >> 24), (unsigned char)(value >> 16),
                              (unsigned char)(value >> 8), (unsigned char)value};
    buf_add(b, bytes, sizeof bytes);
}

bool sshkey_take_string(struct str *s, struct str *ret) {
    if (s->len < 4)
        return false;
    const unsigned char *b = (const unsigned char *)s->ptr;
    size_t len = (size_t)b[0] << 24 | (size_t)b[1] << 16 | (size_t)b[2] << 8 | b[3];
    if (len > s->len - 4)
        return false;
    *ret = (struct str){s->ptr + 4, len};
    *s = (struct str){s->ptr + 4 + len, s->len - 4 - len};
    return true;
}

void sshkey_add_string(struct buf *b, const void *ptr, size_t len) {
    add_u32(b, len);
    buf_add(b, ptr, len);
}

static void add_public_blob(struct buf *b, const unsigned char *public) {
    sshkey_add_string(b, "ssh-ed25519", 11);
    sshkey_add_string(b, public, PUBLIC_SIZE);
}

static bool public_of(const unsigned char *seed, unsigned char *ret) {
    size_t len = PUBLIC_SIZE;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, SSHKEY_SEED_SIZE);
    bool good = key != NULL && EVP_PKEY_get_raw_public_key(key, ret, &len) == 1;
    EVP_PKEY_free(key);
    return good;
}

static void add_private_part(struct buf *b, struct str fields, const char *comment) {
    /* Two equal check words tell a reader that it decrypted well; nothing is encrypted here, so
     * any constant will do, and the same key is always the same text. */
    add_u32(b, 0x62657274);
    add_u32(b, 0x62657274);
    buf_addstr(b, fields);
    sshkey_add_string(b, comment, strlen(comment));
    for (char pad = 1; b->len % BLOCK != 0; pad++)
        buf_addc(b, pad);
}

static void add_pem(struct buf *out, const struct buf *blob) {
    _cleanup_secret_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    buf_add_base64(&text, blob->ptr, blob->len);
    buf_adds(out, "-----BEGIN OPENSSH "
                  "PRIVATE KEY-----\n");
    for (size_t at = 0; at < text.len; at += LINE_WIDTH) {
        size_t n = text.len - at < LINE_WIDTH ? text.len - at : LINE_WIDTH;
        buf_add(out, text.ptr + at, n);
        buf_addc(out, '\n');
    }
    buf_adds(out, "-----END OPENSSH "
                  "PRIVATE KEY-----\n");
}

bool sshkey_add_openssh(struct buf *out, struct str public_blob, struct str fields,
                        const char *comment) {
    _cleanup_secret_buf_ struct buf part = BUF_INIT(BUF_SMALL);
    _cleanup_secret_buf_ struct buf all = BUF_INIT(BUF_SMALL);
    add_private_part(&part, fields, comment);
    buf_add(&all, "openssh-key-v1", 15);
    sshkey_add_string(&all, "none", 4);
    sshkey_add_string(&all, "none", 4);
    sshkey_add_string(&all, "", 0);
    add_u32(&all, 1);
    sshkey_add_string(&all, public_blob.ptr, public_blob.len);
    sshkey_add_string(&all, part.ptr, part.len);
    add_pem(out, &all);
    return !part.failed && !all.failed && !out->failed;
}

int sshkey_from_seed(const unsigned char seed[SSHKEY_SEED_SIZE], const char *comment,
                     struct buf *private_text, struct buf *public_line, struct err *err) {
    unsigned char public[PUBLIC_SIZE];
    if (!public_of(seed, public))
        return err_set(err, ERRC_INTERNAL, "OpenSSL cannot make an Ed25519 key");
    _cleanup_buf_ struct buf blob = BUF_INIT(BUF_SMALL);
    _cleanup_secret_buf_ struct buf fields = BUF_INIT(BUF_SMALL);
    add_public_blob(&blob, public);
    buf_addstr(&fields, buf_str(&blob));
    add_u32(&fields, SSHKEY_SEED_SIZE + PUBLIC_SIZE);
    buf_add(&fields, seed, SSHKEY_SEED_SIZE);
    buf_add(&fields, public, PUBLIC_SIZE);
    bool good = sshkey_add_openssh(private_text, buf_str(&blob), buf_str(&fields), comment);
    buf_adds(public_line, "ssh-ed25519 ");
    buf_add_base64(public_line, blob.ptr, blob.len);
    if (comment[0] != '\0')
        buf_addf(public_line, " %s", comment);
    bool failed = !good || blob.failed || fields.failed || public_line->failed;
    return failed ? err_no_memory(err) : 0;
}

bool sshkey_public_of(struct str private_text, struct buf *out) {
    if (str_starts(private_text, STR("-----BEGIN RSA ")))
        return sshkey_rsa_public_of(private_text, out);
    /* openssh-key-v1, no cipher, no key derivation with no options, one key; then its public half
     */
    static const char head[] = "openssh-key-v1\0\0\0\0\4none\0\0\0\4none\0\0\0\0\0\0\0\1\0\0\0\63"
                               "\0\0\0\13ssh-ed25519\0\0\0\40";
    enum { HEAD_SIZE = sizeof head - 1, BLOB_SIZE = 51 };
    _cleanup_secret_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    _cleanup_secret_buf_ struct buf bytes = BUF_INIT(BUF_SMALL);
    struct str line;
    while (str_split(&private_text, '\n', &line))
        if (!str_starts(line, STR("-----")))
            buf_addstr(&text, str_trim(line));
    bool good = buf_add_base64_decoded(&bytes, buf_str(&text)) &&
                bytes.len >= HEAD_SIZE + PUBLIC_SIZE && memcmp(bytes.ptr, head, HEAD_SIZE) == 0;
    if (good) {
        buf_adds(out, "ssh-ed25519 ");
        buf_add_base64(out, bytes.ptr + HEAD_SIZE + PUBLIC_SIZE - BLOB_SIZE, BLOB_SIZE);
    }
    return good && !out->failed;
}

static bool split_line(struct str line, struct str *type, struct str *blob) {
    line = str_trim(line);
    struct str rest = line;
    return str_split(&rest, ' ', type) && str_split(&rest, ' ', blob) && blob->len > 0 &&
           (str_starts(*type, STR("ssh-")) || str_starts(*type, STR("ecdsa-")) ||
            str_starts(*type, STR("sk-")));
}

const char *sshkey_type(struct str public_line) {
    return str_starts(public_line, STR("ssh-ed25519 ")) ? "ed25519"
           : str_starts(public_line, STR("ssh-rsa "))   ? "rsa"
                                                        : NULL;
}

bool sshkey_strip(struct str public_line, struct buf *out) {
    struct str type, blob;
    if (!split_line(public_line, &type, &blob))
        return false;
    buf_addf(out, "%.*s %.*s", STR_FMT(type), STR_FMT(blob));
    return !out->failed;
}

bool sshkey_fingerprint(struct str public_line, struct buf *out) {
    struct str type, blob;
    _cleanup_buf_ struct buf bytes = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    if (!split_line(public_line, &type, &blob) || !buf_add_base64_decoded(&bytes, blob))
        return false;
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)bytes.ptr, bytes.len, digest);
    buf_add_base64(&text, digest, sizeof digest);
    while (text.len > 0 && text.ptr[text.len - 1] == '=')
        text.len--;
    buf_adds(out, "SHA256:");
    buf_addstr(out, buf_str(&text));
    return !out->failed;
}

int project_secret(const char *project_dir, int (*random)(void *, size_t),
                   unsigned char ret[SSHKEY_SEED_SIZE], struct err *err) {
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s/secret", project_dir) >= sizeof path)
        return err_set(err, ERRC_LIMIT, "path too long: %s", project_dir);
    _cleanup_secret_buf_ struct buf bytes = BUF_INIT(BUF_SMALL);
    struct err why;
    int rc = fs_read(path, &bytes, &why);
    if (rc == -ERRC_NOTFOUND) {
        if (random(ret, SSHKEY_SEED_SIZE) < 0)
            return err_set(err, ERRC_INTERNAL, "no random numbers to be had");
        return fs_write(path, (struct str){(const char *)ret, SSHKEY_SEED_SIZE}, 0600, err);
    }
    if (rc < 0) {
        *err = why;
        return rc;
    }
    if (bytes.len != SSHKEY_SEED_SIZE)
        return err_set(err, ERRC_STATE, "%s is not a berth secret", path);
    memcpy(ret, bytes.ptr, SSHKEY_SEED_SIZE);
    return 0;
}

int project_derive(const unsigned char secret[SSHKEY_SEED_SIZE], const char *label, struct str text,
                   unsigned char ret[SSHKEY_SEED_SIZE]) {
    _cleanup_secret_buf_ struct buf message = BUF_INIT(BUF_MEDIUM);
    buf_adds(&message, label);
    buf_addc(&message, '\0');
    buf_addstr(&message, text);
    unsigned len = SSHKEY_SEED_SIZE;
    if (message.failed || HMAC(EVP_sha256(), secret, SSHKEY_SEED_SIZE,
                               (const unsigned char *)message.ptr, message.len, ret, &len) == NULL)
        return -ERRC_INTERNAL;
    return 0;
}
