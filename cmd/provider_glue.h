/* What the choice of a provider means for a run: the sandbox is started and gives an endpoint with
 * credentials; EC2 and a server of the user's own need neither. Also: the address that the provider
 * sees this machine at. */
#pragma once

#include "cmd/cmd.h"

struct provider_glue {
    bool sandbox;
    char endpoint[128];
    char access_key[64], secret_key[128], region[32];
    char my_ip[64]; /* sandbox: the address that the guests see */
};

/* Can the provider have what this spec asks for, on this machine? -ERRC_UNSUPPORTED with what is
 * missing. `spec` may be NULL. */
int provider_glue_check(const struct spec *spec, struct err *err);

/* Is there something to ask, without starting it? False where a sandbox does not run. */
bool provider_glue_is_up(const char *provider);

/* Start the sandbox when `provider` asks for it, with what servers of the spec (which may be NULL)
 * need; words for the user go to stderr. */
int provider_glue_open(const struct cmd *cmd, const char *provider, const struct spec *spec,
                       struct provider_glue *ret, struct err *err);
/* The region that the run is about to work in, its own, else what the AWS chain leads to, and who
 * says so. Both live in `arena`. */
int provider_glue_region(const struct run *run, struct arena *arena, const char **ret,
                         const char **ret_from, struct err *err);
/* As inputs_source.my_ip; ctx is a struct provider_glue. BERTH_MY_IP overrides. */
int provider_glue_my_ip(void *ctx, char *ret, size_t size, struct err *err);
