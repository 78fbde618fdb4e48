/* server[N].gpu: do the NVIDIA GPUs of this sort of instance work? Nothing is installed for them: a
 * driver comes with the image. */
#include "providers/host/internal.h"
#include "specs/sections/sections.h"

#include <ctype.h>
#include <string.h>

#define RECORD struct host_gpu_record
#define DRIVEN "deep-learning-ubuntu-24.04" /* the image with a driver */

static const struct field fields[] = {
    {.name = "works",
     .doc = "The driver answers, where the image has one.",
     .type = FIELD_BOOL,
     .offset = offsetof(RECORD, works)},
    {.name = "gpus",
     .doc = "Their models.",
     .type = FIELD_LIST,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, gpus)},
    FIELD_END,
};

/* Families g and p, but for g4ad, which has AMD's.
 * https://docs.aws.amazon.com/ec2/latest/instancetypes/ac.html */
static bool has_nvidia(const char *type) {
    if (type == NULL || (type[0] != 'g' && type[0] != 'p') || strncmp(type, "g4ad.", 5) == 0)
        return false;
    const char *digit = strncmp(type, "gr", 2) == 0 ? type + 2 : type + 1;
    return isdigit((unsigned char)*digit) != 0;
}

static int fill(const struct desire *in, struct node *node, struct arena *arena, void *ctx) {
    (void)arena, (void)ctx;
    RECORD *r = node->desired;
    r->works = true;
    /* One's own image may be without a driver. */
    node->extra = cstr_eq(spec_server(in->spec)->image, DRIVEN) ? DRIVEN : NULL;
    return 0;
}

static bool brings_driver(const struct strlist *packages) {
    for (size_t i = 0; i < packages->len; i++)
        if (strstr(packages->items[i], "nvidia") != NULL)
            return true;
    return false;
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    static const char *const alone[] = {"host_key", NULL};
    static const char *const after[] = {"host_key", "packages", NULL};
    const struct server_section *server = spec_server(in->spec);
    const struct strlist *packages = &spec_packages(in->spec)->system;
    if (!has_nvidia(server->type))
        return 0;
    if (!cstr_eq(server->image, DRIVEN) && strncmp(server->image, "ami-", 4) != 0 &&
        !brings_driver(packages)) {
        diag_warn(diags, spec_mark(in->spec, "server.image"), "take " DRIVEN,
                  "%s has NVIDIA GPUs, and the image %s has no driver for them", server->type,
                  server->image);
        return 0;
    }
    return host_is_wanted(in->spec)
               ? host_desire_each(in, out, &host_gpu_kind, "gpu", packages->len > 0 ? after : alone,
                                  fill, NULL)
               : 0;
}

/* A driver that is broken may keep whoever asks it for ever, and from being killed: it is not
 * waited for. */
static const char ask_driver[] =
    "f=$(mktemp -d || echo /nonexistent)\n" /* where there is no room, nothing is said */
    "{ s=0; timeout -k 1 20 nvidia-smi -L >\"$f/said\" 2>&1 || s=$?; echo \"$s\" >\"$f/s\"; } "
    "</dev/null >/dev/null 2>&1 "
    "4<&- 9>&- &\n"
    "n=0; until [ -s \"$f/s\" ] || [ \"$n\" = 450 ]; do sleep 0.05; n=$((n + 1)); done\n"
    "g=$(cat \"$f/said\" 2>/dev/null || :); s=$(cat \"$f/s\" 2>/dev/null || echo 124); "
    "rm -rf \"$f\"\n"
    "[ \"$s\" != 124 ] || g=\"$g nvidia-smi does not answer\"\n";

static int probe(const struct host_node *node, struct buf *script) {
    (void)node;
    buf_adds(script, "if command -v nvidia-smi >/dev/null; then\n");
    buf_adds(script, ask_driver);
    buf_adds(script, "fact status \"$s\"\nfact said \"$(printf '%s' \"$g\" | base64 -w0)\"\nfi\n");
    return 0;
}

/* "GPU 0: NVIDIA A10G (UUID: …)" */
static int take_line(struct str line, struct arena *arena, struct strlist *gpus) {
    if (!str_starts(line, STR("GPU ")))
        return 0;
    const char *colon = memchr(line.ptr, ':', line.len);
    size_t len = colon == NULL ? line.len : (size_t)(colon - line.ptr) + 1;
    struct str model = {line.ptr + len, line.len - len};
    const char *bracket = model.len == 0 ? NULL : memchr(model.ptr, '(', model.len);
    if (bracket != NULL)
        model.len = (size_t)(bracket - model.ptr);
    return strlist_addf(arena, gpus, "%.*s", STR_FMT(str_trim(model)));
}

static int read(const struct host_node *node, const struct facts *facts, void *record,
                enum presence *ret, struct err *err) {
    (void)err;
    RECORD *r = record;
    const char *status = facts_get(facts, node->address, "status");
    _cleanup_buf_ struct buf said = BUF_INIT(BUF_SMALL);
    r->works = status == NULL ? node->extra == NULL : strcmp(status, "0") == 0;
    /* Seen for the first time, it is made: what is broken is said then. */
    *ret = node->recorded == NULL && !r->works ? LIVE_NONE : LIVE_OURS;
    if (!facts_get_base64(facts, node->address, "said", &said))
        return 0;
    struct str rest = buf_str(&said), line;
    while (rest.len > 0 && str_split(&rest, '\n', &line))
        if (take_line(line, node->arena, &r->gpus) < 0)
            return -ERRC_NOMEM;
    return 0;
}

static const char *remark(const struct host_node *node, const struct facts *facts) {
    const char *status = facts_get(facts, node->address, "status");
    _cleanup_buf_ struct buf said = BUF_INIT(BUF_SMALL);
    if (status == NULL)
        return "this image has no NVIDIA driver: take " DRIVEN ", or one of yours with a driver";
    if (strcmp(status, "0") == 0 || !facts_get_base64(facts, node->address, "said", &said))
        return NULL;
    struct str text = str_trim(buf_str(&said));
    return arena_printf(node->arena, "the NVIDIA driver does not work: %.*s", STR_FMT(text));
}

static int step(struct host_step *s, struct buf *script, struct err *err) {
    (void)err;
    if (s->after == NULL)
        return 0;
    buf_addf(script,
             "if ! command -v nvidia-smi >/dev/null; then echo 'there is no nvidia-smi: this "
             "image has no NVIDIA driver'; exit %d; fi\n%s"
             "if [ \"$s\" != 0 ]; then printf '%%s\\n' \"$g\" \"the NVIDIA driver does not work: "
             "a reboot (berth stop, berth start) may help, or a newer image\"; exit 1; fi\n"
             "printf '%%s\\n' \"$g\" | while IFS= read -r l; do value gpu \"$l\"; done\n",
             s->node->extra == NULL ? 0 : 1, ask_driver);
    return 0;
}

static int take_value(struct host_step *s, const char *key, const char *value) {
    RECORD *r = s->record;
    return r == NULL || strcmp(key, "gpu") != 0
               ? 0
               : take_line(str_of(value), s->node->arena, &r->gpus);
}

const struct kind host_gpu_kind = {
    .name = "server.gpu",
    .world = &host_world,
    .fields = fields,
    .size = sizeof(RECORD),
    .desire = desire,
    .batch = host_batch,
};

const struct host_kind host_gpu_host = {
    .kind = &host_gpu_kind,
    .probe = probe,
    .read = read,
    .remark = remark,
    .step = step,
    .value = take_value,
};
