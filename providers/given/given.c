#include "providers/given/given.h"

#include "providers/host/host.h"
#include "providers/host/route.h"
#include "providers/sshkey.h"
#include "specs/record.h"
#include "specs/sections/sections.h"

#include <stdlib.h>
#include <string.h>

#define RECORD struct given_record

static const char the_server[] = "server[0]";

static const struct field fields[] = {
    {.name = "host",
     .doc = "Where it is.",
     .type = FIELD_STR,
     .flags = FIELD_IMMUTABLE,
     .offset = offsetof(RECORD, host)},
    {.name = "port",
     .doc = "Port of its SSH.",
     .type = FIELD_INT,
     .offset = offsetof(RECORD, port)},
    {.name = "key", .doc = "Private key file.", .type = FIELD_STR, .offset = offsetof(RECORD, key)},
    {.name = "jump",
     .doc = "Hosts to go through.",
     .type = FIELD_STR,
     .offset = offsetof(RECORD, jump)},
    {.name = "host_key",
     .doc = "Its host key, as the spec has it.",
     .type = FIELD_STR,
     .offset = offsetof(RECORD, host_key)},
    {.name = "user",
     .doc = "Login user.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, user)},
    {.name = "address",
     .doc = "Name or number that it is reached by.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, address)},
    {.name = "key_path",
     .doc = "The private key file, as a path of this machine.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, key_path)},
    {.name = "ssh_port",
     .doc = "Port that it is reached at.",
     .type = FIELD_INT,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, ssh_port)},
    FIELD_END,
};

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    (void)diags;
    const struct server_section *server = spec_server(in->spec);
    struct node *node = nodes_add(out, &given_kind, the_server, NULL);
    if (node == NULL)
        return -ERRC_NOMEM;
    RECORD *r = node->desired;
    r->host = server->host;
    r->port = server->port;
    r->key = server->key;
    r->jump = server->jump;
    r->host_key = server->host_key;
    node->protect = server->protect;
    return 0;
}

static bool protects(const struct spec *spec) { return spec_server(spec)->protect; }

static struct given_login login_of(const RECORD *r) {
    return (struct given_login){.host = r->host,
                                .port = r->port == FIELD_UNSET ? 0 : (int)r->port,
                                .key = r->key_path,
                                .jump = r->jump,
                                .host_key = r->host_key};
}

static int endpoint(const void *record, const char *project_dir, struct arena *arena,
                    struct endpoint *ret) {
    const RECORD *r = record;
    (void)project_dir, (void)arena;
    *ret = (struct endpoint){.user = r->user,
                             .address = r->address,
                             .port = (int)r->ssh_port,
                             .key_path = r->key_path,
                             .given = login_of(r),
                             .running = true};
    return 0;
}

/* ---- The world */

struct given_session {
    const struct run *run;
};

static int open_session(const struct run *run, void **ret_session, struct err *err) {
    struct given_session *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_no_memory(err);
    s->run = run;
    *ret_session = s;
    return 0;
}

static void close_session(void *session) { free(session); }

/* Paths of the spec are relative to it; `~` is the user's home. */
static const char *local_path(const struct run *run, const char *path, struct arena *arena) {
    if (path[0] == '/')
        return arena_dup(arena, path);
    if (path[0] == '~' && path[1] == '/') {
        const char *home = run->env(run->env_ctx, "HOME");
        return arena_printf(arena, "%s%s", home == NULL ? "" : home, path + 1);
    }
    return run->spec_dir == NULL || strcmp(run->spec_dir, ".") == 0
               ? arena_dup(arena, path)
               : arena_printf(arena, "%s/%s", run->spec_dir, path);
}

/* The spec has a host key or its fingerprint. */
static bool is_key_of_spec(const char *said, const char *pinned) {
    _cleanup_buf_ struct buf shown = BUF_INIT(BUF_SMALL);
    return cstr_eq(said, pinned) ||
           (sshkey_fingerprint(str_of(pinned), &shown) && cstr_eq(said, buf_cstr(&shown)));
}

/* Is what the new name leads to the machine that was pinned? Its host key says so. */
static bool is_same_machine(const RECORD *r, const char *pinned, const struct ssh_route *route,
                            struct arena *arena) {
    struct known_keys known = {0};
    struct err ignored = {0};
    return pinned != NULL && (is_key_of_spec(r->host_key, pinned) ||
                              (ssh_route_known(route, arena, &known, &ignored) == 0 &&
                               strlist_has(&known.keys, pinned)));
}

/* The host key of the one that is recorded. */
static const char *find_pinned(const struct run *run, const struct recorded_list *list,
                               const RECORD *recorded, struct arena *arena) {
    const struct recorded *key = recorded_find(list, "server[0].host_key");
    const struct host_key_record *r =
        key != NULL && key->kind == &host_key_kind ? key->record : NULL;
    return r != NULL && r->public_key != NULL
               ? r->public_key
               : host_key_recall(run->project_dir, the_server, recorded->host, arena);
}

/* Has an apply put anything there, as far as is recorded? */
static bool is_touched(const struct recorded_list *recorded) {
    for (size_t i = 0; i < recorded->len; i++)
        if (cstr_eq(recorded->items[i].parent, the_server))
            return true;
    return false;
}

/* `wanted`, completed by what OpenSSH's configuration says. Nothing is connected to: that the host
 * world does, and finds out whether it answers. */
static int look_at(const struct run *run, const struct observe_in *in, const RECORD *wanted,
                   const RECORD *recorded, struct live *live, struct arena *arena,
                   struct err *err) {
    RECORD *r = ARENA_NEW(arena, RECORD);
    struct ssh_route route = {0};
    if (r == NULL || record_copy(arena, fields, r, wanted) < 0)
        return err_no_memory(err);
    r->key_path = r->key == NULL ? NULL : local_path(run, r->key, arena);
    const struct given_login login = login_of(r);
    int rc = ssh_route_find(&login, arena, &route, err);
    if (rc < 0)
        return rc;
    r->user = route.user;
    r->address = route.address;
    r->ssh_port = route.port;
    if (recorded != NULL && !cstr_eq(recorded->host, wanted->host) &&
        !is_same_machine(r, find_pinned(run, in->recorded, recorded, arena), &route, arena))
        r->host = recorded->host;
    live->id = wanted->host;
    live->record = r;
    live->presence = LIVE_OURS;
    return 0;
}

static int observe(void *session, const struct observe_in *in, struct observed *out,
                   struct err *err) {
    struct given_session *s = session;
    const struct node *node = nodes_find(in->nodes, the_server);
    const struct recorded *known = recorded_find(in->recorded, the_server);
    const RECORD *recorded = known != NULL && known->kind == &given_kind ? known->record : NULL;
    const RECORD *old = is_touched(in->recorded) ? recorded : NULL; /* the one to stay with */
    const RECORD *wanted = node != NULL && node->kind == &given_kind ? node->desired : recorded;
    if (wanted == NULL)
        return 0;
    struct live *live = observed_add(out, &given_kind, the_server, LIVE_UNREADABLE);
    if (live == NULL)
        return err_no_memory(err);
    (void)look_at(s->run, in, wanted, old, live, &out->arena, &live->err);
    return 0;
}

/* It is only ever taken over and forgotten, which is the state's alone. */
static int apply(void *session, struct batch *batch, const struct apply_ops *ops, struct err *err) {
    (void)session, (void)batch, (void)ops;
    return err_set(err, ERRC_INTERNAL, "berth does not change a server that it did not make");
}

static int find(void *session, const struct kind *kind, const char *id, struct arena *arena,
                struct found *ret, struct err *err) {
    (void)session, (void)kind, (void)arena, (void)ret;
    err_set(err, ERRC_INVALID, "with `provider: host` nothing is imported by id: %s", id);
    err_hint(err, "write it into the spec as server.host; berth apply takes the server as it is");
    return -ERRC_INVALID;
}

static const char *const providers[] = {"host", NULL};

const struct world given_world = {
    .name = "given",
    .providers = providers,
    .open = open_session,
    .close = close_session,
    .observe = observe,
    .apply = apply,
    .find = find,
};

const struct kind given_kind = {
    .name = "given_server",
    .world = &given_world,
    .fields = fields,
    .size = sizeof(RECORD),
    .desire = desire,
    .protects = protects,
    .given = true,
    .endpoint = endpoint,
};
