/* Keys as OpenSSH writes them. That ssh-keygen agrees is shown against moto. */
#include "providers/sshkey.h"
#include "tests/unit/cm.h"

static void test_public_of(void **state) {
    (void)state;
    unsigned char seed[SSHKEY_SEED_SIZE];
    for (int i = 0; i < 16; i++) {
        _cleanup_buf_ struct buf private = BUF_INIT(BUF_SMALL);
        _cleanup_buf_ struct buf public = BUF_INIT(BUF_SMALL);
        _cleanup_buf_ struct buf again = BUF_INIT(BUF_SMALL);
        struct err err;
        memset(seed, i * 17, sizeof seed);
        assert_int_equal(sshkey_from_seed(seed, "", &private, &public, &err), 0);
        assert_true(sshkey_public_of(buf_str(&private), &again));
        assert_string_equal(buf_cstr(&again), buf_cstr(&public));
        /* Cut anywhere before the end of the public half, it is none. */
        for (size_t len = 0; len < 150; len++) {
            _cleanup_buf_ struct buf none = BUF_INIT(BUF_SMALL);
            assert_false(sshkey_public_of((struct str){private.ptr, len}, &none));
            assert_int_equal(none.len, 0);
        }
    }
}

static void test_no_key(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "-----BEGIN OPENSSH PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\n-----END RSA PRIVATE KEY-----\n",
        "not base64!",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        _cleanup_buf_ struct buf out = BUF_INIT(BUF_SMALL);
        assert_false(sshkey_public_of(str_of(bad[i]), &out));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_public_of),
        cmocka_unit_test(test_no_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
