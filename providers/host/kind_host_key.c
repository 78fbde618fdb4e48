/* server[N].host_key: the host's own SSH key. The first connection expects the one-time key that
 * user-data carried; it has the host make a key of its own, which is pinned from then on. */
#include "providers/host/internal.h"
#include "specs/fs.h"
#include "specs/sections/sections.h"

#include <libssh2.h>
#include <stdio.h>
#include <string.h>

#define RECORD struct host_key_record
#define LIBSSH2_RSA_VERSION 0x010b00 /* RFC 8332: rsa-sha2-256, rsa-sha2-512 */

static const struct field fields[] = {
    {.name = "pinned",
     .doc = "The host shows a key of its own, and it is pinned.",
     .type = FIELD_BOOL,
     .offset = offsetof(RECORD, pinned)},
    {.name = "public_key",
     .doc = "The pinned key.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, public_key)},
    FIELD_END,
};

static int fill(const struct desire *in, struct node *node, struct arena *arena, void *ctx) {
    (void)in, (void)arena, (void)ctx;
    ((RECORD *)node->desired)->pinned = true;
    return 0;
}

static int ask(const struct spec *spec, struct inputs *inputs) {
    const char *path = spec_key_pair(spec)->public_key;
    return path == NULL || !host_is_wanted(spec)
               ? 0
               : inputs_ask(inputs, INPUT_FILE, path, "key_pair.public_key", true);
}

/* Said before anything is made: libssh2 signs with RSA keys as servers take it since 1.11 only. */
static void check_user_key(const struct desire *in, struct diags *diags) {
    const struct key_pair_section *section = spec_key_pair(in->spec);
    const char *path = section->public_key;
    const struct input *key = path == NULL ? NULL : inputs_get(in->inputs, INPUT_FILE, path);
    bool given = key != NULL && key->found &&
                 str_starts(str_trim(secret_reveal(&key->content)), STR("ssh-rsa "));
    bool made = path == NULL && cstr_eq(section->type, "rsa");
    if ((!given && !made) || libssh2_version(LIBSSH2_RSA_VERSION) != NULL)
        return;
    diag_add(diags, spec_mark(in->spec, given ? "key_pair.public_key" : "key_pair.type"),
             given ? "use an ed25519 key, or leave key_pair.public_key out and one is made"
                   : "use ed25519; rsa is for a server without packages, files and jupyter here",
             "the libssh2 of this machine (%s) cannot log in with RSA keys", libssh2_version(0));
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    if (host_is_wanted(in->spec))
        check_user_key(in, diags);
    return !host_is_wanted(in->spec)
               ? 0
               : host_desire_each(in, out, &host_key_kind, "host_key", NULL, fill, NULL);
}

static int read(const struct host_node *node, const struct facts *facts, void *record,
                enum presence *ret, struct err *err) {
    (void)facts, (void)err;
    RECORD *r = record;
    r->pinned = node->connection->pinned;
    r->public_key = arena_dup(node->arena, node->connection->host_key);
    *ret = r->pinned ? LIVE_OURS : LIVE_NONE;
    return 0;
}

/* Named last: a key without its public half, left by a run that was cut, is not taken up. */
static const char make_key[] = "set -e\n"
                               "d=/etc/ssh/berth\n"
                               "mkdir -p -m 700 $d\n"
                               "if ! [ -s $d/key ] || ! [ -s $d/key.pub ]; then\n"
                               "rm -f $d/key $d/new $d/new.pub\n"
                               "ssh-keygen -q -t ed25519 -N '' -C '' -f $d/new\n"
                               "mv -f $d/new.pub $d/key.pub\n"
                               "mv -f $d/new $d/key\n"
                               "fi\n"
                               "cut -d' ' -f1,2 $d/key.pub\n";

/* The one-time key is overwritten, so that sshd's own configuration need not be touched. */
static const char use_key[] =
    "set -e\n"
    "d=/etc/ssh/berth\n"
    "install -m 600 $d/key /etc/ssh/ssh_host_ed25519_key.new\n"
    "install -m 644 $d/key.pub /etc/ssh/ssh_host_ed25519_key.pub\n"
    "mv -f /etc/ssh/ssh_host_ed25519_key.new /etc/ssh/ssh_host_ed25519_key\n"
    "systemctl reload ssh 2>/dev/null || systemctl reload sshd\n";

static int run_script(struct host_connection *c, const char *script, struct buf *out,
                      struct err *err) {
    _cleanup_buf_ struct buf errors = BUF_INIT(BUF_SMALL);
    int status = 0;
    char command[32];
    snprintf(command, sizeof command, "%ssh -s", host_as_root(&c->endpoint));
    int rc = ssh_run(c->ssh, command, str_of(script), out, &errors, &status, err);
    if (rc == 0 && status != 0)
        rc = err_set(err, ERRC_HOST, "exit %d: %.400s", status, buf_cstr(&errors));
    return rc;
}

/* Beside the state, so that losing the state does not lose what was pinned. A line is the server,
 * the one-time key of its launch (which a server made anew does not share) or how the spec calls a
 * server that berth did not make, and the pinned key: "server[0] AAAA… ssh-ed25519 AAAA…". */
static const char *launch_of(const char *one_time) {
    const char *space = one_time == NULL ? NULL : strchr(one_time, ' ');
    return space != NULL ? space + 1 : one_time != NULL ? one_time : "-";
}

/* A `key` of NULL forgets it. */
static int remember(const struct run *run, const char *parent, const char *one_time,
                    const char *key, struct err *err) {
    char path[4096];
    snprintf(path, sizeof path, "%s/host_keys", run->project_dir);
    _cleanup_buf_ struct buf old = BUF_INIT(BUF_MEDIUM);
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    struct err why = {0};
    int rc = fs_read(path, &old, &why);
    if (rc < 0 && rc != -ERRC_NOTFOUND) { /* the other servers' pins are not given up */
        *err = why;
        return rc;
    }
    struct str rest = buf_str(&old);
    struct str line;
    while (str_split(&rest, '\n', &line)) {
        struct str tail = line;
        struct str name;
        if (line.len > 0 && str_split(&tail, ' ', &name) && !str_eqc(name, parent))
            buf_addf(&text, "%.*s\n", STR_FMT(line));
    }
    if (key != NULL)
        buf_addf(&text, "%s %s %s\n", parent, launch_of(one_time), key);
    else if (text.len == 0)
        return fs_remove(path, err);
    return fs_write(path, buf_str(&text), 0600, err);
}

const char *host_key_launch(const struct endpoint *e) {
    return e->given.host != NULL ? e->given.host : e->host_key;
}

const char *host_key_recall(const char *project_dir, const char *parent, const char *one_time,
                            struct arena *arena) {
    char path[4096];
    snprintf(path, sizeof path, "%s/host_keys", project_dir);
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    struct err ignored;
    if (fs_read(path, &text, &ignored) < 0)
        return NULL;
    struct str rest = buf_str(&text);
    struct str line;
    while (str_split(&rest, '\n', &line)) {
        struct str name, launch;
        if (line.len > 0 && str_split(&line, ' ', &name) && str_eqc(name, parent) &&
            str_split(&line, ' ', &launch) && str_eqc(launch, launch_of(one_time)) &&
            line.ptr != NULL)
            return arena_dup_str(arena, str_trim(line));
    }
    return NULL;
}

struct host_keys host_keys_of(const struct run *run, const char *parent,
                              const struct endpoint *endpoint, const RECORD *record,
                              struct arena *arena) {
    struct host_keys keys = {
        .pinned = host_key_recall(run->project_dir, parent, host_key_launch(endpoint), arena),
        .one_time = endpoint->host_key};
    /* No pin of this launch: the record's may be its predecessor's, so the one-time key counts. */
    if (keys.pinned == NULL && record != NULL)
        keys.pinned = record->public_key;
    else if (keys.pinned != NULL && record != NULL && record->pinned &&
             cstr_eq(record->public_key, keys.pinned))
        keys.one_time = NULL; /* no run was cut between the two keys */
    return keys;
}

/* A server that berth did not make keeps its key: it is pinned, and at the end nothing of berth's
 * is left there. */
static const char sweep[] =
    /* All at once: some need others, and what others need stays. rpm would remove none when one of
     * them did not come to be installed. */
    "if [ -r " HOST_IMPLIED " ]; then if command -v dpkg >/dev/null; then "
    "xargs -r dpkg --remove; else xargs -r rpm -q | grep -v ' ' | sort -u | xargs -r rpm -e; fi "
    "<" HOST_IMPLIED " >/dev/null 2>&1 || :; fi\n"
    "rm -rf /opt/berth " HOST_ETC " " HOST_STATE "\n"
    /* Not below a run that waits for its turn; the steps before may have said their last and still
     * be about to end. */
    "if [ -e " HOST_LOCK " ]; then exec 9<>" HOST_LOCK "; flock -w 5 9 || exit 0; fi\n"
    "rm -rf " HOST_RUN "\n";

static int pin_given(struct host_step *step, struct host_connection *c, const struct apply_ops *ops,
                     struct err *err) {
    RECORD *r = step->record;
    struct host_session *session = (struct host_session *)step->node->session;
    int rc = step->after == NULL ? run_script(c, sweep, NULL, err) : 0;
    if (rc < 0)
        return rc;
    pthread_mutex_lock(session->mutex);
    rc = remember(session->run, c->parent, c->endpoint.given.host,
                  step->after == NULL ? NULL : c->host_key, err);
    pthread_mutex_unlock(session->mutex);
    if (rc < 0 || step->after == NULL)
        return rc;
    r->public_key = arena_dup(step->node->arena, c->host_key);
    r->pinned = true;
    c->pinned = true;
    return ops->created(ops->ctx, (struct change *)step->change, r->public_key, r, err);
}

static int local(struct host_step *step, struct host_connection *c, const struct apply_ops *ops,
                 struct err *err) {
    RECORD *r = step->record;
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_SMALL);
    if (c->endpoint.given.host != NULL)
        return pin_given(step, c, ops, err);
    if (step->after == NULL)
        return 0; /* the key stays the host's */
    int rc = run_script(c, make_key, &out, err);
    if (rc < 0)
        return err_wrap(err, "make a host key");
    struct str key = str_trim(buf_str(&out));
    r->public_key = arena_dup_str(step->node->arena, key);
    if (r->public_key == NULL || !str_starts(key, STR("ssh-ed25519 ")))
        return err_set(err, ERRC_HOST, "the host made no key");
    /* On disk before the host shows it: a kill in between locks nobody out. */
    struct host_session *session = (struct host_session *)step->node->session;
    r->pinned = false;
    pthread_mutex_lock(session->mutex); /* several hosts, one file */
    rc = remember(session->run, c->parent, c->endpoint.host_key, r->public_key, err);
    pthread_mutex_unlock(session->mutex);
    if (rc == 0)
        rc = ops->created(ops->ctx, (struct change *)step->change, r->public_key, r, err);
    if (rc == 0)
        rc = run_script(c, use_key, NULL, err);
    r->pinned = rc == 0;
    return rc;
}

const struct kind host_key_kind = {
    .name = "server.host_key",
    .world = &host_world,
    .fields = fields,
    .size = sizeof(RECORD),
    .ask = ask,
    .desire = desire,
    .batch = host_batch,
};

const struct host_kind host_key_host = {
    .kind = &host_key_kind,
    .read = read,
    .local = local,
};
