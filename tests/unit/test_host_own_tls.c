/* A certificate of the user's own: every way in which the files can be wrong is told at its place
 * in the spec, before anything is touched; and what a server is to have of good ones. The keys are
 * made here. */
#include "providers/host/tls_x509.h"
#include "specs/sections/sections.h"
#include "tests/unit/cm.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#define DAY ((time_t)24 * 3600)
enum { NOW = 2000000000, PEM_MAX = 8192 };

#define HEAD "berth: 1\nname: t\nprovider: ec2\nserver: { image: debian-12, type: t3.small%s }\n"
#define TLS "jupyter:\n  tls: { cert: tls/cert.pem, key: tls/key.pem%s }\n"

struct wanted {
    const char *names; /* of the extension; NULL for none */
    const char *usage;
    int days; /* from NOW */
    time_t from;
};

static void add(X509 *cert, int nid, const char *value) {
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert_non_null(e);
    assert_int_equal(X509_add_ext(cert, e, -1), 1);
    X509_EXTENSION_free(e);
}

static void add_text(BIO *bio, char ret[PEM_MAX]) {
    int len = BIO_read(bio, ret + strlen(ret), PEM_MAX - 1 - (int)strlen(ret));
    assert_true(len > 0);
    BIO_free(bio);
}

static void add_cert(EVP_PKEY *key, EVP_PKEY *signer, const char *issuer, const struct wanted *w,
                     char ret[PEM_MAX]) {
    X509 *cert = X509_new();
    BIO *bio = BIO_new(BIO_s_mem());
    time_t from = w->from != 0 ? w->from : NOW - DAY;
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    ASN1_TIME_set(X509_getm_notBefore(cert), from);
    ASN1_TIME_set(X509_getm_notAfter(cert), NOW + w->days * DAY);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)"lab", -1, -1, 0);
    X509_NAME_add_entry_by_txt(X509_get_issuer_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)issuer, -1, -1, 0);
    if (w->names != NULL)
        add(cert, NID_subject_alt_name, w->names);
    if (w->usage != NULL)
        add(cert, NID_ext_key_usage, w->usage);
    assert_true(X509_sign(cert, signer, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
    X509_free(cert);
    add_text(bio, ret);
}

static void add_key(EVP_PKEY *key, const char *passphrase, char ret[PEM_MAX]) {
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PrivateKey(bio, key,
                                              passphrase == NULL ? NULL : EVP_aes_128_cbc(), NULL,
                                              0, NULL, (void *)passphrase),
                     1);
    add_text(bio, ret);
}

static struct fixture {
    EVP_PKEY *key, *other;
    char good[PEM_MAX], good_key[PEM_MAX], other_key[PEM_MAX], sealed_key[PEM_MAX];
    char ended[PEM_MAX], soon[PEM_MAX], early[PEM_MAX], wildcard[PEM_MAX], client[PEM_MAX];
    char nameless[PEM_MAX], chain[PEM_MAX], reversed[PEM_MAX], stray[PEM_MAX], both[PEM_MAX];
} f;

static int setup(void **state) {
    (void)state;
    static const char names[] = "DNS:lab.example.org,DNS:two.example.org,IP:203.0.113.7";
    const struct wanted good = {names, "serverAuth", 90, 0}, ended = {names, NULL, -1, 0},
                        soon = {names, NULL, 10, 0}, early = {names, NULL, 90, NOW + DAY},
                        wildcard = {"DNS:*.example.org", NULL, 90, 0},
                        client = {names, "clientAuth", 90, 0}, nameless = {NULL, NULL, 90, 0},
                        ca = {NULL, NULL, 900, 0};
    f.key = EVP_EC_gen("P-256");
    f.other = EVP_EC_gen("P-256");
    add_cert(f.key, f.other, "lab", &good, f.good);
    add_cert(f.key, f.key, "lab", &ended, f.ended);
    add_cert(f.key, f.key, "lab", &soon, f.soon);
    add_cert(f.key, f.key, "lab", &early, f.early);
    add_cert(f.key, f.key, "lab", &wildcard, f.wildcard);
    add_cert(f.key, f.key, "lab", &client, f.client);
    add_cert(f.key, f.key, "lab", &nameless, f.nameless);
    add_cert(f.key, f.other, "lab", &good, f.chain);
    add_cert(f.other, f.other, "lab", &ca, f.chain);
    add_cert(f.other, f.other, "lab", &ca, f.reversed);
    add_cert(f.key, f.other, "lab", &good, f.reversed);
    add_cert(f.key, f.other, "another", &good, f.stray);
    add_cert(f.other, f.other, "lab", &ca, f.stray);
    add_key(f.key, NULL, f.good_key);
    add_key(f.other, NULL, f.other_key);
    add_key(f.key, "sesame", f.sealed_key);
    add_key(f.key, NULL, f.both); /* as some tools write it */
    memcpy(f.both + strlen(f.both), f.chain, strlen(f.chain) + 1);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    EVP_PKEY_free(f.key);
    EVP_PKEY_free(f.other);
    return 0;
}

struct scene {
    struct arena arena;
    struct inputs inputs;
    struct nodes nodes;
    struct diags diags;
};

/* Compiles with these files, by the clock NOW. NULL: no file of that name. */
static void desire(struct scene *w, const char *server, const char *tls, const char *cert,
                   const char *key) {
    static char text[1024];
    snprintf(text, sizeof text, HEAD TLS, server, tls);
    *w = (struct scene){0};
    w->inputs.arena = w->nodes.arena = &w->arena;
    w->diags = (struct diags){.arena = &w->arena, .file = "t", .source = str_of(text)};
    const struct spec *spec = spec_compile(&w->arena, &w->diags);
    assert_non_null(spec);
    assert_int_equal(host_tls_kind.ask(spec, &w->inputs), 0);
    assert_int_equal(host_health_kind.ask(spec, &w->inputs), 0);
    for (size_t i = 0; i < w->inputs.len; i++) {
        struct input *in = &w->inputs.items[i];
        const char *value = in->type == INPUT_CLOCK                 ? "2000000000"
                            : strcmp(in->name, "tls/cert.pem") == 0 ? cert
                            : strcmp(in->name, "tls/key.pem") == 0  ? key
                            : strcmp(in->name, "secret") == 0 ? "0123456789abcdef0123456789abcdef"
                                                              : NULL;
        in->found = value != NULL;
        if (in->found)
            assert_int_equal(secret_set(&in->content, str_of(value)), 0);
    }
    const struct desire in = {.spec = spec, .inputs = &w->inputs, .lineage = "l"};
    assert_int_equal(host_tls_kind.desire(&in, &w->nodes, &w->diags), 0);
    assert_int_equal(host_health_kind.desire(&in, &w->nodes, &w->diags), 0);
}

static void done(struct scene *w) {
    inputs_free(&w->inputs);
    arena_free(&w->arena);
}

/* One diagnostic, at that column of line 6, with these words in it or in its help. */
static void expect(const char *server, const char *tls, const char *cert, const char *key,
                   enum diag_level level, size_t col, const char *words) {
    struct scene w;
    desire(&w, server, tls, cert, key);
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    diags_render(&w.diags, false, 200, &text);
    if (w.diags.len != 1 || strstr(buf_cstr(&text), words) == NULL)
        fail_msg("wanted `%s`, got:\n%s", words, buf_cstr(&text));
    assert_int_equal(w.diags.items[0].level, level);
    assert_int_equal(w.diags.items[0].mark.line, 6);
    assert_int_equal(w.diags.items[0].mark.col, col);
    assert_int_equal(nodes_find(&w.nodes, "server[0].tls") != NULL, level == DIAG_WARNING);
    assert_null(strstr(buf_cstr(&text), "PRIVATE KEY-----\nM"));
    done(&w);
}

static void test_mistakes(void **state) {
    (void)state;
    enum { CERT = 16, KEY = 35, HOST = 54 };
    expect("", "", f.ended, f.good_key, DIAG_ERROR, CERT, "ended on 2033-05-17");
    expect("", "", f.soon, f.good_key, DIAG_WARNING, CERT, "in 10 days");
    expect("", "", f.early, f.good_key, DIAG_ERROR, CERT, "not good yet");
    expect("", "", f.client, f.good_key, DIAG_ERROR, CERT, "not for servers");
    expect("", "", f.nameless, f.good_key, DIAG_ERROR, CERT, "no DNS name");
    expect("", "", f.wildcard, f.good_key, DIAG_ERROR, CERT, "jupyter.tls.host");
    expect("", "", "nothing", f.good_key, DIAG_ERROR, CERT, "holds no certificate");
    expect("", "", f.good_key, f.good_key, DIAG_ERROR, CERT, "holds no certificate");
    expect("", "", f.good, f.other_key, DIAG_ERROR, KEY, "does not fit");
    expect("", "", f.good, f.good, DIAG_ERROR, KEY, "holds no private key");
    expect("", "", f.good, "", DIAG_ERROR, KEY, "holds no private key");
    expect("", "", f.good, f.sealed_key, DIAG_ERROR, KEY, "openssl pkey -in");
    expect("", "", f.reversed, f.good_key, DIAG_ERROR, CERT, "number 2 is");
    expect("", "", f.stray, f.good_key, DIAG_WARNING, CERT, "did not sign the one before");
    expect("", ", host: lab.example.com", f.good, f.good_key, DIAG_ERROR, HOST,
           "not good for lab.example.com");
    expect("", ", host: a.b.example.org", f.wildcard, f.good_key, DIAG_ERROR, HOST, "not good for");
    expect(", count: 2", "", f.good, f.good_key, DIAG_WARNING, CERT, "2 servers are opened by one");
    expect(", count: 2", ", host: \"lab{n}.example.org\"", f.good, f.good_key, DIAG_ERROR, HOST,
           "not good for lab0.example.org");
}

static void test_good(void **state) {
    (void)state;
    struct scene w;
    desire(&w, "", "", f.chain, f.good_key);
    assert_int_equal(w.diags.len, 0);
    const struct host_tls_record *r = nodes_find(&w.nodes, "server[0].tls")->desired;
    assert_int_equal(r->names.len, 3);
    assert_string_equal(r->subject, "CN=lab");
    assert_string_equal(r->not_after, "2033-08-16T03:33:20Z");
    assert_int_equal(strlen(r->fingerprint), 64);
    assert_null(r->ca);
    assert_non_null(r->key_tag);
    const struct node *health = nodes_find(&w.nodes, "server[0].jupyter.health");
    const struct host_health_record *h = health->desired;
    assert_string_equal(h->certificate, r->fingerprint);
    done(&w);
}

static const void *find_server(void *ctx, const char *address, const struct kind **ret_kind) {
    (void)address;
    *ret_kind = ctx;
    return "";
}

static int endpoint(const void *record, const char *dir, struct arena *arena,
                    struct endpoint *ret) {
    (void)record, (void)dir, (void)arena;
    *ret = (struct endpoint){.user = "admin", .address = "198.51.100.9", .port = 22};
    return 0;
}

/* Each server by its own name of a wildcard, at its own address whatever DNS says. */
static void test_many(void **state) {
    (void)state;
    struct scene w;
    struct kind server = {.name = "server", .endpoint = endpoint};
    const struct lookup lookup = {find_server, &server};
    desire(&w, ", count: 12", ", host: \"lab-{n}.example.org\"", f.wildcard, f.good_key);
    assert_int_equal(w.diags.len, 0);
    const struct node *node = nodes_find(&w.nodes, "server[11].jupyter.health");
    struct host_health_record h = *(const struct host_health_record *)node->desired;
    uint64_t unknown = node->unknown;
    assert_int_equal(host_health_kind.resolve(node, &lookup, &w.arena, &h, &unknown), 0);
    assert_int_equal(unknown, 0);
    assert_string_equal(h.url, "https://lab-11.example.org:8888");
    assert_string_equal(h.via, "198.51.100.9");
    done(&w);
}

/* What travels: the certificates alone, though the file holds the key too; the key alone. */
static void test_sent(void **state) {
    (void)state;
    struct scene w;
    struct tls_own own;
    bool good = false;
    desire(&w, "", "", f.both, f.both);
    assert_int_equal(w.diags.len, 0);
    static char text[1024];
    snprintf(text, sizeof text, HEAD TLS, "", "");
    struct diags diags = {.arena = &w.arena, .file = "t", .source = str_of(text)};
    const struct desire in = {.spec = spec_compile(&w.arena, &diags), .inputs = &w.inputs};
    assert_int_equal(tls_own_read(&in, &w.arena, &diags, &own, &good), 0);
    assert_true(good);
    assert_null(strstr(own.chain_pem, "PRIVATE"));
    assert_string_equal(own.chain_pem, f.chain);
    _cleanup_secret_buf_ struct buf key = BUF_INIT(BUF_SMALL);
    assert_true(tls_own_key(own.key_file, &key));
    assert_string_equal(buf_cstr(&key), f.good_key);
    done(&w);
}

/* Read back: what differs shows by name. */
static void test_read(void **state) {
    (void)state;
    struct scene w;
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    desire(&w, "", "", f.good, f.good_key);
    const struct node *node = nodes_find(&w.nodes, "server[0].tls");
    const struct host_tls_record *wanted = node->desired;
    const struct host_node on = {
        .address = node->address, .desired = wanted, .extra = node->extra, .arena = &w.arena};
    static const struct {
        const char *cert, *mode;
        bool same, valid;
    } rows[] = {
        {f.good, "600", true, true}, {f.good, "644", true, false}, {f.soon, "600", false, true}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct host_tls_record r = {0};
        struct facts facts = {0};
        struct err err = {0};
        enum presence presence = LIVE_NONE;
        buf_reset(&text);
        buf_addf(&text, "server[0].tls\tkey\t%s\nserver[0].tls\tcert\t", rows[i].mode);
        buf_add_base64(&text, rows[i].cert, strlen(rows[i].cert));
        buf_adds(&text, "\n");
        assert_int_equal(facts_parse(buf_str(&text), &facts, &err), 0);
        assert_int_equal(host_tls_host.read(&on, &facts, &r, &presence, &err), 0);
        assert_int_equal(presence, LIVE_OURS);
        assert_int_equal(cstr_eq(r.fingerprint, wanted->fingerprint), rows[i].same);
        assert_int_equal(cstr_eq(r.chain, wanted->chain), rows[i].same);
        assert_int_equal(r.valid, rows[i].valid);
        assert_null(r.key_tag); /* it did not say what the key is: that differs */
        facts_free(&facts);
    }
    done(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mistakes), cmocka_unit_test(test_good), cmocka_unit_test(test_many),
        cmocka_unit_test(test_sent),     cmocka_unit_test(test_read),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
