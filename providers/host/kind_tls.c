/* server[N].tls: a certificate by the project CA for every name that the server goes by; or the
 * user's own, as it is in their files. */
#include "providers/host/tls.h"
#include "specs/hash.h"
#include "specs/sections/sections.h"

#include <openssl/crypto.h>
#include <string.h>

#define RECORD struct host_tls_record

enum { F_NAMES, F_CA, F_KEY };

static const struct field fields[] = {
    [F_NAMES] = {.name = "names",
                 .doc = "Names and addresses that the certificate is good for.",
                 .type = FIELD_LIST,
                 .flags = FIELD_SET,
                 .offset = offsetof(RECORD, names)},
    [F_CA] = {.name = "ca",
              .doc = "SHA-256 of the project CA.",
              .type = FIELD_STR,
              .flags = FIELD_ROTATED,
              .offset = offsetof(RECORD, ca)},
    [F_KEY] = {.name = "key_hash",
               .doc = "Keyed hash of a private key of yours.",
               .type = FIELD_STR,
               .offset = offsetof(RECORD, key_tag)},
    {.name = "subject",
     .doc = "Whom a certificate of yours is for.",
     .type = FIELD_STR,
     .offset = offsetof(RECORD, subject)},
    {.name = "issuer",
     .doc = "Who signed it.",
     .type = FIELD_STR,
     .offset = offsetof(RECORD, issuer)},
    {.name = "not_after",
     .doc = "When it ends.",
     .type = FIELD_STR,
     .offset = offsetof(RECORD, not_after)},
    {.name = "fingerprint",
     .doc = "SHA-256 of it, as browsers show it.",
     .type = FIELD_STR,
     .offset = offsetof(RECORD, fingerprint)},
    {.name = "chain",
     .doc = "SHA-256 of it and those between it and its authority.",
     .type = FIELD_STR,
     .offset = offsetof(RECORD, chain)},
    {.name = "issue",
     .doc = "Mark of the last `berth jupyter rotate certificate`.",
     .type = FIELD_STR,
     .flags = FIELD_UNREADABLE | FIELD_ROTATED,
     .offset = offsetof(RECORD, issue)},
    {.name = "valid",
     .doc = "Signed by the project CA for more than 30 days to come, or yours; with its key, which "
            "nobody else can read.",
     .type = FIELD_BOOL,
     .offset = offsetof(RECORD, valid)},
    {.name = "expires",
     .doc = "Last day.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, expires)},
    FIELD_END,
};

struct extra {
    const char *ca; /* PEM of the project CA, NULL when it is yet to be made */
    bool is_own;
    struct tls_own own;
    struct str secret; /* of the project; empty when it is yet to be made */
};

static bool is_wanted(const struct spec *spec) {
    return spec_has(spec, &section_jupyter) && spec_has_tls(spec);
}

static int ask(const struct spec *spec, struct inputs *inputs) {
    if (!is_wanted(spec))
        return 0;
    int rc = inputs_ask(inputs, INPUT_LOCAL, spec_has_own_tls(spec) ? "secret" : "ca.pem",
                        "jupyter.tls", false);
    if (rc == 0 && !spec_has_own_tls(spec))
        rc = inputs_ask(inputs, INPUT_LOCAL, "certificate", "jupyter.tls", false);
    if (rc == 0 && !spec_has_own_tls(spec))
        rc = inputs_ask(inputs, INPUT_CLOCK, "", "jupyter.tls", false);
    return rc == 0 && spec_has_own_tls(spec) ? tls_own_ask(spec, inputs) : rc;
}

static const struct input *local_input(const struct desire *in, const char *name) {
    const struct input *input = inputs_get(in->inputs, INPUT_LOCAL, name);
    return input != NULL && input->found ? input : NULL;
}

static int fill_own(const struct desire *in, struct node *node, struct arena *arena,
                    const struct tls_own *own, struct extra *extra) {
    RECORD *r = node->desired;
    const struct input *secret = local_input(in, "secret");
    extra->is_own = true;
    extra->own = *own;
    r->names = own->leaf.names;
    r->subject = own->leaf.subject;
    r->issuer = own->leaf.issuer;
    r->not_after = own->leaf.not_after;
    r->fingerprint = own->leaf.fingerprint;
    r->chain = own->chain_sha;
    if (secret == NULL) {
        node->unknown = 1u << F_KEY;
        return 0;
    }
    extra->secret = secret_reveal(&secret->content);
    r->key_tag = host_secret_tag(arena, extra->secret, "tls key", str_of(own->key_sha));
    return r->key_tag == NULL ? -ERRC_NOMEM : 0;
}

static int fill(const struct desire *in, struct node *node, struct arena *arena, void *own) {
    RECORD *r = node->desired;
    const struct input *ca = local_input(in, "ca.pem"), *issue = local_input(in, "certificate");
    struct extra *extra = ARENA_NEW(arena, struct extra);
    if (extra == NULL)
        return -ERRC_NOMEM;
    node->extra = extra;
    r->valid = true;
    if (own != NULL)
        return fill_own(in, node, arena, own, extra);
    node->unknown = 1u << F_NAMES;
    if (issue != NULL) {
        struct str mark = str_trim(secret_reveal(&issue->content));
        r->issue = mark.len == 0 ? NULL : arena_dup_str(arena, mark);
    }
    if (ca == NULL) {
        node->unknown |= 1u << F_CA;
        return 0;
    }
    r->ca = arena_dup(arena, ca->sha256);
    extra->ca = arena_dup_str(arena, secret_reveal(&ca->content));
    return r->ca == NULL || extra->ca == NULL ? -ERRC_NOMEM : 0;
}

/* The project CA ends one day, and nobody trusts what it signed. */
static int check_ca(const struct desire *in, struct arena *arena, struct diags *diags) {
    static const char help[] =
        "berth jupyter rotate authority makes another; import its ca.pem into the browser";
    const struct input *ca = local_input(in, "ca.pem");
    struct mark mark = spec_mark(in->spec, "jupyter");
    struct tls_leaf leaf;
    time_t now;
    if (ca == NULL || !tls_clock(in->inputs, &now))
        return 0;
    int rc = tls_leaf_read(arena, secret_reveal(&ca->content), (struct str){NULL, 0}, now, &leaf);
    if (rc < 0)
        return rc == -ERRC_NOMEM ? rc : 0; /* what is no CA is told when it is to sign */
    if (leaf.days < 0)
        diag_add(diags, mark, help, "the project's certificate authority ended on %.10s",
                 leaf.not_after);
    else if (leaf.days <= CA_DAYS_LEFT)
        diag_warn(diags, mark, help,
                  "the project's certificate authority ends on %.10s, in %d days", leaf.not_after,
                  leaf.days);
    return 0;
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    static const char *const deps[] = {"host_key", NULL};
    struct tls_own own;
    bool good = true;
    if (!is_wanted(in->spec))
        return 0;
    bool is_own = spec_has_own_tls(in->spec);
    int rc =
        is_own ? tls_own_read(in, out->arena, diags, &own, &good) : check_ca(in, out->arena, diags);
    return rc < 0 || !good
               ? rc
               : host_desire_each(in, out, &host_tls_kind, "tls", deps, fill, is_own ? &own : NULL);
}

static int resolve(const struct node *node, const struct lookup *lookup, struct arena *arena,
                   void *record, uint64_t *unknown) {
    RECORD *r = record;
    const struct extra *extra = node->extra;
    struct endpoint e = host_endpoint(node, lookup, arena);
    if (extra->is_own || e.address == NULL)
        return 0;
    const char *const names[] = {e.public_dns, e.address, e.private_address, "localhost",
                                 "127.0.0.1"};
    r->names = (struct strlist){0};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i] != NULL && names[i][0] != '\0' && !strlist_has(&r->names, names[i]) &&
            strlist_add(arena, &r->names, names[i]) < 0)
            return -ERRC_NOMEM;
    *unknown &= ~(UINT64_C(1) << F_NAMES);
    return 0;
}

static int probe(const struct host_node *node, struct buf *script) {
    const struct extra *extra = node->extra;
    buf_adds(script, "[ -s " HOST_KEY " ] && fact key \"$(stat -L -c %a " HOST_KEY ")\"\n"
                     "fact64 cert " HOST_CERT "\n");
    if (extra != NULL && extra->is_own)
        buf_adds(script, "fact key_sha \"$(sha256sum <" HOST_KEY " 2>/dev/null)\"\n");
    return 0;
}

static int read_own(const struct host_node *node, const struct facts *facts, struct str cert,
                    const struct tls_leaf *leaf, RECORD *r) {
    const struct extra *extra = node->extra;
    const char *sum = facts_get(facts, node->address, "key_sha");
    char hex[SHA256_HEX_SIZE];
    sha256_hex(cert, hex);
    r->subject = leaf->subject;
    r->issuer = leaf->issuer;
    r->not_after = leaf->not_after;
    r->fingerprint = leaf->fingerprint;
    r->chain = arena_dup(node->arena, hex);
    if (sum != NULL && strlen(sum) >= SHA256_HEX_SIZE - 1 && extra->secret.len > 0)
        r->key_tag = host_secret_tag(node->arena, extra->secret, "tls key",
                                     (struct str){sum, SHA256_HEX_SIZE - 1});
    return r->chain == NULL ? -ERRC_NOMEM : 0;
}

static int read(const struct host_node *node, const struct facts *facts, void *record,
                enum presence *ret, struct err *err) {
    RECORD *r = record;
    const RECORD *desired = node->desired, *recorded = node->recorded;
    const struct extra *extra = node->extra;
    const struct run *run = node->session == NULL ? NULL : node->session->run;
    _cleanup_buf_ struct buf cert = BUF_INIT(BUF_MEDIUM); /* a chain of the user's may be long */
    struct tls_leaf leaf;
    (void)err;
    *ret = LIVE_NONE;
    if (!facts_get_base64(facts, node->address, "cert", &cert))
        return 0;
    *ret = LIVE_OURS;
    if (recorded != NULL)
        r->issue = recorded->issue;
    int rc = tls_leaf_read(node->arena, buf_str(&cert), str_of(extra == NULL ? NULL : extra->ca),
                           run == NULL ? 0 : run->now(run->clock_ctx), &leaf);
    if (rc < 0)
        return rc == -ERRC_NOMEM ? rc : 0; /* not a certificate: not valid */
    bool key = cstr_eq(facts_get(facts, node->address, "key"), "600");
    r->names = leaf.names;
    r->expires = arena_printf(node->arena, "%.10s", leaf.not_after);
    if (extra != NULL && extra->is_own) {
        r->valid = key;
        return read_own(node, facts, buf_str(&cert), &leaf, r);
    }
    r->ca = leaf.is_signed && desired != NULL ? desired->ca : "another";
    /* One that ends with its CA cannot be had for longer. */
    r->valid = leaf.is_signed && key &&
               (leaf.days > LEAF_DAYS_LEFT || (leaf.ends_with_ca && leaf.days >= 0));
    return 0;
}

/* ---- Making it */

static int make(struct host_step *s, struct buf *cert, struct buf *key, struct err *err) {
    const RECORD *after = s->after;
    RECORD *record = s->record;
    const struct run *run = s->node->session->run;
    struct tls_leaf leaf;
    _cleanup_buf_ struct buf ca = BUF_INIT(BUF_SMALL);
    pthread_mutex_lock(s->node->session->mutex); /* several hosts, one CA to make */
    int rc = tls_ca_ensure(run, &ca, err);
    if (rc == 0)
        rc = tls_leaf_make(run, &after->names, cert, key, err);
    pthread_mutex_unlock(s->node->session->mutex);
    if (rc < 0)
        return rc;
    char hex[SHA256_HEX_SIZE];
    sha256_hex(buf_str(&ca), hex);
    record->ca = arena_dup(s->node->arena, hex);
    if (record->ca == NULL || tls_leaf_read(s->node->arena, buf_str(cert), buf_str(&ca),
                                            run->now(run->clock_ctx), &leaf) < 0)
        return err_set(err, ERRC_INTERNAL, "the certificate that was made cannot be read");
    record->expires = arena_printf(s->node->arena, "%.10s", leaf.not_after);
    return 0;
}

/* The user's files as they were when the plan was made. */
static int take(struct host_step *s, struct buf *cert, struct buf *key, struct err *err) {
    const struct extra *extra = s->node->extra;
    const struct run *run = s->node->session->run;
    RECORD *record = s->record;
    unsigned char secret[SSHKEY_SEED_SIZE];
    buf_adds(cert, extra->own.chain_pem);
    if (!tls_own_key(extra->own.key_file, key))
        return err_set(err, ERRC_INTERNAL, "the private key cannot be written");
    pthread_mutex_lock(s->node->session->mutex);
    int rc = project_secret(run->project_dir, run->random, secret, err);
    pthread_mutex_unlock(s->node->session->mutex);
    if (rc < 0)
        return rc;
    record->key_tag =
        host_secret_tag(s->node->arena, (struct str){(const char *)secret, sizeof secret},
                        "tls key", str_of(extra->own.key_sha));
    record->expires = arena_printf(s->node->arena, "%.10s", record->not_after);
    OPENSSL_cleanse(secret, sizeof secret);
    return record->key_tag == NULL ? err_no_memory(err) : 0;
}

static int step(struct host_step *s, struct buf *script, struct err *err) {
    const struct extra *extra = s->node->extra;
    _cleanup_buf_ struct buf cert = BUF_INIT(BUF_MEDIUM);
    _cleanup_secret_buf_ struct buf key = BUF_INIT(BUF_SMALL);
    if (s->after == NULL) {
        buf_adds(script, "rm -f " HOST_CERT " " HOST_KEY "\n");
        return 0;
    }
    int rc = extra->is_own ? take(s, &cert, &key, err) : make(s, &cert, &key, err);
    if (rc < 0)
        return rc;
    const char *user = s->node->connection->endpoint.user;
    buf_adds(script, "stale_jupyter\n"); /* before: this run may be cut */
    shell_write_file(script, HOST_KEY, buf_str(&key), user, "600");
    shell_write_file(script, HOST_CERT, buf_str(&cert), "root", "644");
    return 0;
}

const struct kind host_tls_kind = {
    .name = "server.tls",
    .world = &host_world,
    .fields = fields,
    .size = sizeof(RECORD),
    .ask = ask,
    .desire = desire,
    .resolve = resolve,
    .follows_address = true,
    .besides = HOST_RESTARTS,
    .beside = &host_service_kind,
    .batch = host_batch,
};

const struct host_kind host_tls_host = {
    .kind = &host_tls_kind,
    .restarts_jupyter = true,
    .probe = probe,
    .read = read,
    .step = step,
};
