/* `plan -out FILE` and `apply FILE`. The file holds the plan's JSON; applying it makes the plan
 * anew from spec, state and live world and refuses (-ERRC_STALE) when that differs, naming the
 * fields that moved. Mode 0600. */
#pragma once

#include "engine/plan.h"

/* `spec_path` and `options` are kept in the file, so that apply finds the spec again and plans the
 * same. As fs_write fails, or -ERRC_NOMEM. */
int planfile_write(const char *path, const struct plan *plan, const struct plan_options *options,
                   const char *spec_path, struct err *err);

struct planfile {
    cJSON *json;
    const char *spec_path; /* in json */
};
/* -ERRC_NOTFOUND, -ERRC_IO, or -ERRC_INVALID for what is no plan of this berth. Free with
 * planfile_free. */
int planfile_read(const char *path, struct planfile *ret, struct err *err);
void planfile_free(struct planfile *file);
/* What the plan was asked for. The lists are `targets` and `replaces`, filled in `arena`. 0 or
 * -ERRC_NOMEM. */
int planfile_options(const struct planfile *file, struct arena *arena, struct plan_options *ret,
                     struct strlist *targets, struct strlist *replaces, struct err *err);
/* 0 when `plan` is what the file says; tokens of the file are then taken over into `plan`. */
int planfile_check(const struct planfile *file, struct plan *plan, struct err *err);
