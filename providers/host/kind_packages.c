/* server[N].packages: packages of the distribution. */
#include "providers/host/internal.h"
#include "specs/sections/sections.h"

#include <string.h>

#define RECORD struct host_packages_record

static const struct field fields[] = {
    {.name = "packages",
     .doc = "Packages of the distribution.",
     .type = FIELD_LIST,
     .flags = FIELD_SET,
     .offset = offsetof(RECORD, packages)},
    {.name = "added",
     .doc = "Those that berth installed, and may remove.",
     .type = FIELD_LIST,
     .flags = FIELD_SET | FIELD_COMPUTED,
     .offset = offsetof(RECORD, added)},
    FIELD_END,
};

static int fill(const struct desire *in, struct node *node, struct arena *arena, void *ctx) {
    (void)ctx;
    RECORD *r = node->desired;
    const struct strlist *system = &spec_packages(in->spec)->system;
    for (size_t i = 0; i < system->len; i++)
        if (strlist_add(arena, &r->packages, system->items[i]) < 0)
            return -ERRC_NOMEM;
    strlist_sort(&r->packages);
    return 0;
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    (void)diags;
    static const char *const deps[] = {"host_key", NULL};
    return spec_packages(in->spec)->system.len == 0
               ? 0
               : host_desire_each(in, out, &host_packages_kind, "packages", deps, fill, NULL);
}

/* What is asked about: all that is wanted, and all that berth once installed, as the state says or
 * the host. */
static int probe(const struct host_node *node, struct buf *script) {
    const RECORD *const records[] = {node->desired, node->recorded};
    buf_adds(script, "set --");
    for (size_t i = 0; i < 2; i++) {
        const struct strlist *lists[] = {records[i] == NULL ? NULL : &records[i]->packages,
                                         records[i] == NULL ? NULL : &records[i]->added};
        for (size_t l = 0; l < 2 && records[i] != NULL; l++)
            for (size_t p = 0; p < lists[l]->len; p++) {
                buf_addc(script, ' ');
                shell_quote(script, lists[l]->items[p]);
            }
    }
    buf_adds(script,
             "\nif [ -r " HOST_ADDED " ]; then while read -r p; do set -- \"$@\" \"$p\"; "
             "fact added \"$p\"; done <" HOST_ADDED "; fi\n"
             "know_packages \"$@\"\nfor p; do has_package \"$p\" && fact \"+$p\" yes; done\n");
    return 0;
}

static int keep_installed(const struct host_node *node, const struct facts *facts,
                          const struct strlist *from, struct strlist *to) {
    for (size_t i = 0; from != NULL && i < from->len; i++) {
        const char *key = arena_printf(node->arena, "+%s", from->items[i]);
        if (key == NULL)
            return -ERRC_NOMEM;
        if (facts_get(facts, node->address, key) != NULL && !strlist_has(to, from->items[i]) &&
            strlist_add(node->arena, to, from->items[i]) < 0)
            return -ERRC_NOMEM;
    }
    return 0;
}

static int add_remembered(const struct host_node *node, const struct facts *facts,
                          struct strlist *added) {
    for (size_t i = 0; i < facts->len; i++) {
        const struct fact *f = &facts->items[i];
        if (strcmp(f->key, "added") == 0 && strcmp(f->node, node->address) == 0 &&
            !strlist_has(added, f->value) && strlist_add(node->arena, added, f->value) < 0)
            return -ERRC_NOMEM;
    }
    return 0;
}

static int read(const struct host_node *node, const struct facts *facts, void *record,
                enum presence *ret, struct err *err) {
    (void)err;
    RECORD *r = record;
    const RECORD *desired = node->desired;
    const RECORD *recorded = node->recorded;
    int rc = desired == NULL ? 0 : keep_installed(node, facts, &desired->packages, &r->packages);
    bool all =
        desired != NULL && desired->packages.len > 0 && r->packages.len == desired->packages.len;
    for (size_t i = 0; rc == 0 && recorded != NULL && i < recorded->added.len; i++)
        rc = strlist_add(node->arena, &r->added, recorded->added.items[i]);
    if (rc == 0)
        rc = add_remembered(node, facts, &r->added);
    /* A run that was cut off from its host has done it, perhaps. */
    *ret = recorded != NULL || all || r->added.len > 0 ? LIVE_OURS : LIVE_NONE;
    /* What berth installed and the spec no longer names is to go: it shows as a difference. */
    if (rc == 0)
        rc = keep_installed(node, facts, &r->added, &r->packages);
    strlist_sort(&r->packages);
    return rc;
}

static void add_names(struct buf *script, const struct strlist *names) {
    for (size_t i = 0; i < names->len; i++) {
        buf_addc(script, ' ');
        shell_quote(script, names->items[i]);
    }
}

static int step(struct host_step *s, struct buf *script, struct err *err) {
    const RECORD *before = s->before;
    const RECORD *after = s->after;
    RECORD *record = s->record;
    struct strlist remove = {0};
    struct arena *arena = s->node->arena;
    const struct strlist none = {0};
    const struct strlist *added = before == NULL ? &none : &before->added;
    int rc = 0;
    if (record != NULL)
        record->added = (struct strlist){0};
    /* Until the host says that they are gone they are berth's. */
    for (size_t i = 0; rc == 0 && i < added->len; i++) {
        if (after == NULL || !strlist_has(&after->packages, added->items[i]))
            rc = strlist_add(arena, &remove, added->items[i]);
        if (rc == 0 && record != NULL)
            rc = strlist_add(arena, &record->added, added->items[i]);
    }
    if (rc < 0)
        return err_no_memory(err);
    /* First: what goes by one name may be wanted by another (git, git-2.40.1). */
    if (remove.len > 0) {
        buf_adds(script, "remove_packages");
        add_names(script, &remove);
        buf_addc(script, '\n');
    }
    if (after != NULL) {
        buf_adds(script, "set --");
        add_names(script, &after->packages);
        buf_adds(script,
                 "\nknow_packages \"$@\"\nwanted=\nfor p; do if ! has_package \"$p\"; then "
                 "wanted=\"$wanted $p\"; note_package \"$p\"; fi; done\n"
                 /* Of what did not come none is berth's: who installs it by hand now keeps it. */
                 "if [ -n \"$wanted\" ]; then install_packages $wanted || { s=$?\n"
                 "know_packages $wanted\n"
                 "for p in $wanted; do has_package \"$p\" || forget_package \"$p\"; done\n"
                 "exit \"$s\"; }; fi\n");
    }
    return 0;
}

/* The host says which it had not: they are berth's from now on; and which went, or have to stay. */
static int take_value(struct host_step *s, const char *key, const char *value) {
    RECORD *r = s->record;
    if (r == NULL)
        return 0;
    if (strcmp(key, "added") == 0)
        return strlist_has(&r->added, value) ? 0 : strlist_add(s->node->arena, &r->added, value);
    struct strlist kept = {0};
    for (size_t i = 0; i < r->added.len; i++)
        if (strcmp(r->added.items[i], value) != 0 &&
            strlist_add(s->node->arena, &kept, r->added.items[i]) < 0)
            return -ERRC_NOMEM;
    r->added = kept;
    return 0;
}

const struct kind host_packages_kind = {
    .name = "server.packages",
    .world = &host_world,
    .fields = fields,
    .size = sizeof(RECORD),
    .desire = desire,
    .batch = host_batch,
};

const struct host_kind host_packages_host = {
    .kind = &host_packages_kind,
    .probe = probe,
    .read = read,
    .step = step,
    .value = take_value,
};
