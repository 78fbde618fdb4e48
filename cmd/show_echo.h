/* Parts that could not be read for the same reason as another one: that one's line tells of them
 * too. Pure. */
#pragma once

#include "engine/plan.h"

struct echoes {
    bool *is_echo;  /* of plan->changes[i]: another one's line says it */
    size_t *others; /* how many changes[i] speaks for */
};

/* In `arena`. 0 or -ERRC_NOMEM. */
int echoes_find(const struct plan *plan, struct arena *arena, struct echoes *ret);
/* "and 9 more parts, for the same reason"; nothing where it speaks for itself alone. */
void echoes_add(const struct echoes *echoes, size_t at, struct buf *out);
