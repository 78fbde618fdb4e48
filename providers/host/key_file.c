#include "providers/host/key_file.h"

#include "providers/sshkey.h"
#include "specs/err.h"
#include "specs/fs.h"

#include <string.h>

enum { KEY_FILE_MAX = 64 * 1024 };

bool key_blob_is(struct str blob, const char *type) {
    struct str name;
    return sshkey_take_string(&blob, &name) && str_eqc(name, type);
}

/* PROTOCOL.key: the cipher and the public half stand in front of what is locked. */
static void read_openssh(struct str body, struct key_file *out) {
    static const char magic[] = "openssh-key-v1"; /* with its NUL */
    _cleanup_secret_buf_ struct buf bytes = BUF_INIT(KEY_FILE_MAX);
    struct str cipher, skipped, blob;
    if (!buf_add_base64_decoded(&bytes, body) || bytes.len < sizeof magic ||
        memcmp(bytes.ptr, magic, sizeof magic) != 0)
        return;
    struct str rest = {bytes.ptr + sizeof magic, bytes.len - sizeof magic};
    if (!sshkey_take_string(&rest, &cipher) || !sshkey_take_string(&rest, &skipped) ||
        !sshkey_take_string(&rest, &skipped) || rest.len < 4)
        return;
    rest = (struct str){rest.ptr + 4, rest.len - 4}; /* how many keys */
    out->locked = !str_eqc(cipher, "none");
    if (sshkey_take_string(&rest, &blob))
        buf_addstr(&out->blob, blob);
}

static void read_public(struct str rest, struct key_file *out) {
    struct str type, key;
    if (str_split(&rest, ' ', &type) && str_split(&rest, ' ', &key))
        buf_add_base64_decoded(&out->blob, str_trim(key));
}

/* The text behind "-----BEGIN ", or nothing. */
static struct str find_body(struct str text) {
    static const char begin[] = "-----BEGIN ";
    for (size_t i = 0; i + strlen(begin) <= text.len; i++)
        if (memcmp(text.ptr + i, begin, strlen(begin)) == 0)
            return (struct str){text.ptr + i + strlen(begin), text.len - i - strlen(begin)};
    return (struct str){NULL, 0};
}

static bool contains(struct str text, struct str word) {
    for (size_t i = 0; i + word.len <= text.len; i++)
        if (memcmp(text.ptr + i, word.ptr, word.len) == 0)
            return true;
    return false;
}

void key_file_read(struct str text, struct str public, struct key_file *out) {
    const struct str openssh = STR("OPENSSH PRIVATE KEY-----");
    struct str body = find_body(text);
    if (str_starts(body, openssh)) {
        struct str rest = {body.ptr + openssh.len, body.len - openssh.len}, base64 = {NULL, 0};
        str_split(&rest, '-', &base64); /* up to "-----END" */
        read_openssh(base64, out);
    } else if (body.len > 0) { /* PEM and PKCS#8 say it in words */
        out->locked = contains(body, STR("ENCRYPTED"));
        out->rsa = str_starts(body, STR("RSA "));
    }
    if (out->blob.len == 0)
        read_public(public, out);
    out->rsa = out->rsa || key_blob_is(buf_str(&out->blob), "ssh-rsa");
}

void key_file_look(const char *path, struct key_file *out) {
    _cleanup_secret_buf_ struct buf text = BUF_INIT(KEY_FILE_MAX);
    _cleanup_buf_ struct buf public = BUF_INIT(KEY_FILE_MAX);
    _cleanup_buf_ struct buf name = BUF_INIT(BUF_SMALL);
    struct err ignored;
    *out = (struct key_file){.blob = BUF_INIT(BUF_SMALL)};
    buf_addf(&name, "%s.pub", path);
    out->there = fs_read(path, &text, &ignored) == 0;
    if (fs_read(buf_cstr(&name), &public, &ignored) < 0)
        buf_reset(&public);
    key_file_read(buf_str(&text), buf_str(&public), out);
}
