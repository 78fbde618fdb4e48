#include "cmd/session.h"

#include "cmd/ask.h"
#include "cmd/progress.h"
#include "cmd/renamed.h"
#include "cmd/show_cost.h"
#include "cmd/verbs.h"
#include "engine/power.h"
#include "specs/fs.h"
#include "specs/sections/sections.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* ---- What a run gives to the engine: environment, clock, random numbers */

static const char *get_env(void *ctx, const char *name) {
    (void)ctx;
    const char *value = getenv(name);
    return value == NULL || value[0] == '\0' ? NULL : value;
}

static time_t get_time(void *ctx) {
    (void)ctx;
    return time(NULL);
}

int session_random(void *buffer, size_t len) {
    char *at = buffer;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

/* What a world waits for: known at once only when it waits long. */
static void say_note(void *ctx, const char *text) {
    const struct session *s = ctx;
    if (s->view != NULL)
        progress_say(s->view, text);
    else
        cmd_note(s->cmd, "%s", text);
}

static int ask_at_terminal(void *ctx, const char *question, struct secret *ret, struct err *err) {
    (void)ctx;
    return ask_secret(question, ret, err);
}

/* For others who find this run at work on a host. */
static const char *who_am_i(struct session *s) {
    char host[64] = "";
    const char *user = get_env(NULL, "USER");
    gethostname(host, sizeof host - 1);
    return arena_printf(&s->arena, "%s%s%s (berth %s, process %ld)", user == NULL ? "" : user,
                        user == NULL ? "" : "@", host, s->cmd->verb->name, (long)getpid());
}

/* ---- Steps */

void session_init(struct session *s, struct cmd *cmd) {
    *s = (struct session){.cmd = cmd, .source = BUF_INIT(TREE_BYTES_MAX)};
}

void session_free(struct session *s) {
    cost_free(&s->cost);
    prices_free(s->prices);
    plan_free(&s->plan);
    live_world_free(&s->live);
    arena_free(&s->desired_arena);
    inputs_free(&s->inputs);
    sessions_close(s->sessions);
    state_free(&s->state);
    if (s->lock != NULL)
        lock_release(s->lock);
    arena_free(&s->spec_arena);
    buf_free(&s->source);
    arena_free(&s->arena);
    if (s->run.name != NULL)
        curl_global_cleanup();
    session_init(s, s->cmd);
}

static int set_paths(struct session *s, const char *spec_path, const char *name, struct err *err) {
    s->project_dir = strcmp(s->spec_dir, ".") == 0
                         ? arena_printf(&s->arena, ".berth/%s", name)
                         : arena_printf(&s->arena, "%s/.berth/%s", s->spec_dir, name);
    s->spec_path = arena_dup(&s->arena, spec_path);
    s->name = arena_dup(&s->arena, name);
    return s->project_dir == NULL || s->name == NULL ? err_no_memory(err) : 0;
}

static const char *dir_of(struct arena *arena, const char *path) {
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return ".";
    return slash == path ? "/" : arena_dup_str(arena, (struct str){path, (size_t)(slash - path)});
}

int session_load_spec(struct session *s, const char *path, struct err *err) {
    const char *given = path != NULL ? path : s->cmd->args.file;
    const char *used = given != NULL ? given : "berth.yaml";
    int rc = fs_read(used, &s->source, err);
    if (rc == -ERRC_NOTFOUND) {
        err_set(err, ERRC_NOTFOUND, "there is no %s here", used);
        err_hint(err, given == NULL
                          ? "berth init writes one; -file names one that is called otherwise"
                          : "look at the path that was given");
        return rc;
    }
    if (rc < 0)
        return rc;
    s->spec_dir = dir_of(&s->arena, used);
    if (s->spec_dir == NULL)
        return err_no_memory(err);
    s->diags = (struct diags){.arena = &s->spec_arena, .file = used, .source = buf_str(&s->source)};
    s->spec = spec_compile(&s->spec_arena, &s->diags);
    s->said = s->diags.len;
    if (s->said > 0 && !s->quiet) {
        _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
        diags_render(&s->diags, s->cmd->err_look.color, s->cmd->err_look.width, &text);
        fputs(buf_cstr(&text), s->cmd->err);
    }
    if (s->spec == NULL)
        return s->diags.errors > 0 ? -ERRC_INVALID : err_no_memory(err);
    s->diags.len = 0; /* the warnings are said; what comes later is shown by itself */
    s->provider = s->spec->provider;
    return set_paths(s, used, s->spec->name, err);
}

static int load_name(struct session *s, const char *name, struct err *err) {
    if (strchr(name, '/') != NULL || name[0] == '.')
        return err_set(err, ERRC_INVALID, "%s is no name of a spec", name);
    s->spec_dir = ".";
    int rc = set_paths(s, NULL, name, err);
    if (rc == 0 && !fs_exists(s->project_dir)) {
        err_set(err, ERRC_NOTFOUND, "nothing is recorded for %s: there is no %s", name,
                s->project_dir);
        err_hint(err, "look at the name, and run it beside the .berth folder");
        return -ERRC_NOTFOUND;
    }
    return rc;
}

int session_load(struct session *s, struct err *err) {
    const char *name = s->cmd->args.name;
    return name != NULL ? load_name(s, name, err) : session_load_spec(s, NULL, err);
}

int session_peek_state(struct session *s, struct err *err) {
    int rc = state_open(s->project_dir, s->cmd->kinds, session_random, &s->state, err);
    if (rc < 0)
        return rc;
    if (!s->state.exists && !s->state.replayed) {
        err_set(err, ERRC_NOTFOUND, "nothing is recorded for %s", s->name);
        err_hint(err, "berth apply makes it");
        return -ERRC_NOTFOUND;
    }
    return 0;
}

/* A state belongs to one provider and one region: what lives elsewhere would be lost sight of. */
static int check_same_provider(const struct session *s, struct err *err) {
    const struct state *state = &s->state;
    if (s->spec == NULL || state->nodes.len == 0 || state->provider == NULL ||
        state->provider[0] == '\0' || strcmp(state->provider, s->provider) == 0)
        return 0;
    err_set(err, ERRC_CONFLICT, "%s is on %s now, and the spec says %s", s->name, state->provider,
            s->provider);
    err_hint(err,
             "destroy it there first (set provider: %s, then berth destroy), or give the "
             "spec another name",
             state->provider);
    return -ERRC_CONFLICT;
}

static int check_same_region(const struct session *s, struct err *err) {
    const struct state *state = &s->state;
    if (state->nodes.len == 0 || state->region == NULL || state->region[0] == '\0' ||
        strcmp(state->region, s->run.region) == 0)
        return 0;
    err_set(err, ERRC_CONFLICT, "%s is in %s now, and berth would look for it in %s", s->name,
            state->region, s->run.region);
    err_hint(err,
             "write `region: %s` into the spec; to move it, destroy it there first, or give the "
             "spec another name",
             state->region);
    return -ERRC_CONFLICT;
}

int session_open_state(struct session *s, bool lock, struct err *err) {
    struct err ignored = {0};
    int rc = fs_mkdirs(s->project_dir, 0700, lock ? err : &ignored);
    if (rc < 0 && !lock) /* a look can do without: it keeps nothing */
        rc = 0;
    if (rc == 0 && lock) {
        char note[LOCK_NOTE_SIZE] = "";
        rc = lock_take(s->project_dir, s->cmd->verb->name, &s->lock, note, err);
        if (rc == 0 && note[0] != '\0')
            cmd_note(s->cmd, "note: %s", note);
    }
    if (rc == 0)
        rc = state_open(s->project_dir, s->cmd->kinds, session_random, &s->state, err);
    if (rc < 0)
        return rc;
    if (s->state.replayed && lock)
        cmd_note(s->cmd, "note: an earlier run was interrupted; what it did is taken into account");
    if (s->provider == NULL) /* by -name */
        s->provider = arena_dup(&s->arena, s->state.provider);
    if (s->spec == NULL && (s->provider == NULL || s->provider[0] == '\0')) {
        err_set(err, ERRC_NOTFOUND, "nothing is recorded for %s in %s", s->name, s->project_dir);
        err_hint(err, "look at the name, or run it beside the spec");
        return -ERRC_NOTFOUND;
    }
    return check_same_provider(s, err);
}

int session_make_run(struct session *s, struct err *err) {
    const struct cmd *cmd = s->cmd;
    int rc = provider_glue_check(s->spec, err);
    if (rc == 0)
        rc = provider_glue_open(cmd, s->provider, s->spec, &s->glue, err);
    if (rc < 0)
        return rc;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(err, ERRC_INTERNAL, "libcurl does not start");
    const struct top_section *top = s->spec == NULL ? NULL : spec_top(s->spec);
    const char *region = top != NULL ? top->region : s->state.region;
    s->run = (struct run){
        .provider = s->provider,
        .name = s->name,
        .lineage = s->state.lineage,
        .project_dir = s->project_dir,
        .spec_dir = s->spec_dir,
        .region = s->glue.sandbox                       ? s->glue.region
                  : region != NULL && region[0] != '\0' ? region
                                                        : NULL,
        .region_from = s->glue.sandbox ? "the sandbox" : NULL,
        .profile = top == NULL || s->glue.sandbox ? NULL : top->profile,
        .endpoint = s->glue.sandbox ? s->glue.endpoint : NULL,
        .access_key = s->glue.sandbox ? s->glue.access_key : NULL,
        .secret_key = s->glue.sandbox ? s->glue.secret_key : NULL,
        .env = get_env,
        .now = get_time,
        .random = session_random,
        .cancel = &s->cancel,
        .note = say_note,
        .note_ctx = s,
        .ask = ask_at_terminal,
        .who = who_am_i(s),
        .waits = s->lock != NULL,
    };
    return 0;
}

int session_open_worlds(struct session *s, struct err *err) {
    int rc = session_make_run(s, err);
    if (rc < 0)
        return rc;
    /* Without a region there is nothing to compare: a world that needs one says so. */
    struct err ignored = {0};
    if (strcmp(s->provider, "host") != 0 &&
        provider_glue_region(&s->run, &s->arena, &s->run.region, &s->run.region_from, &ignored) ==
            0) {
        rc = check_same_region(s, err);
        if (rc < 0)
            return rc;
    }
    /* What the state is of; written with it. */
    s->state.name = arena_dup(&s->state.arena, s->name);
    s->state.provider = arena_dup(&s->state.arena, s->provider);
    s->state.region = arena_dup(&s->state.arena, s->run.region == NULL ? "" : s->run.region);
    if (s->state.name == NULL || s->state.provider == NULL || s->state.region == NULL)
        return err_no_memory(err);
    return sessions_open(s->cmd->kinds, &s->run, &s->sessions, err);
}

void session_take_options(struct session *s) {
    struct args *args = &s->cmd->args;
    s->targets = (struct strlist){.items = args->targets.items, .len = args->targets.len};
    s->replaces = (struct strlist){.items = args->replaces.items, .len = args->replaces.len};
    s->options = (struct plan_options){.destroy = args->destroy,
                                       .data = args->data,
                                       .targets = &s->targets,
                                       .replaces = &s->replaces};
}

int session_desire(struct session *s, struct err *err) {
    const char *power = s->options.power;
    const struct kind *const *kinds =
        power == NULL ? s->cmd->kinds : power_kinds(s->cmd->kinds, power, &s->desired_arena);
    if (kinds == NULL)
        return err_no_memory(err);
    s->desired = (struct desired){.arena = &s->desired_arena, .spec = s->spec};
    s->desired.nodes.arena = &s->desired_arena;
    if (s->spec == NULL || s->options.destroy)
        return 0;
    s->inputs.arena = &s->desired_arena;
    const struct inputs_source source = {.spec_dir = s->spec_dir,
                                         .project_dir = s->project_dir,
                                         .instead = s->instead,
                                         .env = get_env,
                                         .my_ip = provider_glue_my_ip,
                                         .my_ip_ctx = &s->glue,
                                         .now = get_time};
    int rc = inputs_gather(&s->inputs, kinds, s->spec, &source, err);
    if (rc < 0)
        return rc;
    rc = (power == NULL ? compile_nodes : compile_some)(kinds, s->spec, &s->inputs,
                                                        s->state.lineage, &s->desired_arena,
                                                        &s->diags, &s->desired, err);
    if (s->diags.len > 0) {
        _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
        diags_render(&s->diags, s->cmd->err_look.color, s->cmd->err_look.width, &text);
        fputs(buf_cstr(&text), s->cmd->err);
        if (rc < 0)
            err->msg[0] = '\0';
    }
    return rc;
}

static void find_prices(struct session *s) {
    prices_fill(s->prices, &s->cost);
    s->cost.rehearsed = s->glue.sandbox;
    if (!s->cmd->args.verbose)
        return;
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    show_cost_why(&s->cost, &text);
    fputs(buf_cstr(&text), s->cmd->err);
}

int session_look(struct session *s, struct err *err) {
    struct state seen = s->state;
    int rc = s->options.power == NULL
                 ? 0
                 : power_state(&s->state, s->options.power, &s->desired_arena, &seen.nodes);
    if (rc < 0)
        return err_no_memory(err);
    rc = observe_all(s->sessions, &s->desired.nodes, &seen, &s->run, &s->live, err);
    if (rc < 0)
        return rc;
    if (s->cmd->args.verbose)
        cmd_note(s->cmd, "looked at the world: %zu API calls, %.3f s", s->live.calls,
                 s->live.seconds);
    return plan_make(&s->desired, &seen, &s->live, &s->options, session_random, &s->plan, err);
}

int session_plan(struct session *s, struct err *err) {
    s->prices = prices_start(s->sessions, &s->desired.nodes, &s->state);
    int rc = session_look(s, err);
    if (rc == 0)
        rc = cost_of_plan(&s->plan, &s->cost, err);
    if (rc == 0)
        find_prices(s);
    return rc;
}

int session_run(struct session *s, bool lock, struct err *err) {
    int rc = session_open_state(s, lock, err);
    if (rc == 0)
        rc = session_open_worlds(s, err);
    if (rc == 0 && s->spec != NULL && s->state.nodes.len == 0)
        renamed_note(s);
    /* A saved plan names the state that it was made from: there must be one. */
    if (rc == 0 && s->cmd->args.out != NULL && !s->state.exists)
        rc = state_write(&s->state, err);
    if (rc == 0)
        rc = session_desire(s, err);
    return rc < 0 ? rc : session_plan(s, err);
}

int session_fail(struct session *s, const struct err *err) {
    int code = EXIT_FAILED;
    if (err->msg[0] != '\0')
        code = cmd_fail(s->cmd, err);
    session_free(s);
    return code;
}

const char *session_spec_name(const struct session *s) {
    if (s->spec_path == NULL)
        return s->name;
    const char *slash = strrchr(s->spec_path, '/');
    return slash == NULL ? s->spec_path : slash + 1;
}
