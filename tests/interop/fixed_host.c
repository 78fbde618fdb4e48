/* A registry for tests of the host world alone: servers are not launched but stand already, at the
 * addresses (one a server, with blanks between) that BERTH_HOST_* name. Linked with cmd/main.c it
 * is the whole CLI over those hosts. */
#include "providers/host/host.h"
#include "providers/provider.h"
#include "specs/sections/sections.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fixed_record {
    const char *user, *address, *host_key;
    int64_t port;
};

extern const struct kind fixed_kind;

static const struct field fields[] = {
    {.name = "user", .type = FIELD_STR, .offset = offsetof(struct fixed_record, user)},
    {.name = "address", .type = FIELD_STR, .offset = offsetof(struct fixed_record, address)},
    {.name = "host_key",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(struct fixed_record, host_key)},
    {.name = "port", .type = FIELD_INT, .offset = offsetof(struct fixed_record, port)},
    FIELD_END,
};

static const char *setting(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value == NULL || value[0] == '\0' ? otherwise : value;
}

/* Of "server[N]" it is the Nth word. */
static int fill(struct fixed_record *r, const char *server, struct arena *arena) {
    struct str list = str_of(setting("BERTH_HOST_ADDRESS", "127.0.0.1")), word = {NULL, 0};
    long number = strtol(server + strlen("server["), NULL, 10);
    for (long i = 0; i <= number; i++)
        if (!str_split(&list, ' ', &word))
            word = list;
    if (!str_to_i64(str_of(setting("BERTH_HOST_PORT", "22")), 1, 65535, &r->port))
        r->port = 22;
    r->user = setting("BERTH_HOST_USER", "admin");
    r->host_key = setting("BERTH_HOST_KEY", NULL);
    r->address = arena_dup_str(arena, word);
    return r->address == NULL ? -ERRC_NOMEM : 0;
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    (void)diags;
    for (int64_t i = 0; i < spec_server(in->spec)->count; i++) {
        char address[32];
        snprintf(address, sizeof address, "server[%lld]", (long long)i);
        struct node *node = nodes_add(out, &fixed_kind, address, NULL);
        if (node == NULL || fill(node->desired, address, out->arena) < 0)
            return -ERRC_NOMEM;
    }
    return 0;
}

static int endpoint(const void *record, const char *project_dir, struct arena *arena,
                    struct endpoint *ret) {
    const struct fixed_record *r = record;
    (void)project_dir, (void)arena;
    *ret = (struct endpoint){
        .user = r->user,
        .address = r->address,
        .port = (int)r->port,
        .key_path = setting("BERTH_HOST_IDENTITY", "id_ed25519"),
        .host_key = r->host_key,
        .running = true,
    };
    return 0;
}

static int open_session(const struct run *run, void **ret_session, struct err *err) {
    (void)run, (void)err;
    *ret_session = NULL;
    return 0;
}

static void close_session(void *session) { (void)session; }

/* There once an apply has "made" it. */
static int observe(void *session, const struct observe_in *in, struct observed *out,
                   struct err *err) {
    (void)session, (void)err;
    for (size_t i = 0; i < in->nodes->len; i++) {
        const struct node *node = &in->nodes->items[i];
        if (node->kind != &fixed_kind)
            continue;
        bool made = recorded_find(in->recorded, node->address) != NULL;
        struct live *live =
            observed_add(out, &fixed_kind, node->address, made ? LIVE_OURS : LIVE_NONE);
        if (live == NULL)
            return -ERRC_NOMEM;
        if (!made)
            continue;
        live->id = "fixed";
        live->record = ARENA_NEW(&out->arena, struct fixed_record);
        if (live->record == NULL || fill(live->record, node->address, &out->arena) < 0)
            return -ERRC_NOMEM;
    }
    return 0;
}

static int apply(void *session, struct batch *batch, const struct apply_ops *ops, struct err *err) {
    (void)session, (void)err;
    for (size_t i = 0; i < batch->len; i++) {
        struct change *c = batch->changes[i];
        struct err why = {0};
        struct fixed_record record = {0};
        int rc = fill(&record, c->address, batch->arena);
        if (rc == 0 && c->action != ACTION_DESTROY)
            rc = ops->created(ops->ctx, c, "fixed", &record, &why);
        if (rc == 0)
            rc = ops->done(ops->ctx, c, c->action == ACTION_DESTROY ? NULL : &record, &why);
        if (rc < 0)
            ops->failed(ops->ctx, c, &why);
    }
    return 0;
}

static const struct world fixed_world = {
    .name = "fixed",
    .open = open_session,
    .close = close_session,
    .observe = observe,
    .apply = apply,
};

const struct kind fixed_kind = {
    .name = "server",
    .world = &fixed_world,
    .fields = fields,
    .size = sizeof(struct fixed_record),
    .desire = desire,
    .endpoint = endpoint,
};

const struct kind *const registry_kinds[] = {
    &fixed_kind,        &host_key_kind,        &host_packages_kind,
    &host_gpu_kind,     &host_python_kind,     &host_python_packages_kind,
    &host_kernel_kind,  &host_files_kind,      &host_tls_kind,
    &host_jupyter_kind, &host_extensions_kind, &host_service_kind,
    &host_health_kind,  &host_stop_kind,       NULL,
};
