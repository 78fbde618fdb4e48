/* The common path of a verb: spec → project → provider → inputs → live world → plan. Each step is a
 * function; a verb calls those that it needs, in this order, and session_free at the end. Steps
 * return 0 or -ERRC_…; -ERRC_INVALID with an empty message means that diagnostics were printed. */
#pragma once

#include "cmd/cmd.h"
#include "cmd/provider_glue.h"
#include "engine/compile.h"
#include "engine/inputs.h"
#include "engine/lock.h"
#include "engine/observe.h"
#include "engine/plan.h"
#include "engine/prices.h"
#include "engine/state.h"

struct progress_view;

struct session {
    struct cmd *cmd;
    struct arena arena; /* paths, outputs */
    const char *spec_path;
    const char *spec_dir;
    const char *project_dir; /* SPEC_DIR/.berth/NAME */
    const char *name;
    const char *provider;
    struct buf source;
    struct arena spec_arena;
    struct diags diags;
    size_t said;             /* diagnostics of the compiler in diags.items */
    bool quiet;              /* do not print them: the verb does */
    const struct spec *spec; /* NULL when the verb goes by -name */
    struct lock *lock;
    struct state state;
    struct provider_glue glue;
    struct run run;
    atomic_int cancel;
    struct sessions *sessions;
    struct input_instead instead; /* set by a verb that plans with a file as it is to become */
    struct inputs inputs;
    struct arena desired_arena;
    struct desired desired;
    struct live_world live;
    struct plan_options options; /* what session_run plans; set by the verb before it */
    struct strlist targets, replaces;
    struct plan plan;
    struct prices *prices;
    struct cost cost;           /* of the plan */
    struct progress_view *view; /* while changes are made: notes go beside its live lines */
};

/* Nothing is opened or read yet; session_free is good at any step, and makes it as new. */
void session_init(struct session *s, struct cmd *cmd);
void session_free(struct session *s);

/* Read and compile `path` (NULL: -file, else berth.yaml). Diagnostics go to stderr. */
int session_load_spec(struct session *s, const char *path, struct err *err);
/* The same by -file; or by -name, without a spec: the project folder of it below the working
 * folder.
 */
int session_load(struct session *s, struct err *err);
/* Make the project folder (0700), take the lock when `lock`, read the state. */
int session_open_state(struct session *s, bool lock, struct err *err);
/* The same for verbs that only look into the state: nothing is made. -ERRC_NOTFOUND when there is
 * no state. */
int session_peek_state(struct session *s, struct err *err);
/* Start what the provider needs (the sandbox), and fill s->run. Part of session_open_worlds. */
int session_make_run(struct session *s, struct err *err);
/* Open the worlds, with what they need. */
int session_open_worlds(struct session *s, struct err *err);
/* Take over what the command line says of the plan (-target, -replace, -data, -destroy). */
void session_take_options(struct session *s);
/* Load the inputs and declare the nodes; without a spec, or for a destroy, there are none; to start
 * or stop, those alone that have to do with it. */
int session_desire(struct session *s, struct err *err);
/* Observe, then plan by s->options: what session_plan does but for the prices. */
int session_look(struct session *s, struct err *err);
/* Observe, then plan by s->options, and find what it costs: prices are asked for beside the
 * observing. */
int session_plan(struct session *s, struct err *err);
/* All of the above, for the verbs that plan. */
int session_run(struct session *s, bool lock, struct err *err);

/* Random bytes of the system: 0, or negative. */
int session_random(void *buffer, size_t len);
/* Show the error (unless diagnostics said it all) and free the session: for `return`. */
int session_fail(struct session *s, const struct err *err);
/* The spec as the user calls it, without folders: "berth.yaml". */
const char *session_spec_name(const struct session *s);
