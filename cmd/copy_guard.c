#include "cmd/copy_guard.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* GNU tar's header (its manual, "Basic Tar Format"), as far as it matters here. */
enum {
    NAME_AT = 0,
    NAME_LEN = 100,
    SIZE_AT = 124,
    SIZE_LEN = 12,
    SUM_AT = 148,
    SUM_LEN = 8,
    TYPE_AT = 156,
    LINK_AT = 157,
    MAGIC_AT = 257,
    BINARY = 0x80, /* the first byte of a number that is not octal text */
};

static const char magic[] = "ustar  "; /* with its NUL: no prefix, no extended header */

/* One row a type of entry: what find(1) calls what it makes. */
static const struct member {
    char type;
    const char *listed; /* any of these */
    bool has_content, links;
} members[] = {
    {'0', "f", true, false},
    {'5', "d", false, false},
    {'2', "l", false, false},
    {'1', "fl", false, true}, /* the second name of a file that came before */
};

void copy_guard_init(struct copy_guard *guard, const struct copy_entries *listed) {
    *guard = (struct copy_guard){
        .listed = listed, .name = BUF_INIT(GUARD_NAME_MAX), .link = BUF_INIT(GUARD_NAME_MAX)};
}

void copy_guard_free(struct copy_guard *guard) {
    buf_free(&guard->name);
    buf_free(&guard->link);
}

static int refuse(const char *what, const char *name, struct err *err) {
    err_set(err, ERRC_HOST, "the server sent %s: %.200s", what, name);
    err_hint(err,
             "it may have changed meanwhile: the same command tries again; if not, see who else "
             "is on that server: berth ssh");
    return -ERRC_HOST;
}

static int by_path(const void *path, const void *entry) {
    return strcmp(path, ((const struct copy_entry *)entry)->path);
}

/* Is it listed, as one of these types? */
static bool is_listed(const struct copy_guard *g, const char *path, const char *types) {
    const struct copy_entries *e = g->listed;
    const struct copy_entry *found =
        e->len == 0 ? NULL : bsearch(path, e->items, e->len, sizeof *e->items, by_path);
    return found != NULL && strchr(types, found->type) != NULL;
}

/* And all folders that it lies in, as folders? `path` may be written to meanwhile. */
static bool is_inside(const struct copy_guard *g, char *path, const char *types) {
    for (char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool folder = is_listed(g, path, "d");
        *slash = '/';
        if (!folder)
            return false;
    }
    return is_listed(g, path, types);
}

static bool read_octal(const char *text, size_t len, int64_t *ret) {
    int64_t value = 0;
    size_t i = 0;
    while (i < len && text[i] == ' ')
        i++;
    size_t from = i;
    for (; i < len && text[i] >= '0' && text[i] <= '7'; i++)
        value = value * 8 + (text[i] - '0'); /* 12 digits have 36 bits */
    bool any = i > from;
    while (i < len && (text[i] == ' ' || text[i] == '\0'))
        i++;
    *ret = value;
    return any && i == len;
}

static bool read_size(const char *block, int64_t *ret) {
    const unsigned char *text = (const unsigned char *)block + SIZE_AT;
    if (text[0] != BINARY)
        return read_octal(block + SIZE_AT, SIZE_LEN, ret);
    int64_t value = 0;
    for (size_t i = 1; i < SIZE_LEN; i++) {
        if (value > (INT64_MAX - GUARD_BLOCK) >> 8)
            return false;
        value = value << 8 | text[i];
    }
    *ret = value;
    return value <= INT64_MAX - GUARD_BLOCK;
}

static bool has_sum(const char *block) {
    int64_t said, sum = 0;
    for (size_t i = 0; i < GUARD_BLOCK; i++)
        sum += i >= SUM_AT && i < SUM_AT + SUM_LEN ? ' ' : (unsigned char)block[i];
    return read_octal(block + SUM_AT, SUM_LEN, &said) && said == sum;
}

static bool is_zero(const char *block) {
    return block[0] == '\0' && memcmp(block, block + 1, GUARD_BLOCK - 1) == 0;
}

/* Its name, or the longer one that came before it. */
static int take_name(struct buf *out, const char *field, struct err *err) {
    if (out->len == 0)
        buf_add(out, field, strnlen(field, NAME_LEN));
    if (out->failed)
        return err_no_memory(err);
    return memchr(buf_cstr(out), '\0', out->len) == NULL ? 0 : refuse("a broken name", "", err);
}

static int check_member(struct copy_guard *g, const struct member *m, int64_t size,
                        struct err *err) {
    int rc = take_name(&g->name, g->block + NAME_AT, err);
    if (rc == 0 && m->links)
        rc = take_name(&g->link, g->block + LINK_AT, err);
    if (rc < 0)
        return rc;
    if (m->type == '5') /* a folder's ends with a slash */
        while (g->name.len > 1 && g->name.ptr[g->name.len - 1] == '/')
            g->name.ptr[--g->name.len] = '\0';
    if (size > 0 && !m->has_content)
        return refuse("content where none can be", buf_cstr(&g->name), err);
    if (g->name.len == 0 || !is_inside(g, g->name.ptr, m->listed) ||
        (m->links && (g->link.len == 0 || !is_inside(g, g->link.ptr, m->listed))))
        return refuse("what it had not listed", buf_cstr(&g->name), err);
    buf_reset(&g->name);
    buf_reset(&g->link);
    return 0;
}

static int begin_long_name(struct copy_guard *g, struct buf *out, int64_t size, struct err *err) {
    if (size < 2 || size > GUARD_NAME_MAX || out->len > 0)
        return refuse("a broken name", "", err);
    g->long_name = out;
    return 0;
}

static int take_header(struct copy_guard *g, struct err *err) {
    int64_t size;
    g->ended = is_zero(g->block);
    if (g->ended)
        return 0;
    if (!has_sum(g->block) || memcmp(g->block + MAGIC_AT, magic, sizeof magic) != 0 ||
        !read_size(g->block, &size))
        return refuse("something else than an archive", "", err);
    const char type = g->block[TYPE_AT];
    int rc = -1;
    if (type == 'L' || type == 'K') {
        rc = begin_long_name(g, type == 'L' ? &g->name : &g->link, size, err);
    } else {
        const struct member *m = members;
        const struct member *end = members + sizeof members / sizeof members[0];
        while (m < end && m->type != type)
            m++;
        rc = m == end ? refuse("neither a file nor a folder nor a link", g->block, err)
                      : check_member(g, m, size, err);
    }
    g->skip = (size + GUARD_BLOCK - 1) / GUARD_BLOCK * GUARD_BLOCK;
    return rc;
}

/* Padding and the NUL at a name's end are no part of it. */
static int end_long_name(struct copy_guard *g, struct err *err) {
    struct buf *name = g->long_name;
    while (name->len > 0 && name->ptr[name->len - 1] == '\0')
        name->len--;
    g->long_name = NULL;
    return name->len > 0 ? 0 : refuse("a broken name", "", err);
}

static int pass_content(struct copy_guard *g, const char *bytes, size_t len, struct err *err) {
    if (g->long_name != NULL)
        buf_add(g->long_name, bytes, len);
    if (g->long_name != NULL && g->long_name->failed)
        return refuse("a broken name", "", err);
    g->skip -= (int64_t)len;
    return g->skip == 0 && g->long_name != NULL ? end_long_name(g, err) : 0;
}

int copy_guard_look(struct copy_guard *g, const char *bytes, size_t len, struct err *err) {
    int rc = 0;
    while (rc == 0 && len > 0 && !g->ended) { /* what comes behind the end is not read */
        size_t n = GUARD_BLOCK - g->have;
        if (g->skip > 0)
            n = g->skip < (int64_t)len ? (size_t)g->skip : len;
        n = n < len ? n : len;
        if (g->skip > 0) {
            rc = pass_content(g, bytes, n, err);
        } else {
            memcpy(g->block + g->have, bytes, n);
            g->have = (g->have + n) % GUARD_BLOCK;
            if (g->have == 0)
                rc = take_header(g, err);
        }
        bytes += n;
        len -= n;
    }
    return rc;
}

int copy_guard_folders(const char *root, const struct copy_entries *listed, struct err *err) {
    for (size_t i = 0; i < listed->len; i++) {
        char path[PATH_MAX];
        struct stat st;
        if (i > 0 && strcmp(listed->items[i - 1].path, listed->items[i].path) == 0)
            return refuse("one name twice", listed->items[i].path, err);
        if (listed->items[i].type != 'd')
            continue;
        if (snprintf(path, sizeof path, "%s/%s", root, listed->items[i].path) >= (int)sizeof path)
            return err_set(err, ERRC_LIMIT, "a path in %s is too long", root);
        if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode) && unlink(path) < 0)
            return err_set_errno(err, ERRC_IO, errno, "remove the link %s", path);
    }
    return 0;
}
