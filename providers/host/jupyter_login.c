#include "providers/host/jupyter_login.h"

#include "providers/host/internal.h"
#include "specs/fs.h"

#include <argon2.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

int jupyter_hash_password(const struct run *run, struct str password, struct buf *out,
                          struct err *err) {
    enum { MEMORY_KIB = 10240, TIME = 10, LANES = 8, SALT = 16, HASH = 32, TEXT = 256 };
    unsigned char salt[SALT];
    char text[TEXT];
    if (run->random(salt, sizeof salt) < 0)
        return err_set(err, ERRC_INTERNAL, "no random numbers to be had");
    int rc = argon2id_hash_encoded(TIME, MEMORY_KIB, LANES, password.ptr, password.len, salt,
                                   sizeof salt, HASH, text, sizeof text);
    if (rc != ARGON2_OK)
        return err_set(err, ERRC_INTERNAL, "argon2: %s", argon2_error_message(rc));
    buf_addf(out, "argon2:%s", text);
    return 0;
}

int jupyter_token(const struct run *run, struct buf *token, struct err *err) {
    char path[4096];
    struct err why;
    snprintf(path, sizeof path, "%s/token", run->project_dir);
    int rc = fs_read(path, token, &why);
    struct str trimmed = str_trim(buf_str(token));
    if (rc == 0 && trimmed.len > 0) {
        /* An editor ends a line; Jupyter would take that for a part of the token. */
        memmove(token->ptr, trimmed.ptr, trimmed.len);
        token->len = trimmed.len;
        token->ptr[token->len] = '\0';
        return 0;
    }
    buf_reset(token); /* an empty token would switch Jupyter's login off */
    if (rc < 0 && rc != -ERRC_NOTFOUND) {
        *err = why;
        return rc;
    }
    unsigned char bytes[TOKEN_SIZE / 2];
    if (run->random(bytes, sizeof bytes) < 0)
        return err_set(err, ERRC_INTERNAL, "no random numbers to be had");
    buf_add_hex(token, bytes, sizeof bytes);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return fs_write(path, buf_str(token), 0600, err);
}
