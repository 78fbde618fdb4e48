#include "providers/sandbox/sandbox.h"

#include "cmd/ask.h"
#include "cmd/verbs.h"

#include <cjson/cJSON.h>
#include <string.h>

static void say(void *ctx, const char *text) { cmd_note(ctx, "%s", text); }

static int print_json(struct cmd *cmd, const struct sandbox_info *info) {
    cJSON *out = cJSON_CreateObject();
    cJSON_AddBoolToObject(out, "running", info->running);
    cJSON_AddStringToObject(out, "dir", info->dir);
    cJSON *images = cJSON_AddArrayToObject(out, "images");
    struct str rest = str_of(info->images);
    struct str name;
    while (str_split(&rest, ' ', &name)) {
        char text[64];
        snprintf(text, sizeof text, "%.*s", STR_FMT(name));
        cJSON_AddItemToArray(images, cJSON_CreateString(text));
    }
    cJSON_AddNumberToObject(out, "instances", (double)info->instances);
    if (info->running) {
        cJSON_AddNumberToObject(out, "pid", (double)info->pid);
        cJSON_AddStringToObject(out, "version", info->version);
        cJSON_AddStringToObject(out, "endpoint", info->endpoint);
        cJSON_AddStringToObject(out, "region", info->region);
        cJSON_AddStringToObject(out, "access_key", info->access_key);
        cJSON_AddStringToObject(out, "secret_key", info->secret_key);
        cJSON_AddStringToObject(out, "client_address", info->client_address);
    }
    return cmd_print_json(cmd, out);
}

static int show_status(struct cmd *cmd, const struct sandbox_options *options) {
    struct err err = {0};
    struct sandbox_info info = {0};
    if (sandbox_status(options, &info, &err) < 0)
        return cmd_fail(cmd, &err);
    if (cmd->args.json)
        return print_json(cmd, &info);
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    if (info.running)
        buf_addf(&text, "running, process %ld, %s\n", info.pid, info.endpoint);
    else
        buf_adds(&text, "not running\n");
    if (info.running && strcmp(info.version, BERTH_VERSION) != 0)
        buf_addf(&text,
                 "it is berth %s, this is " BERTH_VERSION
                 "; berth sandbox stop, then start, renews it\n",
                 info.version);
    buf_addf(&text, "world:      %s\ninstances:  %zu\nimages:     %s\n", info.dir, info.instances,
             info.images[0] != '\0' ? info.images
                                    : "none built yet; the first use builds one, once");
    if (info.running)
        buf_adds(&text, "-json also prints the credentials, for the AWS CLI.\n");
    if (sandbox_check(&err) < 0) {
        buf_addf(&text, "%s\n", err.msg);
        if (err.hint[0] != '\0')
            buf_addf(&text, "  try: %s\n", err.hint);
    }
    return cmd_print(cmd, &text);
}

static int start(struct cmd *cmd, const struct sandbox_options *options) {
    struct err err = {0};
    struct sandbox_info info = {0};
    struct sandbox_options with_image = *options;
    with_image.image = "debian-12"; /* the others are built when they are asked for */
    if (sandbox_ensure(&with_image, &info, &err) < 0)
        return cmd_fail(cmd, &err);
    return show_status(cmd, options);
}

static int stop(struct cmd *cmd, const struct sandbox_options *options) {
    struct err err = {0};
    if (sandbox_stop(options, &err) < 0)
        return cmd_fail(cmd, &err);
    cmd_note(cmd, "stopped; the world stays on disk");
    return EXIT_OK;
}

static int reset(struct cmd *cmd, const struct sandbox_options *options) {
    struct err err = {0};
    struct sandbox_info info = {0};
    static const char *const yes[] = {"y", "yes", NULL};
    int rc = sandbox_status(options, &info, &err);
    if (rc == 0 && !cmd->args.auto_approve && info.instances > 0) {
        char question[128];
        snprintf(question, sizeof question,
                 "Remove the sandbox with its %zu instance%s and all their data? [y/N]",
                 info.instances, info.instances == 1 ? "" : "s");
        rc = ask_person(cmd, question, yes, &err);
        if (rc == -ERRC_CANCELLED) {
            cmd_note(cmd, "%s", err.msg);
            return EXIT_FAILED;
        }
    }
    if (rc == 0)
        rc = sandbox_reset(options, cmd->args.all, &err);
    if (rc < 0)
        return cmd_fail(cmd, &err);
    cmd_note(cmd, "removed: %s", info.dir);
    return EXIT_OK;
}

static int serve(struct cmd *cmd, const struct sandbox_options *options) {
    struct err err = {0};
    return sandbox_serve(options, &err) < 0 ? cmd_fail(cmd, &err) : EXIT_OK;
}

static const struct {
    const char *name;
    int (*run)(struct cmd *cmd, const struct sandbox_options *options);
} words[] = {
    {"status", show_status}, {"start", start}, {"stop", stop}, {"reset", reset}, {"serve", serve},
};
enum { WORDS_LEN = sizeof words / sizeof words[0] };

static int run(struct cmd *cmd) {
    const struct sandbox_options options = {.dir = cmd->args.dir,
                                            .cache_dir = cmd->args.cache_dir,
                                            .progress = say,
                                            .progress_ctx = cmd};
    if (cmd->args.positional_len == 0)
        return show_status(cmd, &options);
    const char *names[WORDS_LEN + 1] = {0};
    for (size_t i = 0; i < WORDS_LEN; i++) {
        names[i] = words[i].name;
        if (strcmp(cmd->args.positional[0], words[i].name) == 0)
            return words[i].run(cmd, &options);
    }
    const char *nearest = str_nearest(str_of(cmd->args.positional[0]), names);
    if (nearest != NULL)
        return cmd_usage(cmd, "there is no berth sandbox %s; did you mean %s?",
                         cmd->args.positional[0], nearest);
    return cmd_usage(cmd, "there is no berth sandbox %s", cmd->args.positional[0]);
}

const struct verb verb_sandbox = {
    .name = "sandbox",
    .args = "[status|start|stop|reset]",
    .summary = "look after the embedded sandbox (provider: sandbox)",
    .details = "It starts by itself when a spec needs it, and runs on when berth ends.\n"
               "stop ends it and its guests, and keeps the world; reset removes the world too,\n"
               "and asks first. The daemon itself is `berth sandbox serve`.",
    .options = {&option_json, &option_auto_approve, &option_all, &option_dir, &option_cache_dir},
    .positional_max = 1,
    .run = run,
};
