#include "cmd/provider_glue.h"

#include "providers/aws/config.h"
#include "providers/aws/my_ip.h"
#include "providers/sandbox/sandbox.h"
#include "specs/sections/sections.h"

#include <stdlib.h>
#include <string.h>

int provider_glue_check(const struct spec *spec, struct err *err) {
    return spec != NULL && strcmp(spec->provider, "sandbox") == 0 && spec_has_data(spec)
               ? sandbox_check_volumes(err)
               : 0;
}

bool provider_glue_is_up(const char *provider) {
    const struct sandbox_options options = {0};
    struct sandbox_info info = {0};
    struct err ignored = {0};
    return strcmp(provider, "sandbox") != 0 ||
           (sandbox_status(&options, &info, &ignored) == 0 && info.running);
}

static void say(void *ctx, const char *text) { cmd_note(ctx, "%s", text); }

int provider_glue_open(const struct cmd *cmd, const char *provider, const struct spec *spec,
                       struct provider_glue *ret, struct err *err) {
    *ret = (struct provider_glue){0};
    if (strcmp(provider, "sandbox") != 0)
        return 0;
    const struct sandbox_options options = {
        .image = spec == NULL || spec_server(spec) == NULL ? NULL : spec_server(spec)->image,
        .progress = say,
        .progress_ctx = (void *)cmd};
    struct sandbox_info info = {0};
    int rc = sandbox_ensure(&options, &info, err);
    if (rc < 0)
        return rc;
    ret->sandbox = true;
    snprintf(ret->endpoint, sizeof ret->endpoint, "%s", info.endpoint);
    snprintf(ret->access_key, sizeof ret->access_key, "%s", info.access_key);
    snprintf(ret->secret_key, sizeof ret->secret_key, "%s", info.secret_key);
    snprintf(ret->region, sizeof ret->region, "%s", info.region);
    return my_ip_to_cidr(info.client_address, ret->my_ip, sizeof ret->my_ip, err);
}

int provider_glue_region(const struct run *run, struct arena *arena, const char **ret,
                         const char **ret_from, struct err *err) {
    struct aws_config config = {0};
    int rc = aws_config_load_run(run, &config, err);
    if (rc < 0)
        return rc;
    const char *region = arena_dup(arena, config.region);
    const char *from = arena_dup(arena, config.region_from);
    aws_config_free(&config);
    if (region == NULL || from == NULL)
        return err_no_memory(err);
    *ret = region;
    *ret_from = from;
    return 0;
}

int provider_glue_my_ip(void *ctx, char *ret, size_t size, struct err *err) {
    const struct provider_glue *glue = ctx;
    const char *given = getenv("BERTH_MY_IP");
    if (given != NULL && given[0] != '\0') {
        int rc = my_ip_to_cidr(given, ret, size, err);
        if (rc < 0) {
            err_wrap(err, "BERTH_MY_IP");
            err_hint(err, "set it to your public address, such as 203.0.113.7, or to a CIDR block");
        }
        return rc;
    }
    if (!glue->sandbox)
        return my_ip_ask(ret, size, err);
    snprintf(ret, size, "%s", glue->my_ip);
    return 0;
}
