/* The endpoint: what is asked (one table row an action), and the answer's frame. */
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

/* ---- XML */

/* How long the UTF-8 sequence is that starts here; 0: it is none. */
static size_t utf8_length(const unsigned char *c) {
    size_t len = c[0] < 0x80                   ? 1
                 : c[0] >= 0xc2 && c[0] < 0xe0 ? 2
                 : c[0] >= 0xe0 && c[0] < 0xf0 ? 3
                 : c[0] >= 0xf0 && c[0] < 0xf5 ? 4
                                               : 0;
    for (size_t i = 1; i < len; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    /* Overlong forms, surrogates, and what XML has no place for. */
    if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) ||
        (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f) ||
        (c[0] == 0xef && c[1] == 0xbf && c[2] >= 0xbe))
        return 0;
    return len;
}

/* What XML cannot hold becomes U+FFFD: one odd tag must not make every answer unreadable. */
void xml_add(struct buf *out, const char *name, const char *value) {
    buf_addf(out, "<%s>", name);
    while (*value != '\0') {
        size_t len = utf8_length((const unsigned char *)value);
        if (*value == '&')
            buf_adds(out, "&amp;");
        else if (*value == '<')
            buf_adds(out, "&lt;");
        else if (*value == '>')
            buf_adds(out, "&gt;");
        else if (*value == '\r')
            buf_adds(out, "&#13;");
        else if (len == 0 || ((unsigned char)*value < 0x20 && *value != '\t' && *value != '\n'))
            buf_adds(out, "\xef\xbf\xbd");
        else
            buf_add(out, value, len);
        value += len == 0 ? 1 : len;
    }
    buf_addf(out, "</%s>", name);
}

void xml_add_number(struct buf *out, const char *name, double value) {
    buf_addf(out, "<%s>%.0f</%s>", name, value, name);
}

void xml_add_tags(struct buf *out, const cJSON *tags) {
    const cJSON *tag;
    buf_adds(out, "<tagSet>");
    cJSON_ArrayForEach(tag, tags) {
        buf_adds(out, "<item>");
        xml_add(out, "key", tag->string);
        xml_add(out, "value", tag->valuestring);
        buf_adds(out, "</item>");
    }
    buf_adds(out, "</tagSet>");
}

/* ---- Forms */

cJSON *form_list(const cJSON *form, const char *name) {
    cJSON *list = cJSON_CreateArray();
    char key[128];
    for (int i = 1; i <= 1000; i++) {
        snprintf(key, sizeof key, "%s.%d", name, i);
        const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(form, key));
        if (value == NULL)
            break;
        cJSON_AddItemToArray(list, cJSON_CreateString(value));
    }
    return list;
}

cJSON *form_tags(const cJSON *form, const char *resource) {
    cJSON *tags = cJSON_CreateObject();
    char key[128];
    for (int s = 1; s <= 20; s++) {
        snprintf(key, sizeof key, "TagSpecification.%d.ResourceType", s);
        const char *type = text_of(form, key);
        if (type[0] == '\0')
            break;
        if (strcmp(type, resource) != 0)
            continue;
        for (int t = 1; t <= 50; t++) {
            snprintf(key, sizeof key, "TagSpecification.%d.Tag.%d.Key", s, t);
            const char *name = text_of(form, key);
            if (name[0] == '\0')
                break;
            snprintf(key, sizeof key, "TagSpecification.%d.Tag.%d.Value", s, t);
            set_text(tags, name, text_of(form, key));
        }
    }
    return tags;
}

bool pattern_matches(const char *pattern, const char *text) {
    const char *star = NULL, *from = NULL; /* where to go on when the last * takes one more */
    while (*text != '\0') {
        if (*pattern == '*') {
            star = ++pattern;
            from = text;
        } else if (*pattern != '\0' && (*pattern == '?' || *pattern == *text)) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star;
            text = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

int form_check_filters(const cJSON *form, const char *const known[], struct api_error *e) {
    char key[64];
    for (int f = 1; f <= 50; f++) {
        snprintf(key, sizeof key, "Filter.%d.Name", f);
        const char *name = text_of(form, key);
        bool good = strncmp(name, "tag:", 4) == 0 || strcmp(name, "tag-key") == 0;
        if (name[0] == '\0')
            return 0;
        for (size_t i = 0; known[i] != NULL && !good; i++)
            good = strcmp(known[i], name) == 0;
        if (!good)
            return api_fail(e, "InvalidParameterValue", "The filter '%.80s' is invalid", name);
    }
    return 0;
}

bool tag_matches(const cJSON *tags, const char *filter, const char *value, bool *ret_matched) {
    const cJSON *tag;
    *ret_matched = false;
    if (strncmp(filter, "tag:", 4) == 0) {
        tag = cJSON_GetObjectItemCaseSensitive(tags, filter + 4);
        *ret_matched = tag != NULL && pattern_matches(value, tag->valuestring);
        return true;
    }
    if (strcmp(filter, "tag-key") != 0)
        return false;
    cJSON_ArrayForEach(tag, tags) *ret_matched |= pattern_matches(value, tag->string);
    return true;
}

bool form_filter(const cJSON *form, cJSON *item,
                 bool (*matches)(cJSON *item, const char *filter, const char *value)) {
    char key[64];
    for (int f = 1; f <= 50; f++) {
        snprintf(key, sizeof key, "Filter.%d.Name", f);
        const char *name = text_of(form, key);
        if (name[0] == '\0')
            return true;
        bool any = false;
        for (int v = 1; v <= 200 && !any; v++) {
            snprintf(key, sizeof key, "Filter.%d.Value.%d", f, v);
            const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(form, key));
            if (value == NULL)
                break;
            any = matches(item, name, value);
        }
        if (!any)
            return false;
    }
    return true;
}

/* ---- Faults that a test asks for: {"action", "nth", "code", "message", "status", "lose"} */

static cJSON *due_fault(struct sandbox *s, const char *action) {
    cJSON *fault;
    cJSON_ArrayForEach(fault, cJSON_GetObjectItem(s->world, "faults")) {
        if (strcmp(text_of(fault, "action"), action) != 0)
            continue;
        double left = number_of(fault, "nth");
        if (left < 1)
            continue;
        set_number(fault, "nth", left - 1);
        if (left < 2)
            return fault;
    }
    return NULL;
}

static int take_faults(struct sandbox *s, const struct http_request *r, struct buf *out) {
    struct str secret = http_header(r, "x-berth-secret");
    if (!str_eqc(secret, text_of(s->world, "secret_key")))
        return 403;
    cJSON *faults = cJSON_ParseWithLength(r->body.ptr, r->body.len);
    if (!cJSON_IsArray(faults)) {
        cJSON_Delete(faults);
        return 400;
    }
    cJSON_DeleteItemFromObject(s->world, "faults");
    cJSON_AddItemToObject(s->world, "faults", faults);
    buf_adds(out, "{}");
    return 200;
}

/* ---- Dispatch */

static const struct action *find_action(const char *name) {
    static const struct action *const tables[] = {
        instance_actions, launch_actions, state_actions,  group_actions,
        key_actions,      other_actions,  volume_actions, volume_change_actions};
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++)
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

static int run_action(struct sandbox *s, cJSON *form, struct buf *inner, struct api_error *e) {
    const char *name = text_of(form, "Action");
    const struct action *action = find_action(name);
    struct err err = {0};
    if (action == NULL)
        return api_fail(e, "InvalidAction", "The action %.60s is not valid for this web service.",
                        name);
    if (strcmp(text_of(form, "DryRun"), "true") == 0) {
        api_fail(e, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.");
        e->status = 412;
        return -1;
    }
    const cJSON *fault = due_fault(s, name);
    if (fault != NULL && text_of(fault, "code")[0] != '\0') {
        api_fail(e, text_of(fault, "code"), "%s", text_of(fault, "message"));
        if (number_of(fault, "status") > 0)
            e->status = (int)number_of(fault, "status");
        return -1;
    }
    if (s->ending && action->changes) {
        api_fail(e, "Unavailable", "The sandbox is ending.");
        e->status = 503;
        return -1;
    }
    int rc = action->handle(s, form, inner, e);
    if (rc == 0 && action->changes && world_save(s, &err) < 0) {
        api_fail(e, "InternalError", "%s", err.msg);
        e->status = 500;
        rc = -1;
    }
    if (rc == 0 && fault != NULL && cJSON_IsTrue(cJSON_GetObjectItem(fault, "lose")))
        e->status = -1; /* done, and nobody is told */
    return rc;
}

static int handle_ec2(struct sandbox *s, const struct http_request *r, struct buf *out) {
    struct api_error e = {.status = 200};
    char id[64], service[16] = "";
    _cleanup_buf_ struct buf inner = BUF_INIT(BUF_LARGE);
    make_request_id(id, sizeof id);
    int rc = api_authenticate(s, r, service, &e);
    cJSON *form = rc < 0 ? NULL : form_decode(r->body);
    if (rc == 0 && form == NULL)
        rc = api_fail(&e, "MalformedQueryString", "the body cannot be read");
    if (rc == 0)
        rc = run_action(s, form, &inner, &e);
    buf_adds(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    if (rc == 0) {
        const char *name = text_of(form, "Action");
        buf_addf(out, "<%sResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">", name);
        xml_add(out, "requestId", id);
        buf_addstr(out, buf_str(&inner));
        buf_addf(out, "</%sResponse>\n", name);
    } else {
        buf_adds(out, "<Response><Errors><Error>");
        xml_add(out, "Code", e.code);
        xml_add(out, "Message", e.message);
        buf_adds(out, "</Error></Errors>");
        xml_add(out, "RequestID", id);
        buf_adds(out, "</Response>\n");
    }
    cJSON_Delete(form);
    return e.status < 0 ? 0 : e.status;
}

/* ---- SSM: GetParameters for the image that there is */

#define PARAMETER_PREFIX "/aws/service/debian/release/12/latest/"

static cJSON *answer_parameters(const cJSON *names) {
    cJSON *answer = cJSON_CreateObject();
    cJSON *found = cJSON_AddArrayToObject(answer, "Parameters");
    cJSON *unknown = cJSON_AddArrayToObject(answer, "InvalidParameters");
    const cJSON *name;
    cJSON_ArrayForEach(name, names) {
        const char *text = cJSON_GetStringValue(name);
        if (text == NULL || strcmp(text, PARAMETER_PREFIX "amd64") != 0) {
            cJSON_AddItemToArray(unknown, cJSON_Duplicate(name, true));
            continue;
        }
        cJSON *item = cJSON_CreateObject();
        set_text(item, "Name", text);
        set_text(item, "Type", "String");
        set_text(item, "Value", SANDBOX_AMI);
        set_number(item, "Version", 1);
        cJSON_AddItemToArray(found, item);
    }
    return answer;
}

/* The services that speak JSON have names of their own for who asks. */
static void json_code(struct api_error *e) {
    static const struct {
        const char *ec2, *json;
    } codes[] = {{"AuthFailure", "UnrecognizedClientException"},
                 {"IncompleteSignature", "IncompleteSignatureException"},
                 {"RequestExpired", "InvalidSignatureException"},
                 {"SignatureDoesNotMatch", "InvalidSignatureException"}};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (strcmp(e->code, codes[i].ec2) == 0) {
            snprintf(e->code, sizeof e->code, "%s", codes[i].json);
            e->status = 400;
            return;
        }
}

static int handle_ssm(struct sandbox *s, const struct http_request *r, struct buf *out) {
    struct api_error e = {.status = 200};
    char service[16] = "";
    int rc = api_authenticate(s, r, service, &e);
    cJSON *body = rc < 0 ? NULL : cJSON_ParseWithLength(r->body.ptr, r->body.len);
    if (rc < 0)
        json_code(&e);
    if (rc == 0 && !str_eqc(http_header(r, "x-amz-target"), "AmazonSSM.GetParameters"))
        rc = api_fail(&e, "UnknownOperationException", "the sandbox knows GetParameters only");
    cJSON *answer =
        rc == 0 ? answer_parameters(cJSON_GetObjectItem(body, "Names")) : cJSON_CreateObject();
    if (rc < 0) {
        set_text(answer, "__type", e.code);
        set_text(answer, "message", e.message);
    }
    char *text = cJSON_PrintUnformatted(answer);
    buf_adds(out, text == NULL ? "{}" : text);
    cJSON_free(text);
    cJSON_Delete(answer);
    cJSON_Delete(body);
    return e.status;
}

int api_handle(struct sandbox *s, const struct http_request *r, struct buf *out,
               const char **ret_type) {
    int status;
    pthread_mutex_lock(&s->mutex);
    if (strcmp(r->path, "/_berth/faults") == 0) {
        *ret_type = "application/json";
        status = take_faults(s, r, out);
    } else if (http_header(r, "x-amz-target").ptr != NULL) {
        *ret_type = "application/x-amz-json-1.1";
        status = handle_ssm(s, r, out);
    } else {
        status = handle_ec2(s, r, out);
    }
    pthread_mutex_unlock(&s->mutex);
    return status;
}
