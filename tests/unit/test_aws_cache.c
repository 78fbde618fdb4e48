/* Kept answers: what comes back, and what does not. */
#include "providers/aws/cache.h"
#include "specs/fs.h"
#include "tests/unit/cm.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

static time_t now;
static char folder[64];
static const char *variable; /* the one that is set, to `folder` */

static time_t get_now(void *ctx) {
    (void)ctx;
    return now;
}

static const char *get_env(void *ctx, const char *name) {
    (void)ctx;
    return cstr_eq(name, variable) ? folder : NULL;
}

static const struct run run = {.now = get_now, .env = get_env};

static int setup(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/berth-cache-XXXXXX");
    now = 1000000;
    variable = "BERTH_CACHE_DIR";
    return mkdtemp(folder) == NULL ? -1 : 0;
}

/* The only file of the cache. */
static void only_file(const struct cache *cache, char *path, size_t size) {
    DIR *dir = opendir(cache->dir);
    const struct dirent *entry;
    size_t n = 0;
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.') {
            snprintf(path, size, "%s/%s", cache->dir, entry->d_name);
            n++;
        }
    closedir(dir);
    assert_int_equal(n, 1);
}

static int teardown(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command); /* NOLINT(cert-env33-c): a folder that this test made */
}

static bool has(const struct cache *cache, const char *endpoint, const char *region,
                const char *what, const char *value) {
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_LARGE);
    bool found = cache_get(cache, endpoint, region, what, CACHE_DAY_S, &out);
    if (found)
        assert_string_equal(buf_cstr(&out), value);
    else
        assert_int_equal(out.len, 0);
    return found;
}

static void test_keys(void **state) {
    (void)state;
    struct cache cache;
    cache_init(&run, &cache);
    assert_false(has(&cache, NULL, "eu-west-1", "price t3.small", ""));
    cache_put(&cache, NULL, "eu-west-1", "price t3.small", STR("0.0208\n\n2"));
    assert_true(has(&cache, NULL, "eu-west-1", "price t3.small", "0.0208\n\n2"));
    assert_false(has(&cache, NULL, "eu-west-1", "price t3.smal", ""));
    assert_false(has(&cache, NULL, "us-east-1", "price t3.small", ""));
    assert_false(has(&cache, "http://127.0.0.1:1", "eu-west-1", "price t3.small", ""));
    cache_put(&cache, NULL, "eu-west-1", "price t3.small", STR(""));
    assert_true(has(&cache, NULL, "eu-west-1", "price t3.small", ""));

    char path[2048];
    struct stat st;
    only_file(&cache, path, sizeof path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(cache.dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}

static void test_age(void **state) {
    (void)state;
    struct cache cache;
    cache_init(&run, &cache);
    cache_put(&cache, NULL, "r", "w", STR("v"));
    now += CACHE_DAY_S - 1;
    assert_true(has(&cache, NULL, "r", "w", "v"));
    now += 1;
    assert_false(has(&cache, NULL, "r", "w", ""));
    now -= CACHE_DAY_S + 1; /* a clock that was set back: who knows how old it is */
    assert_false(has(&cache, NULL, "r", "w", ""));
}

/* Every prefix of the file, every byte of it changed, and a folder in its place. */
static void test_damage(void **state) {
    (void)state;
    struct cache cache;
    struct err err = {0};
    char path[2048];
    cache_init(&run, &cache);
    cache_put(&cache, NULL, "r", "w", STR("value"));
    only_file(&cache, path, sizeof path);
    _cleanup_buf_ struct buf whole = BUF_INIT(BUF_SMALL);
    assert_int_equal(fs_read(path, &whole, &err), 0);
    for (size_t len = 0; len < whole.len; len++) {
        assert_int_equal(fs_write(path, (struct str){whole.ptr, len}, 0600, &err), 0);
        assert_false(has(&cache, NULL, "r", "w", ""));
    }
    for (size_t i = 0; i < whole.len; i++) {
        if (whole.ptr[i] >= '0' && whole.ptr[i] <= '9' && i < 26)
            continue; /* another time is a good one */
        whole.ptr[i] ^= 1;
        assert_int_equal(fs_write(path, buf_str(&whole), 0600, &err), 0);
        assert_false(has(&cache, NULL, "r", "w", ""));
        whole.ptr[i] ^= 1;
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_false(has(&cache, NULL, "r", "w", ""));
    cache_put(&cache, NULL, "r", "w", STR("value")); /* does no harm */
    assert_false(has(&cache, NULL, "r", "w", ""));
}

static void test_places(void **state) {
    (void)state;
    struct cache cache;
    variable = "XDG_CACHE_HOME";
    cache_init(&run, &cache);
    cache_put(&cache, NULL, "r", "w", STR("x"));
    variable = "HOME";
    cache_init(&run, &cache);
    assert_false(has(&cache, NULL, "r", "w", ""));
    cache_put(&cache, NULL, "r", "w", STR("h"));
    variable = "XDG_CACHE_HOME";
    cache_init(&run, &cache);
    assert_true(has(&cache, NULL, "r", "w", "x"));

    variable = "none"; /* nowhere to keep it */
    cache_init(&run, &cache);
    cache_put(&cache, NULL, "r", "w", STR("n"));
    assert_false(has(&cache, NULL, "r", "w", ""));
    variable = "HOME"; /* a path that is not a folder's */
    snprintf(folder + strlen(folder), sizeof folder - strlen(folder), "/.cache/berth/answers");
    char *end = strstr(folder, "/.cache");
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    closedir(dir);
    *end = '\0';
}

static void test_huge(void **state) {
    (void)state;
    struct cache cache;
    cache_init(&run, &cache);
    char *big = calloc(1, CACHE_VALUE_MAX + 1);
    assert_non_null(big);
    cache_put(&cache, NULL, "r", "w", (struct str){big, CACHE_VALUE_MAX + 1});
    assert_false(has(&cache, NULL, "r", "w", ""));
    free(big);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_age, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_places, setup, teardown),
        cmocka_unit_test_setup_teardown(test_huge, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
