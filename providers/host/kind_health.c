/* server[N].jupyter.health: does Jupyter answer, asked from here over HTTPS with only the project
 * CA trusted, or with the very certificate of the user's shown? GET /api needs no login and does
 * not count as activity. With `access.jupyter: tunnel` the same is asked through the SSH
 * connection. */
#define _GNU_SOURCE /* struct ucred */
#include "providers/host/tls.h"
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

enum { F_ANSWERING, F_URL, F_VIA };
enum { FIRST_START_S = 90, VIA_MAX = 1025 }; /* NI_MAXHOST of getnameinfo(3) */
#define PLAN_TIMEOUT_S 4.0
#define THROUGH_SSH "ssh"

static const struct field fields[] = {
    [F_ANSWERING] = {.name = "answering",
                     .doc = "Jupyter answers, over verified HTTPS or through SSH.",
                     .type = FIELD_BOOL,
                     .offset = offsetof(RECORD, answering)},
    [F_URL] = {.name = "url", .doc = "Where.", .type = FIELD_STR, .offset = offsetof(RECORD, url)},
    [F_VIA] = {.name = "via",
               .doc = "What is connected to for that, whatever DNS says: an address, or ssh.",
               .type = FIELD_STR,
               .offset = offsetof(RECORD, via)},
    {.name = "certificate",
     .doc = "SHA-256 of the certificate that it has to show, when that is yours.",
     .type = FIELD_STR,
     .offset = offsetof(RECORD, certificate)},
    FIELD_END,
};

struct extra {
    int64_t port;
    bool tunnel, tls;
    const char *host;        /* a name in the user's certificate, or NULL */
    const char *fingerprint; /* of that certificate */
};

static int fill(const struct desire *in, struct node *node, struct arena *arena, void *ctx) {
    RECORD *r = node->desired;
    const struct tls_own *own = ctx;
    struct extra *extra = ARENA_NEW(arena, struct extra);
    int64_t n = 0;
    if (extra == NULL)
        return -ERRC_NOMEM;
    extra->port = spec_jupyter(in->spec)->port;
    extra->tunnel = spec_has_tunnel(in->spec);
    extra->tls = spec_has_tls(in->spec);
    if (own != NULL) {
        struct str number = str_of(node->parent), head;
        str_split(&number, '[', &head); /* "server[1]" */
        number.len--;
        str_to_i64(number, 0, INT32_MAX, &n);
        extra->fingerprint = own->leaf.fingerprint;
        extra->host = tls_own_host(in->spec, own, n, arena);
        if (extra->host == NULL)
            return -ERRC_NOMEM;
    }
    r->answering = true;
    r->certificate = extra->fingerprint;
    node->extra = extra;
    r->via = extra->tunnel ? THROUGH_SSH : NULL;
    node->unknown = 1u << F_URL | (own != NULL && !extra->tunnel ? 1u << F_VIA : 0);
    return 0;
}

static bool is_own(const struct spec *spec) {
    return spec_has(spec, &section_jupyter) && spec_has_own_tls(spec);
}

static int ask(const struct spec *spec, struct inputs *inputs) {
    return is_own(spec) ? tls_own_ask(spec, inputs) : 0;
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    (void)diags;
    static const char *const deps[] = {"jupyter.service", NULL};
    struct tls_own own;
    bool good = true;
    int rc = is_own(in->spec) ? tls_own_read(in, out->arena, NULL, &own, &good) : 0;
    if (rc < 0 || !good || !spec_has(in->spec, &section_jupyter))
        return rc; /* what is wrong with the files is told where they are sent */
    return host_desire_each(in, out, &host_health_kind, "jupyter.health", deps, fill,
                            is_own(in->spec) ? &own : NULL);
}

/* Where and how it is asked at that address. */
static int locate(struct arena *arena, const char *address, const struct extra *extra, RECORD *r) {
    const char *scheme = extra->tls ? "https" : "http";
    const char *host = extra->host != NULL ? extra->host : extra->tunnel ? "localhost" : address;
    bool six = strchr(host, ':') != NULL;
    r->url = arena_printf(arena, "%s://%s%s%s:%lld", scheme, six ? "[" : "", host, six ? "]" : "",
                          (long long)extra->port);
    r->via = extra->tunnel ? THROUGH_SSH : extra->host == NULL ? NULL : arena_dup(arena, address);
    r->certificate = extra->fingerprint;
    return r->url == NULL || (extra->host != NULL && r->via == NULL) ? -ERRC_NOMEM : 0;
}

static int resolve(const struct node *node, const struct lookup *lookup, struct arena *arena,
                   void *record, uint64_t *unknown) {
    struct endpoint e = host_endpoint(node, lookup, arena);
    if (e.address == NULL)
        return 0;
    *unknown &= ~(UINT64_C(1) << F_URL | UINT64_C(1) << F_VIA);
    return locate(arena, e.address, node->extra, record);
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

/* Is the certificate that the other side showed first the one with that SHA-256? CURLINFO_CERTINFO:
 * lines "NAME:VALUE", of which Cert is it in PEM. */
static bool is_pinned(CURL *e, const char *fingerprint) {
    _cleanup_arena_ struct arena arena = {0};
    struct curl_certinfo *info = NULL;
    struct tls_leaf leaf;
    if (curl_easy_getinfo(e, CURLINFO_CERTINFO, &info) != CURLE_OK || info == NULL ||
        info->num_of_certs < 1)
        return false;
    for (const struct curl_slist *line = info->certinfo[0]; line != NULL; line = line->next)
        if (strncmp(line->data, "Cert:", 5) == 0)
            return tls_leaf_read(&arena, str_of(line->data + 5), (struct str){NULL, 0}, 0, &leaf) ==
                       0 &&
                   strcmp(leaf.fingerprint, fingerprint) == 0;
    return false;
}

/* What is trusted: the project CA, or one certificate, whoever signed it; then only that it is good
 * for the name is curl's to judge. */
static void trust(CURL *e, const RECORD *r, const char *ca_path) {
    curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
    if (r->certificate == NULL) {
        curl_easy_setopt(e, CURLOPT_CAINFO, ca_path);
    } else {
        curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(e, CURLOPT_CERTINFO, 1L);
    }
}

/* To `via` instead of the URL's host, where that is an address. */
static struct curl_slist *redirect(CURL *e, const RECORD *r) {
    char line[VIA_MAX + 8];
    if (r->via == NULL || strcmp(r->via, THROUGH_SSH) == 0)
        return NULL;
    bool six = strchr(r->via, ':') != NULL;
    snprintf(line, sizeof line, "::%s%s%s:", six ? "[" : "", r->via, six ? "]" : "");
    struct curl_slist *list = curl_slist_append(NULL, line);
    curl_easy_setopt(e, CURLOPT_CONNECT_TO, list);
    return list;
}

/* GET /api of it; 0 and the status, or an error. */
static int get(const RECORD *r, const char *url, const char *ca_path, struct carrier *carrier,
               double timeout_s, long *ret_status) {
    CURL *e = curl_easy_init();
    if (e == NULL)
        return -ERRC_NOMEM;
    curl_easy_setopt(e, CURLOPT_URL, url);
    trust(e, r, ca_path);
    struct curl_slist *to = redirect(e, r);
    curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)(timeout_s * 1000));
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, ignore_body);
    CURLcode code = CURLE_COULDNT_CONNECT;
    if (carrier == NULL || start_carrier(carrier, e))
        code = curl_easy_perform(e);
    if (code == CURLE_OK)
        curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, ret_status);
    bool good = code == CURLE_OK && (r->certificate == NULL || is_pinned(e, r->certificate));
    curl_easy_cleanup(e);
    curl_slist_free_all(to);
    if (carrier != NULL)
        end_carrier(carrier);
    return good ? 0 : -ERRC_NET;
}

/* `c` is the connection to go through, where the record says so; nothing else uses it meanwhile. */
static bool answers(const struct run *run, const struct host_connection *c, struct arena *arena,
                    const RECORD *r, double timeout_s) {
    const char *ca = arena_printf(arena, "%s/ca.pem", run->project_dir);
    const char *api = arena_printf(arena, "%s/api", r->url);
    struct carrier carrier = {.listener = -1, .until_s = monotonic_s() + timeout_s};
    int64_t port = 0;
    long status = 0;
    if (ca == NULL || api == NULL)
        return false;
    if (!cstr_eq(r->via, THROUGH_SSH))
        return get(r, api, ca, NULL, timeout_s, &status) == 0 && status == 200;
    if (c->ssh == NULL || !str_to_i64(str_of(strrchr(r->url, ':') + 1), 1, 65535, &port))
        return false;
    carrier.ssh = c->ssh;
    carrier.port = (int)port;
    return get(r, api, ca, &carrier, timeout_s, &status) == 0 && status == 200;
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
    if (locate(node->arena, node->connection->endpoint.address, extra, r) < 0)
        return -ERRC_NOMEM;
    r->answering = answers(node->session->run, node->connection, node->arena, r, PLAN_TIMEOUT_S);
    return 0;
}

static int read_there(const struct host_node *node, const struct facts *facts, void *record,
                      enum presence *ret, struct err *err) {
    (void)facts, (void)err;
    return ask_it(node, record, ret);
}

int health_wait(const struct run *run, struct host_connection *c, const RECORD *health,
                struct arena *arena, struct err *err) {
    double until_s = monotonic_s() + FIRST_START_S;
    do {
        if (answers(run, c, arena, health, PLAN_TIMEOUT_S))
            return 0;
        if (atomic_load(run->cancel) > 1)
            return err_set(err, ERRC_CANCELLED, "interrupted");
        const struct timespec pause = {0, 100000000};
        nanosleep(&pause, NULL);
    } while (monotonic_s() < until_s);
    _cleanup_buf_ struct buf log = BUF_INIT(BUF_SMALL);
    struct err ignored;
    int status = 0;
    char command[128];
    snprintf(command, sizeof command, "%sjournalctl -u " HOST_SERVICE " -n 12 --no-pager -o cat",
             host_as_root(&c->endpoint));
    ssh_run(c->ssh, command, (struct str){"", 0}, &log, NULL, &status, &ignored);
    err_set(err, ERRC_HOST, "Jupyter does not answer at %s. Its log ends with:\n%.600s",
            health->url, buf_cstr(&log));
    err_hint(err, "look at it: berth ssh -- sudo journalctl -u " HOST_SERVICE);
    return -ERRC_HOST;
}

static int local(struct host_step *s, struct host_connection *c, const struct apply_ops *ops,
                 struct err *err) {
    const RECORD *after = s->after;
    if (after == NULL)
        return 0;
    ops->progress(ops->ctx, (struct change *)s->change, "waiting for Jupyter to answer");
    return health_wait(s->node->session->run, c, after, s->node->arena, err);
}

const struct kind host_health_kind = {
    .name = "server.jupyter.health",
    .world = &host_world,
    .fields = fields,
    .size = sizeof(RECORD),
    .ask = ask,
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
