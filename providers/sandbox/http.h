/* HTTP/1.1, as little as an SDK needs. */
#pragma once

#include "specs/buf.h"
#include "specs/str.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

struct http_request {
    char method[8], path[256];
    int minor; /* of the version: HTTP/1.MINOR */
    struct {
        char name[64]; /* lower case */
        struct str value;
    } headers[40];
    size_t headers_len;
    struct str body;
    struct buf raw;
    bool last; /* nothing more can come on this connection */
};

/* Reads one request: 1 good; 0: the peer closed or said nothing; < 0: minus the HTTP status that it
 * is refused with. */
int http_read(int fd, struct http_request *ret);
void http_free(struct http_request *request);
struct str http_header(const struct http_request *request, const char *name); /* ptr NULL: absent */
int http_write(int fd, int status, time_t date, const char *type, struct str body, bool last);

/* Decodes application/x-www-form-urlencoded into a JSON object of strings. NULL when malformed or
 * of too many parts. */
cJSON *form_decode(struct str body);
