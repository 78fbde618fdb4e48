/* server[N].files[TO]: a file or a folder, by content hash, mode and owner. What differs is sent by
 * files_step.c. */
#include "providers/host/files.h"

#include "specs/fs.h"
#include "specs/sections/sections.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORD struct host_files_record

enum { F_TO, F_ENTRIES, F_OWNER, F_EXTRA };
enum { TEXT_MAX = 65536, TEXTS_MAX = 20 }; /* as the probe has it */

static const struct field fields[] = {
    [F_TO] = {.name = "to",
              .doc = "Path on the server.",
              .type = FIELD_STR,
              .offset = offsetof(RECORD, to)},
    [F_ENTRIES] = {.name = "entries",
                   .doc = "Files with their modes and hashes.",
                   .type = FIELD_MAP,
                   .offset = offsetof(RECORD, entries)},
    [F_OWNER] = {.name = "owner",
                 .doc = "Whose they are.",
                 .type = FIELD_STR,
                 .offset = offsetof(RECORD, owner)},
    [F_EXTRA] = {.name = "extra",
                 .doc = "Files there that are not here, which a mirror deletes.",
                 .type = FIELD_LIST,
                 .flags = FIELD_SET,
                 .offset = offsetof(RECORD, extra)},
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
    const struct reclist *files;
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

/* Other files of the spec that lie inside this folder are not its own to delete. */
static int find_inner(const struct filling *f, struct files_extra *extra, struct arena *arena) {
    const struct file_item *items = f->files->items;
    size_t len = strlen(f->item->to);
    while (len > 1 && f->item->to[len - 1] == '/')
        len--;
    for (size_t i = 0; i < f->files->len; i++)
        if (strncmp(items[i].to, f->item->to, len) == 0 && items[i].to[len] == '/' &&
            items[i].to[len + 1] != '\0' && strlist_add(arena, &extra->inner, items[i].to) < 0)
            return -ERRC_NOMEM;
    return 0;
}

static int fill(const struct desire *in, struct node *node, struct arena *arena, void *ctx) {
    const struct filling *f = ctx;
    const struct file_item *item = f->item;
    const struct input *tree = inputs_get(in->inputs, INPUT_TREE, item->from);
    struct files_extra *extra = ARENA_NEW(arena, struct files_extra);
    RECORD *r = node->desired;
    if (extra == NULL || find_inner(f, extra, arena) < 0)
        return -ERRC_NOMEM;
    r->to = item->to;
    extra->tree = tree;
    extra->mirror = item->mirror;
    extra->owner = item->owner;
    node->extra = extra;
    node->unknown = 1u << F_OWNER; /* the login user is the server's to say */
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
    return host_after_data(in, node, arena, item->to);
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    static const char *const deps[] = {"host_key", NULL};
    const struct reclist *files = spec_files(in->spec);
    const struct file_item *items = files->items;
    for (size_t i = 0; i < files->len; i++) {
        struct filling filling = {files, &items[i], diags};
        const char *what = arena_printf(out->arena, "files[%s]", items[i].to);
        int rc = what == NULL
                     ? -ERRC_NOMEM
                     : host_desire_each(in, out, &host_files_kind, what, deps, fill, &filling);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int resolve(const struct node *node, const struct lookup *lookup, struct arena *arena,
                   void *record, uint64_t *unknown) {
    RECORD *r = record;
    const struct files_extra *extra = node->extra;
    struct endpoint e = host_endpoint(node, lookup, arena);
    r->owner = extra->owner;
    if (r->owner == NULL && r->to[0] != '~')
        r->owner = "root";
    if (r->owner == NULL) {
        if (e.user == NULL)
            return 0;
        r->owner = arena_dup(arena, e.user);
    }
    *unknown &= ~(UINT64_C(1) << F_OWNER);
    return r->owner == NULL ? -ERRC_NOMEM : 0;
}

const char *files_path(const struct host_node *node, const char *to, const char *entry) {
    const char *base = host_path(node->arena, node->connection->endpoint.user, to);
    return base == NULL || strcmp(entry, ".") == 0
               ? base
               : arena_printf(node->arena, "%s/%s", base, entry);
}

static const char *entry_key(const RECORD *r, size_t i) { return r->entries.items[i].key; }

static const char dashes[] = "----------------------------------------------------------------";

/* find(1) takes patterns; a path means itself. */
static void add_pattern(struct buf *script, const char *path) {
    _cleanup_buf_ struct buf pattern = BUF_INIT(BUF_SMALL);
    for (; *path != '\0'; path++) {
        if (strchr("*?[]", *path) != NULL)
            buf_addc(&pattern, '\\');
        buf_addc(&pattern, *path);
    }
    script->failed = script->failed || pattern.failed;
    shell_quote(script, buf_cstr(&pattern));
}

/* What else is in the folder of a mirror; Jupyter's own checkpoints are nobody's. */
static int probe_extra(const struct host_node *node, const RECORD *r,
                       const struct files_extra *extra, struct buf *script) {
    const char *base = files_path(node, r->to, ".");
    if (base == NULL)
        return -ERRC_NOMEM;
    buf_adds(script, "base=");
    shell_quote(script, base);
    buf_adds(script, "\nif [ -d \"$base\" ]; then find \"$base\" -mindepth 1 "
                     "\\( -name .ipynb_checkpoints");
    for (size_t i = 0; i < extra->inner.len; i++) {
        const char *path = files_path(node, extra->inner.items[i], ".");
        if (path == NULL)
            return -ERRC_NOMEM;
        buf_adds(script, " -o -path ");
        add_pattern(script, path);
    }
    buf_adds(script, " \\) -prune -o ! -type d ! -name '*[[:cntrl:]\\\\]*' -printf '%P\\n' | "
                     "while IFS= read -r p; do fact there \"$p\"; done; fi\n");
    return 0;
}

/* Those that are wanted, and those that berth once wrote. */
static int probe(const struct host_node *node, struct buf *script) {
    const RECORD *const records[] = {node->desired, node->recorded};
    const struct files_extra *extra = node->extra;
    buf_adds(script, "hash_files <<'BERTH_END'\n");
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; records[k] != NULL && i < records[k]->entries.len; i++) {
            const char *key = entry_key(records[k], i);
            const char *path = files_path(node, records[k]->to, key);
            const char *sha = strchr(records[k]->entries.items[i].value, ' ');
            if (path == NULL)
                return -ERRC_NOMEM;
            if (is_plain(path) &&
                (k == 0 || records[0] == NULL || strmap_get(&records[0]->entries, key) == NULL))
                buf_addf(script, "%s %s\n",
                         k == 0 && sha != NULL && strlen(sha + 1) == strlen(dashes) ? sha + 1
                                                                                    : dashes,
                         path);
        }
    }
    buf_adds(script, "BERTH_END\n");
    bool mirrors = records[0] != NULL && extra != NULL && extra->mirror;
    return mirrors ? probe_extra(node, records[0], extra, script) : 0;
}

/* A fact about the file at `path`, or NULL. */
static const char *fact_of(const struct host_node *node, const struct facts *facts,
                           const char *what, const char *path) {
    const char *key = arena_printf(node->arena, "%s:%s", what, path);
    return key == NULL ? NULL : facts_get(facts, node->address, key);
}

/* What is there of those entries, as "MODE SHA256"; whose they are, where it is not as wanted. */
static int read_entries(const struct host_node *node, const struct facts *facts, const RECORD *from,
                        const char *owner, RECORD *to) {
    for (size_t i = 0; from != NULL && i < from->entries.len; i++) {
        const char *key = entry_key(from, i);
        const char *path = files_path(node, from->to, key);
        if (path == NULL)
            return -ERRC_NOMEM;
        const char *sha = fact_of(node, facts, "sha", path);
        const char *mode = fact_of(node, facts, "mode", path);
        const char *whose = fact_of(node, facts, "owner", path);
        int64_t octal = 0;
        if (sha == NULL || mode == NULL || !str_to_i64(str_of(mode), 0, 7777, &octal))
            continue;
        const char *value = arena_printf(node->arena, "%03d %s", (int)octal, sha);
        if (value == NULL || strmap_set(node->arena, &to->entries, key, value) < 0)
            return -ERRC_NOMEM;
        if (whose != NULL && (to->owner == NULL || cstr_eq(to->owner, owner)))
            to->owner = arena_dup(node->arena, whose);
    }
    return 0;
}

static int read_extra(const struct host_node *node, const struct facts *facts, RECORD *r) {
    const struct files_extra *extra = node->extra;
    const RECORD *desired = node->desired;
    const RECORD *recorded = node->recorded;
    for (size_t i = 0; extra != NULL && extra->mirror && i < facts->len; i++) {
        const struct fact *f = &facts->items[i];
        /* What berth once wrote goes anyway, and shows among the entries. */
        if (strcmp(f->key, "there") == 0 && strcmp(f->node, node->address) == 0 &&
            strmap_get(&desired->entries, f->value) == NULL &&
            (recorded == NULL || strmap_get(&recorded->entries, f->value) == NULL) &&
            strlist_add(node->arena, &r->extra, f->value) < 0)
            return -ERRC_NOMEM;
    }
    strlist_sort(&r->extra);
    return 0;
}

/* Who the owner is to be: as the spec says, or by where it is. */
static const char *owner_of(const struct host_node *node, const RECORD *want) {
    const struct files_extra *extra = node->extra;
    if (extra != NULL && extra->owner != NULL)
        return extra->owner;
    return want->to[0] == '~' ? node->connection->endpoint.user : "root";
}

static int read(const struct host_node *node, const struct facts *facts, void *record,
                enum presence *ret, struct err *err) {
    (void)err;
    RECORD *r = record;
    const RECORD *want = node->desired != NULL ? node->desired : node->recorded;
    const char *owner = owner_of(node, want);
    r->to = want->to;
    int rc = read_entries(node, facts, node->recorded, owner, r);
    if (rc == 0 && want != node->recorded)
        rc = read_entries(node, facts, want, owner, r);
    if (rc == 0)
        rc = read_extra(node, facts, r);
    if (r->owner == NULL)
        r->owner = owner;
    strmap_sort(&r->entries);
    /* A run that was cut off from its host has done it, perhaps. */
    bool all =
        node->desired != NULL && want->entries.len > 0 && strmap_equal(&want->entries, &r->entries);
    *ret = node->recorded == NULL && !all && r->extra.len == 0 ? LIVE_NONE : LIVE_OURS;
    return rc;
}

/* ---- What was edited there, for people to see */

static bool is_text(struct str text) {
    if (memchr(text.ptr, '\0', text.len) != NULL)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < 0x20 && strchr("\n\r\t\f", text.ptr[i]) == NULL)
            return false;
    return true;
}

static const struct input_entry *find_entry(const struct files_extra *extra, const char *key) {
    return extra == NULL || extra->tree == NULL ? NULL : files_entry(extra->tree, key);
}

static int add_text(const struct host_node *node, const struct facts *facts, const char *key,
                    struct live_texts *texts) {
    const RECORD *want = node->desired;
    const char *path = files_path(node, want->to, key);
    const struct input_entry *entry = find_entry(node->extra, key);
    const char *text_key = path == NULL ? NULL : arena_printf(node->arena, "text:%s", path);
    _cleanup_buf_ struct buf there = BUF_INIT(2 * TEXT_MAX);
    _cleanup_buf_ struct buf here = BUF_INIT(TEXT_MAX);
    struct err ignored;
    if (text_key == NULL)
        return -ERRC_NOMEM;
    struct live_text text = {.name = strcmp(key, ".") == 0 ? want->to : key};
    if (!facts_get_base64(facts, node->address, text_key, &there) || entry == NULL ||
        entry->size_bytes > TEXT_MAX || fs_read(entry->local_path, &here, &ignored) < 0)
        text.note = "large: not compared line by line";
    else if (!is_text(buf_str(&there)) || !is_text(buf_str(&here)))
        text.note = "binary";
    if (text.note == NULL) {
        text.before = arena_dup(node->arena, buf_cstr(&there));
        text.after = arena_dup(node->arena, buf_cstr(&here));
        if (text.before == NULL || text.after == NULL)
            return -ERRC_NOMEM;
    }
    texts->items[texts->len++] = text;
    return 0;
}

static int read_texts(const struct host_node *node, const struct facts *facts, const void *record,
                      struct live_texts *ret) {
    const RECORD *live = record;
    const RECORD *want = node->desired;
    const struct live_text *none = NULL;
    ret->items = arena_calloc(node->arena, TEXTS_MAX, sizeof *none);
    if (ret->items == NULL)
        return -ERRC_NOMEM;
    for (size_t i = 0; want != NULL && i < want->entries.len && ret->len < TEXTS_MAX; i++) {
        const struct strpair *p = &want->entries.items[i];
        const char *have = strmap_get(&live->entries, p->key);
        const char *sha = strchr(p->value, ' ');
        if (have == NULL || sha == NULL || cstr_eq(strchr(have, ' '), sha))
            continue;
        int rc = add_text(node, facts, p->key, ret);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static const char *drops(const void *before, const void *after, struct arena *arena) {
    const RECORD *b = before;
    (void)after;
    if (b->extra.len == 0)
        return NULL;
    return b->extra.len == 1
               ? arena_printf(arena, "%s in %s, which is not here", b->extra.items[0], b->to)
               : arena_printf(arena, "%zu files in %s that are not here", b->extra.len, b->to);
}

const struct kind host_files_kind = {
    .name = "server.files",
    .world = &host_world,
    .fields = fields,
    .size = sizeof(RECORD),
    .ask = ask,
    .desire = desire,
    .resolve = resolve,
    .drops = drops,
    .batch = host_batch,
};

const struct host_kind host_files_host = {
    .kind = &host_files_kind,
    .probe = probe,
    .read = read,
    .read_texts = read_texts,
    .step = files_step,
};
