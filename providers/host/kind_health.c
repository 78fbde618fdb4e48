/* server[N].jupyter.health: does Jupyter answer, asked from here over HTTPS with only the project
 * CA trusted? GET /api needs no login and does not count as activity. With `access.jupyter: tunnel`
 * the same is asked through the SSH connection, of the host's own "localhost". */
#define _GNU_SOURCE /* struct ucred */
#include "providers/host/internal.h"
#include "providers/host/tunnel.h"
#include "specs/sections/sections.h"

#include <curl/curl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define RECORD struct host_health_record

enum { F_ANSWERING, F_URL };
enum { FIRST_START_S = 90 };
#define PLAN_TIMEOUT_S 4.0
#define THROUGH_SSH "://localhost:"

static const struct field fields[] = {
    [F_ANSWERING] = {.name = "answering",
                     .doc = "Jupyter answers, over verified HTTPS or through SSH.",
                     .type = FIELD_BOOL,
                     .offset = offsetof(RECORD, answering)},
    [F_URL] = {.name = "url", .doc = "Where.", .type = FIELD_STR, .offset = offsetof(RECORD, url)},
    FIELD_END,
};

struct extra {
    int64_t port;
    bool tunnel, tls;
};

static int fill(const struct desire *in, struct node *node, struct arena *arena, void *ctx) {
    (void)ctx;
    RECORD *r = node->desired;
    struct extra *extra = ARENA_NEW(arena, struct extra);
    if (extra == NULL)
        return -ERRC_NOMEM;
    extra->port = spec_jupyter(in->spec)->port;
    extra->tunnel = spec_has_tunnel(in->spec);
    extra->tls = spec_has_tls(in->spec);
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

static const char *make_url(struct arena *arena, const char *address, const struct extra *extra) {
    const char *scheme = extra->tls ? "https" : "http";
    if (extra->tunnel)
        return arena_printf(arena, "%s" THROUGH_SSH "%lld", scheme, (long long)extra->port);
    bool six = strchr(address, ':') != NULL;
    return arena_printf(arena, "%s://%s%s%s:%lld", scheme, six ? "[" : "", address, six ? "]" : "",
                        (long long)extra->port);
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
    r->url = make_url(arena, e.address, extra);
    *unknown &= ~(UINT64_C(1) << F_URL);
    return r->url == NULL ? -ERRC_NOMEM : 0;
}

static size_t ignore_body(const void *data, size_t size, size_t n, void *ctx) {
    (void)data, (void)ctx;
    return size * n;
}

/* One request through an SSH connection: curl connects to a socket that only this process may use,
 * and a thread carries what comes there. unix(7): bound without a name, it gets one of its own. */
struct carrier {
    struct ssh *ssh;
    pthread_t thread;
    bool started;
    int port, listener;
    double until_s;
};

static void *carry(void *arg) {
    struct carrier *c = arg;
    struct pollfd p = {.fd = c->listener, .events = POLLIN};
    struct ucred peer = {0};
    socklen_t len = sizeof peer;
    int ms = (int)((c->until_s - monotonic_s()) * 1000);
    int fd = poll(&p, 1, ms > 0 ? ms : 0) == 1 ? accept(c->listener, NULL, NULL) : -1;
    bool ours = fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
                peer.pid == getpid();
    if (ours)
        tunnel_carry(c->ssh, c->port, fd, c->until_s);
    else if (fd >= 0)
        close(fd);
    return NULL;
}

static bool start_carrier(struct carrier *c, CURL *e) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t len = sizeof address.sun_family;
    c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->listener < 0 || bind(c->listener, (struct sockaddr *)&address, len) < 0 ||
        listen(c->listener, 1) < 0)
        return false;
    len = sizeof address - 1;
    memset(&address, 0, sizeof address);
    if (getsockname(c->listener, (struct sockaddr *)&address, &len) < 0)
        return false;
    curl_easy_setopt(e, CURLOPT_ABSTRACT_UNIX_SOCKET, address.sun_path + 1);
    c->started = pthread_create(&c->thread, NULL, carry, c) == 0;
    return c->started;
}

static void end_carrier(struct carrier *c) {
    if (c->listener >= 0)
        shutdown(c->listener, SHUT_RDWR); /* curl may never have come */
    if (c->started)
        pthread_join(c->thread, NULL);
    if (c->listener >= 0)
        close(c->listener);
}

/* GET with only this CA trusted; 0 and the status, or an error. */
static int get(const char *url, const char *ca_path, struct carrier *carrier, double timeout_s,
               long *ret_status) {
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
    CURLcode code = CURLE_COULDNT_CONNECT;
    if (carrier == NULL || start_carrier(carrier, e))
        code = curl_easy_perform(e);
    if (code == CURLE_OK)
        curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, ret_status);
    curl_easy_cleanup(e);
    if (carrier != NULL)
        end_carrier(carrier);
    return code == CURLE_OK ? 0 : -ERRC_NET;
}

/* `c` is the connection to go through, where the URL says so; nothing else uses it meanwhile. */
static bool answers(const struct run *run, const struct host_connection *c, struct arena *arena,
                    const char *url, double timeout_s) {
    const char *ca = arena_printf(arena, "%s/ca.pem", run->project_dir);
    const char *api = arena_printf(arena, "%s/api", url);
    const char *mark = strstr(url, THROUGH_SSH);
    struct carrier carrier = {.listener = -1, .until_s = monotonic_s() + timeout_s};
    int64_t port = 0;
    long status = 0;
    if (ca == NULL || api == NULL)
        return false;
    if (mark == NULL)
        return get(api, ca, NULL, timeout_s, &status) == 0 && status == 200;
    if (c->ssh == NULL || !str_to_i64(str_of(mark + strlen(THROUGH_SSH)), 1, 65535, &port))
        return false;
    carrier.ssh = c->ssh;
    carrier.port = (int)port;
    return get(api, ca, &carrier, timeout_s, &status) == 0 && status == 200;
}

static bool is_local(const struct host_node *node) {
    const struct extra *extra = node->extra;
    return extra == NULL || !extra->tunnel;
}

/* From here, or after the probe through its connection. */
static int ask_it(const struct host_node *node, void *record, enum presence *ret) {
    RECORD *r = record;
    const RECORD *recorded = node->recorded;
    const struct extra *extra = node->extra;
    *ret = recorded == NULL ? LIVE_NONE : LIVE_OURS;
    if (extra == NULL || recorded == NULL)
        return 0;
    r->url = make_url(node->arena, node->connection->endpoint.address, extra);
    if (r->url == NULL)
        return -ERRC_NOMEM;
    r->answering =
        answers(node->session->run, node->connection, node->arena, r->url, PLAN_TIMEOUT_S);
    return 0;
}

static int read_there(const struct host_node *node, const struct facts *facts, void *record,
                      enum presence *ret, struct err *err) {
    (void)facts, (void)err;
    return ask_it(node, record, ret);
}

int health_wait(const struct run *run, struct host_connection *c, const char *url,
                struct arena *arena, struct err *err) {
    double until_s = monotonic_s() + FIRST_START_S;
    do {
        if (answers(run, c, arena, url, PLAN_TIMEOUT_S))
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
    .read = read_there,
    .read_local = ask_it,
    .is_local = is_local,
};
