#include "engine/observe.h"

#include "engine/index.h"

#include <pthread.h>
#include <stdlib.h>

/* ---- Reading */

struct target_parent {
    const struct world *world;
    bool gone; /* nobody needs this reading; under the mutex */
};

struct observer {
    struct sessions *sessions;
    const struct nodes *nodes;
    const struct state *state;
    const struct run *run;
    struct arena arena;
    struct index *node_at, *recorded_at, *target_at; /* by address */
    struct index *parents;                           /* addresses that something lives in */
    struct observe_target *targets; /* parents with the endpoints that the state remembers */
    struct target_parent *target_parents;
    size_t targets_len;
    pthread_mutex_t mutex;
};

struct reading {
    struct observer *observer;
    const struct world *world;
    void *session;
    struct observe_in in;
    struct observed *out;
    struct arena arena;
    struct err err;
    int rc;
    pthread_t thread;
    bool threaded;
};

static bool has(const struct index *index, const char *name) {
    return name != NULL && index_get(index, name) != SIZE_MAX;
}

static int build_indexes(struct observer *o, struct err *err) {
    const struct recorded_list *recorded = &o->state->nodes;
    o->node_at = index_new(o->nodes->len);
    o->recorded_at = index_new(recorded->len);
    o->target_at = index_new(recorded->len);
    o->parents = index_new(o->nodes->len + recorded->len);
    if (o->node_at == NULL || o->recorded_at == NULL || o->target_at == NULL || o->parents == NULL)
        return err_no_memory(err);
    for (size_t i = 0; i < o->nodes->len; i++) {
        index_put(o->node_at, o->nodes->items[i].address, i);
        if (o->nodes->items[i].parent != NULL)
            index_put(o->parents, o->nodes->items[i].parent, i);
    }
    for (size_t i = 0; i < recorded->len; i++) {
        index_put(o->recorded_at, recorded->items[i].address, i);
        if (recorded->items[i].parent != NULL)
            index_put(o->parents, recorded->items[i].parent, i);
    }
    return 0;
}

static bool abandoned(void *ctx, const char *address) {
    struct observer *o = ctx;
    size_t i = index_get(o->target_at, address);
    pthread_mutex_lock(&o->mutex);
    bool gone = i != SIZE_MAX && o->target_parents[i].gone;
    pthread_mutex_unlock(&o->mutex);
    return gone;
}

static bool needed_to_the_end(void *ctx, const char *address) {
    (void)ctx;
    (void)address;
    return false;
}

static bool world_is_used(const struct observer *o, const struct world *world) {
    for (size_t i = 0; i < o->nodes->len; i++)
        if (o->nodes->items[i].kind->world == world)
            return true;
    for (size_t i = 0; i < o->state->nodes.len; i++)
        if (o->state->nodes.items[i].kind != NULL && o->state->nodes.items[i].kind->world == world)
            return true;
    return false;
}

/* Where a parent can be reached now; false when it cannot. */
static bool reachable(const struct observer *o, const struct kind *kind, const void *record,
                      struct arena *arena, struct endpoint *ret) {
    *ret = (struct endpoint){0};
    return kind != NULL && kind->endpoint != NULL && record != NULL &&
           kind->endpoint(record, o->run->project_dir, arena, ret) == 0 && ret->running &&
           ret->address != NULL;
}

/* Parents that the state knows, where it says they are. */
static int recorded_targets(struct observer *o, struct err *err) {
    size_t n = o->state->nodes.len;
    o->targets = arena_calloc(&o->arena, n + 1, sizeof *o->targets);
    o->target_parents = arena_calloc(&o->arena, n + 1, sizeof *o->target_parents);
    if (o->targets == NULL || o->target_parents == NULL)
        return err_no_memory(err);
    for (size_t i = 0; i < n; i++) {
        const struct recorded *r = &o->state->nodes.items[i];
        struct endpoint endpoint;
        if (!has(o->parents, r->address) || !reachable(o, r->kind, r->record, &o->arena, &endpoint))
            continue;
        index_put(o->target_at, r->address, o->targets_len);
        o->target_parents[o->targets_len].world = r->kind->world;
        o->targets[o->targets_len++] = (struct observe_target){r->address, endpoint};
    }
    return 0;
}

static bool same_endpoint(const struct endpoint *a, const struct endpoint *b) {
    return cstr_eq(a->user, b->user) && cstr_eq(a->address, b->address) && a->port == b->port &&
           cstr_eq(a->host_key, b->host_key) && given_login_equal(&a->given, &b->given);
}

/* Whether what was read at the remembered endpoint is void now. */
static bool is_void(struct reading *r, const struct index *at, const struct observe_target *then) {
    size_t i = index_get(at, then->address);
    const struct live *live = i == SIZE_MAX ? NULL : &r->out->items[i];
    struct endpoint now;
    if (live != NULL && live->presence == LIVE_UNREADABLE)
        return false;
    return live == NULL || live->presence != LIVE_OURS ||
           !reachable(r->observer, live->kind, live->record, &r->arena, &now) ||
           !same_endpoint(&now, &then->endpoint);
}

/* The parents' world has answered (or failed): readings of what moved or vanished need not be
 * waited for. */
static int abandon_moved(struct reading *r) {
    struct observer *o = r->observer;
    struct index *at = index_new(r->out->len);
    if (at == NULL)
        return err_no_memory(&r->err);
    for (size_t i = 0; i < r->out->len; i++)
        index_put(at, r->out->items[i].address, i);
    for (size_t i = 0; i < o->targets_len; i++) {
        if (o->target_parents[i].world != r->world)
            continue;
        bool gone = r->rc < 0 || is_void(r, at, &o->targets[i]);
        pthread_mutex_lock(&o->mutex);
        o->target_parents[i].gone = gone;
        pthread_mutex_unlock(&o->mutex);
    }
    index_free(at);
    return r->rc;
}

static void *read_world(void *arg) {
    struct reading *r = arg;
    r->rc = r->world->observe(r->session, &r->in, r->out, &r->err);
    if (!r->world->needs_targets)
        r->rc = abandon_moved(r);
    return NULL;
}

/* First round: all worlds side by side. */
static int read_all(struct observer *o, struct live_world *live, struct err *err) {
    struct reading readings[SESSIONS_MAX];
    size_t n = 0;
    const struct world *world;
    for (size_t i = 0; (world = sessions_world(o->sessions, i)) != NULL; i++) {
        if (world->needs_targets && (o->targets_len == 0 || !world_is_used(o, world)))
            continue;
        struct reading *r = &readings[n++];
        *r = (struct reading){
            .observer = o,
            .world = world,
            .session = sessions_get(o->sessions, world),
            .in = {.nodes = o->nodes,
                   .recorded = &o->state->nodes,
                   .targets = o->targets,
                   .targets_len = world->needs_targets ? o->targets_len : 0,
                   .abandoned = abandoned,
                   .ctx = o},
            .out = &live->worlds[i],
        };
        r->threaded = pthread_create(&r->thread, NULL, read_world, r) == 0;
        if (!r->threaded) /* no thread to be had: one after the other, then */
            read_world(r);
    }
    int rc = 0;
    for (size_t i = 0; i < n; i++) {
        if (readings[i].threaded)
            pthread_join(readings[i].thread, NULL);
        arena_merge(&o->arena, &readings[i].arena);
        if (readings[i].rc < 0 && rc == 0) {
            rc = readings[i].rc;
            *err = readings[i].err;
        }
    }
    return rc;
}

/* ---- Second round, for worlds inside others */

static const struct live *find_live(const struct live_world *live, const struct index *at,
                                    const char *address) {
    size_t i = address == NULL ? SIZE_MAX : index_get(at, address);
    for (size_t w = 0; i != SIZE_MAX && w < live->len; w++) {
        if (i < live->worlds[w].len)
            return &live->worlds[w].items[i];
        i -= live->worlds[w].len;
    }
    return NULL;
}

/* All that was read, numbered world by world. NULL when memory runs out. */
static struct index *index_lives(const struct live_world *live) {
    size_t len = 0;
    for (size_t w = 0; w < live->len; w++)
        len += live->worlds[w].len;
    struct index *at = index_new(len);
    size_t n = 0;
    for (size_t w = 0; at != NULL && w < live->len; w++) {
        for (size_t i = 0; i < live->worlds[w].len; i++, n++)
            if (!has(at, live->worlds[w].items[i].address))
                index_put(at, live->worlds[w].items[i].address, n);
    }
    return at;
}

static const char *parent_of(const struct observer *o, const char *address) {
    size_t i = index_get(o->node_at, address);
    if (i != SIZE_MAX)
        return o->nodes->items[i].parent;
    i = index_get(o->recorded_at, address);
    return i == SIZE_MAX ? NULL : o->state->nodes.items[i].parent;
}

/* First readings of what was abandoned are void. */
static void drop_abandoned(struct observer *o, struct observed *out) {
    size_t kept = 0;
    for (size_t i = 0; i < out->len; i++) {
        const char *parent = parent_of(o, out->items[i].address);
        if (parent == NULL || !abandoned(o, parent))
            out->items[kept++] = out->items[i];
    }
    out->len = kept;
}

/* Where the parents turned out to be elsewhere than remembered (or were not remembered at all). */
static int moved_targets(struct observer *o, const struct live_world *live, struct observe_in *in) {
    size_t most = 1;
    for (size_t w = 0; w < live->len; w++)
        most += live->worlds[w].len;
    in->targets = arena_calloc(&o->arena, most, sizeof *in->targets);
    if (in->targets == NULL)
        return -ERRC_NOMEM;
    for (size_t w = 0; w < live->len; w++) {
        for (size_t i = 0; i < live->worlds[w].len; i++) {
            const struct live *l = &live->worlds[w].items[i];
            struct endpoint now;
            if (l->presence != LIVE_OURS || !has(o->parents, l->address) ||
                !reachable(o, l->kind, l->record, &o->arena, &now))
                continue;
            if (!has(o->target_at, l->address) || abandoned(o, l->address))
                in->targets[in->targets_len++] = (struct observe_target){l->address, now};
        }
    }
    return 0;
}

/* What lives in a parent that is there but does not run cannot be read. */
static int add_stopped(struct observer *o, const struct world *world, const struct live_world *live,
                       const struct index *at, struct observed *out) {
    size_t nodes_len = o->nodes->len;
    for (size_t i = 0; i < nodes_len + o->state->nodes.len; i++) {
        const struct node *n = i < nodes_len ? &o->nodes->items[i] : NULL;
        const struct recorded *r = n != NULL ? NULL : &o->state->nodes.items[i - nodes_len];
        const char *address = n != NULL ? n->address : r->address;
        const char *parent = n != NULL ? n->parent : r->parent;
        const struct kind *kind = n != NULL ? n->kind : r->kind;
        const struct live *p = find_live(live, at, parent);
        struct endpoint now;
        if (kind == NULL || kind->world != world || p == NULL || p->presence != LIVE_OURS ||
            p->kind->endpoint == NULL || has(at, address) ||
            (n == NULL && has(o->node_at, address)) ||
            reachable(o, p->kind, p->record, &o->arena, &now))
            continue;
        struct live *l = observed_add(out, kind, address, LIVE_UNREADABLE);
        if (l == NULL)
            return -ERRC_NOMEM;
        err_set(&l->err, ERRC_HOST, "%s is not running", parent);
    }
    return 0;
}

static int read_moved(struct observer *o, const struct world *world, void *session,
                      struct live_world *live, struct observed *out, struct err *err) {
    struct observe_in in = {
        .nodes = o->nodes, .recorded = &o->state->nodes, .abandoned = needed_to_the_end};
    drop_abandoned(o, out);
    if (moved_targets(o, live, &in) < 0)
        return err_no_memory(err);
    int rc = in.targets_len == 0 ? 0 : world->observe(session, &in, out, err);
    if (rc < 0)
        return rc;
    struct index *at = index_lives(live);
    rc = at == NULL ? -ERRC_NOMEM : add_stopped(o, world, live, at, out);
    index_free(at);
    return rc < 0 ? err_no_memory(err) : 0;
}

static int observe(struct observer *o, struct live_world *live, struct err *err) {
    int rc = build_indexes(o, err);
    if (rc == 0)
        rc = recorded_targets(o, err);
    if (rc == 0)
        rc = read_all(o, live, err);
    const struct world *world;
    for (size_t i = 0; rc == 0 && (world = sessions_world(o->sessions, i)) != NULL; i++) {
        if (world->needs_targets && world_is_used(o, world))
            rc =
                read_moved(o, world, sessions_get(o->sessions, world), live, &live->worlds[i], err);
    }
    return rc;
}

int observe_all(struct sessions *sessions, const struct nodes *nodes, const struct state *state,
                const struct run *run, struct live_world *ret, struct err *err) {
    struct observer o = {.sessions = sessions, .nodes = nodes, .state = state, .run = run};
    struct live_world live = {.worlds = calloc(SESSIONS_MAX, sizeof *live.worlds),
                              .len = SESSIONS_MAX};
    if (live.worlds == NULL)
        return err_no_memory(err);
    double start = monotonic_s();
    pthread_mutex_init(&o.mutex, NULL);
    int rc = observe(&o, &live, err);
    pthread_mutex_destroy(&o.mutex);
    index_free(o.node_at);
    index_free(o.recorded_at);
    index_free(o.target_at);
    index_free(o.parents);
    arena_free(&o.arena);
    if (rc < 0) {
        live_world_free(&live);
        return rc;
    }
    for (size_t i = 0; i < live.len; i++)
        live.calls += live.worlds[i].calls;
    live.seconds = monotonic_s() - start;
    *ret = live;
    return 0;
}

const struct live *live_find(const struct live_world *live, const char *address) {
    for (size_t i = 0; i < live->len; i++) {
        const struct live *found = observed_find(&live->worlds[i], address);
        if (found != NULL)
            return found;
    }
    return NULL;
}

void live_world_free(struct live_world *live) {
    for (size_t i = 0; live->worlds != NULL && i < live->len; i++)
        arena_free(&live->worlds[i].arena);
    free(live->worlds);
    *live = (struct live_world){0};
}
