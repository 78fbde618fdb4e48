/* The project CA and its leafs, checked by OpenSSL's own verifier. */
#include "providers/host/internal.h"
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

static void test_leaf_read(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    _cleanup_buf_ struct buf ca = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf cert = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf key = BUF_INIT(BUF_SMALL);
    struct strlist names = {0};
    bool is_signed = false;
    int days = 0;
    const char *expires = NULL;
    assert_int_equal(tls_ca_ensure(&f->run, &ca, &err), 0);
    assert_int_equal(tls_leaf_make(&f->run, &f->names, &cert, &key, &err), 0);
    assert_int_equal(
        tls_leaf_read(&f->arena, buf_str(&cert), buf_str(&ca), &names, &is_signed, &days, &expires),
        0);
    assert_true(is_signed);
    assert_true(strlist_equal_set(&names, &f->names));
    assert_in_range(days, LEAF_DAYS - 1, LEAF_DAYS);
    /* The CA is not a leaf of another CA, and a text is no certificate. */
    struct strlist none = {0};
    assert_int_equal(tls_leaf_read(&f->arena, buf_str(&cert), (struct str){NULL, 0}, &none,
                                   &is_signed, &days, &expires),
                     0);
    assert_false(is_signed);
    assert_true(tls_leaf_read(&f->arena, STR("nonsense"), buf_str(&ca), &none, &is_signed, &days,
                              &expires) < 0);
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
        cmocka_unit_test_setup_teardown(test_leaf_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken_ca, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
