/* server[N].data: the data volume's file system, mounted. A volume is formatted when it is blank,
 * and never else. */
#include "providers/host/internal.h"
#include "providers/host/scripts.h"
#include "specs/record.h"
#include "specs/sections/sections.h"

#include <string.h>

#define RECORD struct host_data_record

enum { F_VOLUME };

static const struct field fields[] = {
    [F_VOLUME] = {.name = "volume",
                  .doc = "Volume that is mounted.",
                  .type = FIELD_STR,
                  .offset = offsetof(RECORD, volume)},
    {.name = "mount",
     .doc = "Folder that it is mounted at.",
     .type = FIELD_STR,
     .offset = offsetof(RECORD, mount)},
    {.name = "size",
     .doc = "Size of its file system.",
     .type = FIELD_SIZE,
     .offset = offsetof(RECORD, size_gib)},
    {.name = "mounted",
     .doc = "Is mounted.",
     .type = FIELD_BOOL,
     .offset = offsetof(RECORD, mounted)},
    {.name = "at_boot",
     .doc = "Is mounted at boot, by its UUID in /etc/fstab.",
     .type = FIELD_BOOL,
     .offset = offsetof(RECORD, at_boot)},
    {.name = "file_system",
     .doc = "Type of its file system.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, file_system)},
    FIELD_END,
};

static int fill(const struct desire *in, struct node *node, struct arena *arena, void *ctx) {
    (void)ctx;
    RECORD *r = node->desired;
    const struct server_data *data = &spec_server(in->spec)->data;
    r->mount = data->mount;
    r->size_gib = data->size_gib;
    r->mounted = r->at_boot = true;
    node->unknown = 1u << F_VOLUME;
    const char *volume = arena_printf(arena, "data%s", node->parent + strlen("server"));
    return volume == NULL ? -ERRC_NOMEM : strlist_add(arena, &node->deps, volume);
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    (void)diags;
    static const char *const deps[] = {"host_key", NULL};
    return spec_has_data(in->spec)
               ? host_desire_each(in, out, &host_data_kind, "data", deps, fill, NULL)
               : 0;
}

/* The id of the volume at that address, whichever world it is of. NULL: it has none yet. */
static const char *volume_id(const struct lookup *lookup, const char *address) {
    const struct kind *kind = NULL;
    const void *record = lookup->record(lookup->ctx, address, &kind);
    const struct field *id = record == NULL || strcmp(kind->name, "volume") != 0
                                 ? NULL
                                 : fields_find(kind->fields, "id", NULL);
    return id == NULL ? NULL
                      : *(const char *const *)(const void *)((const char *)record + id->offset);
}

static int resolve(const struct node *node, const struct lookup *lookup, struct arena *arena,
                   void *record, uint64_t *unknown) {
    RECORD *r = record;
    for (size_t i = 0; i < node->deps.len; i++) {
        const char *id = volume_id(lookup, node->deps.items[i]);
        if (id == NULL)
            continue;
        r->volume = arena_dup(arena, id);
        *unknown &= ~(UINT64_C(1) << F_VOLUME);
        return r->volume == NULL ? -ERRC_NOMEM : 0;
    }
    return 0;
}

/* In a device's name it has no dash. */
static void add_volume(struct buf *script, const char *id) {
    bool dashed = strncmp(id, "vol-", 4) == 0;
    buf_adds(script, dashed ? "vol" : "");
    shell_quote(script, dashed ? id + 4 : id);
}

static int probe(const struct host_node *node, struct buf *script) {
    const RECORD *known = node->recorded;
    if (known == NULL || known->volume == NULL || known->mount == NULL)
        return 0;
    const char *path = host_path(node->arena, node->connection->endpoint.user, known->mount);
    if (path == NULL)
        return -ERRC_NOMEM;
    buf_adds(script, script_storage_probe);
    buf_adds(script, "m=");
    shell_quote(script, path);
    buf_adds(script, "\nif d=$(storage_device ");
    add_volume(script, known->volume);
    buf_adds(script, "); then\n"
                     "  fact device \"$d\"\n"
                     "  f=$(blkid -p -o export \"$d\" 2>/dev/null)\n"
                     "  t=$(printf '%s\\n' \"$f\" | sed -n 's/^TYPE=//p')\n"
                     "  u=$(printf '%s\\n' \"$f\" | sed -n 's/^UUID=//p')\n"
                     "  fact type \"$t\"\n"
                     "  fact size \"$(gib \"$(storage_bytes \"$d\" \"$t\" \"$m\")\")\"\n"
                     "  [ \"$(mounted_at \"$m\")\" = \"$d\" ] && fact mounted yes\n"
                     "  grep -qs \"^UUID=$u $m .*x-berth\\.data\" /etc/fstab && fact at_boot yes\n"
                     "fi\n");
    return 0;
}

static int read(const struct host_node *node, const struct facts *facts, void *record,
                enum presence *ret, struct err *err) {
    (void)err;
    RECORD *r = record;
    const RECORD *known = node->recorded;
    *ret = known == NULL ? LIVE_NONE : LIVE_OURS;
    if (known == NULL)
        return 0;
    r->mount = known->mount;
    if (facts_get(facts, node->address, "device") == NULL)
        return 0;
    const char *size = facts_get(facts, node->address, "size");
    const char *type = facts_get(facts, node->address, "type");
    r->volume = known->volume;
    r->mounted = facts_get(facts, node->address, "mounted") != NULL;
    r->at_boot = facts_get(facts, node->address, "at_boot") != NULL;
    if (size != NULL)
        str_to_i64(str_of(size), 0, INT64_MAX, &r->size_gib);
    r->file_system = type == NULL || type[0] == '\0' ? NULL : arena_dup(node->arena, type);
    return type != NULL && type[0] != '\0' && r->file_system == NULL ? -ERRC_NOMEM : 0;
}

static void add_unmount(struct buf *script, const char *path) {
    buf_adds(script, "stopped=\nstorage_unmount ");
    shell_quote(script, path);
    buf_addc(script, '\n');
}

static int step(struct host_step *s, struct buf *script, struct err *err) {
    const RECORD *before = s->change->recorded == NULL ? NULL : s->change->recorded->record;
    const RECORD *after = s->after;
    const char *user = s->node->connection->endpoint.user;
    struct arena *arena = s->node->arena;
    const char *old =
        before == NULL || before->mount == NULL ? NULL : host_path(arena, user, before->mount);
    const char *path = after == NULL ? NULL : host_path(arena, user, after->mount);
    const char *home = host_path(arena, user, "~");
    if ((after != NULL && path == NULL) || home == NULL)
        return err_no_memory(err);
    buf_adds(script, script_storage_probe);
    buf_adds(script, script_storage);
    bool moved = old != NULL && (path == NULL || strcmp(old, path) != 0 ||
                                 !cstr_eq(before->volume, after->volume));
    if (moved)
        add_unmount(script, old);
    if (after == NULL) {
        buf_adds(script, "set_fstab x-berth.data ''\nstorage_resume\n");
        return 0;
    }
    if (after->volume == NULL)
        return err_set(err, ERRC_INTERNAL, "nobody knows which volume it is");
    if (moved)
        buf_adds(script, "resume=$stopped\n");
    buf_adds(script, "storage_mount ");
    add_volume(script, after->volume);
    buf_addf(script, " %lld ", (long long)after->size_gib);
    shell_quote(script, path);
    buf_addc(script, ' ');
    shell_quote(script, user);
    buf_addc(script, ' ');
    shell_quote(script, home);
    buf_addf(script, "\n%svalue type \"$type\"\n",
             moved ? "stopped=$resume\nstorage_resume\n" : "");
    return 0;
}

static int take_value(struct host_step *s, const char *key, const char *value) {
    RECORD *r = s->record;
    (void)key;
    if (r != NULL)
        r->file_system = value;
    return 0;
}

int host_after_data(const struct desire *in, struct node *node, struct arena *arena,
                    const char *path) {
    if (!spec_has_data(in->spec))
        return 0;
    struct str below = str_of(path), mount = str_of(spec_server(in->spec)->data.mount);
    while (mount.len > 1 && mount.ptr[mount.len - 1] == '/')
        mount.len--;
    if (!str_starts(below, mount) || (below.len > mount.len && below.ptr[mount.len] != '/'))
        return 0;
    const char *dep = arena_printf(arena, "%s.data", node->parent);
    return dep == NULL ? -ERRC_NOMEM : strlist_add(arena, &node->deps, dep);
}

const struct kind host_data_kind = {
    .name = "server.data",
    .world = &host_world,
    .fields = fields,
    .size = sizeof(RECORD),
    .desire = desire,
    .resolve = resolve,
    .batch = host_batch,
};

const struct host_kind host_data_host = {
    .kind = &host_data_kind,
    .probe = probe,
    .read = read,
    .step = step,
    .value = take_value,
};
