#include "engine/inputs.h"

#include "engine/compile.h"
#include "specs/fs.h"
#include "specs/hash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    TREE_ENTRIES_MAX = 10000,
    TREE_DEPTH = 32,
    TREE_TOTAL_BYTES_MAX = BUF_LARGE, /* it is sent in one piece */
};

static const char *local_path(struct arena *arena, const struct inputs_source *source,
                              const char *name) {
    if (name[0] == '/')
        return arena_dup(arena, name);
    if (name[0] == '~' && (name[1] == '/' || name[1] == '\0')) {
        const char *home = source->env(source->env_ctx, "HOME");
        return arena_printf(arena, "%s%s", home == NULL ? "" : home, name + 1);
    }
    return arena_printf(arena, "%s/%s", source->spec_dir, name);
}

static int take_bytes(struct inputs *inputs, struct input *in, struct str bytes) {
    char hex[SHA256_HEX_SIZE];
    sha256_hex(bytes, hex);
    in->sha256 = arena_dup(inputs->arena, hex);
    int rc = in->sha256 == NULL ? -ERRC_NOMEM : secret_set(&in->content, bytes);
    in->found = rc == 0;
    return rc;
}

static int load_file(struct inputs *inputs, struct input *in, const char *path, struct err *err) {
    _cleanup_secret_buf_ struct buf bytes = BUF_INIT(INPUT_FILE_BYTES_MAX);
    int rc = path == NULL ? err_no_memory(err) : fs_read(path, &bytes, err);
    if (rc == 0) {
        rc = take_bytes(inputs, in, buf_str(&bytes));
    } else if (rc == -ERRC_NOTFOUND) {
        rc = 0;
    }
    return rc;
}

static int load_local(struct inputs *inputs, struct input *in, const struct inputs_source *source,
                      struct err *err) {
    const struct input_instead *instead = &source->instead;
    if (!cstr_eq(instead->name, in->name))
        return load_file(inputs, in,
                         arena_printf(inputs->arena, "%s/%s", source->project_dir, in->name), err);
    int rc = instead->content.len == 0 ? 0 : take_bytes(inputs, in, instead->content);
    return rc < 0 ? err_no_memory(err) : 0;
}

struct walk {
    struct arena *arena;
    struct input *in;
    size_t cap;
    size_t visited; /* folders too */
    int64_t bytes;
    char root[PATH_MAX]; /* resolved; links must stay inside */
};

static int add_entry(struct walk *w, struct input_entry entry, struct err *err) {
    struct input *in = w->in;
    struct input_entry *items =
        arena_grow(w->arena, in->entries, in->entries_len, sizeof *items, &w->cap);
    if (items == NULL)
        return err_no_memory(err);
    in->entries = items;
    if (entry.path == NULL || entry.sha256 == NULL || entry.local_path == NULL)
        return err_no_memory(err);
    in->entries[in->entries_len++] = entry;
    return 0;
}

static int hash_open_file(struct walk *w, int fd, const char *local, EVP_MD_CTX *ctx,
                          int64_t *ret_size, struct err *err) {
    unsigned char chunk[16384];
    int64_t size = 0;
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_errno(err, ERRC_IO, errno, "read %s", local);
        if (n == 0)
            break;
        size += n;
        if (w->bytes + size > TREE_TOTAL_BYTES_MAX)
            return err_set(err, ERRC_LIMIT, "%s holds more than %d MiB", w->in->name,
                           TREE_TOTAL_BYTES_MAX / (1024 * 1024));
        if (EVP_DigestUpdate(ctx, chunk, (size_t)n) != 1)
            return err_set(err, ERRC_INTERNAL, "SHA-256 fails");
    }
    w->bytes += size;
    *ret_size = size;
    return 0;
}

/* Piece by piece: files may be large. */
static int hash_file(struct walk *w, const char *local, const char **ret_hex, int64_t *ret_size,
                     struct err *err) {
    unsigned char digest[32];
    _cleanup_buf_ struct buf hex = BUF_INIT(BUF_SMALL);
    int fd = open(local, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, ERRC_IO, errno, "open %s", local);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int rc = ctx == NULL || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1
                 ? err_no_memory(err)
                 : hash_open_file(w, fd, local, ctx, ret_size, err);
    if (rc == 0 && EVP_DigestFinal_ex(ctx, digest, NULL) != 1)
        rc = err_set(err, ERRC_INTERNAL, "SHA-256 fails");
    EVP_MD_CTX_free(ctx);
    close(fd);
    if (rc < 0)
        return rc;
    buf_add_hex(&hex, digest, sizeof digest);
    *ret_hex = arena_dup_str(w->arena, buf_str(&hex));
    return 0;
}

static bool is_inside(const char *path, const char *root) {
    size_t len = strlen(root);
    return strncmp(path, root, len) == 0 &&
           (path[len] == '\0' || path[len] == '/' || strcmp(root, "/") == 0);
}

/* A link may point to what is in the tree anyway, and never to a folder that it stands in. */
static int check_link(const struct walk *w, const char *local, struct err *err) {
    char target[PATH_MAX], folder[PATH_MAX], here[PATH_MAX];
    if (realpath(local, target) == NULL)
        return err_set_errno(err, ERRC_IO, errno, "follow the link %s", local);
    if (!is_inside(target, w->root))
        return err_set(err, ERRC_INVALID, "%s is a link to %s, outside of %s", local, target,
                       w->in->name);
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(local, '/') - local), local);
    if (realpath(folder[0] == '\0' ? "/" : folder, here) == NULL)
        return err_set_errno(err, ERRC_IO, errno, "read %s", folder);
    return is_inside(here, target)
               ? err_set(err, ERRC_INVALID, "%s is a link to a folder that it stands in", local)
               : 0;
}

static int walk_tree(struct walk *w, const char *local, const char *relative, int depth,
                     struct err *err);

static bool is_left_out(const char *name) {
    static const char *const names[] = {".", "..", ".ipynb_checkpoints"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static int walk_folder(struct walk *w, const char *local, const char *relative, int depth,
                       struct err *err) {
    if (depth == TREE_DEPTH)
        return err_set(err, ERRC_LIMIT, "%s is nested too deep", local);
    DIR *dir = opendir(local);
    if (dir == NULL)
        return err_set_errno(err, ERRC_IO, errno, "open %s", local);
    int rc = 0;
    const struct dirent *entry;
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (is_left_out(entry->d_name))
            continue;
        const char *path = arena_printf(w->arena, "%s/%s", local, entry->d_name);
        const char *name = relative[0] == '\0'
                               ? arena_dup(w->arena, entry->d_name)
                               : arena_printf(w->arena, "%s/%s", relative, entry->d_name);
        rc = path == NULL || name == NULL ? err_no_memory(err)
                                          : walk_tree(w, path, name, depth + 1, err);
    }
    closedir(dir);
    return rc;
}

static int walk_tree(struct walk *w, const char *local, const char *relative, int depth,
                     struct err *err) {
    struct stat st;
    if (lstat(local, &st) < 0)
        return err_set_errno(err, ERRC_IO, errno, "read %s", local);
    if (++w->visited > TREE_ENTRIES_MAX)
        return err_set(err, ERRC_LIMIT, "%s has more than %d files", w->in->name, TREE_ENTRIES_MAX);
    if (S_ISLNK(st.st_mode) && depth > 0) {
        int rc = check_link(w, local, err);
        if (rc < 0)
            return rc;
    }
    if (S_ISLNK(st.st_mode) && stat(local, &st) < 0)
        return err_set_errno(err, ERRC_IO, errno, "follow the link %s", local);
    if (S_ISDIR(st.st_mode))
        return walk_folder(w, local, relative, depth, err);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERRC_INVALID, "%s is neither a file nor a folder", local);
    struct input_entry entry = {.path = arena_dup(w->arena, relative),
                                .local_path = arena_dup(w->arena, local),
                                .mode = st.st_mode & 0777};
    int rc = hash_file(w, local, &entry.sha256, &entry.size_bytes, err);
    return rc < 0 ? rc : add_entry(w, entry, err);
}

static int compare_entries(const void *a, const void *b) {
    return strcmp(((const struct input_entry *)a)->path, ((const struct input_entry *)b)->path);
}

static int load_tree(struct inputs *inputs, struct input *in, const char *path, struct err *err) {
    if (path == NULL)
        return err_no_memory(err);
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    path = arena_dup_str(inputs->arena, (struct str){path, len});
    if (path == NULL || !fs_exists(path))
        return 0;
    struct walk w = {.arena = inputs->arena, .in = in};
    if (realpath(path, w.root) == NULL)
        return err_set_errno(err, ERRC_IO, errno, "read %s", path);
    int rc = walk_tree(&w, path, "", 0, err);
    if (rc < 0)
        return rc;
    if (in->entries_len > 0)
        qsort(in->entries, in->entries_len, sizeof *in->entries, compare_entries);
    in->found = true;
    return 0;
}

static int load_one(struct inputs *inputs, struct input *in, const struct inputs_source *source,
                    struct err *err) {
    switch (in->type) {
    case INPUT_FILE:
        return load_file(inputs, in, local_path(inputs->arena, source, in->name), err);
    case INPUT_TREE:
        return load_tree(inputs, in, local_path(inputs->arena, source, in->name), err);
    case INPUT_LOCAL:
        return load_local(inputs, in, source, err);
    case INPUT_ENV: {
        const char *value = source->env(source->env_ctx, in->name);
        in->found = value != NULL;
        return value == NULL ? 0 : secret_set(&in->content, str_of(value));
    }
    case INPUT_MY_IP: {
        char cidr[64];
        int rc = source->my_ip(source->my_ip_ctx, cidr, sizeof cidr, err);
        if (rc < 0)
            return rc;
        in->found = true;
        return secret_set(&in->content, str_of(cidr));
    }
    case INPUT_CLOCK: {
        char text[32];
        in->found = source->now != NULL;
        if (!in->found)
            return 0;
        snprintf(text, sizeof text, "%lld", (long long)source->now(source->clock_ctx));
        return secret_set(&in->content, str_of(text));
    }
    }
    return err_set(err, ERRC_INTERNAL, "input %s has no type", in->name);
}

int inputs_load(struct inputs *inputs, const struct inputs_source *source, struct err *err) {
    for (; inputs->loaded < inputs->len; inputs->loaded++) {
        int rc = load_one(inputs, &inputs->items[inputs->loaded], source, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* It ends: each round asks for more, and there is a most. */
int inputs_gather(struct inputs *inputs, const struct kind *const *kinds, const struct spec *spec,
                  const struct inputs_source *source, struct err *err) {
    int rc;
    size_t before;
    do {
        before = inputs->len;
        rc = compile_ask(kinds, spec, inputs, err);
        if (rc == 0)
            rc = inputs_load(inputs, source, err);
    } while (rc == 0 && inputs->len > before);
    return rc;
}
