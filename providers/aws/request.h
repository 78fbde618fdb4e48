/* One HTTP request to AWS, signed and ready to be sent. Nothing is sent here. */
#pragma once

#include "providers/aws/client.h"

enum { REQUEST_HEADERS_MAX = 8, REQUEST_URL_SIZE = 512 };

struct request {
    char url[REQUEST_URL_SIZE];
    /* Lines "name: value", as they go over the wire; without host, which follows from the URL. They
     * carry the session token and the signature: never print them. */
    struct buf headers[REQUEST_HEADERS_MAX];
    size_t headers_len;
};

/* Makes and signs it for the time `when` (AWS's clock); unsigned calls need no credentials. Free
 * with request_free, also after a failure. -ERRC_INVALID for an endpoint that is none, -ERRC_NOMEM,
 * -ERRC_INTERNAL. */
int request_make(const struct aws_config *config, const struct aws_credentials *credentials,
                 const struct aws_call *call, time_t when, struct request *ret, struct err *err);
void request_free(struct request *r); /* wipes the headers */

/* Are its answers XML (the query protocol), not JSON? */
bool request_is_query(enum aws_service service);

/* The URL that calls of a service go to, without a trailing slash: the one that is set, or AWS's
 * own. -ERRC_INVALID when it is not http:// or https:// with a host. */
int request_url(const struct aws_config *config, enum aws_service service,
                char ret[REQUEST_URL_SIZE], struct err *err);
