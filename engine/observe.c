#include "engine/observe.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

/* ---- Sessions */

enum { WORLDS_MAX = 8 };

struct sessions {
    struct {
        const struct world *world;
        void *session;
    } items[WORLDS_MAX];
    size_t len;
};

int sessions_open(const struct kind *const *kinds, const struct run *run, struct sessions **ret,
                  struct err *err) {
    struct sessions *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(err, ERRC_NOMEM, "out of memory");
    for (; *kinds != NULL; kinds++) {
        if (sessions_get(s, (*kinds)->world) != NULL)
            continue;
        void *session = NULL;
        int rc = s->len == WORLDS_MAX ? err_set(err, ERRC_LIMIT, "too many worlds")
                                      : (*kinds)->world->open(run, &session, err);
        if (rc < 0) {
            sessions_close(s);
            return rc;
        }
        s->items[s->len].world = (*kinds)->world;
        s->items[s->len++].session = session;
    }
    *ret = s;
    return 0;
}

void sessions_close(struct sessions *sessions) {
    if (sessions == NULL)
        return;
    for (size_t i = 0; i < sessions->len; i++)
        sessions->items[i].world->close(sessions->items[i].session);
    free(sessions);
}

void *sessions_get(struct sessions *sessions, const struct world *world) {
    for (size_t i = 0; i < sessions->len; i++)
        if (sessions->items[i].world == world)
            return sessions->items[i].session;
    return NULL;
}

/* ---- Reading */

struct observer {
    const struct nodes *nodes;
    const struct state *state;
    const struct run *run;
    struct arena arena;
    struct observe_target *targets; /* parents with the endpoints that the state remembers */
    size_t targets_len;
    pthread_mutex_t mutex;
    struct strlist gone; /* parents whose reading nobody needs; under the mutex */
    struct arena gone_arena;
};

struct reading {
    struct observer *observer;
    const struct world *world;
    void *session;
    struct observe_in in;
    struct observed *out;
    struct err err;
    int rc;
    pthread_t thread;
};

static bool abandoned(void *ctx, const char *address) {
    struct observer *o = ctx;
    pthread_mutex_lock(&o->mutex);
    bool gone = strlist_has(&o->gone, address);
    pthread_mutex_unlock(&o->mutex);
    return gone;
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

static bool has_children(const struct observer *o, const char *address) {
    for (size_t i = 0; i < o->nodes->len; i++)
        if (cstr_eq(o->nodes->items[i].parent, address))
            return true;
    for (size_t i = 0; i < o->state->nodes.len; i++)
        if (cstr_eq(o->state->nodes.items[i].parent, address))
            return true;
    return false;
}

static bool endpoint_of(struct observer *o, const struct kind *kind, const void *record,
                        struct endpoint *ret) {
    *ret = (struct endpoint){0};
    return kind != NULL && kind->endpoint != NULL && record != NULL &&
           kind->endpoint(record, o->run->project_dir, &o->arena, ret) == 0;
}

/* Parents that the state knows, where it says they are. */
static int recorded_targets(struct observer *o, struct err *err) {
    o->targets = arena_calloc(&o->arena, o->state->nodes.len + 1, sizeof *o->targets);
    if (o->targets == NULL)
        return err_set(err, ERRC_NOMEM, "out of memory");
    for (size_t i = 0; i < o->state->nodes.len; i++) {
        const struct recorded *r = &o->state->nodes.items[i];
        struct endpoint endpoint;
        if (endpoint_of(o, r->kind, r->record, &endpoint) && endpoint.running &&
            endpoint.address != NULL && has_children(o, r->address))
            o->targets[o->targets_len++] = (struct observe_target){r->address, endpoint};
    }
    return 0;
}

static const struct observe_target *target_of(const struct observer *o, const char *address) {
    for (size_t i = 0; i < o->targets_len; i++)
        if (cstr_eq(o->targets[i].address, address))
            return &o->targets[i];
    return NULL;
}

static bool same_endpoint(const struct endpoint *a, const struct endpoint *b) {
    return cstr_eq(a->user, b->user) && cstr_eq(a->address, b->address) && a->port == b->port &&
           cstr_eq(a->host_key, b->host_key);
}

/* The parents' world has answered: readings of what moved or vanished need not be waited for. */
static void abandon_moved(struct observer *o, const struct observed *parents) {
    pthread_mutex_lock(&o->mutex);
    for (size_t i = 0; i < o->targets_len; i++) {
        const struct live *live = observed_find(parents, o->targets[i].address);
        struct endpoint now;
        bool same = live != NULL && live->presence == LIVE_OURS &&
                    endpoint_of(o, live->kind, live->record, &now) && now.running &&
                    same_endpoint(&now, &o->targets[i].endpoint);
        if (!same && (live == NULL || live->presence != LIVE_UNREADABLE))
            strlist_add(&o->gone_arena, &o->gone, o->targets[i].address);
    }
    pthread_mutex_unlock(&o->mutex);
}

static void *read_world(void *arg) {
    struct reading *r = arg;
    r->rc = r->world->observe(r->session, &r->in, r->out, &r->err);
    if (r->rc == 0 && !r->world->needs_targets)
        abandon_moved(r->observer, r->out);
    return NULL;
}

/* Where the parents turned out to be elsewhere than remembered (or were not remembered at all). */
static size_t moved_targets(struct observer *o, const struct live_world *live,
                            struct observe_target *ret) {
    size_t n = 0;
    for (size_t w = 0; w < live->len; w++) {
        for (size_t i = 0; i < live->worlds[w].len; i++) {
            const struct live *l = &live->worlds[w].items[i];
            struct endpoint now;
            if (l->presence != LIVE_OURS || !endpoint_of(o, l->kind, l->record, &now) ||
                !has_children(o, l->address) || !now.running || now.address == NULL)
                continue;
            const struct observe_target *then = target_of(o, l->address);
            if (then == NULL || !same_endpoint(&then->endpoint, &now))
                ret[n++] = (struct observe_target){l->address, now};
        }
    }
    return n;
}

static const char *parent_of(const struct observer *o, const char *address) {
    const struct node *node = nodes_find(o->nodes, address);
    if (node != NULL)
        return node->parent;
    const struct recorded *r = recorded_find(&o->state->nodes, address);
    return r == NULL ? NULL : r->parent;
}

/* First readings of what was abandoned are void. */
static void drop_abandoned(struct observer *o, struct observed *out) {
    size_t kept = 0;
    for (size_t i = 0; i < out->len; i++) {
        const char *parent = parent_of(o, out->items[i].address);
        if (parent == NULL || !strlist_has(&o->gone, parent))
            out->items[kept++] = out->items[i];
    }
    out->len = kept;
}

/* What lives in a parent that is there but does not run cannot be read. */
static int add_stopped(struct observer *o, const struct kind *const *kinds,
                       const struct live_world *live, struct observed *out) {
    for (size_t i = 0; i < o->nodes->len + o->state->nodes.len; i++) {
        bool is_node = i < o->nodes->len;
        const struct node *n = is_node ? &o->nodes->items[i] : NULL;
        const struct recorded *r = is_node ? NULL : &o->state->nodes.items[i - o->nodes->len];
        const char *address = is_node ? n->address : r->address;
        const char *parent = is_node ? n->parent : r->parent;
        const struct kind *kind = is_node ? n->kind : r->kind;
        const struct live *p = parent == NULL ? NULL : live_find(live, parent);
        struct endpoint now;
        if (kind == NULL || p == NULL || p->presence != LIVE_OURS ||
            observed_find(out, address) != NULL || !endpoint_of(o, p->kind, p->record, &now) ||
            (now.running && now.address != NULL))
            continue;
        struct live *l = observed_add(out, kind, address, LIVE_UNREADABLE);
        if (l == NULL)
            return -ERRC_NOMEM;
        err_set(&l->err, ERRC_HOST, "%s is not running", parent);
    }
    (void)kinds;
    return 0;
}

static double monotonic_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int read_all(struct observer *o, struct sessions *sessions, struct live_world *live,
                    struct err *err) {
    struct reading readings[WORLDS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < sessions->len; i++) {
        const struct world *world = sessions->items[i].world;
        if (!world_is_used(o, world) && world->needs_targets)
            continue;
        readings[n] = (struct reading){
            .observer = o,
            .world = world,
            .session = sessions->items[i].session,
            .in = {.nodes = o->nodes,
                   .recorded = &o->state->nodes,
                   .targets = o->targets,
                   .targets_len = world->needs_targets ? o->targets_len : 0,
                   .abandoned = abandoned,
                   .ctx = o},
            .out = &live->worlds[i],
        };
        if (pthread_create(&readings[n].thread, NULL, read_world, &readings[n]) != 0)
            return err_set(err, ERRC_NOMEM, "cannot start a thread");
        n++;
    }
    int rc = 0;
    for (size_t i = 0; i < n; i++) {
        pthread_join(readings[i].thread, NULL);
        if (readings[i].rc < 0 && rc == 0) {
            rc = readings[i].rc;
            *err = readings[i].err;
        }
    }
    return rc;
}

/* Second round, for worlds inside others. */
static int read_moved(struct observer *o, const struct kind *const *kinds,
                      struct sessions *sessions, struct live_world *live, struct err *err) {
    for (size_t i = 0; i < sessions->len; i++) {
        const struct world *world = sessions->items[i].world;
        if (!world->needs_targets || !world_is_used(o, world))
            continue;
        size_t most = 1;
        for (size_t w = 0; w < live->len; w++)
            most += live->worlds[w].len;
        struct observe_target *moved = arena_calloc(&o->arena, most, sizeof *moved);
        if (moved == NULL)
            return err_set(err, ERRC_NOMEM, "out of memory");
        size_t n = moved_targets(o, live, moved);
        drop_abandoned(o, &live->worlds[i]);
        o->gone = (struct strlist){0};
        struct observe_in in = {.nodes = o->nodes,
                                .recorded = &o->state->nodes,
                                .targets = moved,
                                .targets_len = n,
                                .abandoned = abandoned,
                                .ctx = o};
        int rc =
            n == 0 ? 0 : world->observe(sessions->items[i].session, &in, &live->worlds[i], err);
        if (rc == 0 && add_stopped(o, kinds, live, &live->worlds[i]) < 0)
            rc = err_set(err, ERRC_NOMEM, "out of memory");
        if (rc < 0)
            return rc;
    }
    return 0;
}

int observe_all(struct sessions *sessions, const struct kind *const *kinds,
                const struct nodes *nodes, const struct state *state, const struct run *run,
                struct live_world *ret, struct err *err) {
    struct observer o = {.nodes = nodes, .state = state, .run = run};
    struct live_world live = {.worlds = calloc(WORLDS_MAX, sizeof *live.worlds),
                              .len = sessions->len};
    if (live.worlds == NULL)
        return err_set(err, ERRC_NOMEM, "out of memory");
    double start = monotonic_s();
    pthread_mutex_init(&o.mutex, NULL);
    int rc = recorded_targets(&o, err);
    if (rc == 0)
        rc = read_all(&o, sessions, &live, err);
    if (rc == 0)
        rc = read_moved(&o, kinds, sessions, &live, err);
    pthread_mutex_destroy(&o.mutex);
    arena_free(&o.arena);
    arena_free(&o.gone_arena);
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
