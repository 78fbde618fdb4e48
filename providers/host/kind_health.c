/* server[N].jupyter.health: does Jupyter answer, asked from here over HTTPS with only the project
 * CA trusted? GET /api needs no login and does not count as activity. */
#include "providers/host/internal.h"
#include "specs/sections/sections.h"

#include <curl/curl.h>
#include <string.h>
#include <time.h>

#define RECORD struct host_health_record

enum { F_ANSWERING, F_URL };
enum { FIRST_START_S = 90 };
#define PLAN_TIMEOUT_S 4.0

static const struct field fields[] = {
    [F_ANSWERING] = {.name = "answering",
                     .doc = "Jupyter answers over verified HTTPS.",
                     .type = FIELD_BOOL,
                     .offset = offsetof(RECORD, answering)},
    [F_URL] = {.name = "url", .doc = "Where.", .type = FIELD_STR, .offset = offsetof(RECORD, url)},
    FIELD_END,
};

struct extra {
    int64_t port;
};

static int fill(const struct desire *in, struct node *node, struct arena *arena, void *ctx) {
    (void)ctx;
    RECORD *r = node->desired;
    struct extra *extra = ARENA_NEW(arena, struct extra);
    if (extra == NULL)
        return -ERRC_NOMEM;
    extra->port = spec_jupyter(in->spec)->port;
    r->answering = true;
    node->extra = extra;
    node->unknown = 1u << F_URL;
    return 0;
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    (void)diags;
    static const char *const deps[] = {"jupyter.service", NULL};
    return spec_has(in->spec, &section_jupyter)
               ? host_desire_each(in, out, &host_health_kind, "jupyter.health", deps, fill, NULL)
               : 0;
}

static const char *make_url(struct arena *arena, const char *address, int64_t port) {
    bool six = strchr(address, ':') != NULL;
    return arena_printf(arena, "https://%s%s%s:%lld", six ? "[" : "", address, six ? "]" : "",
                        (long long)port);
}

static int resolve(const struct node *node, const struct lookup *lookup, struct arena *arena,
                   void *record, uint64_t *unknown) {
    RECORD *r = record;
    const struct extra *extra = node->extra;
    const struct kind *kind = NULL;
    const void *parent = lookup->record(lookup->ctx, node->parent, &kind);
    struct endpoint e = {0};
    if (parent == NULL || kind->endpoint == NULL || kind->endpoint(parent, "", arena, &e) < 0 ||
        e.address == NULL)
        return 0;
    r->url = make_url(arena, e.address, extra->port);
    *unknown &= ~(UINT64_C(1) << F_URL);
    return r->url == NULL ? -ERRC_NOMEM : 0;
}

static size_t ignore_body(const void *data, size_t size, size_t n, void *ctx) {
    (void)data, (void)ctx;
    return size * n;
}

/* HTTPS GET with only this CA trusted; 0 and the status, or an error. */
static int get(const char *url, const char *ca_path, double timeout_s, long *ret_status) {
    CURL *e = curl_easy_init();
    if (e == NULL)
        return -ERRC_NOMEM;
    curl_easy_setopt(e, CURLOPT_URL, url);
    curl_easy_setopt(e, CURLOPT_CAINFO, ca_path);
    curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)(timeout_s * 1000));
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, ignore_body);
    CURLcode code = curl_easy_perform(e);
    if (code == CURLE_OK)
        curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, ret_status);
    curl_easy_cleanup(e);
    return code == CURLE_OK ? 0 : -ERRC_NET;
}

static bool answers(const struct run *run, struct arena *arena, const char *url, double timeout_s) {
    const char *ca = arena_printf(arena, "%s/ca.pem", run->project_dir);
    const char *api = arena_printf(arena, "%s/api", url);
    long status = 0;
    return ca != NULL && api != NULL && get(api, ca, timeout_s, &status) == 0 && status == 200;
}

static int read_local(const struct host_node *node, void *record, enum presence *ret) {
    RECORD *r = record;
    const RECORD *recorded = node->recorded;
    const struct extra *extra = node->extra;
    *ret = recorded == NULL ? LIVE_NONE : LIVE_OURS;
    if (extra == NULL || recorded == NULL)
        return 0;
    r->url = make_url(node->arena, node->connection->endpoint.address, extra->port);
    if (r->url == NULL)
        return -ERRC_NOMEM;
    r->answering = answers(node->session->run, node->arena, r->url, PLAN_TIMEOUT_S);
    return 0;
}

int health_wait(const struct run *run, struct host_connection *c, const char *url,
                struct arena *arena, struct err *err) {
    double until_s = monotonic_s() + FIRST_START_S;
    do {
        if (answers(run, arena, url, PLAN_TIMEOUT_S))
            return 0;
        if (atomic_load(run->cancel) > 1)
            return err_set(err, ERRC_CANCELLED, "interrupted");
        const struct timespec pause = {0, 100000000};
        nanosleep(&pause, NULL);
    } while (monotonic_s() < until_s);
    _cleanup_buf_ struct buf log = BUF_INIT(BUF_SMALL);
    struct err ignored;
    int status = 0;
    ssh_run(c->ssh, "sudo -n journalctl -u " HOST_SERVICE " -n 12 --no-pager -o cat",
            (struct str){"", 0}, &log, NULL, &status, &ignored);
    err_set(err, ERRC_HOST, "Jupyter does not answer at %s. Its log ends with:\n%.600s", url,
            buf_cstr(&log));
    err_hint(err, "look at it: berth ssh -- sudo journalctl -u " HOST_SERVICE);
    return -ERRC_HOST;
}

static int local(struct host_step *s, struct host_connection *c, const struct apply_ops *ops,
                 struct err *err) {
    const RECORD *after = s->after;
    if (after == NULL)
        return 0;
    ops->progress(ops->ctx, (struct change *)s->change, "waiting for Jupyter to answer");
    return health_wait(s->node->session->run, c, after->url, s->node->arena, err);
}

const struct kind host_health_kind = {
    .name = "server.jupyter.health",
    .world = &host_world,
    .fields = fields,
    .size = sizeof(RECORD),
    .desire = desire,
    .resolve = resolve,
    .follows_address = true,
    .batch = host_batch,
};

const struct host_kind host_health_host = {
    .kind = &host_health_kind,
    .local = local,
    .read_local = read_local,
};
