/* A look at everything that must be right before a spec can be applied: credentials, identity,
 * region, endpoint, clock, and permissions, tried by DryRun. */
#include "providers/ec2/permissions.h"

#include "providers/aws/request.h"
#include "providers/ec2/internal.h"
#include "providers/ec2/permissions_table.h"
#include "specs/sections/sections.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

enum { BATCH = 16, ROWS_MAX = 64, SPECS_MAX = 8 };

/* What is known, for the trials. */
struct facts {
    const char *name, *spec, *type, *parameter, *ami, *zone;
    const char *instance, *group, *volume, *address;
};

struct checkup {
    struct ec2_checkup *out;
    const struct run *run;
    struct aws_config config;
    struct aws_credentials credentials;
    struct aws_client *client;
    struct facts facts;
    struct arena arena;
};

/* ---- Putting what is known into a trial */

struct variable {
    const char *name;
    size_t offset;
    const char *missing; /* said where it is not known */
};
static const struct variable variables[] = {
    {"$name", offsetof(struct facts, name), ""},
    {"$spec", offsetof(struct facts, spec), ""},
    {"$type", offsetof(struct facts, type), "the spec has no type"},
    {"$parameter", offsetof(struct facts, parameter), "the image is not one by name"},
    {"$ami", offsetof(struct facts, ami), "the image is not known"},
    {"$zone", offsetof(struct facts, zone), "the zone is not known"},
    {"$instance", offsetof(struct facts, instance), "there is no server yet to try it on"},
    {"$group", offsetof(struct facts, group), "there is no security group yet to try it on"},
    {"$volume", offsetof(struct facts, volume), "there is no volume yet to try it on"},
    {"$address", offsetof(struct facts, address), "there is no address yet to try it on"},
};

/* The text with its variables put in; NULL with *ret_missing when one is not known. */
static const char *fill(struct arena *arena, const struct facts *facts, const char *text,
                        const char **ret_missing) {
    _cleanup_buf_ struct buf out = BUF_INIT(BUF_SMALL);
    while (*text != '\0') {
        const struct variable *found = NULL;
        for (size_t i = 0; *text == '$' && i < sizeof variables / sizeof variables[0]; i++)
            if (strncmp(text, variables[i].name, strlen(variables[i].name)) == 0)
                found = &variables[i];
        if (found == NULL) {
            buf_addc(&out, *text++);
            continue;
        }
        const char *value;
        memcpy(&value, (const char *)facts + found->offset, sizeof value);
        if (value == NULL) {
            *ret_missing = found->missing;
            return NULL;
        }
        buf_adds(&out, value);
        text += strlen(found->name);
    }
    return arena_dup(arena, buf_cstr(&out));
}

/* "Name=value&…", and the tags that everything we make carries: a policy may want them. */
static void ask_ec2(struct checkup *c, const struct permission_row *row, const char *text,
                    struct query *q) {
    struct str rest = str_of(text), pair, name;
    query_init(q, strchr(row->action, ':') + 1);
    query_add(q, "DryRun", "true");
    while (str_split(&rest, '&', &pair)) {
        if (!str_split(&pair, '=', &name) || pair.ptr == NULL)
            continue;
        query_add(q, arena_dup_str(&c->arena, name), arena_dup_str(&c->arena, pair));
    }
    struct str types = str_of(row->part == PART_MAKE ? row->types : NULL), type;
    for (size_t i = 1; types.len > 0 && i < SPECS_MAX && str_split(&types, ' ', &type); i++)
        ec2_add_tags(q, i, arena_dup_str(&c->arena, type), c->run, "doctor", EC2_NO_INDEX, NULL);
}

/* ---- Judging what AWS says */

static void judge(struct checkup *c, const struct permission_row *row, struct permission *p,
                  const struct aws_call *call) {
    static const char *const denials[] = {"UnauthorizedOperation", "AccessDenied",
                                          "AccessDeniedException", NULL};
    p->verdict = PERMISSION_ALLOWED;
    if (call->rc == 0 || ec2_is(&call->err, "DryRunOperation"))
        return;
    for (size_t i = 0; denials[i] != NULL; i++)
        if (ec2_is(&call->err, denials[i])) {
            bool less = (row->when & NEED_LESS) != 0;
            p->verdict = less ? PERMISSION_OPTIONAL : PERMISSION_DENIED;
            p->said = less ? "denied: berth does without" : NULL;
            return;
        }
    p->verdict = PERMISSION_UNCLEAR;
    p->said = arena_printf(&c->out->arena, "%s%s%.200s", call->err.aws_code,
                           call->err.aws_code[0] == '\0' ? "" : ": ", call->err.msg);
}

/* One row that can be tried. */
struct trial {
    const struct permission_row *row;
    struct permission *permission;
    const char *text;
    struct query query; /* EC2's */
};

static enum aws_service service_of(const struct permission_row *row) {
    return strncmp(row->action, "ssm:", 4) == 0       ? AWS_SSM
           : strncmp(row->action, "pricing:", 8) == 0 ? AWS_PRICING
                                                      : AWS_EC2;
}

/* Tries up to BATCH of them side by side. */
static int try_batch(struct checkup *c, struct trial *trials, size_t n, struct err *err) {
    struct aws_call calls[BATCH] = {0};
    struct err ignored = {0};
    int rc = 0;
    for (size_t i = 0; i < n; i++) {
        const struct permission_row *row = trials[i].row;
        enum aws_service service = service_of(row);
        if (service == AWS_EC2)
            ask_ec2(c, row, trials[i].text, &trials[i].query);
        calls[i] = (struct aws_call){.service = service,
                                     .action = strchr(row->action, ':') + 1,
                                     .body = service == AWS_EC2 ? buf_str(&trials[i].query.body)
                                                                : str_of(trials[i].text),
                                     .probe = true,
                                     .arena = &c->arena};
    }
    if (aws_call_many(c->client, calls, n, &ignored) < 0)
        ignored.code = 0; /* each has its own */
    for (size_t i = 0; i < n; i++) {
        judge(c, trials[i].row, trials[i].permission, &calls[i]);
        if (calls[i].rc < 0 && calls[i].err.code == ERRC_CANCELLED) {
            *err = calls[i].err;
            rc = -ERRC_CANCELLED;
        }
        if (trials[i].row->part == PART_IMAGES && calls[i].rc == 0) {
            cJSON *json = cJSON_ParseWithLength(calls[i].answer.ptr, calls[i].answer.len);
            const cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "Parameters"), 0);
            c->facts.ami =
                arena_dup(&c->arena, cJSON_GetStringValue(cJSON_GetObjectItem(first, "Value")));
            cJSON_Delete(json);
        }
        buf_free(&calls[i].answer);
        if (calls[i].service == AWS_EC2)
            query_free(&trials[i].query);
    }
    return rc;
}

/* ---- The permissions */

static void untried(struct permission *p, const char *why) {
    p->verdict = PERMISSION_UNTRIED;
    p->said = why;
}

static void find_recorded(const struct recorded_list *recorded, struct facts *facts) {
    const struct {
        const char *address;
        const char **fact;
    } rows[] = {{"server[0]", &facts->instance},
                {"access", &facts->group},
                {"data[0]", &facts->volume},
                {"address[0]", &facts->address}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct recorded *r = recorded_find(recorded, rows[i].address);
        if (r != NULL && r->id != NULL)
            *rows[i].fact = r->id;
    }
}

static void find_facts(struct checkup *c, const struct spec *spec,
                       const struct recorded_list *recorded) {
    struct facts *f = &c->facts;
    const struct server_section *server = spec_server(spec);
    const struct image *image = image_find(server->image);
    *f = (struct facts){.name = arena_printf(&c->arena, "berth-%s", spec->name),
                        .spec = spec->name,
                        .type = server->type,
                        .zone = arena_printf(&c->arena, "%sa", c->config.region)};
    if (image != NULL && server->type != NULL)
        f->parameter = image_parameter(image, server->type);
    else if (image == NULL)
        f->ami = server->image;
    find_recorded(recorded, f);
}

/* All rows that the spec needs, tried where they can be; what comes first, the image, is asked for
 * before what needs it. */
static int try_all(struct checkup *c, const struct spec *spec, bool images, struct err *err) {
    struct trial trials[BATCH];
    size_t n = 0, at = 0;
    int rc = 0;
    unsigned needs = permission_needs(spec);
    for (const struct permission_row *row = permission_rows; row->action != NULL; row++) {
        if ((row->when & needs) == 0)
            continue;
        struct permission *p = &c->out->permissions[at++];
        const char *missing = "it cannot be tried alone";
        if ((row->part == PART_IMAGES) != images)
            continue;
        const char *text =
            row->trial == NULL ? NULL : fill(&c->arena, &c->facts, row->trial, &missing);
        if (text == NULL) {
            untried(p, missing);
            continue;
        }
        trials[n++] = (struct trial){.row = row, .permission = p, .text = text};
        if (n == BATCH) {
            rc = rc < 0 ? rc : try_batch(c, trials, n, err);
            n = 0;
        }
    }
    return rc == 0 && n > 0 ? try_batch(c, trials, n, err) : rc;
}

static int try_permissions(struct checkup *c, const struct spec *spec,
                           const struct recorded_list *recorded, struct err *err) {
    struct ec2_checkup *out = c->out;
    unsigned needs = permission_needs(spec);
    size_t n = 0;
    out->permissions = arena_calloc(&out->arena, ROWS_MAX, sizeof *out->permissions);
    if (out->permissions == NULL)
        return err_no_memory(err);
    for (const struct permission_row *row = permission_rows; row->action != NULL; row++)
        if ((row->when & needs) != 0 && n < ROWS_MAX)
            out->permissions[n++] = (struct permission){.action = row->action, .why = row->why};
    out->permissions_len = n;
    find_facts(c, spec, recorded);
    int rc = try_all(c, spec, true, err);
    return rc < 0 ? rc : try_all(c, spec, false, err);
}

/* ---- Who, where and when */

/* https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html; it needs no
 * permission. */
static void ask_identity(struct checkup *c) {
    struct ec2_checkup *out = c->out;
    struct query q;
    struct err ignored = {0};
    query_init_sts(&q, "GetCallerIdentity");
    struct aws_call call = {.service = AWS_STS,
                            .action = "GetCallerIdentity",
                            .body = buf_str(&q.body),
                            .arena = &c->arena};
    if (aws_call(c->client, &call, &ignored) < 0) {
        out->identity_err = call.err;
    } else {
        const struct xml *x = xml_get(call.xml, "GetCallerIdentityResult");
        out->account = arena_dup(&out->arena, xml_text(x, "Account"));
        out->arn = arena_dup(&out->arena, xml_text(x, "Arn"));
        if (out->arn == NULL)
            err_set(&out->identity_err, ERRC_NET, "GetCallerIdentity: the answer names nobody");
    }
    /* Any answer of AWS's has its time. */
    if (call.rc == 0 || call.err.aws_code[0] != '\0') {
        out->clock_known = true;
        out->skew_s = aws_client_skew(c->client);
    }
    buf_free(&call.answer);
    query_free(&q);
}

static int look_at_config(struct checkup *c, struct err *err) {
    struct ec2_checkup *out = c->out;
    char url[REQUEST_URL_SIZE] = "";
    if (aws_config_load_run(c->run, &c->config, &out->config_err) < 0) {
        /* Who acts can be found out anywhere. */
        struct run elsewhere = *c->run;
        struct err ignored = {0};
        elsewhere.region = "us-east-1";
        return aws_config_load_run(&elsewhere, &c->config, &ignored) < 0 ? 1 : 0;
    }
    out->region = arena_dup(&out->arena, c->config.region);
    out->region_from = arena_dup(&out->arena, c->config.region_from);
    out->endpoint_from = arena_dup(&out->arena, c->config.endpoints_from[AWS_EC2]);
    if (request_url(&c->config, AWS_EC2, url, &out->config_err) < 0)
        return 1;
    out->endpoint = arena_dup(&out->arena, url);
    return out->region == NULL || out->endpoint == NULL ? err_no_memory(err) : 0;
}

static int look_at_credentials(struct checkup *c, struct err *err) {
    struct ec2_checkup *out = c->out;
    struct aws_client_in in = aws_client_in_run(c->run, &c->config);
    out->trail.arena = &out->arena;
    if (aws_credentials_find(&in, &out->trail, &c->credentials, &out->credentials_err) < 0)
        return 1;
    out->source = arena_dup(&out->arena, c->credentials.source);
    out->expires = c->credentials.expires;
    in.credentials = &c->credentials;
    return out->source == NULL ? err_no_memory(err) : aws_client_open(&in, &c->client, err);
}

int ec2_checkup_run(const struct run *run, const struct spec *spec,
                    const struct recorded_list *recorded, bool with_permissions,
                    struct ec2_checkup *ret, struct err *err) {
    struct checkup c = {.out = ret, .run = run};
    *ret = (struct ec2_checkup){0};
    int rc = look_at_config(&c, err);
    if (rc == 0)
        rc = look_at_credentials(&c, err);
    if (rc == 0) {
        ask_identity(&c);
        /* Who is not known may do nothing. */
        if (spec != NULL && with_permissions && ret->identity_err.code == 0 &&
            ret->config_err.code == 0)
            rc = try_permissions(&c, spec, recorded, err);
    }
    aws_client_close(c.client);
    aws_credentials_free(&c.credentials);
    aws_config_free(&c.config);
    arena_free(&c.arena);
    if (rc < 0)
        ec2_checkup_free(ret);
    return rc < 0 ? rc : 0;
}

void ec2_checkup_free(struct ec2_checkup *c) { arena_free(&c->arena); }
