/* The Query protocol's request body: form-encoded parameters, flat lists ("InstanceId.1"). */
#pragma once

#include "specs/buf.h"

struct query {
    struct buf body;
};

/* Starts "Action=…&Version=2016-11-15": EC2's. */
void query_init(struct query *q, const char *action);
/* The same with the version of the security token service. */
void query_init_sts(struct query *q, const char *action);
void query_free(struct query *q);
/* Percent-encoded; a space is "+". */
void query_encode(struct buf *out, const char *text);
/* name and value are percent-encoded; a space is "+", as the SDKs send it. NULL value: left out. */
void query_add(struct query *q, const char *name, const char *value);
void query_addf(struct query *q, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Indexed names: query_add_at(q, "Filter.%zu.Name", 1, "tag:x"). */
void query_add_at(struct query *q, const char *name_fmt, size_t index, const char *value);
/* Filter.N.Name and Filter.N.Value.M from the NULL-terminated values. */
void query_add_filter(struct query *q, size_t index, const char *name, const char *const *values);
