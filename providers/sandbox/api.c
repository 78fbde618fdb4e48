/* The endpoint: what is asked (one table row an action), and the answer's frame. */
#include "providers/sandbox/api.h"
#include "providers/sandbox/faults.h"
#include "providers/sandbox/http.h"
#include "providers/sandbox/instance.h"
#include "providers/sandbox/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int api_fail(struct api_error *e, const char *code, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(e->message, sizeof e->message, fmt, args);
    va_end(args);
    snprintf(e->code, sizeof e->code, "%s", code);
    e->status = 400;
    return -1;
}

static const struct action *const ec2_tables[] = {instance_actions,
                                                  launch_actions,
                                                  state_actions,
                                                  attribute_actions,
                                                  group_actions,
                                                  rule_actions,
                                                  key_actions,
                                                  tag_actions,
                                                  place_actions,
                                                  type_actions,
                                                  address_actions,
                                                  interface_actions,
                                                  volume_actions,
                                                  volume_change_actions,
                                                  spot_actions,
                                                  profile_actions,
                                                  NULL};
static const struct action *const sts_tables[] = {sts_actions, NULL};

static const struct action *find_action(const struct action *const tables[], const char *name) {
    for (size_t t = 0; tables[t] != NULL; t++)
        for (const struct action *a = tables[t]; a->name != NULL; a++)
            if (strcmp(a->name, name) == 0)
                return a;
    return NULL;
}

static void make_request_id(char *ret, size_t size) {
    char a[32], b[32];
    make_id("r", a, sizeof a);
    make_id("r", b, sizeof b);
    snprintf(ret, size, "%.8s-%.4s-%.4s-%.4s-%.12s", a + 2, a + 10, a + 14, b + 2, b + 6);
}

static int carry_out(struct sandbox *s, const struct action *action, cJSON *form, struct buf *inner,
                     struct api_error *e) {
    struct err err = {0};
    struct veil *veil = veil_begin(s, action, form);
    int rc = action->handle(s, form, inner, e);
    veil_end(veil);
    if (rc == 0)
        faults_after(s, action->name, form, buf_str(inner), e);
    if (rc == 0 && action->changes && world_save(s, &err) < 0) {
        api_fail(e, "InternalError", "%s", err.msg);
        e->status = 500;
        rc = -1;
    }
    return rc;
}

static int run_action(struct sandbox *s, const struct action *const tables[], cJSON *form,
                      struct buf *inner, struct api_error *e) {
    const char *name = text_of(form, "Action");
    const struct action *action = find_action(tables, name);
    bool dry = strcmp(text_of(form, "DryRun"), "true") == 0;
    if (action == NULL)
        return api_fail(e, "InvalidAction", "The action %.60s is not valid for this web service.",
                        name);
    if (faults_before(s, tables == sts_tables ? "sts" : "ec2", name, form, dry, e) < 0)
        return -1;
    if (dry) {
        api_fail(e, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.");
        e->status = 412;
        return -1;
    }
    if (s->ending && action->changes) {
        api_fail(e, "Unavailable", "The sandbox is ending.");
        e->status = 503;
        return -1;
    }
    return carry_out(s, action, form, inner, e);
}

/* ---- Frames */

static void frame_ec2(struct buf *out, const char *action, struct str inner, const char *id,
                      const struct api_error *e) {
    if (action != NULL) {
        buf_addf(out, "<%sResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">", action);
        xml_add(out, "requestId", id);
        buf_addstr(out, inner);
        buf_addf(out, "</%sResponse>\n", action);
        return;
    }
    buf_adds(out, "<Response><Errors><Error>");
    xml_add(out, "Code", e->code);
    xml_add(out, "Message", e->message);
    buf_adds(out, "</Error></Errors>");
    xml_add(out, "RequestID", id);
    buf_adds(out, "</Response>\n");
}

#define STS_SPACE "https://sts.amazonaws.com/doc/2011-06-15/"

static void frame_sts(struct buf *out, const char *action, struct str inner, const char *id,
                      const struct api_error *e) {
    if (action != NULL) {
        buf_addf(out, "<%sResponse xmlns=\"" STS_SPACE "\"><%sResult>", action, action);
        buf_addstr(out, inner);
        buf_addf(out, "</%sResult><ResponseMetadata>", action);
        xml_add(out, "RequestId", id);
        buf_addf(out, "</ResponseMetadata></%sResponse>\n", action);
        return;
    }
    bool unknown = strcmp(e->code, "AuthFailure") == 0;
    buf_adds(out, "<ErrorResponse xmlns=\"" STS_SPACE "\"><Error><Type>Sender</Type>");
    xml_add(out, "Code", unknown ? "InvalidClientTokenId" : e->code);
    xml_add(out, "Message",
            unknown ? "The security token included in the request is invalid." : e->message);
    buf_adds(out, "</Error>");
    xml_add(out, "RequestId", id);
    buf_adds(out, "</ErrorResponse>\n");
}

static int handle_query(struct sandbox *s, const struct http_request *r, struct buf *out) {
    struct api_error e = {.status = 200};
    char id[64], service[16] = "";
    _cleanup_buf_ struct buf inner = BUF_INIT(BUF_LARGE);
    make_request_id(id, sizeof id);
    int rc = api_authenticate(s, r, service, &e);
    bool sts = strcmp(service, "sts") == 0;
    cJSON *form = rc < 0 ? NULL : form_decode(r->body);
    if (rc == 0 && form == NULL)
        rc = api_fail(&e, "MalformedQueryString", "the body cannot be read");
    if (rc == 0)
        rc = run_action(s, sts ? sts_tables : ec2_tables, form, &inner, &e);
    const char *action = rc == 0 ? text_of(form, "Action") : NULL;
    buf_adds(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    if (sts)
        frame_sts(out, action, buf_str(&inner), id, &e);
    else
        frame_ec2(out, action, buf_str(&inner), id, &e);
    cJSON_Delete(form);
    return e.status < 0 ? 0 : e.status;
}

/* What no AWS has. */
static int handle_own(struct sandbox *s, const struct http_request *r, struct buf *out) {
    if (!str_eqc(http_header(r, "x-berth-secret"), text_of(s->world, "secret_key")))
        return 403;
    if (strcmp(r->path, "/_berth/faults") == 0)
        return faults_request(s, r, out);
    if (strcmp(r->path, "/_berth/interrupt") == 0)
        return spot_request_own(s, r, out);
    return 404;
}

int api_handle(struct sandbox *s, const struct http_request *r, struct buf *out,
               const char **ret_type) {
    int status;
    pthread_mutex_lock(&s->mutex);
    if (strncmp(r->path, "/_berth/", strlen("/_berth/")) == 0) {
        *ret_type = "application/json";
        status = handle_own(s, r, out);
    } else if (http_header(r, "x-amz-target").ptr != NULL) {
        *ret_type = "application/x-amz-json-1.1";
        status = api_handle_target(s, r, out);
    } else {
        status = handle_query(s, r, out);
    }
    pthread_mutex_unlock(&s->mutex);
    return status;
}
