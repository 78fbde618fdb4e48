/* server[N].files[TO]: a file or a folder, by content hash and mode. */
#include "providers/host/internal.h"
#include "providers/host/tar.h"
#include "specs/fs.h"
#include "specs/sections/sections.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORD struct host_files_record

static const struct field fields[] = {
    {.name = "to", .doc = "Path on the server.", .type = FIELD_STR, .offset = offsetof(RECORD, to)},
    {.name = "entries",
     .doc = "Files with their modes and hashes.",
     .type = FIELD_MAP,
     .offset = offsetof(RECORD, entries)},
    FIELD_END,
};

static int ask(const struct spec *spec, struct inputs *inputs) {
    const struct reclist *files = spec_files(spec);
    const struct file_item *items = files->items;
    for (size_t i = 0; i < files->len; i++) {
        char path[64];
        snprintf(path, sizeof path, "files[%zu].from", i);
        int rc = inputs_ask(inputs, INPUT_TREE, items[i].from, path, true);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* A folder's file keeps its bits for the owner and gives the rest no write. */
static unsigned mode_of(const struct file_item *item, const struct input_entry *entry) {
    if (item->mode != NULL)
        return (unsigned)strtoul(item->mode, NULL, 8);
    return entry->mode & 0755;
}

struct filling {
    const struct file_item *item;
    struct diags *diags;
};

/* The probe asks a path a line, and sha256sum escapes what is odd. */
static bool is_plain(const char *path) {
    for (; *path != '\0'; path++)
        if ((unsigned char)*path < 0x20 || *path == 0x7f || *path == '\\')
            return false;
    return true;
}

static int fill(const struct desire *in, struct node *node, struct arena *arena, void *ctx) {
    const struct filling *f = ctx;
    const struct file_item *item = f->item;
    const struct input *tree = inputs_get(in->inputs, INPUT_TREE, item->from);
    RECORD *r = node->desired;
    r->to = item->to;
    node->extra = tree;
    for (size_t i = 0; tree != NULL && i < tree->entries_len; i++) {
        const struct input_entry *e = &tree->entries[i];
        const char *value = arena_printf(arena, "%03o %s", mode_of(item, e), e->sha256);
        if (!is_plain(e->path))
            diag_add(f->diags, spec_mark(in->spec, tree->spec_path), "rename it",
                     "a file in %s has a control character or a backslash in its name", item->from);
        else if (value == NULL ||
                 strmap_set(arena, &r->entries, e->path[0] == '\0' ? "." : e->path, value) < 0)
            return -ERRC_NOMEM;
    }
    return 0;
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    static const char *const deps[] = {"host_key", NULL};
    const struct reclist *files = spec_files(in->spec);
    const struct file_item *items = files->items;
    for (size_t i = 0; i < files->len; i++) {
        struct filling filling = {&items[i], diags};
        const char *what = arena_printf(out->arena, "files[%s]", items[i].to);
        int rc = what == NULL
                     ? -ERRC_NOMEM
                     : host_desire_each(in, out, &host_files_kind, what, deps, fill, &filling);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* "." stands for the path itself, when it is a file. */
static const char *path_of(const struct host_node *node, const char *to, const char *entry) {
    const char *base = host_path(node->arena, node->connection->endpoint.user, to);
    return base == NULL || strcmp(entry, ".") == 0
               ? base
               : arena_printf(node->arena, "%s/%s", base, entry);
}

static const char *entry_key(const RECORD *r, size_t i) { return r->entries.items[i].key; }

/* Those that are wanted, and those that berth once wrote. */
static int probe(const struct host_node *node, struct buf *script) {
    const RECORD *const records[] = {node->desired, node->recorded};
    buf_adds(script, "hash_files <<'BERTH_END'\n");
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; records[k] != NULL && i < records[k]->entries.len; i++) {
            const char *key = entry_key(records[k], i);
            const char *path = path_of(node, records[k]->to, key);
            if (path == NULL)
                return -ERRC_NOMEM;
            if (is_plain(path) &&
                (k == 0 || records[0] == NULL || strmap_get(&records[0]->entries, key) == NULL))
                buf_addf(script, "%s\n", path);
        }
    }
    buf_adds(script, "BERTH_END\n");
    return 0;
}

/* What is there of those entries, as "MODE SHA256". */
static int read_entries(const struct host_node *node, const struct facts *facts, const RECORD *from,
                        RECORD *to) {
    for (size_t i = 0; from != NULL && i < from->entries.len; i++) {
        const char *key = entry_key(from, i);
        const char *path = path_of(node, from->to, key);
        const char *sha_key = path == NULL ? NULL : arena_printf(node->arena, "sha:%s", path);
        const char *mode_key = path == NULL ? NULL : arena_printf(node->arena, "mode:%s", path);
        if (sha_key == NULL || mode_key == NULL)
            return -ERRC_NOMEM;
        const char *sha = facts_get(facts, node->address, sha_key);
        const char *mode = facts_get(facts, node->address, mode_key);
        int64_t octal = 0;
        if (sha == NULL || mode == NULL || !str_to_i64(str_of(mode), 0, 7777, &octal))
            continue;
        const char *value = arena_printf(node->arena, "%03d %s", (int)octal, sha);
        if (value == NULL || strmap_set(node->arena, &to->entries, key, value) < 0)
            return -ERRC_NOMEM;
    }
    return 0;
}

static int read(const struct host_node *node, const struct facts *facts, void *record,
                enum presence *ret, struct err *err) {
    (void)err;
    RECORD *r = record;
    const RECORD *want = node->desired != NULL ? node->desired : node->recorded;
    r->to = want->to;
    int rc = read_entries(node, facts, node->recorded, r);
    if (rc == 0 && want != node->recorded)
        rc = read_entries(node, facts, want, r);
    strmap_sort(&r->entries);
    /* A run that was cut off from its host has done it, perhaps. */
    bool all =
        node->desired != NULL && want->entries.len > 0 && strmap_equal(&want->entries, &r->entries);
    *ret = node->recorded == NULL && !all ? LIVE_NONE : LIVE_OURS;
    return rc;
}

static int compare_path(const void *path, const void *entry) {
    return strcmp(path, ((const struct input_entry *)entry)->path);
}

static const struct input_entry *entry_of(const struct input *tree, const char *key) {
    return tree->entries_len == 0 ? NULL
                                  : bsearch(strcmp(key, ".") == 0 ? "" : key, tree->entries,
                                            tree->entries_len, sizeof *tree->entries, compare_path);
}

static int remove_gone(struct host_step *s, const RECORD *before, const RECORD *after,
                       struct buf *script) {
    for (size_t i = 0; before != NULL && i < before->entries.len; i++) {
        const char *key = before->entries.items[i].key;
        if (after != NULL && strmap_get(&after->entries, key) != NULL)
            continue;
        const char *path = path_of(s->node, before->to, key);
        if (path == NULL)
            return -ERRC_NOMEM;
        buf_adds(script, "rm -f ");
        shell_quote(script, path);
        buf_addc(script, '\n');
    }
    return 0;
}

/* What differs goes into one archive. */
static int pack(struct host_step *s, const struct input *tree, struct buf *tar, struct err *err) {
    const RECORD *before = s->change->live == NULL ? NULL : s->change->live->record;
    const RECORD *after = s->after;
    for (size_t i = 0; i < after->entries.len; i++) {
        const struct strpair *p = &after->entries.items[i];
        if (before != NULL && cstr_eq(strmap_get(&before->entries, p->key), p->value))
            continue;
        const struct input_entry *entry = tree == NULL ? NULL : entry_of(tree, p->key);
        const char *path = path_of(s->node, after->to, p->key);
        _cleanup_buf_ struct buf content = BUF_INIT(BUF_LARGE);
        if (entry == NULL || path == NULL)
            return err_set(err, ERRC_INTERNAL, "no content for %s", p->key);
        int rc = fs_read(entry->local_path, &content, err);
        if (rc < 0)
            return rc;
        tar_add(tar, path + 1, (unsigned)strtoul(p->value, NULL, 8), buf_str(&content));
    }
    if (tar->len > 0)
        tar_end(tar);
    return tar->failed ? err_set(err, ERRC_LIMIT, "files: more than %d MiB at once",
                                 (int)(tar->max / 1024 / 1024))
                       : 0;
}

static int step(struct host_step *s, struct buf *script, struct err *err) {
    const RECORD *after = s->after;
    const char *user = s->node->connection->endpoint.user;
    /* Files that berth once wrote and the spec no longer has are berth's to remove. */
    const RECORD *old = s->change->recorded == NULL ? NULL : s->change->recorded->record;
    _cleanup_buf_ struct buf tar = BUF_INIT(BUF_LARGE);
    if (remove_gone(s, old, after, script) < 0)
        return err_set(err, ERRC_NOMEM, "out of memory");
    if (after == NULL)
        return 0;
    int rc = pack(s, s->node->extra, &tar, err);
    if (rc < 0)
        return rc;
    const char *base = path_of(s->node, after->to, ".");
    bool home = after->to[0] == '~';
    bool one_file = strmap_get(&after->entries, ".") != NULL;
    if (base == NULL)
        return err_set(err, ERRC_NOMEM, "out of memory");
    if (home) {
        buf_addf(script, "home_dirs %s ", user);
        shell_quote(script, base);
        buf_adds(script, one_file ? "\n" : "/.\n");
    } else if (!one_file) {
        buf_adds(script, "mkdir -p ");
        shell_quote(script, base);
        buf_addc(script, '\n');
    }
    if (tar.len == 0)
        return 0;
    /* In a home everything is the user's, also folders that have to be made. */
    if (home)
        buf_addf(script, "base64 -d <<'BERTH_END' | runuser -u %s -- tar -xpm -C / -f -\n", user);
    else
        buf_adds(script, "base64 -d <<'BERTH_END' | tar -xpm --no-same-owner -C / -f -\n");
    buf_add_base64(script, tar.ptr, tar.len);
    buf_adds(script, "\nBERTH_END\n");
    return 0;
}

const struct kind host_files_kind = {
    .name = "server.files",
    .world = &host_world,
    .fields = fields,
    .size = sizeof(RECORD),
    .ask = ask,
    .desire = desire,
    .batch = host_batch,
};

const struct host_kind host_files_host = {
    .kind = &host_files_kind,
    .probe = probe,
    .read = read,
    .step = step,
};
