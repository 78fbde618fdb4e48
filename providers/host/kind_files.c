/* server[N].files[TO]: a file or a folder, by content hash and mode. */
#include "providers/host/internal.h"
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

static int fill(const struct desire *in, struct node *node, struct arena *arena, void *ctx) {
    const struct file_item *item = ctx;
    const struct input *tree = inputs_get(in->inputs, INPUT_TREE, item->from);
    RECORD *r = node->desired;
    r->to = item->to;
    node->extra = tree;
    for (size_t i = 0; tree != NULL && i < tree->entries_len; i++) {
        const struct input_entry *e = &tree->entries[i];
        const char *value = arena_printf(arena, "%03o %s", mode_of(item, e), e->sha256);
        if (value == NULL ||
            strmap_set(arena, &r->entries, e->path[0] == '\0' ? "." : e->path, value) < 0)
            return -ERRC_NOMEM;
    }
    return 0;
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    (void)diags;
    static const char *const deps[] = {"host_key", NULL};
    const struct reclist *files = spec_files(in->spec);
    const struct file_item *items = files->items;
    for (size_t i = 0; i < files->len; i++) {
        const char *what = arena_printf(out->arena, "files[%s]", items[i].to);
        int rc = what == NULL ? -ERRC_NOMEM
                              : host_desire_each(in, out, &host_files_kind, what, deps, fill,
                                                 (void *)&items[i]);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* "." stands for the path itself, when it is a file. */
static const char *path_of(const struct host_node *node, const char *to, const char *entry) {
    const char *base = remote_path(node->arena, node->connection->endpoint.user, to);
    return base == NULL || strcmp(entry, ".") == 0
               ? base
               : arena_printf(node->arena, "%s/%s", base, entry);
}

static int probe(const struct host_node *node, struct buf *script) {
    const RECORD *r = node->desired != NULL ? node->desired : node->recorded;
    buf_adds(script, "hash_files <<'BERTH_END'\n");
    for (size_t i = 0; i < r->entries.len; i++) {
        const char *path = path_of(node, r->to, r->entries.items[i].key);
        if (path == NULL)
            return -ERRC_NOMEM;
        /* A file whose name has a line break in it cannot be asked about line by line. */
        if (strchr(path, '\n') == NULL)
            buf_addf(script, "%zu %s\n", i, path);
    }
    buf_adds(script, "BERTH_END\n");
    return 0;
}

static int read(const struct host_node *node, const struct facts *facts, void *record,
                enum presence *ret, struct err *err) {
    (void)err;
    RECORD *r = record;
    const RECORD *want = node->desired != NULL ? node->desired : node->recorded;
    r->to = want->to;
    *ret = node->recorded == NULL ? LIVE_NONE : LIVE_OURS;
    for (size_t i = 0; i < want->entries.len; i++) {
        char key[32];
        snprintf(key, sizeof key, "%zu", i);
        const char *value = facts_get(facts, node->address, key);
        if (value != NULL &&
            strmap_set(node->arena, &r->entries, want->entries.items[i].key, value) < 0)
            return -ERRC_NOMEM;
    }
    return 0;
}

static const struct input_entry *entry_of(const struct input *tree, const char *key) {
    for (size_t i = 0; i < tree->entries_len; i++)
        if (cstr_eq(tree->entries[i].path, strcmp(key, ".") == 0 ? "" : key))
            return &tree->entries[i];
    return NULL;
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

static int step(struct host_step *s, struct buf *script, struct err *err) {
    const RECORD *before = s->before;
    const RECORD *after = s->after;
    const struct input *tree = s->node->extra;
    const char *user = s->node->connection->endpoint.user;
    /* Files that berth once wrote and the spec no longer has are berth's to remove. */
    const RECORD *old = s->change->recorded == NULL ? NULL : s->change->recorded->record;
    if (remove_gone(s, old, after, script) < 0)
        return err_set(err, ERRC_NOMEM, "out of memory");
    for (size_t i = 0; after != NULL && i < after->entries.len; i++) {
        const struct strpair *p = &after->entries.items[i];
        if (before != NULL && s->change->live != NULL &&
            cstr_eq(strmap_get(&before->entries, p->key), p->value))
            continue;
        const struct input_entry *entry = tree == NULL ? NULL : entry_of(tree, p->key);
        const char *path = path_of(s->node, after->to, p->key);
        _cleanup_buf_ struct buf content = BUF_INIT(BUF_LARGE);
        if (entry == NULL || path == NULL)
            return err_set(err, ERRC_INTERNAL, "no content for %s", p->key);
        int rc = fs_read(entry->local_path, &content, err);
        if (rc < 0)
            return rc;
        char mode[8];
        snprintf(mode, sizeof mode, "%.3s", p->value);
        bool home = after->to[0] == '~';
        if (home)
            buf_addf(script, "home_dirs %s ", user);
        if (home) {
            shell_quote(script, path);
            buf_addc(script, '\n');
        }
        shell_write_file(script, path, buf_str(&content), home ? user : "root", mode);
    }
    return 0;
}

const struct kind host_files_kind = {
    .name = "server.files",
    .world = &host_world,
    .fields = fields,
    .size = sizeof(RECORD),
    .noun = "files",
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
