/* Faults that a test asks for, so that it can see what becomes of a caller: docs/sandbox.md. They
 * are part of the world, and outlive the daemon. */
#include "providers/sandbox/api.h"
#include "providers/sandbox/faults.h"
#include "providers/sandbox/http.h"
#include "providers/sandbox/internal.h"
#include "providers/sandbox/types.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum when { BEFORE, AFTER, ASKED };

static const struct kind {
    const char *name;
    enum when when;
    const char *code, *message;
    int status;
} kinds[] = {
    {"error", BEFORE, "InternalError", "An internal error has occurred", 400},
    {"internal", BEFORE, "InternalError", "An internal error has occurred", 500},
    {"unavailable", BEFORE, "Unavailable", "The service is unavailable. Please try again shortly.",
     503},
    {"throttle", BEFORE, "RequestLimitExceeded", "Request limit exceeded.", 503},
    {"unauthorized", BEFORE, "UnauthorizedOperation", NULL, 403},
    {"lose", AFTER, NULL, NULL, 0},
    {"hide", AFTER, NULL, NULL, 0},
    {"capacity", ASKED, NULL, NULL, 0},
    {"slow", ASKED, NULL, NULL, 0},
    {"skew", ASKED, NULL, NULL, 0},
    {"fail", ASKED, "Server.InternalError", "Server.InternalError: Internal error on launch", 0},
};

enum { KINDS = sizeof kinds / sizeof kinds[0], HIDE_MS = 3600 * 1000, SLOW_STEP_MS = 20 };

static const struct kind *kind_of(const cJSON *fault) {
    const char *name = text_of(fault, "kind");
    if (name[0] == '\0')
        name = cJSON_IsTrue(cJSON_GetObjectItem(fault, "lose")) ? "lose" : "error";
    for (size_t i = 0; i < KINDS; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

/* Is it meant, and is it its turn? That is counted here: the first time that it happens is the nth
 * that it could, and it happens `count` times, or always when that is 0. */
static bool happens(cJSON *fault, const char *action, const cJSON *form) {
    const char *pattern = text_of(fault, "action");
    const cJSON *wanted;
    if (pattern[0] != '\0' && !pattern_matches(pattern, action))
        return false;
    cJSON_ArrayForEach(
        wanted,
        cJSON_GetObjectItem(fault, "match")) if (!cJSON_IsString(wanted) ||
                                                 !pattern_matches(
                                                     wanted->valuestring,
                                                     text_of(form, wanted->string))) return false;
    const cJSON *count = cJSON_GetObjectItem(fault, "count");
    double most = cJSON_IsNumber(count) ? count->valuedouble : 1;
    double seen = number_of(fault, "seen") + 1, taken = number_of(fault, "taken");
    set_number(fault, "seen", seen);
    if (seen < number_of(fault, "nth") || (most > 0 && taken >= most))
        return false;
    set_number(fault, "taken", taken + 1);
    return true;
}

static cJSON *faults_of(struct sandbox *s) { return world_list(s, "faults"); }

void faults_begin(struct sandbox *s) {
    const cJSON *fault;
    double skew_s = 0;
    cJSON_ArrayForEach(fault, faults_of(s)) if (strcmp(text_of(fault, "kind"), "skew") == 0)
        skew_s += number_of(fault, "seconds");
    atomic_store(&s->skew_s, (int)skew_s);
}

int faults_request(struct sandbox *s, const struct http_request *r, struct buf *out) {
    struct err ignored;
    if (strcmp(r->method, "GET") == 0) {
        char *text = cJSON_PrintUnformatted(faults_of(s));
        buf_adds(out, text == NULL ? "[]" : text);
        cJSON_free(text);
        return 200;
    }
    cJSON *faults = cJSON_ParseWithLength(r->body.ptr, r->body.len);
    const cJSON *fault;
    bool good = cJSON_IsArray(faults);
    cJSON_ArrayForEach(fault, faults) good =
        good && cJSON_IsObject(fault) && kind_of(fault) != NULL;
    if (!good) {
        cJSON_Delete(faults);
        return 400;
    }
    cJSON_DeleteItemFromObject(s->world, "faults");
    cJSON_AddItemToObject(s->world, "faults", faults);
    faults_begin(s);
    world_save(s, &ignored);
    buf_adds(out, "{}");
    return 200;
}

/* ---- Instead of an action */

/* As IAM says it; DecodeAuthorizationMessage reads the message. */
static void refuse_unauthorized(const char *service, const char *action, struct api_error *e) {
    _cleanup_buf_ struct buf json = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf encoded = BUF_INIT(BUF_SMALL);
    buf_addf(&json,
             "{\"allowed\":false,\"explicitDeny\":false,\"matchedStatements\":{\"items\":[]},"
             "\"failures\":{\"items\":[]},\"context\":{\"principal\":{\"id\":\"" SANDBOX_USER_ID
             "\",\"arn\":\"" SANDBOX_USER_ARN "\"},\"action\":\"%s:%s\",\"resource\":"
             "\"arn:aws:ec2:" SANDBOX_REGION ":" SANDBOX_OWNER
             ":*\",\"conditions\":{\"items\":[]}}}",
             service, action);
    buf_add_base64(&encoded, buf_cstr(&json), json.len);
    bool ec2 = strcmp(service, "ec2") == 0;
    api_fail(e, strcmp(service, "sts") == 0 ? "AccessDenied" : "UnauthorizedOperation",
             "%sUser: " SANDBOX_USER_ARN " is not authorized to perform: %s:%s because no "
             "identity-based policy allows the %s:%s action%s%s",
             ec2 ? "You are not authorized to perform this operation. " : "", service, action,
             service, action, ec2 ? ". Encoded authorization failure message: " : "",
             ec2 ? buf_cstr(&encoded) : "");
}

int faults_before(struct sandbox *s, const char *service, const char *action, const cJSON *form,
                  bool dry, struct api_error *e) {
    cJSON *fault;
    struct err ignored;
    cJSON_ArrayForEach(fault, faults_of(s)) {
        const struct kind *k = kind_of(fault);
        const char *code = text_of(fault, "code"), *message = text_of(fault, "message");
        if (k->when != BEFORE || (dry && k->message != NULL) || !happens(fault, action, form))
            continue;
        if (k->message == NULL)
            refuse_unauthorized(service, action, e);
        else
            api_fail(e, code[0] != '\0' ? code : k->code, "%s",
                     message[0] != '\0' ? message : k->message);
        e->status = number_of(fault, "status") > 0 ? (int)number_of(fault, "status") : k->status;
        world_save(s, &ignored); /* its count */
        return -1;
    }
    return 0;
}

/* ---- After it: lost answers, and what is made but not seen yet */

static const struct made {
    const char *action, *element, *list, *describe;
} mades[] = {
    {"RunInstances", "<instanceId>", "instances", "DescribeInstances"},
    {"CreateSecurityGroup", "<groupId>", "groups", "DescribeSecurityGroups"},
    {"ImportKeyPair", "<keyPairId>", "key_pairs", "DescribeKeyPairs"},
    {"AllocateAddress", "<allocationId>", "addresses", "DescribeAddresses"},
    {"CreateVolume", "<volumeId>", "volumes", "DescribeVolumes"},
};

/* Every id in the answer: {id, list, describe, calls, until}. */
static void hide(struct sandbox *s, const char *action, const cJSON *fault, struct str answer) {
    const struct made *m = NULL;
    for (size_t i = 0; i < sizeof mades / sizeof mades[0]; i++)
        if (strcmp(mades[i].action, action) == 0)
            m = &mades[i];
    for (size_t at = 0; m != NULL && at < answer.len; at++) {
        char id[64];
        struct str rest = {answer.ptr + at, answer.len - at}, text;
        if (!str_starts(rest, str_of(m->element)))
            continue;
        rest.ptr += strlen(m->element);
        rest.len -= strlen(m->element);
        str_split(&rest, '<', &text);
        snprintf(id, sizeof id, "%.*s", STR_FMT(text));
        cJSON *hidden = cJSON_CreateObject();
        double ms = number_of(fault, "ms"), calls = number_of(fault, "calls");
        set_text(hidden, "id", id);
        set_text(hidden, "list", m->list);
        set_text(hidden, "describe", m->describe);
        set_number(hidden, "calls", ms > 0 ? 0 : calls < 1 ? 1 : calls);
        set_number(hidden, "until", (double)wall_ms() + (ms > 0 ? ms : HIDE_MS));
        cJSON_AddItemToArray(world_list(s, "hidden"), hidden);
    }
}

void faults_after(struct sandbox *s, const char *action, const cJSON *form, struct str answer,
                  struct api_error *e) {
    cJSON *fault;
    cJSON_ArrayForEach(fault, faults_of(s)) {
        const struct kind *k = kind_of(fault);
        if (k->when != AFTER || !happens(fault, action, form))
            continue;
        if (strcmp(k->name, "lose") == 0)
            e->status = -1;
        else
            hide(s, action, fault, answer);
    }
}

struct veil {
    size_t len;
    struct {
        cJSON *list, *item;
        int index;
    } taken[];
};

static bool means(const cJSON *form, const char *id, const char *name) {
    const cJSON *value;
    cJSON_ArrayForEach(value, form) {
        const char *text = cJSON_GetStringValue(value);
        if (text != NULL && (strcmp(text, id) == 0 ||
                             (strcmp(value->string, "KeyName") == 0 && strcmp(text, name) == 0)))
            return true;
    }
    return false;
}

/* Names are taken at once, as EC2's are: whoever makes the same meets the duplicate. */
static bool makes(const char *action) {
    for (size_t i = 0; i < sizeof mades / sizeof mades[0]; i++)
        if (strcmp(mades[i].action, action) == 0 && strcmp(action, "RunInstances") != 0)
            return true;
    return false;
}

struct veil *veil_begin(struct sandbox *s, const struct action *action, const cJSON *form) {
    cJSON *hiddens = cJSON_GetObjectItem(s->world, "hidden");
    int len = cJSON_GetArraySize(hiddens);
    struct veil *veil = len == 0 || makes(action->name)
                            ? NULL
                            : calloc(1, sizeof *veil + (size_t)len * sizeof veil->taken[0]);
    if (veil == NULL)
        return NULL;
    for (cJSON *h = hiddens->child, *next; h != NULL; h = next) {
        next = h->next;
        cJSON *list = world_list(s, text_of(h, "list"));
        cJSON *item = find_by(list, "id", text_of(h, "id"));
        bool asked = strcmp(text_of(h, "describe"), action->name) == 0 ||
                     (item != NULL && means(form, text_of(h, "id"), text_of(item, "name")));
        double calls = number_of(h, "calls");
        if (item == NULL || (double)wall_ms() > number_of(h, "until")) {
            cJSON_Delete(cJSON_DetachItemViaPointer(hiddens, h));
            continue;
        }
        if (!asked)
            continue;
        int index = 0;
        for (const cJSON *other = list->child; other != item; other = other->next)
            index++;
        veil->taken[veil->len].list = list;
        veil->taken[veil->len].item = cJSON_DetachItemViaPointer(list, item);
        veil->taken[veil->len++].index = index;
        set_number(h, "calls", calls - 1);
        if (calls > 0 && calls < 2)
            cJSON_Delete(cJSON_DetachItemViaPointer(hiddens, h));
    }
    return veil;
}

/* cJSON_InsertItemInArray() of cJSON 1.7.15 refuses all places but the first. */
static void insert_at(cJSON *list, int index, cJSON *item) {
    cJSON *tail = cJSON_CreateArray();
    cJSON *other;
    while ((other = cJSON_DetachItemFromArray(list, index)) != NULL)
        cJSON_AddItemToArray(tail, other);
    cJSON_AddItemToArray(list, item);
    while ((other = cJSON_DetachItemFromArray(tail, 0)) != NULL)
        cJSON_AddItemToArray(list, other);
    cJSON_Delete(tail);
}

void veil_end(struct veil *veil) {
    while (veil != NULL && veil->len > 0) {
        veil->len--;
        insert_at(veil->taken[veil->len].list, veil->taken[veil->len].index,
                  veil->taken[veil->len].item);
    }
    free(veil);
}

/* ---- Inside it */

bool fault_no_capacity(struct sandbox *s, const char *action, const cJSON *form,
                       const struct zone *zone) {
    cJSON *fault;
    cJSON_ArrayForEach(fault, faults_of(s)) {
        const cJSON *names = cJSON_GetObjectItem(fault, "zones");
        const cJSON *name;
        bool here = names == NULL;
        cJSON_ArrayForEach(name, names) here |=
            cJSON_IsString(name) && strcmp(name->valuestring, zone->name) == 0;
        if (strcmp(text_of(fault, "kind"), "capacity") == 0 && here && happens(fault, action, form))
            return true;
    }
    return false;
}

static bool in_state(const cJSON *fault, const char *state) {
    return strcmp(text_of(fault, "state"), state) == 0;
}

void fault_transition(struct sandbox *s, cJSON *instance, const char *state) {
    cJSON *fault;
    cJSON_DeleteItemFromObject(instance, "slow_until");
    cJSON_ArrayForEach(fault, faults_of(s)) {
        const struct kind *k = kind_of(fault);
        if (k->when != ASKED || !in_state(fault, state) || !happens(fault, "", instance))
            continue;
        if (strcmp(k->name, "slow") == 0)
            set_number(instance, "slow_until", (double)wall_ms() + number_of(fault, "ms"));
        const char *code = text_of(fault, "code"), *message = text_of(fault, "message");
        if (k->code != NULL) {
            set_text(instance, "fail_code", code[0] != '\0' ? code : k->code);
            set_text(instance, "fail_reason", message[0] != '\0' ? message : k->message);
        }
    }
}

void fault_await_slow(struct sandbox *s, const char *id, const char *state) {
    for (;;) {
        const cJSON *i = find_by(world_list(s, "instances"), "id", id);
        if (s->ending || i == NULL || strcmp(text_of(i, "state"), state) != 0 ||
            (double)wall_ms() >= number_of(i, "slow_until"))
            return;
        pthread_mutex_unlock(&s->mutex);
        sleep_ms(SLOW_STEP_MS);
        pthread_mutex_lock(&s->mutex);
    }
}
