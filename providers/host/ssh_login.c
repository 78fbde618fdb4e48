/* Logging in: by the one key of a server that berth made; or as the user's OpenSSH would, by what
 * an agent holds and by key files. RFC 4252, section 7. */
#include "providers/host/key_file.h"
#include "providers/host/route.h"
#include "providers/host/ssh_internal.h"

#include <stdlib.h>
#include <string.h>

#define RSA_VERSION 0x010b00 /* of libssh2: RFC 8332, without which sshd takes no RSA key */

static bool is_late(int rc, double until) {
    return rc == LIBSSH2_ERROR_EAGAIN && monotonic_s() >= until;
}

/* ---- By an agent and by files */

struct login {
    struct ssh *s;
    const struct ssh_route *route;
    double until;
    LIBSSH2_AGENT *agent;
    size_t refused;
    struct buf left_out; /* "key: why", one a line */
    const char *hint;    /* what to do about the first of these */
};

static void leave_out(struct login *l, const char *key, const char *why, const char *hint) {
    buf_addf(&l->left_out, "%s%s: %s", l->left_out.len > 0 ? "; " : "", key, why);
    if (l->hint == NULL)
        l->hint = hint;
}

static bool refuses_rsa(struct login *l, const char *key, bool rsa) {
    if (!rsa || libssh2_version(RSA_VERSION) != NULL)
        return false;
    _cleanup_buf_ struct buf why = BUF_INIT(BUF_SMALL);
    buf_addf(&why, "libssh2 %s of this machine cannot log in with RSA keys, 1.11 could",
             libssh2_version(0));
    leave_out(l, key, buf_cstr(&why),
              "use an ed25519 key: ssh-keygen -t ed25519, then ssh-copy-id -i "
              "~/.ssh/id_ed25519.pub to the server");
    return true;
}

/* 0 logged in, 1 refused, or the code of a connection that is of no use any more. */
static int judge(struct login *l, int rc, struct err *err) {
    if (rc == 0)
        return 0;
    if (is_late(rc, l->until))
        return err_set(err, ERRC_TIMEOUT, "%s: the login is not answered", l->s->where);
    if (ssh_is_cancelled(l->s))
        return err_set(err, ERRC_CANCELLED, "interrupted");
    l->refused++;
    if (!ssh_is_closed(l->s->fd))
        return 1;
    if (l->refused == 1)
        return ssh_error(l->s, ERRC_NET, "the connection was lost at login", err);
    err_set(err, ERRC_AUTH, "%s: the login was refused after %zu keys", l->s->where, l->refused);
    err_hint(err, "name the right one: server.key");
    return -ERRC_AUTH;
}

static int try_agent(struct login *l, struct libssh2_agent_publickey *key, struct err *err) {
    struct str blob = {(const char *)key->blob, key->blob_len};
    const char *user = l->route->user;
    int rc;
    if (refuses_rsa(l, key->comment == NULL ? "a key of the agent" : key->comment,
                    key_blob_is(blob, "ssh-rsa")))
        return 1;
    SSH_RETRY(rc, l->s, l->until, libssh2_agent_userauth(l->agent, user, key));
    return judge(l, rc, err);
}

static int try_file(struct login *l, const char *path, const struct key_file *file,
                    struct err *err) {
    const char *user = l->route->user;
    int rc;
    if (file->locked) {
        leave_out(l, path, "it has a passphrase",
                  "give it to an agent: eval $(ssh-agent), then ssh-add");
        return 1;
    }
    if (refuses_rsa(l, path, file->rsa))
        return 1;
    SSH_RETRY(rc, l->s, l->until,
              libssh2_userauth_publickey_fromfile_ex(l->s->session, user, (unsigned)strlen(user),
                                                     NULL, path, ""));
    return judge(l, rc, err);
}

static struct libssh2_agent_publickey *next_identity(struct login *l,
                                                     struct libssh2_agent_publickey *last) {
    struct libssh2_agent_publickey *key = NULL;
    return l->agent != NULL && libssh2_agent_get_identity(l->agent, &key, last) == 0 ? key : NULL;
}

static struct libssh2_agent_publickey *find_identity(struct login *l, const struct key_file *file) {
    struct libssh2_agent_publickey *key = NULL;
    while (file->blob.len > 0 && (key = next_identity(l, key)) != NULL)
        if (key->blob_len == file->blob.len &&
            memcmp(key->blob, file->blob.ptr, key->blob_len) == 0)
            return key;
    return NULL;
}

static void open_agent(struct login *l) {
    if (l->route->agent == NULL || (l->agent = libssh2_agent_init(l->s->session)) == NULL)
        return;
    libssh2_agent_set_identity_path(l->agent, l->route->agent);
    if (libssh2_agent_connect(l->agent) == 0 && libssh2_agent_list_identities(l->agent) == 0)
        return;
    libssh2_agent_free(l->agent); /* nobody answers there */
    l->agent = NULL;
}

static void close_agent(struct login *l) {
    if (l->agent == NULL)
        return;
    libssh2_agent_disconnect(l->agent);
    libssh2_agent_free(l->agent);
}

/* The order of OpenSSH: the key files that the agent holds, its other keys, the other files. A key
 * that the server does not know costs a round trip, so that what was named goes first. */
static int try_all(struct login *l, struct key_file *files, struct err *err) {
    const struct strlist *keys = &l->route->keys;
    int rc = 1;
    for (size_t i = 0; rc == 1 && i < keys->len; i++) {
        struct libssh2_agent_publickey *key = find_identity(l, &files[i]);
        rc = key == NULL ? 1 : try_agent(l, key, err);
    }
    struct libssh2_agent_publickey *key = NULL;
    while (rc == 1 && !l->route->only_keys && (key = next_identity(l, key)) != NULL) {
        bool tried = false;
        for (size_t i = 0; i < keys->len && !tried; i++)
            tried = find_identity(l, &files[i]) == key;
        rc = tried ? 1 : try_agent(l, key, err);
    }
    for (size_t i = 0; rc == 1 && i < keys->len; i++)
        if (files[i].there && find_identity(l, &files[i]) == NULL)
            rc = try_file(l, keys->items[i], &files[i], err);
    return rc;
}

static int say_refused(const struct login *l, struct err *err) {
    const struct ssh_route *r = l->route;
    const char *user = r->user;
    if (l->refused > 0)
        err_set(err, ERRC_AUTH, "%s: the login was refused (%zu key%s tried)", l->s->where,
                l->refused, l->refused == 1 ? "" : "s");
    else if (r->only_keys && r->keys.len > 0 && l->left_out.len == 0)
        err_set(err, ERRC_AUTH, "%s: the private key %s cannot be read", l->s->where,
                r->keys.items[0]);
    else if (l->left_out.len == 0)
        err_set(err, ERRC_AUTH,
                "%s: there is no key to log in with, neither in an agent nor in "
                "the files that OpenSSH would try",
                l->s->where);
    else
        err_set(err, ERRC_AUTH, "%s: no key to log in with can be used", l->s->where);
    if (l->left_out.len > 0 && strlen(err->msg) + l->left_out.len + 16 < sizeof err->msg) {
        char msg[sizeof err->msg];
        memcpy(msg, err->msg, sizeof msg);
        err_set(err, ERRC_AUTH, "%s; not usable: %s", msg, buf_cstr(&l->left_out));
    }
    if (l->hint != NULL)
        err_hint(err, "%s", l->hint);
    else
        err_hint(err,
                 "is %s the right user? ssh-copy-id puts a key there, server.key names the one "
                 "to use",
                 user);
    return -ERRC_AUTH;
}

static int log_in_given(struct ssh *s, const struct ssh_route *route, double until,
                        struct err *err) {
    struct login l = {.s = s, .route = route, .until = until, .left_out = BUF_INIT(BUF_SMALL)};
    struct key_file *files = calloc(route->keys.len + 1, sizeof *files);
    if (files == NULL)
        return err_no_memory(err);
    for (size_t i = 0; i < route->keys.len; i++)
        key_file_look(route->keys.items[i], &files[i]);
    open_agent(&l);
    int rc = try_all(&l, files, err);
    if (rc == 1)
        rc = say_refused(&l, err);
    close_agent(&l);
    for (size_t i = 0; i < route->keys.len; i++)
        buf_free(&files[i].blob);
    free(files);
    buf_free(&l.left_out);
    return rc;
}

int ssh_log_in(struct ssh *s, const struct ssh_in *in, double until, struct err *err) {
    const struct endpoint *e = in->endpoint;
    int rc;
    if (in->route != NULL)
        return log_in_given(s, in->route, until, err);
    SSH_RETRY(rc, s, until,
              libssh2_userauth_publickey_fromfile_ex(s->session, e->user, (unsigned)strlen(e->user),
                                                     NULL, e->key_path, ""));
    if (rc == 0)
        return 0;
    if (is_late(rc, until))
        return err_set(err, ERRC_TIMEOUT, "%s: the login is not answered", s->where);
    if (ssh_is_closed(s->fd)) /* a host that is busy or about to go down */
        return ssh_error(s, ERRC_NET, "the connection was lost at login", err);
    ssh_error(s, ERRC_AUTH, "the login was refused", err);
    err_hint(err,
             "the key is %s; keys with a passphrase cannot be used, nor RSA keys with libssh2 "
             "before 1.11",
             e->key_path);
    return -err->code;
}
