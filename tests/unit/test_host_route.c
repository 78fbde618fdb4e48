/* From what OpenSSH says of its configuration to a way to a server, and what key files are. */
#include "providers/host/key_file.h"
#include "providers/host/route.h"
#include "tests/unit/cm.h"

static const struct given_login box = {.host = "me@box"};

static struct ssh_route read(struct arena *a, const struct given_login *login, const char *config) {
    struct ssh_route route = {0};
    struct err err = {0};
    if (ssh_route_read(login, str_of(config), a, &route, &err) < 0)
        fail_msg("%s", err.msg);
    return route;
}

static void assert_words(const struct strlist *list, const char *const *words) {
    for (size_t i = 0; i < list->len; i++)
        assert_string_equal(list->items[i], words[i]);
    assert_null(words[list->len]);
}

static void test_without_ssh(void **state) {
    (void)state;
    _cleanup_arena_ struct arena a = {0};
    const struct given_login login = {.host = "me@192.0.2.7", .key = "k"};
    struct ssh_route r = read(&a, &login, "");
    assert_string_equal(r.user, "me");
    assert_string_equal(r.address, "192.0.2.7");
    assert_string_equal(r.known_as, "192.0.2.7");
    assert_int_equal(r.port, 22);
    assert_words(&r.keys, (const char *const[]){"k", NULL});
    assert_true(r.only_keys);
    assert_int_equal(r.proxy.len, 0);
    assert_int_equal(read(&a, &(struct given_login){.host = "b", .port = 2222}, "").port, 2222);
}

static void test_config(void **state) {
    (void)state;
    _cleanup_arena_ struct arena a = {0};
    struct ssh_route r = read(&a, &box,
                              "user you\nhostname 192.0.2.9\nport 2200\nidentityfile /k/%h\n"
                              "identityfile /k/%%x\nidentityfile /k/%C\nidentitiesonly yes\n"
                              "identityagent none\nuserknownhostsfile /a /b\n"
                              "globalknownhostsfile /c\n");
    assert_string_equal(r.user, "you");
    assert_string_equal(r.address, "192.0.2.9");
    assert_string_equal(r.known_as, "[192.0.2.9]:2200");
    assert_null(r.agent);
    assert_true(r.only_keys);
    assert_words(&r.keys, (const char *const[]){"/k/192.0.2.9", "/k/%x", NULL});
    assert_words(&r.known_hosts, (const char *const[]){"/a", "/b", "/c", NULL});
    assert_string_equal(read(&a, &box, "hostname h\nport 9\nhostkeyalias al\n").known_as, "al");
    assert_string_equal(read(&a, &box, "identityagent /run/agent\n").agent, "/run/agent");
    /* The spec's key is the only one. */
    const struct given_login login = {.host = "box", .key = "mine"};
    r = read(&a, &login, "identityfile /k\n");
    assert_words(&r.keys, (const char *const[]){"mine", NULL});
}

static void test_jump(void **state) {
    (void)state;
    _cleanup_arena_ struct arena a = {0};
    struct ssh_route r = read(&a, &box, "hostname 192.0.2.9\nport 7\nproxyjump me@b:22\n");
    assert_words(&r.proxy,
                 (const char *const[]){"ssh", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=15",
                                       "-p", "22", "-W", "192.0.2.9:7", "--", "me@b", NULL});
    assert_string_equal(r.proxy_jump, "me@b:22");
    r = read(&a, &box, "hostname ::1\nproxyjump a:1,b:2,c\n");
    assert_words(&r.proxy,
                 (const char *const[]){"ssh", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=15",
                                       "-J", "a:1,b:2", "-W", "[::1]:22", "--", "c", NULL});
    r = read(&a, &box, "hostname h\nproxyjump me@[2001:db8::1]:2\n");
    assert_words(&r.proxy,
                 (const char *const[]){"ssh", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=15",
                                       "-p", "2", "-W", "h:22", "--", "me@2001:db8::1", NULL});
    assert_int_equal(read(&a, &box, "proxyjump none\nproxycommand none\n").proxy.len, 0);
}

static void test_command(void **state) {
    (void)state;
    _cleanup_arena_ struct arena a = {0};
    struct ssh_route r =
        read(&a, &box, "user me\nhostname h\nproxycommand nc -x p %h %p %r %n 100%%\n");
    assert_words(&r.proxy,
                 (const char *const[]){"/bin/sh", "-c", "exec nc -x p h 22 me box 100%", NULL});
    struct err err = {0};
    assert_int_equal(ssh_route_read(&box, STR("proxycommand nc %j\n"), &a, &r, &err),
                     -ERRC_UNSUPPORTED);
}

/* What berth cannot hold to is refused, not passed over. */
static void test_unfit(void **state) {
    (void)state;
    static const struct {
        const char *config, *words;
    } rows[] = {
        {"proxyusefdpass yes\n", "ProxyUseFdpass"},
        {"revokedhostkeys /etc/ssh/revoked\n", "RevokedHostKeys"},
        {"user me; reboot\n", "`me; reboot`"},
        {"user $(id)\n", "`$(id)`"},
        {"user -x\n", "`-x`"},
        {"user CORP\\me\n", "CORP"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        _cleanup_arena_ struct arena a = {0};
        struct ssh_route r;
        struct err err = {0};
        assert_int_equal(ssh_route_read(&box, str_of(rows[i].config), &a, &r, &err),
                         -ERRC_UNSUPPORTED);
        assert_non_null(strstr(err.msg, rows[i].words));
    }
    _cleanup_arena_ struct arena a = {0};
    assert_string_equal(read(&a, &box, "revokedhostkeys none\nuser me@corp.example\n").user,
                        "me@corp.example");
}

static void test_known(void **state) {
    (void)state;
    _cleanup_arena_ struct arena a = {0};
    struct known_keys k = {0};
    assert_int_equal(ssh_route_read_known(STR("# Host h found: line 1\n|1|x=|y= ssh-rsa AAA1 me\n"
                                              "h,i ecdsa-sha2-nistp256 AAA2\nh ssh-rsa AAA1\n"
                                              "@revoked * ssh-rsa AAA3\n"
                                              "@cert-authority *.h ssh-rsa AAA4\nhalf ssh-rsa\n"),
                                          &a, &k),
                     0);
    /* Blanks as they come; a marker that nobody knows is no key. */
    assert_int_equal(ssh_route_read_known(STR("@revoked\t*\tssh-rsa\tAAA5\n"
                                              "@revoked  *  ssh-rsa  AAA6 me\n"
                                              "h\tssh-rsa  AAA7\n@other h ssh-rsa AAA8\n"),
                                          &a, &k),
                     0);
    assert_words(&k.keys, (const char *const[]){"ssh-rsa AAA1", "ecdsa-sha2-nistp256 AAA2",
                                                "ssh-rsa AAA7", NULL});
    assert_words(&k.revoked,
                 (const char *const[]){"ssh-rsa AAA3", "ssh-rsa AAA5", "ssh-rsa AAA6", NULL});
    assert_true(k.authority);
}

static struct key_file look(const char *text, const char *public) {
    struct key_file file = {.blob = BUF_INIT(BUF_SMALL)};
    key_file_read(str_of(text), str_of(public), &file);
    return file;
}

static void test_key_files(void **state) {
    (void)state;
    /* The open part of a file: its magic, cipher, kdf, options, and the public half. */
    static const char begin[] = "-----BEGIN OPENSSH PRIV"
                                "ATE KEY-----\n";
    _cleanup_buf_ struct buf bytes = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    buf_add(&bytes, "openssh-key-v1", sizeof "openssh-key-v1");
    buf_add(&bytes, "\0\0\0\012aes256-ctr\0\0\0\6bcrypt\0\0\0\0\0\0\0\1", 32);
    buf_add(&bytes, "\0\0\0\013\0\0\0\7ssh-rsa", 15);
    buf_adds(&text, begin);
    buf_add_base64(&text, bytes.ptr, bytes.len);
    buf_adds(&text, "\n-----END");
    struct key_file f = look(buf_cstr(&text), "");
    assert_true(f.locked && f.rsa && f.blob.len == 11);
    buf_free(&f.blob);
    f = look("-----BEGIN RSA PRIV"
             "ATE KEY-----\nProc-Type: 4,ENCRYPTED\n",
             "");
    assert_true(f.locked && f.rsa && f.blob.len == 0);
    buf_free(&f.blob);
    f = look("-----BEGIN PRIV"
             "ATE KEY-----\n",
             "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me\n");
    assert_false(f.locked || f.rsa);
    assert_true(key_blob_is(buf_str(&f.blob), "ssh-ed25519"));
    buf_free(&f.blob);
    f = look("nonsense", "nonsense");
    assert_false(f.locked || f.rsa);
    buf_free(&f.blob);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_ssh), cmocka_unit_test(test_config),
        cmocka_unit_test(test_jump),        cmocka_unit_test(test_command),
        cmocka_unit_test(test_unfit),       cmocka_unit_test(test_known),
        cmocka_unit_test(test_key_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
