/* Making files on a host as they are wanted: what differs goes in one archive behind the script. */
#include "providers/host/files.h"

#include "providers/host/stream.h"

#include <stdlib.h>
#include <string.h>

#define RECORD struct host_files_record

static int compare_path(const void *path, const void *entry) {
    return strcmp(path, ((const struct input_entry *)entry)->path);
}

const struct input_entry *files_entry(const struct input *tree, const char *key) {
    return tree->entries_len == 0 ? NULL
                                  : bsearch(strcmp(key, ".") == 0 ? "" : key, tree->entries,
                                            tree->entries_len, sizeof *tree->entries, compare_path);
}

/* "COMMAND" once for all the paths that were added in between; they have no newlines. */
static void begin_paths(struct buf *script, const char *command, const char *word) {
    buf_addf(script, "tr '\\n' '\\0' <<'BERTH_END' | xargs -0 -r %s", command);
    if (word != NULL) {
        buf_addc(script, ' ');
        shell_quote(script, word);
    }
    buf_adds(script, " --\n");
}

static int add_path(struct host_step *s, const char *to, const char *entry, struct buf *script) {
    const char *path = files_path(s->node, to, entry);
    if (path == NULL)
        return -ERRC_NOMEM;
    buf_addf(script, "%s\n", path);
    return 0;
}

/* Somebody's work since it was sent: it stays when all the rest goes. */
static bool is_edited(const struct strpair *sent, const RECORD *live) {
    const char *have = live == NULL ? NULL : strmap_get(&live->entries, sent->key);
    return have != NULL && !cstr_eq(strchr(have, ' '), strchr(sent->value, ' '));
}

/* Files that berth once wrote and the spec no longer has are berth's to remove; what else a mirror
 * has was shown in the plan. */
static int remove_gone(struct host_step *s, struct buf *script) {
    const RECORD *old = s->change->recorded == NULL ? NULL : s->change->recorded->record;
    const RECORD *live = s->change->live == NULL ? NULL : s->change->live->record;
    const RECORD *after = s->after;
    int rc = 0;
    begin_paths(script, "rm -f", NULL);
    for (size_t i = 0; rc == 0 && old != NULL && i < old->entries.len; i++) {
        const char *key = old->entries.items[i].key;
        if (after == NULL ? !is_edited(&old->entries.items[i], live)
                          : strmap_get(&after->entries, key) == NULL)
            rc = add_path(s, old->to, key, script);
    }
    for (size_t i = 0; rc == 0 && after != NULL && live != NULL && i < live->extra.len; i++)
        rc = add_path(s, live->to, live->extra.items[i], script);
    buf_adds(script, "BERTH_END\n");
    return rc;
}

static unsigned mode_in(const char *value) { return (unsigned)strtoul(value, NULL, 8); }

/* Sends an entry, or only sets its mode where the content is as wanted. */
static int add_entry(struct host_step *s, const struct strpair *p, struct buf *modes,
                     struct err *err) {
    const struct files_extra *extra = s->node->extra;
    const RECORD *live = s->change->live == NULL ? NULL : s->change->live->record;
    const RECORD *after = s->after;
    const char *have = live == NULL ? NULL : strmap_get(&live->entries, p->key);
    const char *path = files_path(s->node, after->to, p->key);
    const char *sha = strchr(p->value, ' ');
    const struct input_entry *entry =
        extra == NULL || extra->tree == NULL ? NULL : files_entry(extra->tree, p->key);
    if (cstr_eq(have, p->value))
        return 0;
    if (entry == NULL || path == NULL || sha == NULL)
        return err_set(err, ERRC_INTERNAL, "no content for %s", p->key);
    if (have != NULL && cstr_eq(strchr(have, ' '), sha)) {
        buf_addf(modes, "chmod %o ", mode_in(p->value));
        shell_quote(modes, path);
        buf_addc(modes, '\n');
        return 0;
    }
    const struct stream_file file = {.path = path + 1,
                                     .local_path = entry->local_path,
                                     .sha256 = entry->sha256,
                                     .size_bytes = entry->size_bytes,
                                     .mode = mode_in(p->value),
                                     .step = s->index};
    return stream_add(s->stream, &file, err);
}

/* In a home everything is the user's, also folders that have to be made. */
static void make_folder(const struct host_step *s, const char *base, struct buf *script) {
    const RECORD *after = s->after;
    bool one_file = strmap_get(&after->entries, ".") != NULL;
    if (after->to[0] == '~') {
        buf_addf(script, "home_dirs %s ", s->node->connection->endpoint.user);
        shell_quote(script, base);
        buf_adds(script, one_file ? "\n" : "/.\n");
    } else if (!one_file) {
        buf_adds(script, "mkdir -p ");
        shell_quote(script, base);
        buf_addc(script, '\n');
    }
}

/* As lines: the folders on the way from where all of it goes (or lies in) to each entry. */
static int add_folders(struct host_step *s, const char *base, struct buf *script) {
    const RECORD *after = s->after;
    const char *last = "";
    bool one_file = strmap_get(&after->entries, ".") != NULL;
    buf_add(script, base, one_file ? (size_t)(strrchr(base, '/') - base) : strlen(base));
    buf_addc(script, '\n');
    for (size_t i = 0; i < after->entries.len; i++) {
        const char *key = after->entries.items[i].key;
        for (const char *slash = strchr(key, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
            size_t len = (size_t)(slash - key);
            if (strncmp(key, last, len + 1) == 0)
                continue;
            const char *folder = arena_dup_str(s->node->arena, (struct str){key, len});
            if (folder == NULL || add_path(s, after->to, folder, script) < 0)
                return -ERRC_NOMEM;
        }
        last = key;
    }
    return 0;
}

/* In a home it is unpacked as the user, who leads root nowhere with a link. */
static int add_archive(struct host_step *s, const char *base, struct buf *script) {
    const RECORD *after = s->after;
    const char *user = s->node->connection->endpoint.user;
    bool as_user = after->to[0] == '~' && cstr_eq(after->owner, user);
    if (as_user) {
        const char *home = files_path(s->node, "~", ".");
        if (home == NULL)
            return -ERRC_NOMEM;
        buf_addf(script, "own_dirs %s ", user);
        shell_quote(script, home);
        buf_adds(script, " <<'BERTH_END'\n");
        if (add_folders(s, base, script) < 0)
            return -ERRC_NOMEM;
        buf_adds(script, "BERTH_END\n");
    }
    buf_addf(script, "take_archive %zu %lld ", s->index, (long long)s->stream->bytes[s->index]);
    if (as_user)
        buf_addf(script, "runuser -u %s -- ", user);
    buf_adds(script, "tar -xpm --no-same-owner -C / -f -\n");
    return 0;
}

static int set_owner(struct host_step *s, struct buf *script) {
    const RECORD *live = s->change->live == NULL ? NULL : s->change->live->record;
    const RECORD *after = s->after;
    const char *user = s->node->connection->endpoint.user;
    const char *made_as = after->to[0] == '~' ? user : "root";
    int rc = 0;
    if (after->owner == NULL ||
        (cstr_eq(after->owner, made_as) && (live == NULL || cstr_eq(live->owner, after->owner))))
        return 0;
    const char *to = arena_printf(s->node->arena, "%s:", after->owner);
    if (to == NULL)
        return -ERRC_NOMEM;
    begin_paths(script, "chown -h", to); /* whoever puts a link there gets the link */
    for (size_t i = 0; rc == 0 && i < after->entries.len; i++)
        rc = add_path(s, after->to, after->entries.items[i].key, script);
    buf_adds(script, "BERTH_END\n");
    return rc;
}

/* Folders that nothing is left in go with what berth put there. */
static int remove_folders(const struct host_step *s, struct buf *script) {
    const RECORD *before = s->change->recorded == NULL ? NULL : s->change->recorded->record;
    struct str last = {NULL, 0};
    const char *base = before == NULL ? NULL : files_path(s->node, before->to, ".");
    if (before == NULL || strmap_get(&before->entries, ".") != NULL)
        return 0;
    if (base == NULL)
        return -ERRC_NOMEM;
    buf_adds(script, "if cd ");
    shell_quote(script, base);
    buf_adds(script, " 2>/dev/null; then\n");
    for (size_t i = 0; i < before->entries.len; i++) {
        const char *key = before->entries.items[i].key, *slash = strrchr(key, '/');
        struct str folder = {key, slash == NULL ? 0 : (size_t)(slash - key)};
        const char *text = arena_dup_str(s->node->arena, folder);
        if (text == NULL)
            return -ERRC_NOMEM;
        if (folder.len == 0 || str_eq(folder, last))
            continue;
        last = folder;
        buf_adds(script, "rmdir -p -- ");
        shell_quote(script, text);
        buf_adds(script, " 2>/dev/null || :\n");
    }
    buf_adds(script, "cd /\n");
    if (strcmp(before->to, "~") != 0) {
        buf_adds(script, "rmdir -- ");
        shell_quote(script, base);
        buf_adds(script, " 2>/dev/null || :\n");
    }
    buf_adds(script, "fi\n");
    return 0;
}

int files_step(struct host_step *s, struct buf *script, struct err *err) {
    const RECORD *after = s->after;
    const struct files_extra *extra = s->node->extra;
    _cleanup_buf_ struct buf modes = BUF_INIT(BUF_LARGE);
    int rc = 0;
    if (remove_gone(s, script) < 0)
        return err_no_memory(err);
    if (after == NULL)
        return remove_folders(s, script) < 0 ? err_no_memory(err) : 0;
    const char *base = files_path(s->node, after->to, ".");
    if (base == NULL)
        return err_no_memory(err);
    make_folder(s, base, script);
    for (size_t i = 0; rc == 0 && i < after->entries.len; i++)
        rc = add_entry(s, &after->entries.items[i], &modes, err);
    if (rc == 0)
        rc = stream_end(s->stream, s->index, err);
    if (rc < 0)
        return rc;
    buf_addstr(script, buf_str(&modes));
    if (s->stream->bytes[s->index] > 0 && add_archive(s, base, script) < 0)
        return err_no_memory(err);
    if (set_owner(s, script) < 0 || modes.failed)
        return err_no_memory(err);
    if (extra != NULL && extra->mirror) { /* folders that nothing is left in */
        buf_adds(script, "find ");
        shell_quote(script, base);
        buf_adds(script, " -mindepth 1 -type d -empty -delete\n");
    }
    return 0;
}
