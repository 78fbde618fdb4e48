#include "cmd/doctor_given.h"
#include "cmd/session.h"
#include "cmd/show_error.h"
#include "cmd/text.h"
#include "cmd/verbs.h"
#include "providers/ec2/permissions.h"
#include "specs/fs.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

/* A clock that is further off than this is refused by AWS; berth signs by AWS's then. */
enum { SKEW_SAID_S = 5, SKEW_BAD_S = 300, INDENT = 19 };

enum standing { STANDING_OK, STANDING_NOTE, STANDING_BAD };

static const struct {
    const char *word;
    enum paint paint;
} standings[] = {
    [STANDING_OK] = {"ok", PAINT_GREEN},
    [STANDING_NOTE] = {"note", PAINT_YELLOW},
    [STANDING_BAD] = {"bad", PAINT_RED},
};

static const char *const verdicts[] = {
    [PERMISSION_ALLOWED] = "allowed",   [PERMISSION_DENIED] = "denied",
    [PERMISSION_OPTIONAL] = "optional", [PERMISSION_UNTRIED] = "untried",
    [PERMISSION_UNCLEAR] = "unclear",
};

/* ---- What it comes to */

static size_t count(const struct ec2_checkup *c, enum permission_verdict verdict) {
    size_t n = 0;
    for (size_t i = 0; i < c->permissions_len; i++)
        n += c->permissions[i].verdict == verdict;
    return n;
}

static enum standing clock_standing(const struct ec2_checkup *c) {
    long off = labs(c->skew_s);
    return off < SKEW_SAID_S ? STANDING_OK : STANDING_NOTE;
}

static bool is_good(const struct ec2_checkup *c) {
    return c->config_err.code == 0 && c->credentials_err.code == 0 && c->identity_err.code == 0 &&
           count(c, PERMISSION_DENIED) == 0;
}

/* ---- For people */

static void begin(enum standing standing, const char *what, const struct look *look,
                  struct buf *out) {
    size_t used = strlen(what);
    text_paint(look, standings[standing].paint, standings[standing].word, out);
    buf_addn(out, ' ', 6 - strlen(standings[standing].word));
    buf_adds(out, what);
    buf_addn(out, ' ', used + 6 < INDENT ? INDENT - 6 - used : 1);
}

static void say(enum standing standing, const char *what, const char *text, const struct look *look,
                struct buf *out) {
    begin(standing, what, look, out);
    text_wrap(look, str_of(text), INDENT, INDENT, out);
    buf_addc(out, '\n');
}

static void say_more(const char *text, const struct look *look, struct buf *out) {
    text_line(look, str_of(text), INDENT, out);
}

static void say_error(const char *what, const struct err *err, const struct look *look,
                      struct buf *out) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    buf_adds(&text, err->msg);
    if (err->aws_code[0] != '\0')
        buf_addf(&text, " (AWS: %s, request id %s)", err->aws_code,
                 err->aws_request_id[0] == '\0' ? "none" : err->aws_request_id);
    say(STANDING_BAD, what, buf_cstr(&text), look, out);
    if (err->hint[0] == '\0')
        return;
    buf_reset(&text);
    buf_addf(&text, "try: %s", err->hint);
    say_more(buf_cstr(&text), look, out);
}

static void show_credentials(const struct ec2_checkup *c, const struct look *look,
                             struct buf *out) {
    if (c->credentials_err.code != 0)
        say_error("credentials", &c->credentials_err, look, out);
    else if (c->source != NULL)
        say(STANDING_OK, "credentials", c->source, look, out);
    for (size_t i = 0; i < c->trail.len; i++) {
        const struct aws_trail_step *step = &c->trail.steps[i];
        _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
        buf_addf(&text, "%s: %s", step->source,
                 step->taken    ? "taken"
                 : step->failed ? "set up, and does not work"
                                : step->found);
        say_more(buf_cstr(&text), look, out);
    }
    if (c->expires == 0 || c->source == NULL)
        return;
    char when[64];
    struct tm tm;
    if (gmtime_r(&c->expires, &tm) != NULL &&
        strftime(when, sizeof when, "good until %Y-%m-%d %H:%M UTC, then renewed", &tm) > 0)
        say_more(when, look, out);
}

static void show_place(const struct ec2_checkup *c, const struct look *look, struct buf *out) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    if (c->region != NULL) {
        buf_addf(&text, "%s, from %s", c->region, c->region_from == NULL ? "?" : c->region_from);
        say(STANDING_OK, "region", buf_cstr(&text), look, out);
    }
    if (c->config_err.code != 0)
        say_error(c->region == NULL ? "region" : "endpoint", &c->config_err, look, out);
    if (c->endpoint == NULL)
        return;
    buf_reset(&text);
    buf_addf(&text, "%s, %s%s", c->endpoint, c->endpoint_from == NULL ? "AWS's own" : "from ",
             c->endpoint_from == NULL ? "" : c->endpoint_from);
    say(STANDING_OK, "endpoint", buf_cstr(&text), look, out);
}

static void show_identity(const struct ec2_checkup *c, const struct look *look, struct buf *out) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    if (c->identity_err.code != 0)
        say_error("identity", &c->identity_err, look, out);
    else if (c->arn != NULL) {
        buf_addf(&text, "%s, account %s", c->arn, c->account == NULL ? "unknown" : c->account);
        say(STANDING_OK, "identity", buf_cstr(&text), look, out);
    }
    if (!c->clock_known)
        return;
    buf_reset(&text);
    if (clock_standing(c) == STANDING_OK)
        buf_adds(&text, "as AWS's");
    else
        buf_addf(&text, "%ld s %s AWS's; berth signs by AWS's clock, other programs %s",
                 labs(c->skew_s), c->skew_s > 0 ? "behind" : "ahead of",
                 labs(c->skew_s) > SKEW_BAD_S ? "are refused: set it" : "may be refused");
    say(clock_standing(c), "clock", buf_cstr(&text), look, out);
}

static void show_verdict(const struct ec2_checkup *c, enum permission_verdict verdict,
                         const struct look *look, struct buf *out) {
    for (size_t i = 0; i < c->permissions_len; i++) {
        const struct permission *p = &c->permissions[i];
        _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
        if (p->verdict != verdict)
            continue;
        buf_addf(&text, "%s: %s, to %s", p->action, verdicts[verdict], p->why);
        if (p->said != NULL && p->said[0] != '\0')
            buf_addf(&text, "; %s", p->said);
        say_more(buf_cstr(&text), look, out);
    }
}

static void show_permissions(const struct ec2_checkup *c, bool all, const struct look *look,
                             struct buf *out) {
    size_t denied = count(c, PERMISSION_DENIED), unclear = count(c, PERMISSION_UNCLEAR);
    size_t untried = count(c, PERMISSION_UNTRIED), optional = count(c, PERMISSION_OPTIONAL);
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    if (c->permissions_len == 0)
        return;
    if (denied > 0)
        buf_addf(&text, "%zu of %zu that the spec needs are missing", denied, c->permissions_len);
    else
        buf_addf(&text, "%zu of %zu that the spec needs are there", count(c, PERMISSION_ALLOWED),
                 c->permissions_len);
    if (unclear > 0)
        buf_addf(&text, ", %zu unclear", unclear);
    if (optional > 0)
        buf_addf(&text, ", %zu can be done without", optional);
    if (untried > 0)
        buf_addf(&text, ", %zu cannot be tried yet", untried);
    say(denied > 0               ? STANDING_BAD
        : unclear + optional > 0 ? STANDING_NOTE
                                 : STANDING_OK,
        "permissions", buf_cstr(&text), look, out);
    show_verdict(c, PERMISSION_DENIED, look, out);
    show_verdict(c, PERMISSION_OPTIONAL, look, out);
    show_verdict(c, PERMISSION_UNCLEAR, look, out);
    if (all) {
        show_verdict(c, PERMISSION_UNTRIED, look, out);
        show_verdict(c, PERMISSION_ALLOWED, look, out);
    }
    if (denied > 0)
        say_more("try: give whoever acts the policy that `berth doctor -policy` prints", look, out);
}

static void show_checkup(const struct session *s, const struct ec2_checkup *c, struct buf *out) {
    const struct look *look = &s->cmd->out_look;
    show_credentials(c, look, out);
    show_identity(c, look, out);
    show_place(c, look, out);
    if (s->spec == NULL)
        say(STANDING_NOTE, "permissions",
            "not looked at: there is no berth.yaml here that would say what is needed", look, out);
    show_permissions(c, s->cmd->args.verbose, look, out);
}

/* ---- For programs */

static void add_text(cJSON *to, const char *name, const char *value) {
    if (value != NULL)
        cJSON_AddStringToObject(to, name, value);
}

static cJSON *error_json(const struct err *err) {
    cJSON *out = cJSON_CreateObject();
    add_text(out, "message", err->msg);
    add_text(out, "hint", err->hint[0] == '\0' ? NULL : err->hint);
    add_text(out, "aws_code", err->aws_code[0] == '\0' ? NULL : err->aws_code);
    add_text(out, "aws_request_id", err->aws_request_id[0] == '\0' ? NULL : err->aws_request_id);
    return out;
}

static void add_error(cJSON *to, const struct err *err) {
    if (err->code != 0)
        cJSON_AddItemToObject(to, "error", error_json(err));
}

static cJSON *credentials_json(const struct ec2_checkup *c) {
    cJSON *out = cJSON_CreateObject();
    add_text(out, "source", c->source);
    if (c->expires != 0)
        cJSON_AddNumberToObject(out, "expires", (double)c->expires);
    add_error(out, &c->credentials_err);
    cJSON *chain = cJSON_AddArrayToObject(out, "chain");
    for (size_t i = 0; i < c->trail.len; i++) {
        const struct aws_trail_step *step = &c->trail.steps[i];
        cJSON *item = cJSON_CreateObject();
        add_text(item, "source", step->source);
        add_text(item, "found", step->found);
        cJSON_AddBoolToObject(item, "taken", step->taken);
        cJSON_AddBoolToObject(item, "failed", step->failed);
        cJSON_AddItemToArray(chain, item);
    }
    return out;
}

static cJSON *checkup_json(const struct session *s, const struct ec2_checkup *c) {
    cJSON *out = cJSON_CreateObject();
    add_text(out, "name", s->spec == NULL ? NULL : s->name);
    add_text(out, "provider", s->provider);
    cJSON_AddBoolToObject(out, "good", is_good(c));
    cJSON_AddItemToObject(out, "credentials", credentials_json(c));
    cJSON *identity = cJSON_AddObjectToObject(out, "identity");
    add_text(identity, "arn", c->arn);
    add_text(identity, "account", c->account);
    add_error(identity, &c->identity_err);
    cJSON *place = cJSON_AddObjectToObject(out, "place");
    add_text(place, "region", c->region);
    add_text(place, "region_from", c->region_from);
    add_text(place, "endpoint", c->endpoint);
    add_text(place, "endpoint_from", c->endpoint_from);
    add_error(place, &c->config_err);
    if (c->clock_known)
        cJSON_AddNumberToObject(out, "clock_skew_s", (double)c->skew_s);
    cJSON *permissions = cJSON_AddArrayToObject(out, "permissions");
    for (size_t i = 0; i < c->permissions_len; i++) {
        const struct permission *p = &c->permissions[i];
        cJSON *item = cJSON_CreateObject();
        add_text(item, "action", p->action);
        add_text(item, "why", p->why);
        add_text(item, "verdict", verdicts[p->verdict]);
        add_text(item, "said", p->said);
        cJSON_AddItemToArray(permissions, item);
    }
    if (s->spec != NULL && c->region != NULL)
        cJSON_AddItemToObject(out, "policy", ec2_policy(s->spec, c->region, c->arn));
    return out;
}

/* ---- The verb */

/* The spec where there is one: credentials can be looked at without. */
static int load(struct session *s, struct err *err) {
    const struct args *args = &s->cmd->args;
    if (args->file != NULL || fs_exists("berth.yaml")) {
        struct err none = {0}; /* it is as good before the first apply */
        int rc = session_load_spec(s, NULL, err);
        if (rc == 0 && (rc = session_peek_state(s, &none)) == -ERRC_NOTFOUND)
            return 0;
        if (rc < 0 && none.code != 0)
            *err = none;
        return rc;
    }
    s->name = "doctor";
    s->provider = "ec2";
    s->spec_dir = s->project_dir = ".";
    return 0;
}

static int print(struct session *s, const struct ec2_checkup *c) {
    const struct cmd *cmd = s->cmd;
    if (cmd->args.policy) {
        if (c->region == NULL)
            return cmd_fail(cmd, &c->config_err);
        return cmd_print_json(cmd, ec2_policy(s->spec, c->region, c->arn));
    }
    if (cmd->args.json) {
        int code = cmd_print_json(cmd, checkup_json(s, c));
        return code != EXIT_OK || is_good(c) ? code : EXIT_FAILED;
    }
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_LARGE);
    show_checkup(s, c, &text);
    int code = cmd_print(cmd, &text);
    return code != EXIT_OK || is_good(c) ? code : EXIT_FAILED;
}

static int run(struct cmd *cmd) {
    struct err err = {0};
    struct session s;
    struct ec2_checkup checkup = {0};
    session_init(&s, cmd);
    int rc = load(&s, &err);
    if (rc == 0 && s.spec != NULL && s.spec->given) {
        if (cmd->args.policy)
            rc = err_set(&err, ERRC_UNSUPPORTED, "a server of yours needs no policy of AWS");
        else {
            session_free(&s); /* from the start, as a plan does */
            rc = session_load_spec(&s, NULL, &err);
            if (rc == 0)
                return doctor_given(&s);
        }
    }
    if (rc == 0 && cmd->args.policy && s.spec == NULL) {
        rc = err_set(&err, ERRC_NOTFOUND, "there is no berth.yaml here");
        err_hint(&err, "a policy is for a spec: berth init writes one; -file names another");
    }
    if (rc == 0)
        rc = session_make_run(&s, &err);
    if (rc == 0 && !s.glue.sandbox && cmd->args.profile != NULL) {
        s.run.profile = cmd->args.profile;
        s.run.profile_from = "-profile";
    }
    if (rc == 0 && !s.glue.sandbox && cmd->args.region != NULL) {
        s.run.region = cmd->args.region;
        s.run.region_from = "-region";
    }
    if (rc == 0)
        rc = ec2_checkup_run(&s.run, s.spec, &s.state.nodes, !cmd->args.policy, &checkup, &err);
    if (rc < 0)
        return session_fail(&s, &err);
    int code = print(&s, &checkup);
    ec2_checkup_free(&checkup);
    session_free(&s);
    return code;
}

const struct verb verb_doctor = {
    .name = "doctor",
    .args = "",
    .summary = "say who acts, where, and which permissions the spec lacks",
    .details = "Which source of AWS credentials is taken and what the others had; who that is;\n"
               "region, endpoint and clock; and, by DryRun, whether each permission is there\n"
               "that the spec needs (-v lists all). What only works on what is there already is\n"
               "tried once it is. Works without a spec too, for all but the permissions. Exits\n"
               "1 when something would fail. -policy prints the least IAM policy for the spec.\n"
               "Of a server of your own: the way there, its host key, and whether you can log\n"
               "in.",
    .options = {&option_file, &option_profile, &option_region, &option_policy, &option_json},
    .run = run,
};
