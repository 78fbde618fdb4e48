#include "cmd/servers.h"
#include "cmd/verbs.h"
#include "providers/sshkey_export.h"
#include "specs/fs.h"

#include <string.h>

static const struct format {
    const char *name, *suffix;
    enum sshkey_format format;
} formats[] = {
    {"pem", ".pem", SSHKEY_PEM},
    {"ppk", ".ppk", SSHKEY_PPK3},
    {"ppk2", ".ppk", SSHKEY_PPK2},
    {"openssh", ".key", SSHKEY_OPENSSH},
};
enum { FORMATS_LEN = sizeof formats / sizeof formats[0] };

static const struct format *find_format(const char *name) {
    for (size_t i = 0; name != NULL && i < FORMATS_LEN; i++)
        if (strcmp(formats[i].name, name) == 0)
            return &formats[i];
    return NULL;
}

/* That logs in to the servers, or that was made for those to come. */
static const char *key_path(struct session *s, const struct server_list *list, struct err *err) {
    static const char *const made[] = {"id_ed25519", "id_rsa"};
    if (s->spec->given) {
        err_set(err, ERRC_NOTFOUND, "the key of this server is yours: berth made none");
        err_hint(err, "ssh-keygen -p -m PEM and puttygen turn a key file of yours into others");
        return NULL;
    }
    for (size_t i = 0; i < list->len; i++)
        if (list->items[i].endpoint.key_path != NULL)
            return list->items[i].endpoint.key_path;
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
        const char *path = arena_printf(&s->arena, "%s/%s", s->project_dir, made[i]);
        if (path != NULL && fs_exists(path))
            return path;
    }
    err_set(err, ERRC_NOTFOUND, "there is no key yet");
    err_hint(err, "berth apply makes it");
    return NULL;
}

/* The first line of a file. */
static int read_passphrase(const char *path, struct buf *out, struct err *err) {
    if (path == NULL)
        return 0;
    int rc = fs_read(path, out, err);
    if (rc < 0)
        return rc;
    out->len = strcspn(buf_cstr(out), "\r\n");
    if (out->len == 0) {
        err_set(err, ERRC_INVALID, "the first line of %s is empty", path);
        err_hint(err, "write the passphrase there, or leave -passphrase-file out");
        return -ERRC_INVALID;
    }
    return 0;
}

static int write_key(const struct cmd *cmd, const char *path, const struct buf *text,
                     struct err *err) {
    if (!cmd->args.force && fs_exists(path)) {
        err_set(err, ERRC_CONFLICT, "%s is here already; it was left alone", path);
        err_hint(err, "give another name with -out, or -force to replace it");
        return -ERRC_CONFLICT;
    }
    return fs_write(path, buf_str(text), 0600, err);
}

static int export(struct session *s, const struct format *f, struct err *err) {
    struct cmd *cmd = s->cmd;
    struct server_list list = {0};
    _cleanup_secret_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    _cleanup_secret_buf_ struct buf passphrase = BUF_INIT(BUF_SMALL);
    _cleanup_secret_buf_ struct buf out = BUF_INIT(BUF_SMALL);
    int rc = servers_recorded(s, &list, err);
    const char *source = rc < 0 ? NULL : key_path(s, &list, err);
    const char *path =
        cmd->args.out != NULL ? cmd->args.out : arena_printf(&s->arena, "%s%s", s->name, f->suffix);
    if (source == NULL || path == NULL)
        return -(rc < 0 ? -rc : err->code);
    rc = fs_read(source, &text, err);
    if (rc == 0)
        rc = read_passphrase(cmd->args.passphrase_file, &passphrase, err);
    const struct sshkey_export in = {.text = buf_str(&text),
                                     .format = f->format,
                                     .comment = s->name,
                                     .passphrase = buf_str(&passphrase),
                                     .random = session_random};
    if (rc == 0) {
        rc = sshkey_export(&in, &out, err);
        if (rc < 0)
            return err_wrap(err, "%s", source);
    }
    if (rc == 0)
        rc = write_key(cmd, path, &out, err);
    if (rc == 0)
        cmd_note(cmd, "wrote %s (mode 0600): whoever has it can log in%s", path,
                 passphrase.len > 0 ? " when they know the passphrase" : "");
    return rc;
}

static int run(struct cmd *cmd) {
    struct err err = {0};
    struct session s;
    const char *word = cmd->args.positional_len > 0 ? cmd->args.positional[0] : "";
    const struct format *format = find_format(cmd->args.format);
    if (strcmp(word, "export") != 0)
        return cmd_usage(cmd, "say what to do with it: berth key export");
    if (format == NULL && cmd->args.format == NULL)
        return cmd_usage(cmd, "say in which -format: pem, ppk, ppk2 or openssh");
    if (format == NULL)
        return cmd_usage(cmd, "there is no format %s: pem, ppk, ppk2 or openssh", cmd->args.format);
    session_init(&s, cmd);
    if (export(&s, format, &err) < 0)
        return session_fail(&s, &err);
    session_free(&s);
    return EXIT_OK;
}

const struct verb verb_key = {
    .name = "key",
    .args = "export",
    .summary = "write the project's private key for other programs (PuTTY, WinSCP)",
    .details = "ppk is PuTTY's format since 0.75, ppk2 that of all versions; pem is OpenSSL's,\n"
               "which RSA keys of EC2 come in; openssh is OpenSSH's own. The file gets mode 0600\n"
               "and is never overwritten without -force.",
    .options = {&option_format, &option_out_key, &option_force_write, &option_passphrase_file,
                &option_file},
    .positional_max = 1,
    .run = run,
};
