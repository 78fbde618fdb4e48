/* server[N].tls: a certificate by the project CA for every name that the server goes by. */
#include "providers/host/internal.h"
#include "specs/hash.h"
#include "specs/sections/sections.h"

#define RECORD struct host_tls_record

enum { F_NAMES, F_CA };

static const struct field fields[] = {
    [F_NAMES] = {.name = "names",
                 .doc = "Names and addresses that the certificate is good for.",
                 .type = FIELD_LIST,
                 .flags = FIELD_SET,
                 .offset = offsetof(RECORD, names)},
    [F_CA] = {.name = "ca",
              .doc = "SHA-256 of the project CA.",
              .type = FIELD_STR,
              .offset = offsetof(RECORD, ca)},
    {.name = "valid",
     .doc = "Signed by the project CA, with its key, for more than 30 days to come.",
     .type = FIELD_BOOL,
     .offset = offsetof(RECORD, valid)},
    {.name = "expires",
     .doc = "Last day.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, expires)},
    FIELD_END,
};

static int ask(const struct spec *spec, struct inputs *inputs) {
    return spec_has(spec, &section_jupyter) && spec_has_tls(spec)
               ? inputs_ask(inputs, INPUT_LOCAL, "ca.pem", "jupyter.tls", false)
               : 0;
}

static int fill(const struct desire *in, struct node *node, struct arena *arena, void *ctx) {
    (void)ctx;
    RECORD *r = node->desired;
    const struct input *ca = inputs_get(in->inputs, INPUT_LOCAL, "ca.pem");
    r->valid = true;
    node->unknown = 1u << F_NAMES;
    if (ca != NULL && ca->found) {
        struct str text = secret_reveal(&ca->content);
        r->ca = arena_dup(arena, ca->sha256);
        node->extra = arena_dup_str(arena, text);
        return r->ca == NULL || node->extra == NULL ? -ERRC_NOMEM : 0;
    }
    node->unknown |= 1u << F_CA;
    return 0;
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    (void)diags;
    static const char *const deps[] = {"host_key", NULL};
    return spec_has(in->spec, &section_jupyter) && spec_has_tls(in->spec)
               ? host_desire_each(in, out, &host_tls_kind, "tls", deps, fill, NULL)
               : 0;
}

static int resolve(const struct node *node, const struct lookup *lookup, struct arena *arena,
                   void *record, uint64_t *unknown) {
    RECORD *r = record;
    const struct kind *kind = NULL;
    const void *parent = lookup->record(lookup->ctx, node->parent, &kind);
    struct endpoint e;
    if (parent == NULL || kind->endpoint == NULL || kind->endpoint(parent, "", arena, &e) < 0 ||
        e.address == NULL)
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
    (void)node;
    buf_adds(script, "[ -s " HOST_KEY " ] && fact key yes\nfact64 cert " HOST_CERT "\n");
    return 0;
}

static int read(const struct host_node *node, const struct facts *facts, void *record,
                enum presence *ret, struct err *err) {
    RECORD *r = record;
    const RECORD *desired = node->desired;
    _cleanup_buf_ struct buf cert = BUF_INIT(BUF_SMALL);
    bool is_signed = false;
    int days = 0;
    (void)err;
    *ret = LIVE_NONE;
    if (!facts_get_base64(facts, node->address, "cert", &cert))
        return 0;
    *ret = LIVE_OURS;
    struct str ca = str_of(node->extra);
    if (tls_leaf_read(node->arena, buf_str(&cert), ca, &r->names, &is_signed, &days, &r->expires) <
        0)
        return 0; /* not a certificate: not valid */
    r->ca = is_signed && desired != NULL ? desired->ca : "another";
    r->valid = is_signed && days > LEAF_DAYS_LEFT && facts_get(facts, node->address, "key") != NULL;
    return 0;
}

static int step(struct host_step *s, struct buf *script, struct err *err) {
    const RECORD *after = s->after;
    RECORD *record = s->record;
    const struct run *run = s->node->session->run;
    _cleanup_buf_ struct buf ca = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf cert = BUF_INIT(BUF_SMALL);
    _cleanup_secret_buf_ struct buf key = BUF_INIT(BUF_SMALL);
    if (after == NULL) {
        buf_adds(script, "rm -f " HOST_CERT " " HOST_KEY "\n");
        return 0;
    }
    pthread_mutex_lock(s->node->session->mutex); /* several hosts, one CA to make */
    int rc = tls_ca_ensure(run, &ca, err);
    if (rc == 0)
        rc = tls_leaf_make(run, &after->names, &cert, &key, err);
    pthread_mutex_unlock(s->node->session->mutex);
    if (rc < 0)
        return rc;
    char hex[SHA256_HEX_SIZE];
    sha256_hex(buf_str(&ca), hex);
    record->ca = arena_dup(s->node->arena, hex);
    struct strlist names = {0};
    bool is_signed;
    int days;
    if (record->ca == NULL || tls_leaf_read(s->node->arena, buf_str(&cert), buf_str(&ca), &names,
                                            &is_signed, &days, &record->expires) < 0)
        return err_set(err, ERRC_INTERNAL, "the certificate that was made cannot be read");
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
