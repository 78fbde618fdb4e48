#include "engine/execute.h"

#include "engine/executor.h"
#include "engine/index.h"

/* Unknowns are errors: the rest was done, and they may hide differences (case 15). */
static void settle_unknown(struct executor *x, const struct change *c) {
    struct err why = {0};
    if (c->live != NULL && c->live->err.code != 0)
        why = c->live->err;
    else if (c->note != NULL)
        err_set(&why, ERRC_HOST, "%s", c->note);
    else
        err_set(&why, ERRC_HOST, "it could not be read");
    executor_add_error(x, c, &why);
    x->outcome->skipped++;
}

/* No-ops refresh what the state remembers: addresses that moved, what the spec says beside the
 * fields (protect), and that nothing is half-way any more (case 16). */
static int settle_noop(struct executor *x, const struct change *c, struct err *err) {
    if (!plan_noop_moves_state(c))
        return 0;
    struct recorded entry = executor_entry(c, RECORDED_OK);
    const struct recorded *known = c->recorded;
    entry.id = change_id(c);
    entry.token = known != NULL ? known->token : NULL;
    entry.record = (void *)c->after;
    return state_put(x->state, &entry, err);
}

static int settle(struct executor *x, struct err *err) {
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < x->plan->len; i++) {
        const struct change *c = &x->plan->changes[i];
        if (c->action == ACTION_UNKNOWN)
            settle_unknown(x, c);
        else if (c->action == ACTION_NOOP)
            rc = settle_noop(x, c, err);
    }
    return rc;
}

static int begin(struct executor *x, const struct kind *const *kinds, struct err *err) {
    size_t n = x->plan->len;
    x->status = arena_calloc(&x->arena, n + 1, sizeof *x->status);
    x->started = arena_calloc(&x->arena, n + 1, sizeof *x->started);
    x->planned = arena_calloc(&x->arena, n + 1, sizeof *x->planned);
    x->by_address = index_new(n);
    if (x->status == NULL || x->started == NULL || x->planned == NULL || x->by_address == NULL)
        return err_no_memory(err);
    for (size_t i = 0; i < n; i++) {
        index_put(x->by_address, x->plan->changes[i].address, i);
        x->planned[i] = x->plan->changes[i].after;
    }
    int rc = batches_make(x->plan, kinds, &x->arena, &x->batches, err);
    if (rc == 0)
        rc = journal_open(x->run->project_dir, &x->journal, err);
    return rc < 0 ? rc : journal_begin(x->journal, x->state, err);
}

static int run_plan(struct executor *x, const struct kind *const *kinds, struct err *err) {
    int rc = begin(x, kinds, err);
    if (rc < 0)
        return rc;
    executor_schedule(x);
    rc = settle(x, err);
    return rc < 0 ? rc : state_write(x->state, err);
}

int execute_plan(struct plan *plan, struct state *state, struct sessions *sessions,
                 const struct kind *const *kinds, const struct run *run,
                 const struct progress *progress, struct outcome *ret, struct err *err) {
    if (plan->blockers_len > 0)
        return err_set(err, ERRC_CONFLICT, "%s: %s",
                       plan->blockers[0].address == NULL ? run->name : plan->blockers[0].address,
                       plan->blockers[0].text);
    struct outcome outcome = {0};
    struct executor x = {.plan = plan,
                         .state = state,
                         .sessions = sessions,
                         .run = run,
                         .progress = progress,
                         .outcome = &outcome};
    double start_s = monotonic_s();
    pthread_mutex_init(&x.mutex, NULL);
    pthread_cond_init(&x.moved, NULL);
    int rc = run_plan(&x, kinds, err);
    journal_close(x.journal);
    pthread_mutex_destroy(&x.mutex);
    pthread_cond_destroy(&x.moved);
    index_free(x.by_address);
    arena_free(&x.arena);
    outcome.seconds = monotonic_s() - start_s;
    outcome.cancelled = atomic_load(run->cancel) > 0 && outcome.skipped + outcome.failed > 0;
    *ret = outcome;
    if (rc < 0)
        return rc;
    if (outcome.cancelled)
        return err_set(err, ERRC_CANCELLED, "interrupted");
    if (outcome.failed > 0 || outcome.skipped > 0)
        return err_set(err, ERRC_PARTIAL, "%zu failed, %zu not done", outcome.failed,
                       outcome.skipped);
    return 0;
}

void outcome_free(struct outcome *outcome) {
    arena_free(&outcome->arena);
    *outcome = (struct outcome){0};
}
