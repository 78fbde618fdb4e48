/* A server on loopback that answers what a test writes down, and keeps what it was asked. */
#pragma once

#include "tests/unit/cm.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWERS_MAX = 8, REQUEST_MAX = 16384 };

struct answer {
    int status; /* 0: the connection is closed without one */
    const char *header;
    const char *body;
};

struct server {
    struct answer answers[ANSWERS_MAX]; /* the last one repeats */
    size_t len, taken;
    size_t gathers; /* so many connections are there before the first is answered */
    char requests[ANSWERS_MAX][REQUEST_MAX];
    int listener;
    char url[64];
    pthread_t thread;
};

/* What stands behind a header's name; NULL when it is not among the headers. */
static inline const char *header_of(const char *request, const char *name) {
    const char *end = strstr(request, "\r\n\r\n");
    for (const char *at = request; at != NULL && at < end; at = strstr(at, "\r\n")) {
        at += at == request ? 0 : 2;
        if (strncasecmp(at, name, strlen(name)) == 0)
            return at + strlen(name);
        if (at == request)
            at++;
    }
    return NULL;
}

/* One whole request, headers and body. */
static inline bool read_request(int fd, char *ret) {
    size_t len = 0;
    for (;;) {
        ssize_t n = recv(fd, ret + len, REQUEST_MAX - 1 - len, 0);
        if (n <= 0)
            return false;
        len += (size_t)n;
        ret[len] = '\0';
        const char *end = strstr(ret, "\r\n\r\n");
        const char *length = end == NULL ? NULL : header_of(ret, "content-length: ");
        size_t body = length == NULL ? 0 : strtoul(length, NULL, 10);
        if (end != NULL && len >= (size_t)(end + 4 - ret) + body)
            return true;
    }
}

static inline void answer_one(struct server *s, int fd) {
    char text[4096];
    const struct answer *a = &s->answers[s->taken < s->len ? s->taken : s->len - 1];
    char ignored[REQUEST_MAX];
    if (!read_request(fd, s->taken < ANSWERS_MAX ? s->requests[s->taken] : ignored))
        return;
    s->taken++;
    if (a->status == 0)
        return;
    int len = snprintf(text, sizeof text,
                       "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n%s\r\n%s",
                       a->status, strlen(a->body), a->header == NULL ? "" : a->header, a->body);
    (void)!send(fd, text, (size_t)len, MSG_NOSIGNAL);
}

static inline void close_one(int fd) {
    shutdown(fd, SHUT_RDWR);
    close(fd);
}

/* Calls that are under way together: nobody's answer comes before the others were sent. */
static inline void answer_together(struct server *s) {
    int fds[ANSWERS_MAX];
    size_t n = 0;
    while (n < s->gathers && (fds[n] = accept(s->listener, NULL, NULL)) >= 0)
        n++;
    for (size_t i = 0; i < n; i++) {
        answer_one(s, fds[i]);
        close_one(fds[i]);
    }
}

static inline void *serve(void *arg) {
    struct server *s = arg;
    answer_together(s);
    for (;;) {
        int fd = accept(s->listener, NULL, NULL);
        if (fd < 0)
            return NULL;
        answer_one(s, fd);
        close_one(fd);
    }
}

static inline void start(struct server *s, const struct answer *answers, size_t len,
                         size_t gathers) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    *s = (struct server){.len = len, .gathers = gathers};
    memcpy(s->answers, answers, len * sizeof *answers);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s->listener >= 0);
    assert_int_equal(bind(s->listener, (const struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(s->listener, 16), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&address, &size), 0);
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static inline void stop(struct server *s) {
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->listener);
}
