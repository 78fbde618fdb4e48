#include "cmd/follow.h"

#include "engine/power.h"

/* Seconds without a connection until the world is asked, and from then on between two questions. */
enum { FIRST_ASK_S = 10, NEXT_ASK_S = 60 };

void follow_init(struct follow *f, struct session *s, const char *address,
                 const struct endpoint *endpoint) {
    *f = (struct follow){.s = s, .address = address, .endpoint = *endpoint};
    session_init(&f->own, s->cmd);
}

/* What that record says, when it is another place than the one that is known. */
static void take(struct follow *f, const struct kind *kind, const void *record) {
    struct arena arena = {0};
    struct endpoint e = {0};
    if (record == NULL || kind == NULL || kind->endpoint == NULL ||
        kind->endpoint(record, f->s->project_dir, &arena, &e) < 0 || e.address == NULL ||
        (e.running == f->endpoint.running && cstr_eq(e.address, f->endpoint.address))) {
        arena_free(&arena);
        return;
    }
    /* The strings live with the record: kept, since the record is not. */
    const char **strings[] = {&e.user,     &e.address,    &e.key_path,
                              &e.host_key, &e.public_dns, &e.private_address};
    bool good = true;
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++)
        if (*strings[i] != NULL)
            good = (*strings[i] = arena_dup(&arena, *strings[i])) != NULL && good;
    if (good) {
        arena_free(&f->arena);
        f->arena = arena;
        f->endpoint = e;
        f->told = false;
    } else {
        arena_free(&arena);
    }
}

/* Another berth writes it; one that is just being written is read at the next call. */
static void read_state(struct follow *f) {
    struct state state = {0};
    struct err err = {0};
    if (state_open(f->s->project_dir, f->s->cmd->kinds, session_random, &state, &err) < 0)
        return;
    const struct recorded *r = recorded_find(&state.nodes, f->address);
    if (r != NULL)
        take(f, r->kind, r->record);
    state_free(&state);
}

/* Of the servers alone: nothing is asked of any host. */
static int observe(struct session *own, struct err *err) {
    struct state seen;
    own->quiet = true;
    int rc = session_load_spec(own, NULL, err);
    if (rc == 0)
        rc = session_open_state(own, false, err);
    if (rc == 0 && !provider_glue_is_up(own->provider)) /* nobody's tunnel starts it again */
        return err_set(err, ERRC_NET, "the sandbox does not run");
    if (rc == 0)
        rc = session_open_worlds(own, err);
    if (rc < 0)
        return rc;
    seen = own->state;
    own->desired.nodes.arena = &own->desired_arena;
    if (power_state(&own->state, "stopped", &own->desired_arena, &seen.nodes) < 0)
        return -ERRC_NOMEM;
    return observe_all(own->sessions, &own->desired.nodes, &seen, &own->run, &own->live, err);
}

static void *ask(void *arg) {
    struct follow *f = arg;
    struct err ignored = {0}; /* it is asked again, and the connection's own error is shown */
    observe(&f->own, &ignored);
    atomic_store(&f->answered, true);
    return NULL;
}

static void begin_asking(struct follow *f, double now) {
    f->asked_s = now;
    atomic_store(&f->answered, false);
    f->asking = pthread_create(&f->thread, NULL, ask, f) == 0;
}

static void end_asking(struct follow *f) {
    pthread_join(f->thread, NULL);
    f->asking = false;
    const struct live *live =
        f->own.live.worlds == NULL ? NULL : live_find(&f->own.live, f->address);
    if (live != NULL && live->presence == LIVE_OURS)
        take(f, live->kind, live->record);
    session_free(&f->own);
}

const struct endpoint *follow_look(struct follow *f) {
    double now = monotonic_s();
    if (f->lost_s <= 0)
        f->lost_s = now;
    read_state(f);
    if (f->asking && atomic_load(&f->answered))
        end_asking(f);
    if (!f->asking && now - f->lost_s > FIRST_ASK_S &&
        (f->asked_s <= 0 || now - f->asked_s > NEXT_ASK_S))
        begin_asking(f, now);
    if (!f->endpoint.running && !f->told && f->say != NULL) {
        f->say(f->say_ctx, "the server is stopped; going on when it runs again (berth start)");
        f->told = true;
    }
    return f->endpoint.running ? &f->endpoint : NULL;
}

void follow_found(struct follow *f) { f->lost_s = f->asked_s = 0; }

void follow_free(struct follow *f) {
    if (f->asking) {
        atomic_store(&f->own.cancel, 2);
        end_asking(f);
    }
    arena_free(&f->arena);
}
