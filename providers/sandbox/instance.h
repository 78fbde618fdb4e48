/* Instances as the API sees them, with what they have: groups, an interface, a spot request, an IAM
 * profile. Mutex held, everywhere. */
#pragma once

#include "providers/sandbox/api.h"
#include "providers/sandbox/types.h"

/* Appends the instance as DescribeInstances and RunInstances show one:
 * https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Instance.html */
void instance_xml(struct sandbox *s, struct buf *out, const cJSON *instance);
/* Appends the rules as DescribeSecurityGroups shows them. */
void rules_xml(struct buf *out, const cJSON *rules);
/* The one group of GroupId, or of GroupName as the default VPC takes it; NULL with *e set. */
cJSON *group_asked(struct sandbox *s, const cJSON *form, struct api_error *e);
/* Make the VPC's own group when it is not there. */
void groups_begin(struct sandbox *s);
/* Begins to stop or to terminate it, with that stateReason. */
void instance_end(struct sandbox *s, cJSON *instance, bool terminate, const char *code,
                  const char *reason);
/* The state as callers see it: a guest that reboots runs. */
const char *instance_state(const cJSON *instance);
void metadata_xml(struct buf *out, const char *element, const cJSON *instance);
void groups_xml(struct sandbox *s, struct buf *out, const cJSON *instance);
/* Of its network interface. */
void interface_id(const cJSON *instance, char *ret, size_t size);
/* Appends it as DescribeInstances shows one. */
void interface_xml(struct sandbox *s, struct buf *out, const cJSON *instance);
void instance_state_xml(struct buf *out, const char *element, const char *state);
/* The instances of InstanceId.N; all that must exist do, or *e says which not. */
int instances_named(struct sandbox *s, const cJSON *form, bool required, cJSON **ret,
                    struct api_error *e);

/* ---- Spot requests */

double spot_price(const struct instance_type *type, const struct zone *zone); /* USD an hour */
int spot_check(const cJSON *form, const struct instance_type *type, const struct zone *zone,
               struct api_error *e);
/* Make the request of a new instance, or have an open one fulfilled by it. */
void spot_launch(struct sandbox *s, const cJSON *form, cJSON *instance);
int spot_may_stop(struct sandbox *s, const cJSON *instance, struct api_error *e);
int spot_may_start(struct sandbox *s, const cJSON *instance, struct api_error *e);
enum spot_event { SPOT_STOPPED, SPOT_STARTED, SPOT_TERMINATED };
/* Its user has done this to it. */
void spot_changed(struct sandbox *s, const cJSON *instance, enum spot_event event);
/* Launch anew what persistent requests have lost; true: the world changed. */
bool spot_look_after(struct sandbox *s);
/* POST of an interruption. HTTP status. */
int spot_request_own(struct sandbox *s, const struct http_request *http, struct buf *out);
/* The same instance again, of a request that was good once. */
int launch_again(struct sandbox *s, cJSON *form, struct api_error *e);
/* From "stopped". */
void instance_start(struct sandbox *s, cJSON *instance);

/* ---- IAM profiles */

int profile_check(const cJSON *form, struct api_error *e);
void profile_launch(const cJSON *form, cJSON *instance);
void profile_xml(struct buf *out, const cJSON *instance);
