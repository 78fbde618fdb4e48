#include "engine/sessions.h"

#include <stdlib.h>

struct sessions {
    struct {
        const struct world *world;
        void *session;
    } items[SESSIONS_MAX];
    size_t len;
};

static bool is_open(const struct sessions *s, const struct world *world) {
    for (size_t i = 0; i < s->len; i++)
        if (s->items[i].world == world)
            return true;
    return false;
}

int sessions_open(const struct kind *const *kinds, const struct run *run, struct sessions **ret,
                  struct err *err) {
    struct sessions *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_no_memory(err);
    for (; *kinds != NULL; kinds++) {
        if (is_open(s, (*kinds)->world) || !world_serves((*kinds)->world, run->provider))
            continue;
        void *session = NULL;
        int rc = s->len == SESSIONS_MAX ? err_set(err, ERRC_LIMIT, "too many worlds")
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

const struct world *sessions_world(const struct sessions *sessions, size_t i) {
    return i < sessions->len ? sessions->items[i].world : NULL;
}
