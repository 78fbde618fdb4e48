#include "tests/scenario/sim_run.h"

#include "engine/graph.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *no_env(void *ctx, const char *name) {
    (void)ctx;
    (void)name;
    return NULL;
}

static time_t some_time(void *ctx) {
    (void)ctx;
    return 1767225600; /* 2026-01-01 */
}

/* Good enough to be different each time, in each process. */
static int some_random(void *buffer, size_t len) {
    FILE *file = fopen("/dev/urandom", "rb");
    size_t n = file == NULL ? 0 : fread(buffer, 1, len, file);
    if (file != NULL)
        fclose(file);
    return n == len ? 0 : -1;
}

void sim_dir_make(char ret[64]) {
    /* In memory where there is such a place: these tests ask for thousands of syncs. */
    snprintf(ret, 64, "%s/berth-sim-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(ret) == NULL)
        abort();
}

void sim_dir_remove(const char *dir) {
    DIR *folder = opendir(dir);
    for (const struct dirent *e = readdir(folder); e != NULL; e = readdir(folder)) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        unlink(path);
    }
    closedir(folder);
    rmdir(dir);
}

void sim_run_end(struct sim_run *run) {
    plan_free(&run->plan);
    live_world_free(&run->live);
    sessions_close(run->sessions);
    state_free(&run->state);
    arena_free(&run->arena);
    run->sessions = NULL;
}

int sim_run_plan(struct sim_run *ret, struct sim *sim, const char *dir, const struct sim_wish *wish,
                 bool destroy, struct err *err) {
    struct plan_options options = {0};
    if (wish->options != NULL)
        options = *wish->options;
    options.destroy = destroy;
    *ret = (struct sim_run){.sim = sim};
    struct sim_run *r = ret;
    snprintf(r->dir, sizeof r->dir, "%s", dir);
    r->run = (struct run){.name = "sim",
                          .project_dir = r->dir,
                          .spec_dir = r->dir,
                          .env = no_env,
                          .env_ctx = sim,
                          .now = some_time,
                          .random = some_random,
                          .cancel = &r->cancel};
    r->desired = (struct desired){.arena = &r->arena, .nodes = {.arena = &r->arena}};
    sim->cancel = &r->cancel;
    int rc = state_open(dir, sim_kinds, some_random, &r->state, err);
    if (rc == 0)
        rc = sessions_open(sim_kinds, &r->run, &r->sessions, err);
    if (rc == 0 && !destroy && wish->fill != NULL)
        wish->fill(&r->desired.nodes, wish->ctx);
    if (rc == 0)
        rc = graph_sort_nodes(&r->desired.nodes, err);
    if (rc == 0)
        rc = observe_all(r->sessions, &r->desired.nodes, &r->state, &r->run, &r->live, err);
    if (rc == 0)
        rc = plan_make(&r->desired, &r->state, &r->live, &options, some_random, &r->plan, err);
    if (rc < 0)
        sim_run_end(r);
    return rc;
}

int sim_run_execute(struct sim_run *run, struct outcome *ret_outcome, struct err *err) {
    return execute_plan(&run->plan, &run->state, run->sessions, sim_kinds, &run->run, NULL,
                        ret_outcome, err);
}

int sim_apply(struct sim *sim, const char *dir, const struct sim_wish *wish, bool destroy) {
    struct sim_run run;
    struct outcome outcome = {0};
    struct err err = {0};
    int rc = sim_run_plan(&run, sim, dir, wish, destroy, &err);
    if (rc == 0) {
        rc = sim_run_execute(&run, &outcome, &err);
        for (size_t i = 0; i < outcome.errors_len && getenv("SIM_VERBOSE") != NULL; i++)
            fprintf(stderr, "%s: %s\n", outcome.errors[i].address, outcome.errors[i].err.msg);
        outcome_free(&outcome);
        sim_run_end(&run);
    }
    return rc;
}

size_t sim_changes(struct sim *sim, const char *dir, const struct sim_wish *wish) {
    struct sim_run run;
    struct err err = {0};
    if (sim_run_plan(&run, sim, dir, wish, false, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        return SIZE_MAX;
    }
    size_t n = run.plan.len - run.plan.counts[ACTION_NOOP] - run.plan.counts[ACTION_KEEP];
    sim_run_end(&run);
    return n;
}

bool sim_apply_dying(struct sim *sim, const char *dir, const struct sim_wish *wish, size_t die_at) {
    fflush(NULL);
    sim->die_at = die_at;
    pid_t pid = fork();
    if (pid < 0)
        abort();
    if (pid == 0) {
        int rc = sim_apply(sim, dir, wish, wish->fill == NULL);
        _exit(rc == 0 ? 0 : 1);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0) {
    }
    sim_calm(sim);
    if (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 9))
        abort(); /* neither the end nor the death that was asked for */
    return WEXITSTATUS(status) == 0;
}
