/* The project CA and its leafs, checked by OpenSSL's own verifier. */
#include "providers/host/tls.h"
#include "specs/fs.h"
#include "tests/unit/cm.h"

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static time_t clock_now(void *ctx) { return ctx == NULL ? time(NULL) : *(time_t *)ctx; }

static int random_bytes(void *buffer, size_t len) {
    return RAND_bytes(buffer, (int)len) == 1 ? 0 : -1;
}

struct fixture {
    char dir[32];
    struct run run;
    struct arena arena;
    struct strlist names;
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    snprintf(f->dir, sizeof f->dir, "/tmp/berth-tls-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->run =
        (struct run){.name = "t", .project_dir = f->dir, .now = clock_now, .random = random_bytes};
    static const char *const names[] = {"ec2-1.example", "203.0.113.7", "localhost", "2001:db8::1"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_int_equal(strlist_add(&f->arena, &f->names, names[i]), 0);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", f->dir);
    int rc = system(command);
    arena_free(&f->arena);
    free(f);
    return rc;
}

static X509 *parse(struct str pem) {
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(cert);
    return cert;
}

static bool verifies(X509 *cert, X509 *ca, const char *host, const char *address) {
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509_STORE_add_cert(store, ca);
    assert_int_equal(X509_STORE_CTX_init(ctx, store, cert, NULL), 1);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
    X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
    if (host != NULL)
        X509_VERIFY_PARAM_set1_host(param, host, 0);
    if (address != NULL)
        X509_VERIFY_PARAM_set1_ip_asc(param, address);
    bool good = X509_verify_cert(ctx) == 1;
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    return good;
}

static void test_leaf_verifies(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    _cleanup_buf_ struct buf ca_pem = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf again = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf cert_pem = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf key_pem = BUF_INIT(BUF_SMALL);
    assert_int_equal(tls_ca_ensure(&f->run, &ca_pem, &err), 0);
    assert_int_equal(tls_ca_ensure(&f->run, &again, &err), 0);
    assert_true(str_eq(buf_str(&ca_pem), buf_str(&again)));
    assert_int_equal(tls_leaf_make(&f->run, &f->names, &cert_pem, &key_pem, &err), 0);
    X509 *ca = parse(buf_str(&ca_pem));
    X509 *cert = parse(buf_str(&cert_pem));
    assert_true(verifies(cert, ca, "ec2-1.example", NULL));
    assert_true(verifies(cert, ca, "localhost", NULL));
    assert_true(verifies(cert, ca, NULL, "203.0.113.7"));
    assert_true(verifies(cert, ca, NULL, "2001:db8::1"));
    assert_false(verifies(cert, ca, "other.example", NULL));
    assert_false(verifies(cert, ca, NULL, "203.0.113.8"));
    X509_free(cert);
    X509_free(ca);
    char path[64];
    struct stat st;
    snprintf(path, sizeof path, "%s/ca.key", f->dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

/* A common name has at most 64 characters; a server's name may have more. */
static void test_long_name(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    static const char name[] = "a-name-of-a-server-that-is-rather-long.a-network-that-is-too."
                               "internal.example.org";
    struct strlist names = {0};
    _cleanup_buf_ struct buf ca_pem = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf cert_pem = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf key_pem = BUF_INIT(BUF_SMALL);
    assert_true(strlen(name) > 64);
    assert_int_equal(strlist_add(&f->arena, &names, name), 0);
    assert_int_equal(tls_ca_ensure(&f->run, &ca_pem, &err), 0);
    assert_int_equal(tls_leaf_make(&f->run, &names, &cert_pem, &key_pem, &err), 0);
    X509 *ca = parse(buf_str(&ca_pem));
    X509 *cert = parse(buf_str(&cert_pem));
    assert_true(verifies(cert, ca, name, NULL));
    X509_free(cert);
    X509_free(ca);
}

static void test_leaf_read(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    _cleanup_buf_ struct buf ca = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf cert = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf key = BUF_INIT(BUF_SMALL);
    struct tls_leaf leaf;
    assert_int_equal(tls_ca_ensure(&f->run, &ca, &err), 0);
    assert_int_equal(tls_leaf_make(&f->run, &f->names, &cert, &key, &err), 0);
    assert_int_equal(tls_leaf_read(&f->arena, buf_str(&cert), buf_str(&ca), time(NULL), &leaf), 0);
    assert_true(leaf.is_signed);
    assert_true(strlist_equal_set(&leaf.names, &f->names));
    assert_string_equal(leaf.subject, "CN=ec2-1.example");
    assert_string_equal(leaf.issuer, "CN=berth t CA");
    assert_int_equal(strlen(leaf.fingerprint), 64);
    assert_in_range(leaf.days, LEAF_DAYS - 1, LEAF_DAYS);
    /* The clock is an input. */
    time_t later = time(NULL) + (time_t)(LEAF_DAYS + 2) * 24 * 3600;
    assert_int_equal(tls_leaf_read(&f->arena, buf_str(&cert), buf_str(&ca), later, &leaf), 0);
    assert_true(leaf.days < 0);
    /* The CA is not a leaf of another CA, and a text is no certificate. */
    assert_int_equal(tls_leaf_read(&f->arena, buf_str(&cert), (struct str){NULL, 0}, later, &leaf),
                     0);
    assert_false(leaf.is_signed);
    assert_true(tls_leaf_read(&f->arena, STR("nonsense"), buf_str(&ca), later, &leaf) < 0);
}

/* What a plan sees of the certificate on a server when the clock stands there. */
static struct host_tls_record look(struct fixture *f, time_t now, struct str ca, struct str cert) {
    struct err err = {0};
    struct facts facts = {0};
    struct host_tls_record record = {0};
    enum presence presence = LIVE_NONE;
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    struct run run = f->run;
    run.clock_ctx = &now;
    const struct host_session session = {.run = &run};
    struct inputs inputs = {.arena = &f->arena};
    struct nodes nodes = {.arena = &f->arena};
    static const char spec_text[] = "berth: 1\nname: t\nprovider: ec2\n"
                                    "server: { image: debian-12, type: t3.small }\njupyter: {}\n";
    struct diags diags = {.arena = &f->arena, .file = "t", .source = STR(spec_text)};
    const struct spec *spec = spec_compile(&f->arena, &diags);
    assert_int_equal(host_tls_kind.ask(spec, &inputs), 0);
    for (size_t i = 0; i < inputs.len; i++)
        if (strcmp(inputs.items[i].name, "ca.pem") == 0) {
            inputs.items[i].found = true;
            inputs.items[i].sha256 = "00";
            assert_int_equal(secret_set(&inputs.items[i].content, ca), 0);
        }
    const struct desire in = {.spec = spec, .inputs = &inputs, .lineage = "l"};
    assert_int_equal(host_tls_kind.desire(&in, &nodes, &diags), 0);
    const struct node *node = nodes_find(&nodes, "server[0].tls");
    const struct host_node on = {.address = node->address,
                                 .desired = node->desired,
                                 .extra = node->extra,
                                 .session = &session,
                                 .arena = &f->arena};
    buf_adds(&text, "server[0].tls\tkey\t600\nserver[0].tls\tcert\t");
    buf_add_base64(&text, cert.ptr, cert.len);
    buf_adds(&text, "\n");
    assert_int_equal(facts_parse(buf_str(&text), &facts, &err), 0);
    assert_int_equal(host_tls_host.read(&on, &facts, &record, &presence, &err), 0);
    facts_free(&facts);
    inputs_free(&inputs);
    return record;
}

/* A plain apply makes one anew that is about to end. */
static void test_renewal(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    const time_t day = (time_t)24 * 3600, start = time(NULL);
    time_t now = start;
    _cleanup_buf_ struct buf ca = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf cert = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf key = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf last = BUF_INIT(BUF_SMALL);
    f->run.clock_ctx = &now;
    assert_int_equal(tls_ca_ensure(&f->run, &ca, &err), 0);
    assert_int_equal(tls_leaf_make(&f->run, &f->names, &cert, &key, &err), 0);
    struct str a = buf_str(&ca), c = buf_str(&cert);
    assert_true(look(f, start, a, c).valid);
    assert_true(look(f, start + (LEAF_DAYS - LEAF_DAYS_LEFT - 2) * day, a, c).valid);
    assert_false(look(f, start + (LEAF_DAYS - LEAF_DAYS_LEFT) * day, a, c).valid);
    assert_false(look(f, start + (LEAF_DAYS + 1) * day, a, c).valid);
    /* Not for longer than the CA: then its last one is good to its end, and is not made for ever.
     */
    now = start + (CA_DAYS - 20) * day;
    buf_reset(&key);
    assert_int_equal(tls_leaf_make(&f->run, &f->names, &last, &key, &err), 0);
    assert_true(look(f, now, a, buf_str(&last)).valid);
    assert_false(look(f, now + 21 * day, a, buf_str(&last)).valid);
}

/* The end of the CA is told before it comes. */
static void test_ca_ends(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    _cleanup_buf_ struct buf ca = BUF_INIT(BUF_SMALL);
    assert_int_equal(tls_ca_ensure(&f->run, &ca, &err), 0);
    static const struct {
        int days; /* that are left of it */
        size_t errors, len;
    } rows[] = {{CA_DAYS_LEFT + 2, 0, 0}, {CA_DAYS_LEFT - 2, 0, 1}, {-1, 1, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena arena = {0};
        struct inputs inputs = {.arena = &arena};
        struct nodes nodes = {.arena = &arena};
        static const char text[] = "berth: 1\nname: t\nprovider: ec2\n"
                                   "server: { image: debian-12, type: t3.small }\njupyter: {}\n";
        struct diags diags = {.arena = &arena, .file = "t", .source = STR(text)};
        const struct spec *spec = spec_compile(&arena, &diags);
        assert_int_equal(host_tls_kind.ask(spec, &inputs), 0);
        char clock[32];
        snprintf(clock, sizeof clock, "%lld",
                 (long long)time(NULL) + (CA_DAYS - rows[i].days) * 24LL * 3600);
        for (size_t k = 0; k < inputs.len; k++) {
            struct input *in = &inputs.items[k];
            in->found = in->type == INPUT_CLOCK || strcmp(in->name, "ca.pem") == 0;
            in->sha256 = "00";
            if (in->found)
                assert_int_equal(secret_set(&in->content,
                                            in->type == INPUT_CLOCK ? str_of(clock) : buf_str(&ca)),
                                 0);
        }
        const struct desire in = {.spec = spec, .inputs = &inputs, .lineage = "l"};
        assert_int_equal(host_tls_kind.desire(&in, &nodes, &diags), 0);
        assert_int_equal(diags.errors, rows[i].errors);
        assert_int_equal(diags.len, rows[i].len);
        if (diags.len > 0)
            assert_non_null(strstr(diags.items[0].msg, "certificate authority"));
        inputs_free(&inputs);
        arena_free(&arena);
    }
}

static void test_broken_ca(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    char path[64];
    _cleanup_buf_ struct buf ca = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf cert = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf key = BUF_INIT(BUF_SMALL);
    assert_int_equal(tls_ca_ensure(&f->run, &ca, &err), 0);
    snprintf(path, sizeof path, "%s/ca.key", f->dir);
    assert_int_equal(fs_write(path, STR("gone"), 0600, &err), 0);
    assert_int_equal(tls_leaf_make(&f->run, &f->names, &cert, &key, &err), -ERRC_STATE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_leaf_verifies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leaf_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_renewal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ca_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken_ca, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
