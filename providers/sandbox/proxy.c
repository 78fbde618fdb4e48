/* The guests' only way out: an HTTP proxy (GET and CONNECT) whose listener is inside the guest's
 * network namespace and which dials from outside. No NAT, no forwarding, nothing of the machine's
 * is changed. It dials no address of this machine or its networks, but for the proxy and the
 * package indexes that this machine itself goes by. */
#define _GNU_SOURCE
#include "providers/sandbox/guest.h"
#include "providers/sandbox/internal.h"
#include "providers/sandbox/outside.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_MAX = 32768, CONNECTIONS_MAX = 256, IDLE_MS = 300000, STACK_BYTES = 256 * 1024 };

struct proxy {
    struct proxy *next;
    char id[32];
    int fd;
    atomic_int open;
    pthread_t thread;
};

/* Resolve, check, dial what was checked. */
static int dial(const char *host, const char *port, bool trusted, bool *ret_refused) {
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int fd = -1;
    *ret_refused = false;
    if (getaddrinfo(host, port, &hints, &list) != 0)
        return -1;
    for (const struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next) {
        if (!trusted && (!proxy_may_dial(a->ai_addr) || address_is_near(a->ai_addr))) {
            *ret_refused = true;
            continue;
        }
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const struct timeval limit = {.tv_sec = 20};
        if (fd >= 0)
            setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    return fd;
}

/* This machine's own proxy dials for us. What we can resolve must be good by the same rules; what
 * only it can resolve is its to judge. */
static bool proxied_is_refused(const char *host) {
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    bool refused = false;
    if (getaddrinfo(host, NULL, &hints, &list) != 0)
        return false;
    for (const struct addrinfo *a = list; a != NULL; a = a->ai_next)
        refused |= !proxy_may_dial(a->ai_addr) || address_is_near(a->ai_addr);
    freeaddrinfo(list);
    return refused;
}

static bool send_all(int fd, const char *bytes, size_t len) {
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

static void pump(int a, int b) {
    char chunk[65536];
    struct pollfd p[2] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
    int open = 2;
    while (open > 0 && poll(p, 2, IDLE_MS) > 0) {
        for (int i = 0; i < 2; i++) {
            if (p[i].fd < 0 || !(p[i].revents & (POLLIN | POLLHUP | POLLERR)))
                continue;
            ssize_t n = recv(i == 0 ? a : b, chunk, sizeof chunk, 0);
            if (n <= 0) {
                shutdown(i == 0 ? b : a, SHUT_WR);
                p[i].fd = -1;
                open--;
            } else if (!send_all(i == 0 ? b : a, chunk, (size_t)n)) {
                return;
            }
        }
    }
}

static void answer(int fd, const char *status) {
    char text[128];
    int len = snprintf(text, sizeof text,
                       "HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status);
    send_all(fd, text, (size_t)len);
}

struct target {
    char host[256], port[8];
    const char *path; /* GET: within the head */
    bool tunnel;
};

static bool split_host(struct str authority, const char *default_port, struct target *t) {
    struct str port = str_of(default_port);
    struct str host = authority;
    if (host.len > 0 && host.ptr[0] == '[') {
        const char *end = memchr(host.ptr, ']', host.len);
        if (end == NULL)
            return false;
        struct str rest = {end + 1, (size_t)(host.ptr + host.len - end - 1)};
        host = (struct str){host.ptr + 1, (size_t)(end - host.ptr - 1)};
        if (rest.len > 1 && rest.ptr[0] == ':')
            port = (struct str){rest.ptr + 1, rest.len - 1};
    } else {
        const char *colon = memchr(host.ptr, ':', host.len);
        if (colon != NULL) {
            port = (struct str){colon + 1, (size_t)(host.ptr + host.len - colon - 1)};
            host.len = (size_t)(colon - host.ptr);
        }
    }
    int64_t number;
    if (host.len == 0 || host.len >= sizeof t->host || port.len >= sizeof t->port ||
        !str_to_i64(port, 1, 65535, &number))
        return false;
    snprintf(t->host, sizeof t->host, "%.*s", STR_FMT(host));
    snprintf(t->port, sizeof t->port, "%.*s", STR_FMT(port));
    return true;
}

/* "CONNECT host:443 HTTP/1.1" or "GET http://host/path HTTP/1.1" */
static bool parse_target(struct str line, struct target *t, struct str *ret_method,
                         struct str *ret_url, struct str *ret_path) {
    struct str url;
    if (!str_split(&line, ' ', ret_method) || !str_split(&line, ' ', &url))
        return false;
    *ret_url = url;
    t->tunnel = str_eqc(*ret_method, "CONNECT");
    if (t->tunnel)
        return split_host(url, "443", t);
    if (!str_starts(url, STR("http://")))
        return false;
    struct str rest = {url.ptr + 7, url.len - 7};
    struct str authority;
    const char *slash = memchr(rest.ptr, '/', rest.len);
    authority = slash == NULL ? rest : (struct str){rest.ptr, (size_t)(slash - rest.ptr)};
    *ret_path =
        slash == NULL ? STR("/") : (struct str){slash, (size_t)(rest.ptr + rest.len - slash)};
    return split_host(authority, "80", t);
}

static bool forward_head(int fd, struct str head, struct str method, struct str path,
                         const char *authorization) {
    _cleanup_buf_ struct buf out = BUF_INIT(HEAD_MAX * 2);
    struct str line;
    buf_addf(&out, "%.*s %.*s HTTP/1.1\r\n", STR_FMT(method), STR_FMT(path));
    str_split(&head, '\n', &line);
    while (str_split(&head, '\n', &line)) {
        line = str_trim(line);
        if (line.len == 0 || strncasecmp(line.ptr, "proxy-", 6) == 0 ||
            (line.len > 11 && strncasecmp(line.ptr, "connection:", 11) == 0))
            continue;
        buf_addf(&out, "%.*s\r\n", STR_FMT(line));
    }
    if (authorization[0] != '\0')
        buf_addf(&out, "Proxy-Authorization: %s\r\n", authorization);
    buf_adds(&out, str_eqc(method, "CONNECT") ? "\r\n" : "Connection: close\r\n\r\n");
    return !out.failed && send_all(fd, out.ptr, out.len);
}

static void serve(int fd) {
    char head[HEAD_MAX + 1];
    size_t len = 0;
    char *end = NULL;
    while (end == NULL && len < HEAD_MAX) {
        ssize_t n = recv(fd, head + len, HEAD_MAX - len, 0);
        if (n <= 0)
            return;
        len += (size_t)n;
        head[len] = '\0';
        end = strstr(head, "\r\n\r\n");
    }
    struct target t = {0};
    struct str method = {NULL, 0}, url = {NULL, 0}, path = {NULL, 0};
    struct str line = {head, end == NULL ? 0 : strcspn(head, "\r")};
    if (end == NULL || !parse_target(line, &t, &method, &url, &path)) {
        answer(fd, "400 Bad Request");
        return;
    }
    struct outside_proxy by = {0};
    bool index = outside_is_index(t.host, t.port);
    bool proxied = outside_proxy_for(t.tunnel, t.host, &by);
    bool refused = proxied && !index && proxied_is_refused(t.host);
    int up = refused   ? -1
             : proxied ? dial(by.host, by.port, true, &refused)
                       : dial(t.host, t.port, index, &refused);
    if (up < 0) {
        answer(fd, refused ? "403 Forbidden" : "502 Bad Gateway");
        return;
    }
    int on = 1;
    setsockopt(up, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    size_t head_len = (size_t)(end - head) + 4;
    bool good;
    if (t.tunnel && !proxied)
        good = send_all(fd, "HTTP/1.1 200 OK\r\n\r\n", 19);
    else if (proxied) /* the whole URL; its proxy's answer to a CONNECT is ours */
        good = forward_head(up, (struct str){head, head_len}, method, url, by.authorization);
    else
        good = forward_head(up, (struct str){head, head_len}, method, path, "");
    if (good && len > head_len)
        good = send_all(up, head + head_len, len - head_len);
    if (good)
        pump(fd, up);
    close(up);
}

struct connection {
    struct proxy *proxy;
    int fd;
};

static void *serve_thread(void *arg) {
    struct connection c = *(struct connection *)arg;
    free(arg);
    serve(c.fd);
    close(c.fd);
    atomic_fetch_sub(&c.proxy->open, 1);
    return NULL;
}

static void *accept_thread(void *arg) {
    struct proxy *p = arg;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    for (;;) {
        int fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0 && errno != EINVAL && errno != EBADF) { /* no room now; EINVAL: shut down */
            sleep_ms(100);
            continue;
        }
        if (fd < 0)
            break;
        const struct timeval limit = {.tv_sec = 60};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        struct connection *c = calloc(1, sizeof *c);
        pthread_t thread;
        if (c != NULL && atomic_load(&p->open) < CONNECTIONS_MAX) {
            *c = (struct connection){p, fd};
            atomic_fetch_add(&p->open, 1);
            if (pthread_create(&thread, &attributes, serve_thread, c) == 0)
                continue;
            atomic_fetch_sub(&p->open, 1);
        }
        free(c);
        close(fd);
    }
    pthread_attr_destroy(&attributes);
    return NULL;
}

/* A namespace belongs to a thread: this one goes in, makes the socket, and ends. */
struct entry {
    pid_t pid;
    int fd;
};

static void *enter_and_listen(void *arg) {
    struct entry *e = arg;
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/ns/net", (long)e->pid);
    int ns = open(path, O_RDONLY | O_CLOEXEC);
    if (ns < 0)
        return NULL;
    if (setns(ns, CLONE_NEWNET) == 0) {
        const struct sockaddr_in address = {.sin_family = AF_INET,
                                            .sin_port = htons(PROXY_PORT),
                                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int on = 1;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(fd, (const struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 64) == 0)
            e->fd = fd;
        else
            close(fd);
    }
    close(ns);
    return NULL;
}

struct proxy *proxy_start(pid_t guest, const char *id) {
    struct entry e = {guest, -1};
    pthread_t thread;
    if (pthread_create(&thread, NULL, enter_and_listen, &e) != 0)
        return NULL;
    pthread_join(thread, NULL);
    struct proxy *p = e.fd < 0 ? NULL : calloc(1, sizeof *p);
    if (p == NULL) {
        if (e.fd >= 0)
            close(e.fd);
        return NULL;
    }
    snprintf(p->id, sizeof p->id, "%s", id);
    p->fd = e.fd;
    if (pthread_create(&p->thread, NULL, accept_thread, p) != 0) {
        close(p->fd);
        free(p);
        return NULL;
    }
    return p;
}

/* The listener keeps the guest's namespace alive: it must go. Connections end by themselves, since
 * the guest's ends are gone; the little struct that they count in stays. */
static void proxy_stop(struct proxy *p) {
    shutdown(p->fd, SHUT_RDWR);
    pthread_join(p->thread, NULL);
    close(p->fd);
    if (atomic_load(&p->open) == 0)
        free(p);
}

void proxies_add(struct sandbox *s, struct proxy *proxy) {
    if (proxy == NULL)
        return;
    proxy->next = s->proxies;
    s->proxies = proxy;
}

void proxies_remove(struct sandbox *s, const char *id) {
    for (struct proxy **at = &s->proxies; *at != NULL; at = &(*at)->next) {
        if (strcmp((*at)->id, id) != 0)
            continue;
        struct proxy *gone = *at;
        *at = gone->next;
        proxy_stop(gone);
        return;
    }
}
