#include "providers/host/internal.h"

#include <openssl/crypto.h>
#include <string.h>

void shell_quote(struct buf *out, const char *text) { buf_add_quoted(out, str_of(text)); }

void shell_write_file(struct buf *script, const char *path, struct str content, const char *owner,
                      const char *mode) {
    buf_adds(script, "f=");
    shell_quote(script, path);
    buf_adds(script, "\nmkdir -p \"${f%/*}\"\nt=$(mktemp \"$f.XXXXXX\")\nchmod 600 \"$t\"\n"
                     "base64 -d >\"$t\" <<'BERTH_END'\n");
    buf_add_base64(script, content.ptr, content.len);
    buf_adds(script, "\nBERTH_END\nchown ");
    shell_quote(script, owner);
    buf_addf(script, " \"$t\"\nchmod %s \"$t\"\nmv -f \"$t\" \"$f\"\n", mode);
}

const char *host_path(struct arena *arena, const char *user, const char *path) {
    struct str p = str_of(path);
    while (p.len > 1 && p.ptr[p.len - 1] == '/')
        p.len--;
    if (p.len == 0 || p.ptr[0] != '~')
        return arena_dup_str(arena, p);
    const char *home = strcmp(user, "root") == 0 ? "/root" : arena_printf(arena, "/home/%s", user);
    return home == NULL ? NULL : arena_printf(arena, "%s%.*s", home, (int)(p.len - 1), p.ptr + 1);
}

const char *host_secret_tag(struct arena *arena, struct str secret_file, const char *label,
                            struct str text) {
    unsigned char secret[SSHKEY_SEED_SIZE], tag[SSHKEY_SEED_SIZE];
    _cleanup_buf_ struct buf hex = BUF_INIT(BUF_SMALL);
    if (secret_file.len != sizeof secret)
        return NULL;
    memcpy(secret, secret_file.ptr, sizeof secret);
    int rc = project_derive(secret, label, text, tag);
    OPENSSL_cleanse(secret, sizeof secret);
    if (rc < 0)
        return NULL;
    buf_add_hex(&hex, tag, 16);
    return hex.failed ? NULL : arena_dup_str(arena, buf_str(&hex));
}
