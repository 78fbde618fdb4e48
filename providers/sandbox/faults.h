/* Faults that a test asks for (docs/sandbox.md). Mutex held, everywhere. */
#pragma once

#include "providers/sandbox/api.h"
#include "providers/sandbox/types.h"

/* POST puts a list in the place of the one before, GET shows it. HTTP status. */
int faults_request(struct sandbox *s, const struct http_request *r, struct buf *out);
/* Those of a world that was loaded. */
void faults_begin(struct sandbox *s);
/* What comes instead of the action: -1 with *e set. A dry run meets only what forbids it. */
int faults_before(struct sandbox *s, const char *service, const char *action, const cJSON *form,
                  bool dry, struct api_error *e);
/* What becomes of an answer: e->status is -1 when it is lost. */
void faults_after(struct sandbox *s, const char *action, const cJSON *form, struct str answer,
                  struct api_error *e);
/* Has that zone no capacity for this? */
bool fault_no_capacity(struct sandbox *s, const char *action, const cJSON *form,
                       const struct zone *zone);
/* The instance has just got into this state: how long it stays there at least (slow_until), and
 * what becomes of it instead (fail_code, fail_reason). */
void fault_transition(struct sandbox *s, cJSON *instance, const char *state);
/* Mutex held, but not while it waits: until slow_until is over, or the instance is in another
 * state. */
void fault_await_slow(struct sandbox *s, const char *id, const char *state);
/* What was made just now and is not seen yet leaves its list until veil_end(). */
struct veil;
struct veil *veil_begin(struct sandbox *s, const struct action *action, const cJSON *form);
void veil_end(struct veil *veil); /* takes NULL */
