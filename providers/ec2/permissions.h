/* What IAM must allow for a spec: one table of actions, which is tried by DryRun and printed as a
 * policy; and the rest of what `berth doctor` looks at.
 * https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html */
#pragma once

#include "providers/aws/credentials.h"
#include "providers/provider.h"

struct cJSON;

enum permission_verdict {
    PERMISSION_ALLOWED,
    PERMISSION_DENIED,
    PERMISSION_OPTIONAL, /* denied, and berth does without */
    PERMISSION_UNTRIED,  /* nothing is there yet that it could be tried on */
    PERMISSION_UNCLEAR,  /* AWS said something else */
};

struct permission {
    const char *action; /* "ec2:RunInstances" */
    const char *why;    /* "launch servers" */
    enum permission_verdict verdict;
    const char *said; /* UNTRIED, UNCLEAR: why */
};

struct ec2_checkup {
    struct arena arena;
    /* Region and endpoint. code 0: good. */
    struct err config_err;
    const char *region, *region_from;
    const char *endpoint, *endpoint_from; /* from: NULL when it is AWS's own */
    /* Who acts. */
    struct err credentials_err;
    struct aws_trail trail;
    const char *source;
    time_t expires; /* 0: never */
    struct err identity_err;
    const char *account, *arn;
    bool clock_known;
    long skew_s; /* AWS's clock minus ours */
    /* What the spec needs; none without a spec or without credentials. */
    struct permission *permissions;
    size_t permissions_len;
};

/* Looks at all of it; what could not be looked at has its error. Makes calls, and changes nothing.
 * `spec` may be NULL; `recorded` is what there is to try things on. With `try_permissions` false
 * DryRuns are left out. -ERRC_NOMEM, -ERRC_CANCELLED. Free with ec2_checkup_free. */
int ec2_checkup_run(const struct run *run, const struct spec *spec,
                    const struct recorded_list *recorded, bool try_permissions,
                    struct ec2_checkup *ret, struct err *err);
void ec2_checkup_free(struct ec2_checkup *c);

/* The least IAM policy by which the spec can be applied, changed and destroyed; NULL when memory
 * runs out. `arn` is the caller's, which tells partition and account; NULL: any account of AWS's
 * own partition. Pure. Delete with cJSON_Delete. */
struct cJSON *ec2_policy(const struct spec *spec, const char *region, const char *arn);
/* Is there a row for this action ("RunInstances")? For a test that no call lacks one. */
bool ec2_permission_known(const char *service, const char *action);
