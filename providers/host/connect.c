#include "providers/host/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct host_connection *find(struct host_session *s, const char *parent) {
    struct host_connection *c = s->connections;
    while (c != NULL && strcmp(c->parent, parent) != 0)
        c = c->next;
    return c;
}

static int copy_endpoint(struct host_connection *c, const struct endpoint *e) {
    c->endpoint = *e;
    c->endpoint.user = arena_dup(&c->arena, e->user);
    c->endpoint.address = arena_dup(&c->arena, e->address);
    c->endpoint.key_path = arena_dup(&c->arena, e->key_path);
    c->endpoint.host_key = arena_dup(&c->arena, e->host_key);
    c->endpoint.public_dns = arena_dup(&c->arena, e->public_dns);
    c->endpoint.private_address = arena_dup(&c->arena, e->private_address);
    c->endpoint.given.host = arena_dup(&c->arena, e->given.host);
    c->endpoint.given.key = arena_dup(&c->arena, e->given.key);
    c->endpoint.given.jump = arena_dup(&c->arena, e->given.jump);
    c->endpoint.given.host_key = arena_dup(&c->arena, e->given.host_key);
    bool named = c->endpoint.key_path != NULL || c->endpoint.given.host != NULL;
    return c->endpoint.user == NULL || c->endpoint.address == NULL || !named ? -ERRC_NOMEM : 0;
}

/* Under the session's mutex. */
static void retire(struct host_session *s, struct host_connection *c) {
    for (struct host_connection **at = &s->connections; *at != NULL; at = &(*at)->next) {
        if (*at == c) {
            *at = c->next;
            c->next = s->retired;
            s->retired = c;
            return;
        }
    }
}

static void free_all(struct host_connection *c) {
    while (c != NULL) {
        struct host_connection *next = c->next;
        ssh_close(c->ssh);
        pthread_mutex_destroy(&c->mutex);
        arena_free(&c->arena);
        free(c);
        c = next;
    }
}

/* A connection in use is good; else it must not have been idle for so long that something in
 * between may have forgotten it (the user thinks about the plan). */
static bool is_good(struct host_connection *c, const struct endpoint *e) {
    bool same = e->given.host != NULL
                    ? given_login_equal(&c->endpoint.given, &e->given)
                    : cstr_eq(c->endpoint.address, e->address) && c->endpoint.port == e->port &&
                          cstr_eq(c->endpoint.host_key, e->host_key);
    if (!same)
        return false;
    if (pthread_mutex_trylock(&c->mutex) != 0)
        return true;
    bool alive = ssh_is_alive(c->ssh);
    pthread_mutex_unlock(&c->mutex);
    return alive;
}

static int no_key(const char *parent, struct err *err) {
    err_set(err, ERRC_HOSTKEY, "it is not known which host key %s has", parent);
    err_hint(err, "bring the project folder back from where the server was made, or make the "
                  "server anew");
    return -ERRC_HOSTKEY;
}

const char *host_as_root(const struct endpoint *endpoint) {
    return cstr_eq(endpoint->user, "root") ? "" : "sudo -n ";
}

/* Found and good; else what the last one knew is handed on. */
static struct host_connection *find_good(struct host_session *s, const char *parent,
                                         const struct endpoint *endpoint, char last[RUN_SIZE]) {
    pthread_mutex_lock(s->mutex);
    struct host_connection *c = find(s, parent);
    bool good = c != NULL && is_good(c, endpoint);
    if (c != NULL && !good) {
        retire(s, c);
        c = NULL;
    }
    for (struct host_connection *old = s->retired; c == NULL && old != NULL; old = old->next) {
        if (strcmp(old->parent, parent) == 0) { /* the newest comes first */
            memcpy(last, old->last, RUN_SIZE);
            break;
        }
    }
    pthread_mutex_unlock(s->mutex);
    return c;
}

static int add_key(struct host_connection *c, struct strlist *list, const char *key) {
    return key == NULL ? 0 : strlist_add(&c->arena, list, key);
}

/* As its user's OpenSSH would go there. What the spec says of the host key counts most, then what
 * was pinned, then known_hosts. */
static int connect_given(struct host_connection *c, const struct host_keys *keys, struct ssh_in in,
                         size_t *ret_shown, struct err *err) {
    const struct given_login *login = &c->endpoint.given;
    const char *sure = login->host_key != NULL ? login->host_key : keys->pinned;
    struct ssh_route route = {0};
    struct known_keys known = {0};
    struct strlist accepted = {0};
    int rc = ssh_route_find(login, &c->arena, &route, err);
    if (rc == 0)
        rc = ssh_route_known(&route, &c->arena, &known, err);
    if (rc < 0)
        return rc;
    if (add_key(c, &accepted, sure) < 0)
        return err_no_memory(err);
    c->endpoint.user = route.user;
    c->endpoint.address = route.address;
    c->endpoint.port = route.port;
    in.route = &route;
    in.host_keys = sure == NULL ? &known.keys : &accepted;
    in.revoked = &known.revoked;
    in.authority = known.authority;
    return ssh_connect(&in, &c->ssh, ret_shown, err);
}

static int connect_made(struct host_connection *c, const struct host_keys *keys, struct ssh_in in,
                        size_t *ret_shown, struct err *err) {
    struct strlist accepted = {0};
    if (add_key(c, &accepted, keys->pinned) < 0 || add_key(c, &accepted, keys->one_time) < 0)
        return err_no_memory(err);
    in.host_keys = &accepted;
    return accepted.len == 0 ? no_key(c->parent, err) : ssh_connect(&in, &c->ssh, ret_shown, err);
}

int host_connect(struct host_session *s, const char *parent, const struct endpoint *endpoint,
                 const struct host_keys *keys, double boot_s, bool (*abandoned)(void *ctx),
                 void *ctx, struct host_connection **ret, struct err *err) {
    char last[RUN_SIZE] = "";
    struct host_connection *c = find_good(s, parent, endpoint, last);
    if (c != NULL) {
        *ret = c;
        return 0;
    }
    c = calloc(1, sizeof *c);
    if (c == NULL || copy_endpoint(c, endpoint) < 0) {
        if (c != NULL)
            arena_free(&c->arena);
        free(c);
        return err_no_memory(err);
    }
    snprintf(c->parent, sizeof c->parent, "%s", parent);
    memcpy(c->last, last, sizeof last);
    const struct ssh_in in = {.endpoint = &c->endpoint,
                              .boot_s = boot_s,
                              .abandoned = abandoned,
                              .ctx = ctx,
                              .cancel = s->run->cancel};
    size_t shown = 0;
    int rc = c->endpoint.given.host != NULL ? connect_given(c, keys, in, &shown, err)
                                            : connect_made(c, keys, in, &shown, err);
    if (rc < 0) {
        arena_free(&c->arena);
        free(c);
        return rc;
    }
    pthread_mutex_init(&c->mutex, NULL);
    c->host_key = ssh_host_key(c->ssh);
    c->pinned = cstr_eq(keys->pinned, c->host_key);
    pthread_mutex_lock(s->mutex);
    c->next = s->connections;
    s->connections = c;
    pthread_mutex_unlock(s->mutex);
    *ret = c;
    return 0;
}

void host_disconnect(struct host_session *s, struct host_connection *c) {
    pthread_mutex_lock(s->mutex);
    retire(s, c);
    pthread_mutex_unlock(s->mutex);
}

void host_disconnect_all(struct host_session *s) {
    free_all(s->connections);
    free_all(s->retired);
    s->connections = s->retired = NULL;
}
