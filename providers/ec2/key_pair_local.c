/* The key pair that is made on this machine: its files in the project folder. */
#include "providers/ec2/internal.h"
#include "providers/sshkey.h"
#include "specs/fs.h"

#include <openssl/crypto.h>
#include <stdio.h>

#define RECORD struct key_pair_record

static int make_ed25519(struct ec2_session *s, const char *comment, struct buf *private,
                        struct buf *public, struct err *err) {
    unsigned char seed[SSHKEY_SEED_SIZE];
    if (s->run->random(seed, sizeof seed) < 0)
        return err_set(err, ERRC_INTERNAL, "no random numbers to be had");
    int rc = sshkey_from_seed(seed, comment, private, public, err);
    OPENSSL_cleanse(seed, sizeof seed);
    return rc;
}

static int make_rsa(struct ec2_session *s, const char *comment, struct buf *private,
                    struct buf *public, struct err *err) {
    (void)s;
    return sshkey_make_rsa(comment, private, public, err);
}

/* Servers let in the key that they were made with: of each type one is kept until nothing is left.
 */
static const struct local {
    const char *type;
    const char *private, *public;
    int (*make)(struct ec2_session *s, const char *comment, struct buf *private, struct buf *public,
                struct err *err);
} locals[] = {
    {"ed25519", "id_ed25519", "id_ed25519.pub", make_ed25519},
    {"rsa", "id_rsa", "id_rsa.pub", make_rsa},
};
enum { LOCALS_LEN = sizeof locals / sizeof locals[0] };

static const struct local *local_of(const char *type) {
    for (size_t i = 0; i < LOCALS_LEN; i++)
        if (cstr_eq(type, locals[i].type))
            return &locals[i];
    return &locals[0];
}

const char *key_pair_file(const char *type) { return local_of(type)->private; }

const char *key_pair_public_file(const char *type) { return local_of(type)->public; }

static int new_pair(struct ec2_session *s, const RECORD *record, const char *path,
                    struct buf *public, struct err *err) {
    _cleanup_secret_buf_ struct buf private = BUF_INIT(BUF_SMALL);
    int rc = local_of(record->type)->make(s, record->name, &private, public, err);
    if (rc == 0)
        rc = fs_write(path, buf_str(&private), 0600, err);
    return rc;
}

/* The public half of a private one that is there: a run was cut between the two files, or somebody
 * removed the .pub. Servers may have been made with it; it is never overwritten. -ERRC_NOTFOUND
 * when there is no private half. */
static int public_of_local(const char *path, struct buf *public, struct err *err) {
    _cleanup_secret_buf_ struct buf private = BUF_INIT(BUF_SMALL);
    int rc = fs_read(path, &private, err);
    if (rc == 0 && !sshkey_public_of(buf_str(&private), public)) {
        rc = err_set(err, ERRC_CONFLICT, "%s is no key of berth's making", path);
        err_hint(err, "move it away: a new key pair is made");
    }
    return rc;
}

/* Makes the key pair's files; the private half is on disk before anything speaks of it. */
int key_pair_make(struct ec2_session *s, RECORD *record, struct arena *arena, struct err *err) {
    char path[4096];
    struct err why = {0};
    _cleanup_buf_ struct buf public = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf line = BUF_INIT(BUF_SMALL);
    const struct local *local = local_of(record->type);
    snprintf(path, sizeof path, "%s/%s", s->run->project_dir, local->private);
    int rc = public_of_local(path, &public, &why);
    if (rc == 0 && !cstr_eq(sshkey_type(buf_str(&public)), local->type)) {
        rc = err_set(&why, ERRC_CONFLICT, "%s is no %s key", path, local->type);
        err_hint(&why, "move it away: a new key pair is made");
    }
    if (rc == -ERRC_NOTFOUND)
        rc = new_pair(s, record, path, &public, &why);
    snprintf(path, sizeof path, "%s/%s", s->run->project_dir, local->public);
    if (rc == 0)
        rc = fs_write(path, buf_str(&public), 0644, &why);
    if (rc < 0) {
        *err = why;
        return rc;
    }
    if (!sshkey_strip(buf_str(&public), &line) ||
        (record->public_key = arena_dup_str(arena, buf_str(&line))) == NULL)
        return err_no_memory(err);
    return 0;
}

bool key_pair_has_files(const struct ec2_session *s) {
    char path[4096];
    bool found = false;
    for (size_t i = 0; i < LOCALS_LEN && !found; i++) {
        snprintf(path, sizeof path, "%s/%s", s->run->project_dir, locals[i].private);
        found = fs_exists(path);
    }
    return found;
}

int key_pair_remove_files(struct ec2_session *s, struct err *err) {
    char path[4096];
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < 2 * LOCALS_LEN; i++) {
        const struct local *local = &locals[i / 2];
        snprintf(path, sizeof path, "%s/%s", s->run->project_dir,
                 i % 2 == 0 ? local->private : local->public);
        rc = fs_remove(path, err);
    }
    return rc;
}
