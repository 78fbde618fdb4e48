/* `plan -out FILE` and `apply FILE`. The file holds the plan's JSON; applying it makes the plan
 * anew from spec, state and live world and refuses (-ERRC_STALE) when that differs, naming the
 * fields that moved. Mode 0600. */
#pragma once

#include "engine/plan.h"

int planfile_write(const char *path, const struct plan *plan, const char *spec_path,
                   struct err *err);

struct planfile {
    cJSON *json;
    const char *spec_path; /* in json */
    bool destroy;
};
int planfile_read(const char *path, struct planfile *ret, struct err *err);
void planfile_free(struct planfile *file);
/* 0 when `plan` is what the file says; tokens of the file are then taken over into `plan`. */
int planfile_check(const struct planfile *file, struct plan *plan, struct err *err);
