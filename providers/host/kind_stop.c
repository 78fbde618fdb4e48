/* server[N].stop: a watcher on the host that powers it off when nothing has been going on for a
 * while, or when it has run for long enough. The instance's shutdown behaviour is stop. */
#include "providers/host/internal.h"
#include "providers/host/scripts.h"
#include "specs/hash.h"
#include "specs/sections/sections.h"

#include <cjson/cJSON.h>

#define RECORD struct host_stop_record
#define WATCH "/opt/berth/watch"
#define CONFIG HOST_ETC "/stop"
#define UNITS "/etc/systemd/system/"
#define SERVICE "berth-stop.service"
#define TIMER "berth-stop.timer"
#define STATE "/run/berth-stop.json"

enum { LOOK_MAX_S = 60, LOOKS = 5 /* in the time of being idle, when that is short */ };

static const struct field fields[] = {
    {.name = "idle",
     .doc = "Stops when nothing has been going on for so long.",
     .type = FIELD_DURATION,
     .offset = offsetof(RECORD, idle_s)},
    {.name = "after",
     .doc = "Stops when it has run for so long.",
     .type = FIELD_DURATION,
     .offset = offsetof(RECORD, after_s)},
    {.name = "watcher",
     .doc = "Hash of the watcher and its units.",
     .type = FIELD_STR,
     .offset = offsetof(RECORD, watcher)},
    {.name = "active",
     .doc = "It watches.",
     .type = FIELD_BOOL,
     .offset = offsetof(RECORD, active)},
    {.name = "stops_in",
     .doc = "Seconds until it stops, as things stand.",
     .type = FIELD_INT,
     .flags = FIELD_COMPUTED | FIELD_UNSTORED,
     .offset = offsetof(RECORD, stops_in_s)},
    {.name = "idle_for",
     .doc = "Seconds since something was going on.",
     .type = FIELD_INT,
     .flags = FIELD_COMPUTED | FIELD_UNSTORED,
     .offset = offsetof(RECORD, idle_for_s)},
    {.name = "last",
     .doc = "What was going on last.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED | FIELD_UNSTORED,
     .offset = offsetof(RECORD, last)},
    FIELD_END,
};

static const char service_text[] = "[Unit]\n"
                                   "Description=Look whether this server is idle, for berth\n"
                                   "\n"
                                   "[Service]\n"
                                   "Type=oneshot\n"
                                   "TimeoutStartSec=5min\n"
                                   "ExecStart=" WATCH "\n";

static int64_t seconds(int64_t value) { return value == FIELD_UNSET ? 0 : value; }

static const char *timer_text(struct arena *arena, const RECORD *r) {
    int64_t idle = seconds(r->idle_s), after = seconds(r->after_s);
    int64_t shortest = idle > 0 && (after == 0 || idle < after) ? idle : after;
    int64_t every = shortest / LOOKS < LOOK_MAX_S ? shortest / LOOKS : LOOK_MAX_S;
    if (every < 1)
        every = 1;
    return arena_printf(arena,
                        "[Unit]\n"
                        "Description=Stop this server when it is idle, for berth\n"
                        "\n"
                        "[Timer]\n"
                        "OnActiveSec=%lld\n"
                        "OnBootSec=%lld\n"
                        "OnUnitActiveSec=%lld\n"
                        "AccuracySec=1s\n"
                        "\n"
                        "[Install]\n"
                        "WantedBy=timers.target\n",
                        (long long)every, (long long)every, (long long)every);
}

static const char *config_text(struct arena *arena, const RECORD *r) {
    return arena_printf(arena, "%lld %lld\n", (long long)seconds(r->idle_s),
                        (long long)seconds(r->after_s));
}

/* As the probe takes it: of the watcher, its service and its timer, one behind the other. */
static const char *hash_of(struct arena *arena, const RECORD *r) {
    char hex[SHA256_HEX_SIZE];
    const char *timer = timer_text(arena, r);
    _cleanup_buf_ struct buf all = BUF_INIT(BUF_MEDIUM);
    buf_addf(&all, "%s%s%s", script_watch, service_text, timer == NULL ? "" : timer);
    if (timer == NULL || all.failed)
        return NULL;
    sha256_hex(buf_str(&all), hex);
    return arena_printf(arena, "%.16s", hex);
}

static int fill(const struct desire *in, struct node *node, struct arena *arena, void *ctx) {
    (void)ctx;
    RECORD *r = node->desired;
    r->idle_s = spec_server(in->spec)->stop.idle_s;
    r->after_s = spec_server(in->spec)->stop.after_s;
    r->active = true;
    r->watcher = hash_of(arena, r);
    return r->watcher == NULL ? -ERRC_NOMEM : 0;
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    (void)diags;
    static const char *const deps[] = {"host_key", NULL};
    return spec_has_stop(in->spec)
               ? host_desire_each(in, out, &host_stop_kind, "stop", deps, fill, NULL)
               : 0;
}

/* The state is one line of JSON; its numbers are seconds of the host's clock. */
static int probe(const struct host_node *node, struct buf *script) {
    (void)node;
    buf_adds(script,
             "if [ -r " CONFIG " ]; then\n"
             "read -r i a <" CONFIG "\nfact idle \"$i\"\nfact after \"$a\"\n"
             "fact watcher \"$(cat " WATCH " " UNITS SERVICE " " UNITS TIMER
             " 2>/dev/null | sha256sum | cut -c1-16)\"\n"
             "systemctl is-active -q " TIMER " && [ -e " UNITS "timers.target.wants/" TIMER
             " ] && fact active yes\n"
             "if [ -r " STATE " ]; then fact64 state " STATE "; fact now \"$(date +%s)\"; fi\n"
             "fi\n");
    return 0;
}

static int64_t number(const struct host_node *node, const struct facts *facts, const char *key) {
    const char *text = facts_get(facts, node->address, key);
    int64_t value = 0;
    return text != NULL && str_to_i64(str_of(text), 0, INT64_MAX - 1, &value) && value > 0
               ? value
               : FIELD_UNSET;
}

/* What the watcher saw last. */
static int read_countdown(const struct host_node *node, const struct facts *facts, RECORD *r) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    int64_t now = number(node, facts, "now");
    r->stops_in_s = r->idle_for_s = FIELD_UNSET;
    if (now == FIELD_UNSET || !facts_get_base64(facts, node->address, "state", &text))
        return 0;
    cJSON *json = cJSON_ParseWithLength(text.ptr, text.len);
    const cJSON *end = cJSON_GetObjectItemCaseSensitive(json, "end");
    const cJSON *active = cJSON_GetObjectItemCaseSensitive(json, "active");
    const char *what = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "what"));
    if (cJSON_IsNumber(end) && cJSON_IsNumber(active)) {
        double left = end->valuedouble - (double)now, idle = (double)now - active->valuedouble;
        r->stops_in_s = left > 0 && left < 1e9 ? (int64_t)left : 0;
        r->idle_for_s = idle > 0 && idle < 1e9 ? (int64_t)idle : 0;
    }
    r->last = what == NULL ? NULL : arena_dup(node->arena, what);
    cJSON_Delete(json);
    return 0;
}

static int read(const struct host_node *node, const struct facts *facts, void *record,
                enum presence *ret, struct err *err) {
    (void)err;
    RECORD *r = record;
    *ret = LIVE_NONE;
    if (facts_get(facts, node->address, "watcher") == NULL)
        return 0;
    *ret = LIVE_OURS;
    r->idle_s = number(node, facts, "idle");
    r->after_s = number(node, facts, "after");
    r->watcher = arena_dup(node->arena, facts_get(facts, node->address, "watcher"));
    r->active = facts_get(facts, node->address, "active") != NULL;
    return r->watcher == NULL ? -ERRC_NOMEM : read_countdown(node, facts, r);
}

static int step(struct host_step *s, struct buf *script, struct err *err) {
    const RECORD *after = s->after;
    if (after == NULL) {
        buf_adds(script, "systemctl disable -q --now " TIMER " || true\nrm -f " CONFIG " " WATCH
                         " " UNITS SERVICE " " UNITS TIMER " " STATE " " STATE
                         ".lock\nsystemctl daemon-reload\n");
        return 0;
    }
    const char *config = config_text(s->node->arena, after);
    const char *timer = timer_text(s->node->arena, after);
    if (config == NULL || timer == NULL)
        return err_no_memory(err);
    shell_write_file(script, WATCH, str_of(script_watch), "root", "755");
    shell_write_file(script, UNITS SERVICE, str_of(service_text), "root", "644");
    shell_write_file(script, UNITS TIMER, str_of(timer), "root", "644");
    shell_write_file(script, CONFIG, str_of(config), "root", "644");
    buf_adds(script, "systemctl daemon-reload\nsystemctl enable -q " TIMER
                     "\nsystemctl restart " TIMER "\n");
    return 0;
}

const struct kind host_stop_kind = {
    .name = "server.stop",
    .world = &host_world,
    .fields = fields,
    .size = sizeof(RECORD),
    .desire = desire,
    .batch = host_batch,
};

const struct host_kind host_stop_host = {
    .kind = &host_stop_kind,
    .probe = probe,
    .read = read,
    .step = step,
};
