/* The open sessions of a run, one a world that any kind uses. */
#pragma once

#include "providers/provider.h"

struct sessions;
enum { SESSIONS_MAX = 8 };
int sessions_open(const struct kind *const *kinds, const struct run *run, struct sessions **ret,
                  struct err *err);
void sessions_close(struct sessions *sessions);
void *sessions_get(struct sessions *sessions, const struct world *world);
const struct world *sessions_world(const struct sessions *sessions, size_t i); /* or NULL */
