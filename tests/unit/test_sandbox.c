/* The sandbox's own judgements: which addresses its proxy may dial, what of this machine's settings
 * it goes by, and how it reads and writes what a peer sends. Guests are tests/interop's. */
#include "providers/sandbox/api.h"
#include "providers/sandbox/guest.h"
#include "providers/sandbox/http.h"
#include "providers/sandbox/outside.h"
#include "tests/unit/cm.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void make_address(const char *text, struct sockaddr_storage *ret) {
    struct sockaddr_in *v4 = (void *)ret;
    struct sockaddr_in6 *v6 = (void *)ret;
    memset(ret, 0, sizeof *ret);
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        return;
    }
    assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
    v6->sin6_family = AF_INET6;
}

static bool may_dial(const char *text) {
    struct sockaddr_storage address;
    make_address(text, &address);
    return proxy_may_dial((const struct sockaddr *)&address);
}

static void test_addresses(void **state) {
    static const char *const good[] = {"1.1.1.1",         "100.63.0.1",    "100.128.0.1",
                                       "172.15.0.1",      "172.32.0.1",    "198.17.0.1",
                                       "223.255.255.255", "2606:4700::",   "64:ff9b::101:101",
                                       "2002:101:101::1", "::ffff:1.1.1.1"};
    static const char *const refused[] = {"0.0.0.0",
                                          "0.1.2.3",
                                          "10.0.0.1",
                                          "100.64.0.1",
                                          "100.127.255.255",
                                          "127.0.0.1",
                                          "127.255.0.9",
                                          "169.254.169.254",
                                          "172.16.0.1",
                                          "172.31.255.255",
                                          "192.168.1.1",
                                          "198.18.0.1",
                                          "198.19.255.255",
                                          "224.0.0.1",
                                          "255.255.255.255",
                                          "::",
                                          "::1",
                                          "::127.0.0.1",
                                          "::ffff:127.0.0.1",
                                          "::ffff:10.1.2.3",
                                          "::ffff:169.254.169.254",
                                          "64:ff9b::7f00:1",
                                          "64:ff9b::a00:1",
                                          "64:ff9b:1::1",
                                          "2002:7f00:1::1",
                                          "2002:c0a8:101::1",
                                          "2001::1",
                                          "fc00::1",
                                          "fd12:3456::1",
                                          "fe80::1",
                                          "fec0::1",
                                          "ff02::1"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (!may_dial(good[i]))
            fail_msg("%s is refused", good[i]);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (may_dial(refused[i]))
            fail_msg("%s is dialled", refused[i]);
    struct sockaddr_storage address;
    make_address("127.0.0.1", &address);
    assert_true(address_is_near((const struct sockaddr *)&address));
}

static void test_outside_proxy(void **state) {
    struct outside_proxy proxy;
    (void)state;
    unsetenv("http_proxy");
    unsetenv("HTTPS_PROXY");
    unsetenv("all_proxy");
    unsetenv("ALL_PROXY");
    unsetenv("NO_PROXY");
    setenv("https_proxy", "http://us%40er:p%3Aw@proxy.corp:8080/", 1);
    setenv("no_proxy", "localhost, .corp,10.0.0.9", 1);
    assert_true(outside_proxy_for(true, "pypi.example", &proxy));
    assert_string_equal(proxy.host, "proxy.corp");
    assert_string_equal(proxy.port, "8080");
    assert_string_equal(proxy.authorization, "Basic dXNAZXI6cDp3"); /* us@er:p:w */
    assert_false(outside_proxy_for(false, "pypi.example", &proxy));
    assert_false(outside_proxy_for(true, "nexus.corp", &proxy));
    assert_false(outside_proxy_for(true, "CORP", &proxy));
    assert_true(outside_proxy_for(true, "notcorp", &proxy));
    assert_false(outside_proxy_for(true, "10.0.0.9", &proxy));
    setenv("no_proxy", "*", 1);
    assert_false(outside_proxy_for(true, "pypi.example", &proxy));
    unsetenv("https_proxy");
    unsetenv("no_proxy");
    assert_false(outside_proxy_for(true, "pypi.example", &proxy));
}

static void test_outside_index(void **state) {
    char value[64];
    (void)state;
    char path[] = "/tmp/berth-pip-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    static const char text[] = "[install]\nindex-url = http://wrong/\n[global]\n"
                               "index-url = http://user:secret@10.1.2.3:8081/simple\n";
    assert_int_equal(write(fd, text, sizeof text - 1), (ssize_t)(sizeof text - 1));
    close(fd);
    setenv("HOME", "/nonexistent", 1);
    setenv("PIP_CONFIG_FILE", path, 1);
    setenv("UV_INDEX", "corp=https://Nexus.corp/simple http://[fd00::1]:3141/x", 1);
    assert_true(outside_is_index("10.1.2.3", "8081"));
    assert_false(outside_is_index("10.1.2.3", "22"));
    assert_false(outside_is_index("10.1.2.4", "8081"));
    assert_false(outside_is_index("wrong", "80"));
    assert_true(outside_is_index("nexus.corp", "443"));
    assert_true(outside_is_index("fd00::1", "3141"));
    assert_true(outside_pip_setting("index-url", value, sizeof value));
    assert_false(outside_pip_setting("no-such-setting", value, sizeof value));
    unlink(path);
    unsetenv("PIP_CONFIG_FILE");
    unsetenv("UV_INDEX");
}

static void test_patterns(void **state) {
    static const struct {
        const char *pattern, *text;
        bool matches;
    } cases[] = {{"", "", true},        {"*", "", true},         {"a*c", "abbc", true},
                 {"a*c", "abb", false}, {"?b", "ab", true},      {"?", "", false},
                 {"a**", "a", true},    {"*a*b", "xaxab", true}, {"i-*", "sg-1", false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(pattern_matches(cases[i].pattern, cases[i].text), cases[i].matches);
    /* Not exponential: it would run for ever. */
    char text[256];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_false(pattern_matches("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", text));
}

static void check_xml(const char *value, const char *wanted) {
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_SMALL);
    xml_add(&out, "v", value);
    assert_string_equal(buf_cstr(&out), wanted);
}

static void test_xml(void **state) {
    (void)state;
    check_xml("a<b>&c", "<v>a&lt;b&gt;&amp;c</v>");
    check_xml("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
              "<v>\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80</v>");
    check_xml("a\x01\r\n\t", "<v>a\xef\xbf\xbd&#13;\n\t</v>");
    check_xml("\xff", "<v>\xef\xbf\xbd</v>");
    check_xml("\xe2\x82", "<v>\xef\xbf\xbd\xef\xbf\xbd</v>"); /* a sequence that was cut */
    check_xml("\xc0\x80", "<v>\xef\xbf\xbd\xef\xbf\xbd</v>"); /* overlong */
    check_xml("\xed\xa0\x80", "<v>\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd</v>"); /* a surrogate */
}

static void check_form(const char *text, const char *wanted) {
    cJSON *form = form_decode(str_of(text));
    char *json = form == NULL ? NULL : cJSON_PrintUnformatted(form);
    if (wanted == NULL)
        assert_null(form);
    else
        assert_string_equal(json, wanted);
    cJSON_free(json);
    cJSON_Delete(form);
}

static void test_form(void **state) {
    (void)state;
    check_form("", "{}");
    check_form("a=b+c&d=%26%3d", "{\"a\":\"b c\",\"d\":\"&=\"}");
    check_form("a", "{\"a\":\"\"}");
    check_form("a=%", NULL);
    check_form("a=%4", NULL);
    check_form("a=%zz", NULL);
    check_form("a=%00", NULL);
    _cleanup_buf_ struct buf many = BUF_INIT(BUF_SMALL);
    for (int i = 0; i < 5000; i++)
        buf_adds(&many, "a=b&");
    check_form(buf_cstr(&many), NULL);
}

/* What is sent, and then no more; returns what http_read makes of it. */
static int read_request(const char *text, size_t len, struct http_request *ret) {
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(send(pair[0], text, len, MSG_NOSIGNAL), (ssize_t)len);
    shutdown(pair[0], SHUT_WR);
    int rc = http_read(pair[1], ret);
    close(pair[0]);
    close(pair[1]);
    return rc;
}

static int status_of(const char *text) {
    struct http_request request;
    int rc = read_request(text, strlen(text), &request);
    http_free(&request);
    return rc;
}

static void test_http(void **state) {
    struct http_request request;
    (void)state;
    static const char good[] = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na=b";
    assert_int_equal(read_request(good, sizeof good - 1, &request), 1);
    assert_true(str_eqc(request.body, "a=b"));
    assert_true(str_eqc(http_header(&request, "host"), "x"));
    assert_false(request.last);
    http_free(&request);
    assert_int_equal(status_of(""), 0);
    assert_int_equal(status_of("POST / HTT"), -400);
    assert_int_equal(status_of("nonsense\r\n\r\n"), -400);
    assert_int_equal(status_of("POST / HTTP/1.1\r\nno colon\r\n\r\n"), -400);
    assert_int_equal(status_of("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"), -400);
    assert_int_equal(status_of("POST / HTTP/1.1\r\nContent-Length: 1x\r\n\r\n"), -400);
    assert_int_equal(status_of("POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf"), -400);
    assert_int_equal(status_of("POST / HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n"), -413);
    assert_int_equal(status_of("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"), -411);
    static const char zero[] = "POST / \0 HTTP/1.1\r\n\r\n";
    assert_int_equal(read_request(zero, sizeof zero - 1, &request), -400);
    http_free(&request);
    static const char two[] = "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    assert_int_equal(read_request(two, sizeof two - 1, &request), 1);
    assert_true(request.last);
    http_free(&request);
    static char large[40000];
    memset(large, 'a', sizeof large);
    assert_int_equal(read_request(large, sizeof large, &request), -431);
    http_free(&request);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),     cmocka_unit_test(test_outside_proxy),
        cmocka_unit_test(test_outside_index), cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_xml),           cmocka_unit_test(test_form),
        cmocka_unit_test(test_http)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
