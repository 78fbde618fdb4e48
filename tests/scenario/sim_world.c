#define _GNU_SOURCE /* usleep beside _POSIX_C_SOURCE */
#include "tests/scenario/sim_world.h"

#include "specs/record.h"
#include "tests/scenario/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int open_session(const struct run *run, void **ret_session, struct err *err) {
    (void)err;
    *ret_session = run->env_ctx;
    return 0;
}

static void close_session(void *session) { (void)session; }

/* ---- Things, under the mutex */

static struct sim_thing *add_thing(struct sim *sim, const struct change *c, const char *parent_id) {
    size_t i = 0;
    while (i < sim->len && sim->things[i].used)
        i++;
    if (i == SIM_THINGS_MAX)
        abort();
    if (i == sim->len)
        sim->len++;
    struct sim_thing *thing = &sim->things[i];
    *thing = (struct sim_thing){.used = true};
    snprintf(thing->kind, sizeof thing->kind, "%s", c->kind->name);
    snprintf(thing->address, sizeof thing->address, "%s", c->address);
    snprintf(thing->parent, sizeof thing->parent, "%s", parent_id == NULL ? "" : parent_id);
    snprintf(thing->id, sizeof thing->id, "id-%zu", ++sim->next_id);
    snprintf(thing->token, sizeof thing->token, "%s", c->token == NULL ? "" : c->token);
    return thing;
}

static void store(struct sim_thing *thing, const struct kind *kind, const void *record) {
    cJSON *json = record_to_json(kind->fields, record, true);
    char *text = json == NULL ? NULL : cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    if (text == NULL ||
        snprintf(thing->record, sizeof thing->record, "%s", text) >= (int)sizeof thing->record)
        abort();
    cJSON_free(text);
}

static struct sim_record *load(const struct sim_thing *thing, const struct kind *kind,
                               struct arena *arena) {
    struct sim_record *record = arena_alloc(arena, kind->size);
    struct err err = {0};
    cJSON *json = cJSON_Parse(thing->record);
    if (record == NULL || json == NULL ||
        record_from_json(arena, kind->fields, json, record, &err) < 0)
        abort();
    cJSON_Delete(json);
    return record;
}

static void note_call(struct sim *sim, const char *what, const char *address) {
    if (sim->calls_len == SIM_CALLS_MAX)
        abort();
    struct sim_call *call = &sim->calls[sim->calls_len++];
    snprintf(call->what, sizeof call->what, "%s", what);
    snprintf(call->address, sizeof call->address, "%s", address);
}

/* A thing that uses this group, or NULL. */
static const struct sim_thing *user_of(struct sim *sim, const struct sim_thing *group) {
    char needle[64];
    snprintf(needle, sizeof needle, "\"group_id\":\"%s\"", group->id);
    for (size_t i = 0; i < sim->len; i++)
        if (sim->things[i].used && strstr(sim->things[i].record, needle) != NULL)
            return &sim->things[i];
    return NULL;
}

static bool group_exists(struct sim *sim, const char *id) {
    for (size_t i = 0; i < sim->len; i++)
        if (sim->things[i].used && strcmp(sim->things[i].id, id) == 0)
            return true;
    return false;
}

/* ---- Steps: instants at which a run can die or fail */

static int step(struct sim *sim, const char *address, struct err *err) {
    pthread_mutex_lock(&sim->mutex);
    size_t now = ++sim->steps;
    bool fails = now == sim->fail_at || strcmp(sim->fail_for, address) == 0;
    if (now == sim->cancel_at && sim->cancel != NULL)
        atomic_fetch_add(sim->cancel, 1);
    if (now == sim->die_at)
        _exit(9);
    pthread_mutex_unlock(&sim->mutex);
    return fails ? err_set(err, ERRC_NET, "step %zu fails for %s", now, address) : 0;
}

/* ---- Changes */

static int create_thing(struct sim *sim, struct change *c, const char *parent_id,
                        struct arena *arena, struct err *err) {
    struct sim_record *r = arena_alloc(arena, c->kind->size);
    if (r == NULL || record_copy(arena, c->kind->fields, r, c->after) < 0)
        return err_set(err, ERRC_NOMEM, "out of memory");
    pthread_mutex_lock(&sim->mutex);
    int rc = 0;
    struct sim_thing *thing = sim_find(sim, c->address);
    bool again = thing != NULL && c->token != NULL && strcmp(thing->token, c->token) == 0;
    if (r->group_id != NULL && !group_exists(sim, r->group_id)) {
        rc = err_set(err, ERRC_AWS, "%s: group %s is not there", c->address, r->group_id);
    } else if (thing != NULL && !again) {
        rc = err_set(err, ERRC_CONFLICT, "%s is there twice", c->address);
    } else if (thing == NULL) {
        thing = add_thing(sim, c, parent_id);
        r->made_id = thing->id;
        r->address = arena_printf(arena, "10.0.0.%zu", sim->next_id);
        store(thing, c->kind, r);
        note_call(sim, "create", c->address);
    }
    pthread_mutex_unlock(&sim->mutex);
    return rc;
}

static int finish(struct sim *sim, struct change *c, const struct apply_ops *ops,
                  struct arena *arena, struct err *err) {
    pthread_mutex_lock(&sim->mutex);
    const struct sim_thing *thing = sim_find(sim, c->address);
    const void *record = thing == NULL ? NULL : load(thing, c->kind, arena);
    pthread_mutex_unlock(&sim->mutex);
    if (record == NULL)
        return err_set(err, ERRC_NOTFOUND, "%s is gone", c->address);
    int rc = step(sim, c->address, err);
    return rc < 0 ? rc : ops->done(ops->ctx, c, record, err);
}

static int make(struct sim *sim, struct change *c, const struct apply_ops *ops, struct arena *arena,
                struct err *err) {
    char id[24] = "";
    int rc = create_thing(sim, c, NULL, arena, err);
    if (rc == 0)
        rc = step(sim, c->address, err);
    pthread_mutex_lock(&sim->mutex);
    const struct sim_thing *thing = sim_find(sim, c->address);
    if (thing != NULL)
        memcpy(id, thing->id, sizeof id);
    pthread_mutex_unlock(&sim->mutex);
    if (rc == 0)
        rc = ops->created(ops->ctx, c, id, NULL, err);
    if (rc == 0)
        rc = step(sim, c->address, err);
    ops->progress(ops->ctx, c, "waiting");
    return rc < 0 ? rc : finish(sim, c, ops, arena, err);
}

static int update(struct sim *sim, struct change *c, const struct apply_ops *ops,
                  struct arena *arena, struct err *err) {
    struct sim_record *r = arena_alloc(arena, c->kind->size);
    if (r == NULL || record_copy(arena, c->kind->fields, r, c->after) < 0)
        return err_set(err, ERRC_NOMEM, "out of memory");
    int rc = step(sim, c->address, err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&sim->mutex);
    struct sim_thing *thing = sim_find(sim, c->address);
    if (thing == NULL) {
        rc = err_set(err, ERRC_NOTFOUND, "%s is gone", c->address);
    } else {
        const struct sim_record *now = load(thing, c->kind, arena);
        bool moves = c->action == ACTION_STOP_UPDATE_START;
        bool starts = cstr_eq(now->power, "stopped") && cstr_eq(r->power, "running");
        bool stops = cstr_eq(r->power, "stopped");
        r->made_id = now->made_id;
        r->address = stops             ? NULL
                     : moves || starts ? arena_printf(arena, "10.0.1.%zu", ++sim->next_id)
                                       : now->address;
        store(thing, c->kind, r);
        note_call(sim, moves ? "restart" : "update", c->address);
    }
    pthread_mutex_unlock(&sim->mutex);
    return rc < 0 ? rc : finish(sim, c, ops, arena, err);
}

/* A box takes what is in it along. */
static int destroy_thing(struct sim *sim, const struct change *c, struct err *err) {
    int rc = step(sim, c->address, err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&sim->mutex);
    struct sim_thing *thing = sim_find(sim, c->address);
    const struct sim_thing *user = thing == NULL ? NULL : user_of(sim, thing);
    if (user != NULL) {
        rc = err_set(err, ERRC_AWS, "%s is in use by %s", c->address, user->address);
    } else if (thing != NULL) {
        for (size_t i = 0; i < sim->len; i++)
            if (strcmp(sim->things[i].parent, thing->id) == 0)
                sim->things[i].used = false;
        thing->used = false;
        note_call(sim, "destroy", c->address);
    }
    pthread_mutex_unlock(&sim->mutex);
    return rc < 0 ? rc : step(sim, c->address, err);
}

static int apply_cloud_one(struct sim *sim, struct change *c, const struct apply_ops *ops,
                           struct arena *arena, struct err *err) {
    int rc = 0;
    switch (c->action) {
    case ACTION_CREATE:
    case ACTION_RESUME:
        return make(sim, c, ops, arena, err);
    case ACTION_REPLACE:
        rc = destroy_thing(sim, c, err);
        if (rc == 0)
            rc = ops->intent(ops->ctx, c, err);
        if (rc == 0)
            rc = step(sim, c->address, err);
        return rc < 0 ? rc : make(sim, c, ops, arena, err);
    case ACTION_DESTROY:
        rc = destroy_thing(sim, c, err);
        return rc < 0 ? rc : ops->done(ops->ctx, c, NULL, err);
    case ACTION_FORGET:
        rc = step(sim, c->address, err);
        pthread_mutex_lock(&sim->mutex);
        note_call(sim, "forget", c->address);
        pthread_mutex_unlock(&sim->mutex);
        return rc < 0 ? rc : ops->done(ops->ctx, c, NULL, err);
    case ACTION_UPDATE:
    case ACTION_STOP_UPDATE_START:
        return update(sim, c, ops, arena, err);
    default:
        return err_set(err, ERRC_INTERNAL, "%s: a world has no %s", c->address,
                       action_name(c->action));
    }
}

static void enter(struct sim *sim) {
    pthread_mutex_lock(&sim->mutex);
    if (++sim->running > sim->most_running)
        sim->most_running = sim->running;
    pthread_mutex_unlock(&sim->mutex);
    if (sim->delay_us > 0)
        usleep(sim->delay_us);
}

static void leave(struct sim *sim) {
    pthread_mutex_lock(&sim->mutex);
    sim->running--;
    pthread_mutex_unlock(&sim->mutex);
}

static void answer(struct change *c, const struct apply_ops *ops, int rc, const struct err *err) {
    if (rc < 0)
        ops->failed(ops->ctx, c, err);
}

/* Intents of all first, as one call makes them all. */
static int apply_cloud(void *session, struct batch *batch, const struct apply_ops *ops,
                       struct err *err) {
    struct sim *sim = session;
    int rc = 0;
    enter(sim);
    ops->gather(ops->ctx, batch->changes[0]);
    for (size_t i = 0; rc == 0 && i < batch->len; i++) {
        struct change *c = batch->changes[i];
        if (c->action == ACTION_CREATE || c->action == ACTION_RESUME) {
            rc = step(sim, c->address, err);
            if (rc == 0)
                rc = ops->intent(ops->ctx, c, err);
            if (rc == 0)
                rc = step(sim, c->address, err);
        }
    }
    if (rc == 0)
        rc = ops->sync(ops->ctx, batch->changes[0], err);
    for (size_t i = 0; rc == 0 && i < batch->len; i++) {
        struct err one = {0};
        answer(batch->changes[i], ops,
               apply_cloud_one(sim, batch->changes[i], ops, batch->arena, &one), &one);
    }
    leave(sim);
    return rc;
}

/* ---- Inside */

static int box_at(struct sim *sim, const char *address, const struct endpoint *e,
                  struct arena *arena, char ret_id[24], struct err *err) {
    int rc = 0;
    pthread_mutex_lock(&sim->mutex);
    const struct sim_thing *box = sim_find(sim, address);
    const struct sim_record *r = box == NULL ? NULL : load(box, &sim_box_kind, arena);
    if (r == NULL || !cstr_eq(r->power, "running") || !cstr_eq(r->address, e->address))
        rc = err_set(err, ERRC_NET, "%s does not answer at %s", address,
                     e->address == NULL ? "(nowhere)" : e->address);
    else
        memcpy(ret_id, box->id, 24);
    pthread_mutex_unlock(&sim->mutex);
    return rc;
}

static int apply_inside_one(struct sim *sim, struct change *c, const char *box_id,
                            const struct apply_ops *ops, struct arena *arena, struct err *err) {
    if (c->action == ACTION_DESTROY) {
        int rc = destroy_thing(sim, c, err);
        return rc < 0 ? rc : ops->done(ops->ctx, c, NULL, err);
    }
    pthread_mutex_lock(&sim->mutex);
    bool there = sim_find(sim, c->address) != NULL;
    pthread_mutex_unlock(&sim->mutex);
    if (there)
        return update(sim, c, ops, arena, err);
    int rc = step(sim, c->address, err);
    if (rc == 0)
        rc = create_thing(sim, c, box_id, arena, err);
    return rc < 0 ? rc : finish(sim, c, ops, arena, err);
}

/* One connection: what fails stops the rest of the box. */
static int apply_inside(void *session, struct batch *batch, const struct apply_ops *ops,
                        struct err *err) {
    struct sim *sim = session;
    struct endpoint e = {0};
    char box_id[24] = "";
    enter(sim);
    int rc = ops->endpoint(ops->ctx, batch->changes[0]->parent, batch->arena, &e);
    if (rc < 0)
        err_set(err, ERRC_INTERNAL, "nobody knows where %s is", batch->changes[0]->parent);
    if (rc == 0)
        rc = box_at(sim, batch->changes[0]->parent, &e, batch->arena, box_id, err);
    for (size_t i = 0; rc == 0 && i < batch->len; i++)
        rc = apply_inside_one(sim, batch->changes[i], box_id, ops, batch->arena, err);
    leave(sim);
    return rc;
}

/* ---- Observing */

static int add_live(struct sim *sim, const struct kind *kind, const char *address,
                    struct observed *out) {
    const struct sim_thing *thing = sim_find(sim, address);
    struct live *live = observed_add(out, kind, address, LIVE_NONE);
    if (live == NULL)
        return -ERRC_NOMEM;
    if (thing == NULL)
        return 0;
    live->id = arena_dup(&out->arena, thing->id);
    live->token = thing->token[0] == '\0' ? NULL : arena_dup(&out->arena, thing->token);
    live->note = thing->note[0] == '\0' ? NULL : arena_dup(&out->arena, thing->note);
    live->presence = thing->unreadable ? LIVE_UNREADABLE
                     : thing->foreign  ? LIVE_FOREIGN
                                       : LIVE_OURS;
    if (thing->unreadable)
        err_set(&live->err, ERRC_NET, "%s does not answer", address);
    if (thing->foreign)
        err_set(&live->err, ERRC_CONFLICT, "%s %s", kind->name, thing->id);
    if (live->presence == LIVE_OURS) {
        struct sim_record *r = load(thing, kind, &out->arena);
        r->image = NULL; /* unreadable by its table */
        live->record = r;
        live->unread = thing->unread;
    }
    return 0;
}

static const struct kind *kind_of(const struct world *world, const char *name) {
    const struct kind *kind = registry_find(sim_kinds, name);
    return kind != NULL && kind->world == world ? kind : NULL;
}

/* Nodes and records of a world, all or those in one parent. */
static int add_known(struct sim *sim, const struct world *world, const struct observe_in *in,
                     const char *parent, struct observed *out) {
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < in->nodes->len; i++) {
        const struct node *n = &in->nodes->items[i];
        if (n->kind->world == world && (parent == NULL || cstr_eq(n->parent, parent)))
            rc = add_live(sim, n->kind, n->address, out);
    }
    for (size_t i = 0; rc == 0 && i < in->recorded->len; i++) {
        const struct recorded *r = &in->recorded->items[i];
        if (r->kind != NULL && r->kind->world == world &&
            (parent == NULL || cstr_eq(r->parent, parent)) &&
            observed_find(out, r->address) == NULL)
            rc = add_live(sim, r->kind, r->address, out);
    }
    return rc;
}

static int observe_cloud(void *session, const struct observe_in *in, struct observed *out,
                         struct err *err) {
    struct sim *sim = session;
    pthread_mutex_lock(&sim->mutex);
    int rc = add_known(sim, &sim_cloud_world, in, NULL, out);
    for (size_t i = 0; rc == 0 && i < sim->len; i++) {
        const struct kind *kind = kind_of(&sim_cloud_world, sim->things[i].kind);
        if (sim->things[i].used && kind != NULL && !sim->things[i].foreign &&
            observed_find(out, sim->things[i].address) == NULL)
            rc = add_live(sim, kind, sim->things[i].address, out);
    }
    pthread_mutex_unlock(&sim->mutex);
    out->calls++;
    return rc < 0 ? err_set(err, ERRC_NOMEM, "out of memory") : 0;
}

static int observe_inside(void *session, const struct observe_in *in, struct observed *out,
                          struct err *err) {
    struct sim *sim = session;
    int rc = 0;
    for (size_t t = 0; rc == 0 && t < in->targets_len; t++) {
        _cleanup_arena_ struct arena arena = {0};
        char id[24];
        struct err why = {0};
        const char *parent = in->targets[t].address;
        size_t from = out->len;
        bool answers = box_at(sim, parent, &in->targets[t].endpoint, &arena, id, &why) == 0;
        unsigned waited_ms = 0;
        while (!answers && waited_ms < sim->observe_wait_s * 1000 &&
               !in->abandoned(in->ctx, parent)) {
            usleep(1000);
            waited_ms++;
        }
        pthread_mutex_lock(&sim->mutex);
        sim->abandoned += !answers && waited_ms < sim->observe_wait_s * 1000;
        rc = add_known(sim, &sim_inside_world, in, parent, out);
        pthread_mutex_unlock(&sim->mutex);
        for (size_t i = from; !answers && i < out->len; i++) {
            out->items[i].presence = LIVE_UNREADABLE;
            out->items[i].record = NULL;
            out->items[i].err = why;
        }
    }
    return rc < 0 ? err_set(err, ERRC_NOMEM, "out of memory") : 0;
}

const struct world sim_cloud_world = {.name = "cloud",
                                      .open = open_session,
                                      .close = close_session,
                                      .observe = observe_cloud,
                                      .apply = apply_cloud};
const struct world sim_inside_world = {.name = "inside",
                                       .open = open_session,
                                       .close = close_session,
                                       .observe = observe_inside,
                                       .apply = apply_inside,
                                       .needs_targets = true};
