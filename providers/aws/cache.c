#include "providers/aws/cache.h"

#include "specs/fs.h"
#include "specs/hash.h"

#include <stdio.h>
#include <string.h>

enum { PATH_SIZE = 2048, HEAD_SIZE = 256 };

/* First line of a file: what it is, when it was put there, and the hash of what follows. */
#define MAGIC "berth-answer 1 "

void cache_init(const struct run *run, struct cache *ret) {
    static const struct {
        const char *variable, *below;
    } places[] = {{"BERTH_CACHE_DIR", ""}, {"XDG_CACHE_HOME", "/berth"}, {"HOME", "/.cache/berth"}};
    *ret = (struct cache){.run = run};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        const char *base = run->env == NULL ? NULL : run->env(run->env_ctx, places[i].variable);
        if (base == NULL || base[0] == '\0')
            continue;
        int len = snprintf(ret->dir, sizeof ret->dir, "%s%s/answers", base, places[i].below);
        if (base[0] != '/' || len < 0 || (size_t)len >= sizeof ret->dir)
            ret->dir[0] = '\0';
        return;
    }
}

/* The file of a key. False when there is none to be had. */
static bool path_of(const struct cache *cache, const char *endpoint, const char *region,
                    const char *what, char ret[PATH_SIZE]) {
    _cleanup_buf_ struct buf key = BUF_INIT(BUF_SMALL);
    const char *const parts[] = {endpoint == NULL ? "" : endpoint, region, what};
    char hash[SHA256_HEX_SIZE];
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        buf_addf(&key, "%zu:%s", strlen(parts[i]), parts[i]);
    sha256_hex(buf_str(&key), hash);
    snprintf(ret, PATH_SIZE, "%s/%s", cache->dir, hash);
    return cache->dir[0] != '\0' && !key.failed;
}

/* What a file holds, when it is whole and young enough; a view into `file`. */
static bool value_of(struct str file, int64_t oldest, int64_t now, struct str *ret) {
    struct str head, word;
    char hash[SHA256_HEX_SIZE];
    int64_t when;
    if (!str_split(&file, '\n', &head) || file.ptr == NULL || !str_starts(head, STR(MAGIC)))
        return false;
    head.ptr += strlen(MAGIC);
    head.len -= strlen(MAGIC);
    if (!str_split(&head, ' ', &word) || !str_to_i64(word, 0, INT64_MAX, &when))
        return false;
    sha256_hex(file, hash);
    *ret = file;
    return str_eqc(head, hash) && when > oldest && when <= now;
}

bool cache_get(const struct cache *cache, const char *endpoint, const char *region,
               const char *what, int64_t max_age_s, struct buf *out) {
    _cleanup_buf_ struct buf file = BUF_INIT(CACHE_VALUE_MAX + HEAD_SIZE);
    char path[PATH_SIZE];
    struct err ignored;
    struct str value;
    int64_t now = (int64_t)cache->run->now(cache->run->clock_ctx);
    if (!path_of(cache, endpoint, region, what, path) || fs_read(path, &file, &ignored) < 0 ||
        !value_of(buf_str(&file), now - max_age_s, now, &value))
        return false;
    buf_addstr(out, value);
    return !out->failed;
}

void cache_put(const struct cache *cache, const char *endpoint, const char *region,
               const char *what, struct str value) {
    _cleanup_buf_ struct buf file = BUF_INIT(CACHE_VALUE_MAX + HEAD_SIZE);
    char path[PATH_SIZE], hash[SHA256_HEX_SIZE];
    struct err ignored;
    if (value.len > CACHE_VALUE_MAX || !path_of(cache, endpoint, region, what, path))
        return;
    sha256_hex(value, hash);
    buf_addf(&file, MAGIC "%lld %s\n", (long long)cache->run->now(cache->run->clock_ctx), hash);
    buf_addstr(&file, value);
    if (!file.failed && fs_mkdirs(cache->dir, 0700, &ignored) == 0)
        fs_write(path, buf_str(&file), 0600, &ignored);
}
