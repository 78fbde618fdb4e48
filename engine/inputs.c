#include "engine/inputs.h"

#include "specs/fs.h"
#include "specs/hash.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { TREE_ENTRIES_MAX = 10000, TREE_DEPTH = 32 };

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

static int load_file(struct inputs *inputs, struct input *in, const char *path, struct err *err) {
    struct buf bytes = BUF_INIT(INPUT_FILE_BYTES_MAX);
    int rc = path == NULL ? err_set(err, ERRC_NOMEM, "out of memory") : fs_read(path, &bytes, err);
    if (rc == 0) {
        char hex[SHA256_HEX_SIZE];
        sha256_hex(buf_str(&bytes), hex);
        in->sha256 = arena_dup(inputs->arena, hex);
        rc = secret_set(&in->content, buf_str(&bytes));
        in->found = rc == 0;
    } else if (rc == -ERRC_NOTFOUND) {
        rc = 0;
    }
    if (bytes.ptr != NULL)
        memset(bytes.ptr, 0, bytes.len);
    buf_free(&bytes);
    return rc;
}

struct walk {
    struct arena *arena;
    struct input *in;
    size_t cap;
};

static int add_entry(struct walk *w, const char *local, const char *relative, const struct stat *st,
                     struct err *err) {
    struct input *in = w->in;
    if (in->entries_len == TREE_ENTRIES_MAX)
        return err_set(err, ERRC_LIMIT, "%s has more than %d files", in->name, TREE_ENTRIES_MAX);
    if (in->entries_len == w->cap) {
        size_t cap = w->cap == 0 ? 16 : w->cap * 2;
        struct input_entry *items = arena_calloc(w->arena, cap, sizeof *items);
        if (items == NULL)
            return err_set(err, ERRC_NOMEM, "out of memory");
        if (in->entries_len > 0)
            memcpy(items, in->entries, in->entries_len * sizeof *items);
        in->entries = items;
        w->cap = cap;
    }
    _cleanup_buf_ struct buf bytes = BUF_INIT(BUF_LARGE);
    int rc = fs_read(local, &bytes, err);
    if (rc < 0)
        return rc;
    char hex[SHA256_HEX_SIZE];
    sha256_hex(buf_str(&bytes), hex);
    in->entries[in->entries_len++] = (struct input_entry){
        .path = arena_dup(w->arena, relative),
        .sha256 = arena_dup(w->arena, hex),
        .local_path = arena_dup(w->arena, local),
        .size_bytes = (int64_t)st->st_size,
        .mode = st->st_mode & 0777,
    };
    return 0;
}

static int walk_tree(struct walk *w, const char *local, const char *relative, int depth,
                     struct err *err) {
    struct stat st;
    if (stat(local, &st) < 0)
        return err_set_errno(err, ERRC_IO, errno, "read %s", local);
    if (S_ISREG(st.st_mode))
        return add_entry(w, local, relative, &st, err);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, ERRC_INVALID, "%s is neither a file nor a folder", local);
    if (depth == TREE_DEPTH)
        return err_set(err, ERRC_LIMIT, "%s is nested too deep", local);
    DIR *dir = opendir(local);
    if (dir == NULL)
        return err_set_errno(err, ERRC_IO, errno, "open %s", local);
    int rc = 0;
    const struct dirent *entry;
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            strcmp(entry->d_name, ".ipynb_checkpoints") == 0)
            continue;
        const char *path = arena_printf(w->arena, "%s/%s", local, entry->d_name);
        const char *name = relative[0] == '\0'
                               ? arena_dup(w->arena, entry->d_name)
                               : arena_printf(w->arena, "%s/%s", relative, entry->d_name);
        rc = path == NULL || name == NULL ? err_set(err, ERRC_NOMEM, "out of memory")
                                          : walk_tree(w, path, name, depth + 1, err);
    }
    closedir(dir);
    return rc;
}

static int compare_entries(const void *a, const void *b) {
    return strcmp(((const struct input_entry *)a)->path, ((const struct input_entry *)b)->path);
}

static int load_tree(struct inputs *inputs, struct input *in, const char *path, struct err *err) {
    if (path == NULL)
        return err_set(err, ERRC_NOMEM, "out of memory");
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    path = arena_dup_str(inputs->arena, (struct str){path, len});
    if (path == NULL || !fs_exists(path))
        return 0;
    struct walk w = {inputs->arena, in, 0};
    int rc = walk_tree(&w, path, "", 0, err);
    if (rc < 0)
        return rc;
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
        return load_file(inputs, in,
                         arena_printf(inputs->arena, "%s/%s", source->project_dir, in->name), err);
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
    }
    return err_set(err, ERRC_INTERNAL, "input %s has no type", in->name);
}

int inputs_load(struct inputs *inputs, const struct inputs_source *source, struct err *err) {
    for (size_t i = 0; i < inputs->len; i++) {
        int rc = load_one(inputs, &inputs->items[i], source, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}
