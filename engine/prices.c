#include "engine/prices.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NAMES_MAX = 256, ROUNDS = 3 };

/* One world that is asked, once. */
struct asking {
    const struct world *world;
    void *session;
    struct price *items;
    size_t len;
    struct arena arena;
    struct prices *owner;
    pthread_t thread;
    bool threaded;
};

struct prices {
    struct sessions *sessions;
    struct arena arena; /* names */
    struct asking askings[ROUNDS * SESSIONS_MAX];
    size_t len;
    atomic_int stop;
    pthread_mutex_t mutex;
    pthread_cond_t ended;
    size_t running; /* under the mutex */
};

static const char *const late = "it did not come in time";

static void *ask(void *arg) {
    struct asking *a = arg;
    a->world->price(a->session, a->items, a->len, &a->arena, &a->owner->stop);
    pthread_mutex_lock(&a->owner->mutex);
    a->owner->running--;
    pthread_cond_signal(&a->owner->ended);
    pthread_mutex_unlock(&a->owner->mutex);
    return NULL;
}

static const struct price *find(const struct prices *p, const struct world *world,
                                const char *name) {
    for (size_t i = 0; i < p->len; i++) {
        const struct asking *a = &p->askings[i];
        for (size_t n = 0; a->world == world && a->items != NULL && n < a->len; n++)
            if (strcmp(a->items[n].name, name) == 0)
                return &a->items[n];
    }
    return NULL;
}

/* Asks all worlds for those prices of the lines that were not asked for yet. */
static void start_round(struct prices *p, const struct cost_lines *lines) {
    size_t first = p->len;
    for (size_t i = 0; i < lines->len; i++) {
        const struct cost_line *line = &lines->items[i];
        struct asking *a = NULL;
        if (line->world->price == NULL || find(p, line->world, line->item.price) != NULL)
            continue;
        for (size_t k = first; k < p->len; k++)
            if (p->askings[k].world == line->world)
                a = &p->askings[k];
        if (a == NULL && p->len < sizeof p->askings / sizeof p->askings[0]) {
            a = &p->askings[p->len++];
            *a = (struct asking){.world = line->world,
                                 .session = sessions_get(p->sessions, line->world),
                                 .items = arena_calloc(&p->arena, NAMES_MAX, sizeof *a->items),
                                 .owner = p};
        }
        const char *name = arena_dup(&p->arena, line->item.price);
        if (a != NULL && a->items != NULL && a->len < NAMES_MAX && name != NULL)
            a->items[a->len++] = (struct price){.name = name, .why = late};
    }
    for (size_t i = first; i < p->len; i++) {
        struct asking *a = &p->askings[i];
        pthread_mutex_lock(&p->mutex);
        p->running++;
        pthread_mutex_unlock(&p->mutex);
        a->threaded = pthread_create(&a->thread, NULL, ask, a) == 0;
        if (a->threaded)
            continue;
        pthread_mutex_lock(&p->mutex); /* no thread to be had: they stay unknown */
        p->running--;
        pthread_mutex_unlock(&p->mutex);
    }
}

/* Until all have ended or the time is up; then what is still under way is dropped. */
static void await(struct prices *p, const struct timespec *until) {
    pthread_mutex_lock(&p->mutex);
    while (p->running > 0 && pthread_cond_timedwait(&p->ended, &p->mutex, until) == 0) {
    }
    bool dropped = p->running > 0;
    pthread_mutex_unlock(&p->mutex);
    if (dropped)
        atomic_store(&p->stop, 1);
}

static void join(struct prices *p) {
    for (size_t i = 0; i < p->len; i++) {
        if (p->askings[i].threaded)
            pthread_join(p->askings[i].thread, NULL);
        p->askings[i].threaded = false;
    }
}

static int open_locks(struct prices *p) {
    pthread_condattr_t clock;
    if (pthread_condattr_init(&clock) != 0)
        return -ERRC_NOMEM;
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    int rc = pthread_cond_init(&p->ended, &clock) == 0 ? 0 : -ERRC_NOMEM;
    pthread_condattr_destroy(&clock);
    if (rc == 0)
        pthread_mutex_init(&p->mutex, NULL);
    return rc;
}

/* What spec and state lead to expect. The items of like things are the same: a thousand servers
 * have the prices of one. */
static void expect(struct arena *arena, const struct nodes *nodes, const struct state *state,
                   struct cost_lines *lines) {
    for (size_t i = 0; i < nodes->len; i++) {
        const struct node *n = &nodes->items[i];
        cost_of_record(n->kind, n->address, n->desired, NULL, n->unknown, arena, lines);
    }
    for (size_t i = 0; i < state->nodes.len; i++) {
        const struct recorded *r = &state->nodes.items[i];
        cost_of_record(r->kind, r->address, r->record, NULL, 0, arena, lines);
    }
}

struct prices *prices_start(struct sessions *sessions, const struct nodes *nodes,
                            const struct state *state) {
    struct prices *p = calloc(1, sizeof *p);
    _cleanup_arena_ struct arena arena = {0};
    struct cost_lines lines = {0};
    if (p == NULL || open_locks(p) < 0) {
        free(p);
        return NULL;
    }
    p->sessions = sessions;
    expect(&arena, nodes, state, &lines);
    start_round(p, &lines);
    return p;
}

void prices_fill(struct prices *prices, struct cost *cost) {
    struct timespec until;
    if (prices == NULL)
        return;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(PRICES_WAIT_S * 1e9);
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    for (size_t i = 0; i < COST_WHENS; i++)
        start_round(prices, &cost->lines[i]);
    await(prices, &until);
    join(prices);
    for (size_t i = 0; i < COST_WHENS; i++)
        for (size_t n = 0; n < cost->lines[i].len; n++)
            cost->lines[i].items[n].price =
                find(prices, cost->lines[i].items[n].world, cost->lines[i].items[n].item.price);
}

void prices_free(struct prices *prices) {
    if (prices == NULL)
        return;
    atomic_store(&prices->stop, 1);
    join(prices);
    for (size_t i = 0; i < prices->len; i++)
        arena_free(&prices->askings[i].arena);
    pthread_cond_destroy(&prices->ended);
    pthread_mutex_destroy(&prices->mutex);
    arena_free(&prices->arena);
    free(prices);
}
