/* Keys as OpenSSH writes them. That ssh-keygen agrees is shown against moto. */
#include "providers/sshkey.h"
#include "providers/sshkey_export.h"
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

/* With a passphrase, which nobody is asked for. (Cut in two for those who search for keys.) */
static const char encrypted[] =
    "-----BEGIN "
    "RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
    "DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAAAAAAAAAAAAAAAAAAAA==\n"
    "-----END RSA PRIVATE KEY-----\n";

static void test_no_key(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "-----BEGIN "
        "OPENSSH PRIVATE KEY-----\n",
        "-----BEGIN "
        "RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\n-----END RSA PRIVATE KEY-----\n",
        encrypted,
        "not base64!",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        _cleanup_buf_ struct buf out = BUF_INIT(BUF_SMALL);
        assert_false(sshkey_public_of(str_of(bad[i]), &out));
    }
}

static void test_rsa(void **state) {
    (void)state;
    _cleanup_buf_ struct buf private = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf public = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf again = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf stripped = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf blob = BUF_INIT(BUF_SMALL);
    struct err err;
    assert_int_equal(sshkey_make_rsa("me", &private, &public, &err), 0);
    assert_true(str_ends(buf_str(&public), STR(" me")));
    assert_true(sshkey_public_of(buf_str(&private), &again));
    assert_true(sshkey_strip(buf_str(&public), &stripped));
    assert_string_equal(buf_cstr(&again), buf_cstr(&stripped));
    assert_string_equal(sshkey_type(buf_str(&again)), "rsa");
    /* "ssh-rsa", the exponent 65537, and 4096 bits with a zero before the first, which is set */
    struct str line = buf_str(&again), type;
    assert_true(str_split(&line, ' ', &type));
    assert_true(buf_add_base64_decoded(&blob, line));
    static const char head[] = "\0\0\0\7ssh-rsa\0\0\0\3\1\0\1\0\0\2\1\0";
    assert_int_equal(blob.len, sizeof head - 1 + 512);
    assert_memory_equal(blob.ptr, head, sizeof head - 1);
    assert_true(((unsigned char)blob.ptr[sizeof head - 1] & 0x80) != 0);
    /* Cut anywhere, it is none. */
    for (size_t len = 0; len < private.len - 40; len += 97) {
        _cleanup_buf_ struct buf none = BUF_INIT(BUF_SMALL);
        assert_false(sshkey_public_of((struct str){private.ptr, len}, &none));
        assert_int_equal(none.len, 0);
    }
}

static int zeros(void *bytes, size_t len) {
    memset(bytes, 0, len);
    return 0;
}

static int export_as(enum sshkey_format format, struct str text, struct buf *out, struct err *err) {
    const struct sshkey_export in = {
        .text = text, .format = format, .comment = "one\ntwo", .random = zeros};
    return sshkey_export(&in, out, err);
}

/* Through each format that can be read again, back to the same key; that other programs read them
 * is shown by interop.client. */
static void test_export(void **state) {
    (void)state;
    unsigned char seed[SSHKEY_SEED_SIZE] = {7};
    for (int rsa = 0; rsa < 2; rsa++) {
        _cleanup_buf_ struct buf private = BUF_INIT(BUF_SMALL);
        _cleanup_buf_ struct buf public = BUF_INIT(BUF_SMALL);
        struct err err = {0};
        int rc = rsa ? sshkey_make_rsa("", &private, &public, &err)
                     : sshkey_from_seed(seed, "", &private, &public, &err);
        assert_int_equal(rc, 0);
        _cleanup_buf_ struct buf pem = BUF_INIT(BUF_SMALL);
        _cleanup_buf_ struct buf openssh = BUF_INIT(BUF_SMALL);
        _cleanup_buf_ struct buf again = BUF_INIT(BUF_SMALL);
        _cleanup_buf_ struct buf ppk = BUF_INIT(BUF_SMALL);
        assert_int_equal(export_as(SSHKEY_PEM, buf_str(&private), &pem, &err), 0);
        assert_int_equal(export_as(SSHKEY_OPENSSH, buf_str(&pem), &openssh, &err), 0);
        assert_int_equal(export_as(SSHKEY_PEM, buf_str(&openssh), &again, &err), 0);
        assert_string_equal(buf_cstr(&again), buf_cstr(&pem));
        assert_int_equal(export_as(SSHKEY_PPK3, buf_str(&openssh), &ppk, &err), 0);
        assert_non_null(strstr(buf_cstr(&ppk), "\nComment: one two\nPublic-Lines: "));
        /* Cut anywhere, it is none and nothing is left. */
        for (size_t len = 0; len < openssh.len - 36; len += 13) {
            _cleanup_buf_ struct buf none = BUF_INIT(BUF_SMALL);
            assert_int_equal(export_as(SSHKEY_PPK3, (struct str){openssh.ptr, len}, &none, &err),
                             -ERRC_INVALID);
            assert_int_equal(none.len, 0);
        }
    }
}

static void test_export_no_key(void **state) {
    (void)state;
    static const char *const bad[] = {"", "ssh-ed25519 AAAA", encrypted, "\xff\xfe"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        for (int format = SSHKEY_PEM; format <= SSHKEY_PPK2; format++) {
            _cleanup_buf_ struct buf out = BUF_INIT(BUF_SMALL);
            struct err err = {0};
            assert_int_equal(export_as((enum sshkey_format)format, str_of(bad[i]), &out, &err),
                             -ERRC_INVALID);
            assert_string_equal(err.msg,
                                bad[i] == encrypted
                                    ? "the key has a passphrase"
                                    : "it is no private Ed25519 or RSA key that berth can read");
            assert_true(err.hint[0] != '\0');
        }
}

static void test_type(void **state) {
    (void)state;
    assert_string_equal(sshkey_type(STR("ssh-ed25519 AAAA")), "ed25519");
    assert_string_equal(sshkey_type(STR("ssh-rsa AAAA me")), "rsa");
    assert_null(sshkey_type(STR("ecdsa-sha2-nistp256 AAAA")));
    assert_null(sshkey_type(STR("ssh-rsa-cert AAAA")));
    assert_null(sshkey_type(STR("")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_public_of),     cmocka_unit_test(test_no_key),
        cmocka_unit_test(test_rsa),           cmocka_unit_test(test_export),
        cmocka_unit_test(test_export_no_key), cmocka_unit_test(test_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
