/* server[N].jupyter.service: a systemd unit that outlives logouts and reboots. */
#include "providers/host/internal.h"
#include "specs/sections/sections.h"

#define RECORD struct host_service_record

enum { F_UNIT };

static const struct field fields[] = {
    [F_UNIT] = {.name = "unit",
                .doc = "Text of the unit file.",
                .type = FIELD_STR,
                .flags = FIELD_MULTILINE,
                .offset = offsetof(RECORD, unit)},
    {.name = "enabled",
     .doc = "Starts at boot.",
     .type = FIELD_BOOL,
     .offset = offsetof(RECORD, enabled)},
    {.name = "active", .doc = "Runs.", .type = FIELD_BOOL, .offset = offsetof(RECORD, active)},
    {.name = "current",
     .doc = "Was started after its configuration, certificate and packages were last changed.",
     .type = FIELD_BOOL,
     .offset = offsetof(RECORD, current)},
    FIELD_END,
};

struct extra {
    const char *interface;
    const char *mount; /* of the data volume that the root folder lies on; NULL: on none */
};

static int fill(const struct desire *in, struct node *node, struct arena *arena, void *ctx) {
    (void)ctx;
    RECORD *r = node->desired;
    r->enabled = r->active = r->current = true;
    node->unknown = 1u << F_UNIT; /* the login user is the server's to say */
    struct extra *extra = ARENA_NEW(arena, struct extra);
    if (extra == NULL)
        return -ERRC_NOMEM;
    extra->interface = spec_jupyter(in->spec)->interface;
    size_t before = node->deps.len;
    int rc = host_after_data(in, node, arena, spec_jupyter(in->spec)->root_dir);
    if (node->deps.len > before)
        extra->mount = spec_server(in->spec)->data.mount;
    node->extra = extra;
    return rc;
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    (void)diags;
    const char *deps[5] = {"jupyter", "python.packages"};
    size_t n = 2;
    if (spec_has_tls(in->spec))
        deps[n++] = "tls";
    if (spec_jupyter(in->spec)->extensions.len > 0)
        deps[n] = "jupyter.extensions";
    return spec_has(in->spec, &section_jupyter)
               ? host_desire_each(in, out, &host_service_kind, "jupyter.service", deps, fill, NULL)
               : 0;
}

/* Without its volume Jupyter does not start: what it wrote would be hidden later. PATH by env: what
 * EnvironmentFile says goes before Environment, and Ubuntu's sets a PATH. */
static const char *unit_text(struct arena *arena, const char *user, const struct extra *extra) {
    const char *mount = extra->mount == NULL ? "" : host_path(arena, user, extra->mount);
    const char *program = cstr_eq(extra->interface, "lab") ? "jupyter-lab" : "jupyter-notebook";
    return arena_printf(
        arena,
        "[Unit]\n"
        "Description=Jupyter, kept by berth\n"
        "After=network-online.target\n"
        "Wants=network-online.target\n"
        "%s%s%s"
        "\n"
        "[Service]\n"
        "User=%s\n"
        "WorkingDirectory=~\n"
        "EnvironmentFile=-/etc/environment\n"
        "Environment=TMPDIR=/var/tmp\n"
        "ExecStart=/usr/bin/env PATH=" HOST_ENV "/bin:/usr/local/bin:/usr/bin:/bin " HOST_ENV
        "/bin/%s --config=" HOST_CONFIG "\n"
        "Restart=on-failure\n"
        "RestartSec=2\n"
        "OOMPolicy=continue\n"
        "\n"
        "[Install]\n"
        "WantedBy=multi-user.target\n",
        extra->mount == NULL ? "" : "RequiresMountsFor=", mount == NULL ? "" : mount,
        extra->mount == NULL ? "" : "\n", user, program);
}

static int resolve(const struct node *node, const struct lookup *lookup, struct arena *arena,
                   void *record, uint64_t *unknown) {
    RECORD *r = record;
    struct endpoint e = host_endpoint(node, lookup, arena);
    if (e.user == NULL)
        return 0;
    r->unit = unit_text(arena, e.user, node->extra);
    *unknown &= ~(UINT64_C(1) << F_UNIT);
    return r->unit == NULL ? -ERRC_NOMEM : 0;
}

static int probe(const struct host_node *node, struct buf *script) {
    (void)node;
    /* is-enabled by the link that makes it so: one program less to start. */
    buf_adds(script, "fact64 unit " HOST_UNIT "\n"
                     "[ -e /etc/systemd/system/multi-user.target.wants/" HOST_SERVICE
                     " ] && fact enabled yes\n"
                     "systemctl is-active -q " HOST_SERVICE " && fact active yes\n"
                     "[ -e " HOST_STALE " ] && fact stale yes\n");
    /* A kernel is told its own file by a word of its command line; what it forks has the same. */
    buf_adds(script,
             "set --\n"
             "for f in /sys/fs/cgroup/system.slice/" HOST_SERVICE "/cgroup.procs "
             "/sys/fs/cgroup/unified/system.slice/" HOST_SERVICE "/cgroup.procs; do\n"
             "[ ! -r \"$f\" ] || while read -r p; do set -- \"$@\" \"/proc/$p/cmdline\"; done "
             "<\"$f\"\n"
             "done\n"
             "[ $# -lt 2 ] || fact kernels \"$(grep -ohaE 'kernel-[0-9a-f-]+\\.json' -- \"$@\" "
             "2>/dev/null | sort -u | wc -l)\"\n");
    return 0;
}

static const char *at_stake(const struct host_node *node, const struct facts *facts) {
    const char *text = facts_get(facts, node->address, "kernels");
    int64_t n = 0;
    if (text == NULL || !str_to_i64(str_trim(str_of(text)), 1, INT32_MAX, &n))
        return NULL;
    return arena_printf(node->arena, "%lld running kernel%s", (long long)n, n == 1 ? "" : "s");
}

static int read(const struct host_node *node, const struct facts *facts, void *record,
                enum presence *ret, struct err *err) {
    (void)err;
    RECORD *r = record;
    _cleanup_buf_ struct buf unit = BUF_INIT(BUF_SMALL);
    *ret = LIVE_NONE;
    if (!facts_get_base64(facts, node->address, "unit", &unit))
        return 0;
    *ret = LIVE_OURS;
    r->unit = arena_dup_str(node->arena, buf_str(&unit));
    r->enabled = facts_get(facts, node->address, "enabled") != NULL;
    r->active = facts_get(facts, node->address, "active") != NULL;
    r->current = facts_get(facts, node->address, "stale") == NULL;
    return r->unit == NULL ? -ERRC_NOMEM : 0;
}

static int step(struct host_step *s, struct buf *script, struct err *err) {
    const RECORD *after = s->after;
    (void)err;
    if (after == NULL) {
        buf_adds(script, "systemctl disable -q --now " HOST_SERVICE " || true\nrm -f " HOST_UNIT
                         "\nsystemctl daemon-reload\n");
        return 0;
    }
    shell_write_file(script, HOST_UNIT, str_of(after->unit), "root", "644");
    buf_adds(script,
             "systemctl daemon-reload\nsystemctl enable -q " HOST_SERVICE
             "\nsystemctl reset-failed -q " HOST_SERVICE
             " 2>/dev/null || true\nsystemctl restart " HOST_SERVICE "\nrm -f " HOST_STALE "\n");
    return 0;
}

const struct kind host_service_kind = {
    .name = "server.jupyter.service",
    .world = &host_world,
    .fields = fields,
    .size = sizeof(RECORD),
    .desire = desire,
    .resolve = resolve,
    .besides = HOST_RESTARTS,
    .beside = &host_service_kind,
    .batch = host_batch,
};

const struct host_kind host_service_host = {
    .kind = &host_service_kind,
    .restarts_jupyter = true,
    .probe = probe,
    .read = read,
    .at_stake = at_stake,
    .step = step,
};
