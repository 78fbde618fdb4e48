/* Reading hosts: one connection and one command a host, all hosts side by side. */
#include "providers/host/world.h"

#include "providers/host/given_check.h"
#include "providers/host/internal.h"
#include "providers/host/scripts.h"
#include "specs/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TARGETS_AT_ONCE = 64 };

struct target {
    struct host_session *session;
    const struct observe_in *in;
    const struct observe_target *target;
    struct observed part; /* this thread's own */
    struct host_node *nodes;
    const struct kind **kinds;
    size_t len;
    struct host_connection here; /* endpoint only: for what is read from here */
    pthread_t thread, local_thread;
    bool started;
    void *local_record;
    enum presence local_presence;
    size_t local_index; /* SIZE_MAX: nothing is read from here */
    int local_rc;
};

/* The nodes in this parent: those that are wanted, then those that are only remembered. */
static int collect(struct target *t) {
    const struct observe_in *in = t->in;
    size_t most = in->nodes->len + in->recorded->len + 1;
    t->nodes = arena_calloc(&t->part.arena, most, sizeof *t->nodes);
    t->kinds = arena_calloc(&t->part.arena, most, sizeof *t->kinds);
    if (t->nodes == NULL || t->kinds == NULL)
        return -ERRC_NOMEM;
    for (size_t i = 0; i < in->nodes->len + in->recorded->len; i++) {
        bool wanted = i < in->nodes->len;
        const struct node *n = wanted ? &in->nodes->items[i] : NULL;
        const struct recorded *r = wanted ? recorded_find(in->recorded, n->address)
                                          : &in->recorded->items[i - in->nodes->len];
        const struct kind *kind = wanted ? n->kind : r->kind;
        const char *parent = wanted ? n->parent : r->parent;
        if (kind == NULL || host_kind_of(kind) == NULL || !cstr_eq(parent, t->target->address) ||
            (!wanted && nodes_find(in->nodes, r->address) != NULL))
            continue;
        t->kinds[t->len] = kind;
        t->nodes[t->len++] = (struct host_node){
            .address = wanted ? n->address : r->address,
            .desired = wanted ? n->desired : NULL,
            .recorded = r == NULL ? NULL : r->record,
            .extra = wanted ? n->extra : NULL,
            .session = t->session,
            .arena = &t->part.arena,
        };
    }
    return 0;
}

static int compose(struct target *t, const struct host_connection *c, struct buf *script) {
    buf_addf(script, "wait=%s\n", t->session->run->waits ? "yes" : "no");
    buf_adds(script, script_common);
    buf_adds(script, script_busy);
    buf_adds(script, script_probe_lock);
    if (t->target->endpoint.given.host != NULL &&
        given_ask(&t->part.arena, c->endpoint.user, script) < 0)
        return -ERRC_NOMEM;
    buf_adds(script, script_probe);
    for (size_t i = 0; i < t->len; i++) {
        const struct host_kind *kind = host_kind_of(t->kinds[i]);
        if (kind->probe == NULL)
            continue;
        buf_adds(script, "node=");
        shell_quote(script, t->nodes[i].address);
        buf_addc(script, '\n');
        int rc = kind->probe(&t->nodes[i], script);
        if (rc < 0)
            return rc;
    }
    buf_adds(script, "printf 'berth\\tend\\tyes\\n'\n");
    buf_adds(script, t->session->run->waits ? script_keep : "exit 0\n");
    return script->failed ? -ERRC_NOMEM : 0;
}

static int add_live(struct target *t, size_t i, enum presence presence, void *record,
                    const struct recorded *recorded) {
    struct live *live = observed_add(&t->part, t->kinds[i], t->nodes[i].address, presence);
    if (live == NULL)
        return -ERRC_NOMEM;
    live->record = presence == LIVE_OURS ? record : NULL;
    live->id = recorded == NULL ? t->nodes[i].address : recorded->id;
    if (live->id == NULL)
        live->id = t->nodes[i].address;
    return 0;
}

static int read_nodes(struct target *t, const struct facts *facts, struct err *err) {
    for (size_t i = 0; i < t->len; i++) {
        const struct host_kind *kind = host_kind_of(t->kinds[i]);
        enum presence presence = LIVE_NONE;
        void *record =
            i == t->local_index ? t->local_record : arena_alloc(&t->part.arena, t->kinds[i]->size);
        if (record == NULL)
            return err_no_memory(err);
        int rc = 0;
        if (i == t->local_index) {
            presence = t->local_presence;
            rc = t->local_rc;
        } else {
            record_init(t->kinds[i]->fields, record);
            rc = kind->read(&t->nodes[i], facts, record, &presence, err);
        }
        if (rc == 0)
            rc = add_live(t, i, presence, record,
                          recorded_find(t->in->recorded, t->nodes[i].address));
        if (rc == 0 && presence == LIVE_OURS && kind->remark != NULL)
            t->part.items[t->part.len - 1].note = kind->remark(&t->nodes[i], facts);
        if (rc == 0 && presence == LIVE_OURS && kind->at_stake != NULL)
            t->part.items[t->part.len - 1].at_stake = kind->at_stake(&t->nodes[i], facts);
        if (rc == 0 && presence == LIVE_OURS && kind->read_texts != NULL)
            rc = kind->read_texts(&t->nodes[i], facts, record,
                                  &t->part.items[t->part.len - 1].texts);
        if (rc < 0)
            return err->code != 0 ? rc : err_no_memory(err);
    }
    return 0;
}

static struct host_keys find_keys(struct target *t) {
    const char *address = arena_printf(&t->part.arena, "%s.host_key", t->target->address);
    const struct recorded *known = address == NULL ? NULL : recorded_find(t->in->recorded, address);
    return host_keys_of(t->session->run, t->target->address, &t->target->endpoint,
                        known == NULL ? NULL : known->record, &t->part.arena);
}

static bool is_abandoned(void *ctx) {
    const struct target *t = ctx;
    return t->in->abandoned != NULL && t->in->abandoned(t->in->ctx, t->target->address);
}

/* A host that no run has been on yet: it may still boot, and there is nothing to read. */
static bool is_untouched(const struct target *t, const struct host_keys *keys) {
    for (size_t i = 0; i < t->len; i++)
        if (t->nodes[i].recorded != NULL)
            return false;
    return keys->pinned == NULL;
}

struct hearing {
    struct target *target;
    struct buf *out;
    bool busy; /* somebody is at work, and it is not waited for */
    bool kept; /* all is read, and the shell waits for what is to be done; or it says too much */
};

/* "berth<tab>busy<tab>WHO" comes at once, all else when that has ended. */
static void on_line(void *ctx, struct str line) {
    static const char mark[] = "berth\tbusy\t";
    struct hearing *h = ctx;
    const struct run *run = h->target->session->run;
    h->kept = run->waits && str_eqc(line, SCRIPT_KEPT);
    if (h->kept)
        return;
    buf_addstr(h->out, line);
    buf_addc(h->out, '\n');
    h->kept = h->out->failed;
    if (!str_starts(line, STR(mark)))
        return;
    h->busy = !run->waits;
    if (run->waits && run->note != NULL) {
        const char *text =
            arena_printf(&h->target->part.arena, "%s: waiting for %.*s", h->target->target->address,
                         (int)(line.len - strlen(mark)), line.ptr + strlen(mark));
        if (text != NULL)
            run->note(run->note_ctx, text);
    }
}

static int say_busy(const struct target *t, const struct facts *facts, struct err *err) {
    const char *who = facts_get(facts, "berth", "busy");
    err_set(err, ERRC_LOCKED, "%s is at work on %s", who == NULL ? "another run" : who,
            t->target->address);
    err_hint(err, "wait for it to end; berth apply does");
    return -ERRC_LOCKED;
}

/* What was not said is not there: so it has to be said to its end. */
static int check_end(const struct target *t, const struct facts *facts, struct err *err) {
    if (facts_get(facts, "berth", "end") != NULL)
        return 0;
    err_set(err, ERRC_HOST, "%s stopped before it had said all", t->target->address);
    err_hint(err,
             "does the login user's shell end of its own accord (an exit in ~/.bashrc)? try it: "
             "ssh to it, with the command: sh -c 'echo good'");
    return -ERRC_HOST;
}

static int say_unreadable(const struct host_connection *c, int status, const struct buf *errors,
                          struct err *err) {
    err_set(err, ERRC_HOST, "%s@%s cannot be read: exit %d: %.300s", c->endpoint.user,
            c->endpoint.address, status, buf_cstr(errors));
    if (host_as_root(&c->endpoint)[0] != '\0')
        err_hint(err,
                 "the login user needs sudo without a password: as root there, echo '%s "
                 "ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/berth",
                 c->endpoint.user);
    return -ERRC_HOST;
}

/* The one command: its output, and whether somebody is at work there. */
static int run_probe(struct target *t, struct host_connection *c, struct buf *out, bool *ret_busy,
                     struct err *err) {
    _cleanup_buf_ struct buf script = BUF_INIT(BUF_LARGE);
    _cleanup_buf_ struct buf errors = BUF_INIT(BUF_SMALL);
    struct hearing hearing = {.target = t, .out = out};
    char shell[32];
    int status = 0;
    if (compose(t, c, &script) < 0)
        return err_no_memory(err);
    snprintf(shell, sizeof shell, "%ssh -s", host_as_root(&c->endpoint));
    const struct ssh_command command = {.command = shell,
                                        .input = buf_str(&script),
                                        .on_line = on_line,
                                        .ctx = &hearing,
                                        .enough = &hearing.kept,
                                        .keep = t->session->run->waits,
                                        .errors = &errors};
    int rc = ssh_run_command(c->ssh, &command, &status, err);
    if (rc == 0 && out->failed)
        rc = err_set(err, ERRC_LIMIT, "%s: the output is too long", t->target->address);
    if (rc < 0) {
        host_disconnect(t->session, c);
        return rc;
    }
    *ret_busy = hearing.busy;
    return status == 0 ? 0 : say_unreadable(c, status, &errors, err);
}

static int read_facts(struct target *t, struct host_connection *c, const struct facts *facts,
                      bool busy, struct err *err) {
    const char *last = facts_get(facts, "berth", "last");
    if (last != NULL)
        snprintf(c->last, sizeof c->last, "%s", last);
    int rc = busy ? say_busy(t, facts, err) : check_end(t, facts, err);
    if (rc == 0)
        rc = given_check(t->session->run->name, c->endpoint.user, facts, &t->part.arena, err);
    return rc < 0 ? rc : read_nodes(t, facts, err);
}

static int probe(struct target *t, struct err *err) {
    struct host_connection *c = NULL;
    const struct host_keys keys = find_keys(t);
    if (t->target->endpoint.given.host == NULL && is_untouched(t, &keys)) {
        for (size_t i = 0; i < t->len; i++)
            if (observed_add(&t->part, t->kinds[i], t->nodes[i].address, LIVE_NONE) == NULL)
                return err_no_memory(err);
        return 0;
    }
    int rc = host_connect(t->session, t->target->address, &t->target->endpoint, &keys, 0,
                          is_abandoned, t, &c, err);
    if (rc < 0)
        return rc;
    _cleanup_buf_ struct buf out = BUF_INIT(PROBE_BYTES_MAX);
    struct facts facts = {0};
    bool busy = false;
    for (size_t i = 0; i < t->len; i++)
        t->nodes[i].connection = c;
    rc = run_probe(t, c, &out, &busy, err);
    if (rc < 0)
        return rc;
    rc = facts_parse(buf_str(&out), &facts, err);
    if (t->started)
        pthread_join(t->local_thread, NULL);
    t->started = false;
    if (rc == 0)
        rc = read_facts(t, c, &facts, busy, err);
    facts_free(&facts);
    return rc;
}

static void *read_local(void *arg) {
    struct target *t = arg;
    struct arena arena = {0};
    struct host_node node = t->nodes[t->local_index];
    node.connection = &t->here;
    node.arena = &arena; /* the probe's thread uses the other one meanwhile */
    t->local_rc = host_kind_of(t->kinds[t->local_index])
                      ->read_local(&node, t->local_record, &t->local_presence);
    t->here.arena = arena;
    return NULL;
}

static bool is_local(const struct target *t, size_t i) {
    const struct host_kind *kind = host_kind_of(t->kinds[i]);
    return kind->read_local != NULL && (kind->is_local == NULL || kind->is_local(&t->nodes[i]));
}

/* What is asked from here starts at the same time as the connection. */
static void start_local(struct target *t) {
    t->local_index = SIZE_MAX;
    for (size_t i = 0; i < t->len; i++)
        if (is_local(t, i))
            t->local_index = i;
    if (t->local_index == SIZE_MAX)
        return;
    t->here.endpoint = t->target->endpoint;
    t->local_record = arena_alloc(&t->part.arena, t->kinds[t->local_index]->size);
    if (t->local_record == NULL) {
        t->local_rc = -ERRC_NOMEM;
        return;
    }
    record_init(t->kinds[t->local_index]->fields, t->local_record);
    t->started = pthread_create(&t->local_thread, NULL, read_local, t) == 0;
    if (!t->started)
        read_local(t);
}

static void *read_target(void *arg) {
    struct target *t = arg;
    struct err err = {0};
    if (collect(t) < 0)
        return NULL;
    start_local(t);
    int rc = probe(t, &err);
    if (t->started)
        pthread_join(t->local_thread, NULL);
    arena_merge(&t->part.arena, &t->here.arena);
    if (rc == 0)
        return NULL;
    t->part.len = 0;
    for (size_t i = 0; i < t->len; i++) {
        struct live *live =
            observed_add(&t->part, t->kinds[i], t->nodes[i].address, LIVE_UNREADABLE);
        if (live == NULL)
            continue;
        live->err = err;
        if (i == 0) /* once is enough */
            continue;
        live->same_as = t->nodes[0].address;
        err_set(&live->err, (enum err_code)err.code, "for the same reason as %s", live->same_as);
    }
    return NULL;
}

int host_observe(void *session, const struct observe_in *in, struct observed *out,
                 struct err *err) {
    struct target *targets = calloc(in->targets_len + 1, sizeof *targets);
    if (targets == NULL)
        return err_no_memory(err);
    int rc = 0;
    for (size_t first = 0; first < in->targets_len; first += TARGETS_AT_ONCE) {
        size_t end =
            first + TARGETS_AT_ONCE < in->targets_len ? first + TARGETS_AT_ONCE : in->targets_len;
        for (size_t i = first; i < end; i++) {
            targets[i] = (struct target){.session = session, .in = in, .target = &in->targets[i]};
            if (pthread_create(&targets[i].thread, NULL, read_target, &targets[i]) != 0) {
                rc = err_set(err, ERRC_NOMEM, "cannot start a thread");
                end = i;
            }
        }
        for (size_t i = first; i < end; i++)
            pthread_join(targets[i].thread, NULL);
    }
    for (size_t i = 0; i < in->targets_len; i++) {
        arena_merge(&out->arena, &targets[i].part.arena);
        for (size_t k = 0; rc == 0 && k < targets[i].part.len; k++) {
            const struct live *from = &targets[i].part.items[k];
            struct live *to = observed_add(out, from->kind, from->address, from->presence);
            if (to == NULL)
                rc = err_no_memory(err);
            else
                *to = *from;
        }
    }
    free(targets);
    return rc;
}
