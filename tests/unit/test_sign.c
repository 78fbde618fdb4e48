/* The signer beside AWS's published test suite (sigv4/README.md), stage by stage, and the requests
 * that berth makes with it. */
#include "providers/aws/request.h"
#include "providers/aws/sign.h"
#include "specs/fs.h"
#include "tests/unit/cm.h"

#include <ctype.h>
#include <dirent.h>
#include <time.h>

enum { HEADERS_MAX = 8, CASES_MIN = 33 };

#define SUITE_ACCESS_KEY "AKIDEXAMPLE"
#define SUITE_SECRET_KEY "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
static const time_t suite_time = 1440938160; /* 2015-08-30T12:36:00Z */

/* One case: the request as read. */
struct suite_case {
    struct arena arena;
    struct buf text, path, query;
    struct sign_header headers[HEADERS_MAX];
    struct sign_input in;
};

static struct str read_part(const char *name, const char *suffix, struct buf *out) {
    char path[512];
    struct err err;
    snprintf(path, sizeof path, TESTS_DIR "/unit/sigv4/%s.%s", name, suffix);
    *out = BUF_INIT(BUF_SMALL);
    assert_int_equal(fs_read(path, out, &err), 0);
    return buf_str(out);
}

static const char *lower(struct arena *arena, struct str name) {
    char text[64];
    assert_true(name.len < sizeof text);
    for (size_t i = 0; i < name.len; i++)
        text[i] = (char)tolower((unsigned char)name.ptr[i]);
    return arena_dup_str(arena, (struct str){text, name.len});
}

/* Same names join with commas, continued lines with a space. */
static void take_header(struct suite_case *c, struct str line) {
    struct sign_input *in = &c->in;
    struct str name;
    const char *joined;
    if (*line.ptr == ' ') {
        struct sign_header *last = &c->headers[in->headers_len - 1];
        joined = arena_printf(&c->arena, "%.*s %.*s", STR_FMT(last->value), STR_FMT(line));
        last->value = str_of(joined);
        return;
    }
    str_split(&line, ':', &name);
    const char *key = lower(&c->arena, name);
    for (size_t i = 0; i < in->headers_len; i++)
        if (strcmp(c->headers[i].name, key) == 0) {
            joined = arena_printf(&c->arena, "%.*s,%.*s", STR_FMT(c->headers[i].value),
                                  STR_FMT(str_trim(line)));
            c->headers[i].value = str_of(joined);
            return;
        }
    assert_true(in->headers_len < HEADERS_MAX);
    c->headers[in->headers_len++] = (struct sign_header){key, line};
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct sign_header *)a)->name, ((const struct sign_header *)b)->name);
}

/* A session token that only the canonical request has is the signer's to add. */
static void add_token(const char *name, struct suite_case *c) {
    struct buf text;
    struct str rest = read_part(name, "creq", &text), line;
    bool there = false;
    for (size_t i = 0; i < c->in.headers_len; i++)
        there |= strcmp(c->headers[i].name, "x-amz-security-token") == 0;
    while (!there && str_split(&rest, '\n', &line))
        if (str_starts(line, STR("x-amz-security-token:"))) {
            const char *copy = arena_dup_str(&c->arena, line);
            take_header(c, str_of(copy));
        }
    buf_free(&text);
}

static void read_case(const char *name, struct suite_case *c) {
    *c = (struct suite_case){.path = BUF_INIT(BUF_SMALL), .query = BUF_INIT(BUF_SMALL)};
    struct str rest = read_part(name, "req", &c->text);
    struct str line, method, target;
    assert_true(str_split(&rest, '\n', &line));
    assert_true(str_ends(line, STR(" HTTP/1.1")));
    line.len -= strlen(" HTTP/1.1");
    assert_true(str_split(&line, ' ', &method));
    assert_true(str_split(&line, '?', &target));
    sign_add_path(target, &c->path);
    assert_int_equal(sign_add_query(line, &c->query), 0);
    c->in = (struct sign_input){.method = arena_dup_str(&c->arena, method),
                                .path = buf_cstr(&c->path),
                                .query = buf_str(&c->query),
                                .headers = c->headers,
                                .region = "us-east-1",
                                .service = "service",
                                .access_key = STR(SUITE_ACCESS_KEY),
                                .secret_key = STR(SUITE_SECRET_KEY),
                                .when = suite_time};
    while (str_split(&rest, '\n', &line) && line.len > 0)
        take_header(c, line);
    add_token(name, c);
    c->in.body = rest.ptr == NULL ? (struct str){"", 0} : rest;
    qsort(c->headers, c->in.headers_len, sizeof *c->headers, by_name);
}

static void free_case(struct suite_case *c) {
    buf_free(&c->text);
    buf_free(&c->path);
    buf_free(&c->query);
    arena_free(&c->arena);
}

static void expect(const char *name, const char *suffix, const struct buf *made) {
    struct buf want;
    struct str text = read_part(name, suffix, &want);
    if (!str_eq(str_trim(text), buf_str(made)))
        fail_msg("%s.%s:\n%s\n--- wanted\n%s", name, suffix, buf_cstr(made), buf_cstr(&want));
    buf_free(&want);
}

static void check_case(const char *name) {
    struct suite_case c;
    struct err err = {0};
    _cleanup_buf_ struct buf canonical = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf authorization = BUF_INIT(BUF_SMALL);
    read_case(name, &c);
    sign_canonical_request(&c.in, &canonical);
    expect(name, "creq", &canonical);
    sign_string_to_sign(&c.in, buf_str(&canonical), &text);
    expect(name, "sts", &text);
    assert_int_equal(sign_authorization(&c.in, &authorization, &err), 0);
    expect(name, "authz", &authorization);
    free_case(&c);
}

static void test_suite(void **state) {
    (void)state;
    size_t cases = 0;
    DIR *dir = opendir(TESTS_DIR "/unit/sigv4");
    assert_non_null(dir);
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        struct str name = str_of(entry->d_name);
        char stem[128];
        if (!str_ends(name, STR(".req")))
            continue;
        snprintf(stem, sizeof stem, "%.*s", (int)name.len - 4, name.ptr);
        check_case(stem);
        cases++;
    }
    closedir(dir);
    assert_true(cases >= CASES_MIN);
}

static void test_uri(void **state) {
    (void)state;
    static const struct {
        const char *path, *want;
    } paths[] = {{"", "/"},          {"/..", "/"},        {"/../../a", "/a"}, {"/a/b/../..", "/"},
                 {"/a/./b", "/a/b"}, {"/a/b/.", "/a/b/"}, {"/a%2", "/a%252"}, {"/a%2Fb", "/a%2Fb"}};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        _cleanup_buf_ struct buf out = BUF_INIT(BUF_SMALL);
        sign_add_path(str_of(paths[i].path), &out);
        assert_string_equal(buf_cstr(&out), paths[i].want);
    }
    _cleanup_buf_ struct buf many = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_SMALL);
    buf_addn(&many, '&', SIGN_PARAMETERS_MAX + 5); /* empty ones do not count */
    assert_int_equal(sign_add_query(buf_str(&many), &out), 0);
    buf_reset(&many);
    for (int i = 0; i <= SIGN_PARAMETERS_MAX; i++)
        buf_addf(&many, "p%d&", i);
    assert_int_equal(sign_add_query(buf_str(&many), &out), -ERRC_LIMIT);
}

/* ---- What berth sends */

static struct aws_config config_of(const char *endpoint) {
    return (struct aws_config){.region = "eu-west-1", .endpoints[AWS_EC2] = endpoint};
}

static struct aws_credentials credentials_of(const char *token) {
    struct aws_credentials c = {0};
    assert_int_equal(aws_credentials_set(&c, STR("AKIDEXAMPLE"), STR("secret"), str_of(token)), 0);
    return c;
}

static const char *header(const struct request *r, const char *name) {
    for (size_t i = 0; i < r->headers_len; i++)
        if (strncmp(r->headers[i].ptr, name, strlen(name)) == 0 &&
            r->headers[i].ptr[strlen(name)] == ':')
            return r->headers[i].ptr + strlen(name) + 2;
    return NULL;
}

static void test_request(void **state) {
    (void)state;
    struct err err = {0};
    struct request r;
    const struct aws_call call = {
        .service = AWS_SSM, .action = "GetParameters", .body = STR("{\"Names\":[]}")};
    struct aws_config config = config_of(NULL);
    struct aws_credentials keys = credentials_of("a/session+token");
    assert_int_equal(request_make(&config, &keys, &call, suite_time, &r, &err), 0);
    assert_string_equal(r.url, "https://ssm.eu-west-1.amazonaws.com");
    assert_string_equal(header(&r, "content-type"), "application/x-amz-json-1.1");
    assert_string_equal(header(&r, "x-amz-target"), "AmazonSSM.GetParameters");
    assert_string_equal(header(&r, "x-amz-date"), "20150830T123600Z");
    assert_string_equal(header(&r, "x-amz-security-token"), "a/session+token");
    /* The session token is signed too: it is among the signed headers. */
    assert_non_null(strstr(header(&r, "authorization"),
                           "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;"
                           "x-amz-target, Signature="));
    assert_null(strstr(header(&r, "authorization"), "secret"));
    request_free(&r);
    /* Pricing is asked, and signed for, in the one region that has it. */
    const struct aws_call pricing = {
        .service = AWS_PRICING, .action = "GetProducts", .body = STR("{}")};
    assert_int_equal(request_make(&config, &keys, &pricing, suite_time, &r, &err), 0);
    assert_string_equal(r.url, "https://api.pricing.us-east-1.amazonaws.com");
    assert_string_equal(header(&r, "x-amz-target"), "AWSPriceListService.GetProducts");
    assert_non_null(strstr(header(&r, "authorization"), "/us-east-1/pricing/aws4_request"));
    request_free(&r);
    const struct aws_call sts = {.service = AWS_STS, .action = "X", .body = STR("Action=X")};
    assert_int_equal(request_make(&config, &keys, &sts, suite_time, &r, &err), 0);
    assert_string_equal(r.url, "https://sts.eu-west-1.amazonaws.com");
    assert_non_null(strstr(header(&r, "authorization"), "/eu-west-1/sts/aws4_request"));
    assert_null(header(&r, "x-amz-target"));
    request_free(&r);
    /* Nobody signs what carries a token of another kind. */
    const struct aws_call nobody = {
        .service = AWS_STS, .action = "X", .body = STR("Action=X"), .is_unsigned = true};
    assert_int_equal(request_make(&config, &keys, &nobody, suite_time, &r, &err), 0);
    assert_null(header(&r, "authorization"));
    assert_null(header(&r, "x-amz-security-token"));
    request_free(&r);
    config.sts_global = true;
    assert_int_equal(request_make(&config, &keys, &sts, suite_time, &r, &err), 0);
    assert_string_equal(r.url, "https://sts.amazonaws.com");
    assert_non_null(strstr(header(&r, "authorization"), "/us-east-1/sts/aws4_request"));
    request_free(&r);
    aws_credentials_free(&keys);
}

static void test_endpoints(void **state) {
    (void)state;
    struct err err = {0};
    char url[REQUEST_URL_SIZE], again[160];
    struct aws_config config = {.region = "cn-north-1"};
    assert_int_equal(request_url(&config, AWS_EC2, url, &err), 0);
    assert_string_equal(url, "https://ec2.cn-north-1.amazonaws.com.cn");
    config.endpoints[AWS_EC2] = "http://127.0.0.1:5000///";
    assert_int_equal(request_url(&config, AWS_EC2, url, &err), 0);
    assert_string_equal(url, "http://127.0.0.1:5000");
    static const char *const bad[] = {"127.0.0.1:5000", "ftp://x",       "https://",
                                      "https:///x",     "http://u:p@x/", "http://x?a=b",
                                      "http://x y/",    "file:///etc"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        config.endpoints[AWS_EC2] = bad[i];
        assert_int_equal(request_url(&config, AWS_EC2, url, &err), -ERRC_INVALID);
        assert_non_null(strstr(err.msg, "ec2 endpoint"));
    }
    /* A port that is the scheme's own does not go into the Host header that libcurl sends, so it
     * must not be signed; a path must be. */
    static const char *const same[][2] = {{"https://x.example:443", "https://x.example"},
                                          {"http://x.example:80/", "http://x.example"}};
    static const char *const other[][2] = {{"https://x.example:80", "https://x.example"},
                                           {"https://x.example/p", "https://x.example"}};
    const struct aws_call call = {.service = AWS_EC2, .action = "X", .body = STR("Action=X")};
    for (size_t i = 0; i < 4; i++) {
        const char *const *pair = i < 2 ? same[i] : other[i - 2];
        struct request a, b;
        struct aws_config x = config_of(pair[0]), y = config_of(pair[1]);
        struct aws_credentials keys = credentials_of(NULL);
        assert_int_equal(request_make(&x, &keys, &call, suite_time, &a, &err), 0);
        assert_int_equal(request_make(&y, &keys, &call, suite_time, &b, &err), 0);
        snprintf(again, sizeof again, "%s", strstr(header(&a, "authorization"), "Signature="));
        assert_int_equal(strstr(header(&b, "authorization"), again) != NULL, i < 2);
        request_free(&a);
        request_free(&b);
        aws_credentials_free(&keys);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_suite),
        cmocka_unit_test(test_uri),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_endpoints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
