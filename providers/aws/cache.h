/* Answers of AWS that stay good for a while (prices, the newest AMI), kept in the user's cache
 * folder: $BERTH_CACHE_DIR, else $XDG_CACHE_HOME/berth, else ~/.cache/berth; there in `answers`,
 * one file a key. A cache only saves calls: what cannot be read, is damaged, too old or from the
 * future is not there, and what cannot be written is not kept. Neither is an error. */
#pragma once

#include "providers/provider.h"
#include "specs/buf.h"

#include <stdbool.h>
#include <stdint.h>

enum { CACHE_DAY_S = 24 * 60 * 60, CACHE_VALUE_MAX = 1024 * 1024 };

struct cache {
    char dir[1024]; /* "" when there is no folder to be had: then nothing is kept */
    const struct run *run;
};

/* Nothing is opened or made yet; good for as long as the run. */
void cache_init(const struct run *run, struct cache *ret);
/* Append to `out` what was put for this endpoint (NULL: AWS's own), region and `what`, when it is
 * younger than max_age_s by the run's clock. False, and nothing appended, otherwise. */
bool cache_get(const struct cache *cache, const char *endpoint, const char *region,
               const char *what, int64_t max_age_s, struct buf *out);
/* Keep `value`, of at most CACHE_VALUE_MAX bytes, in place of what was there; mode 0600, replaced
 * as a whole, so that two runs side by side do no harm. Never for secrets. */
void cache_put(const struct cache *cache, const char *endpoint, const char *region,
               const char *what, struct str value);
