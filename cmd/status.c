#include "cmd/servers.h"
#include "cmd/show_cost.h"
#include "cmd/show_echo.h"
#include "cmd/show_group.h"
#include "cmd/show_plan.h"
#include "cmd/text.h"
#include "cmd/verbs.h"
#include "providers/host/host.h"

#include <cjson/cJSON.h>
#include <string.h>

static const struct change *find_change(const struct plan *plan, const char *address) {
    for (size_t i = 0; i < plan->len; i++)
        if (cstr_eq(plan->changes[i].address, address))
            return &plan->changes[i];
    return NULL;
}

/* One word for how a node stands; the plan knows. */
static const char *standing(const struct change *c) {
    if (c == NULL)
        return "unknown";
    switch (c->action) {
    case ACTION_NOOP:
        return c->case_number == 18 ? "asleep" : "ok";
    case ACTION_UNKNOWN:
        return c->live != NULL && c->live->presence == LIVE_FOREIGN ? "taken" : "unknown";
    case ACTION_CREATE:
    case ACTION_RESUME:
        return "missing";
    case ACTION_ADOPT:
        return "not recorded";
    case ACTION_DESTROY:
        return "not in the spec";
    case ACTION_FORGET:
        return "gone";
    case ACTION_KEEP:
        return "kept";
    default:
        return "differs";
    }
}

/* That a server which berth did not make runs, only what was read on it tells. */
static bool was_read(const struct plan *plan, const char *server) {
    for (size_t i = 0; i < plan->len; i++) {
        const struct change *c = &plan->changes[i];
        if (cstr_eq(c->parent, server) && c->live != NULL && c->live->presence != LIVE_UNREADABLE)
            return true;
    }
    return false;
}

/* One that stands still as is wanted is stopped; any other one is not running. */
static const char *power_of(const struct session *s, const struct server_view *v) {
    const struct change *c = find_change(&s->plan, v->address);
    if (v->live == NULL) { /* it was looked for, unless nothing could be read */
        return c != NULL && c->action == ACTION_CREATE ? "not there" : "unknown";
    }
    switch (v->live->presence) {
    case LIVE_OURS:
        if (v->endpoint.given.host != NULL && !was_read(&s->plan, v->address))
            return "unknown";
        return v->endpoint.running                     ? "running"
               : c != NULL && c->action == ACTION_NOOP ? "stopped"
                                                       : "not running";
    case LIVE_NONE:
        return "not there";
    case LIVE_FOREIGN:
        return "not ours";
    default:
        return "unknown";
    }
}

/* Whether Jupyter answers: its health is a node of the server's like any other. NULL: no Jupyter.
 */
static const char *jupyter_of(struct session *s, const struct server_view *v) {
    const char *address = arena_printf(&s->arena, "%s.jupyter.health", v->address);
    const struct change *c = address == NULL ? NULL : find_change(&s->plan, address);
    if (c == NULL)
        return NULL;
    if (c->action == ACTION_NOOP)
        return c->case_number == 18 ? "asleep" : "answering";
    return c->action == ACTION_UNKNOWN ? "unknown" : "not answering";
}

/* When it would stop itself, as things stand: NULL where it would not, or is not known. */
static const struct host_stop_record *countdown_of(struct session *s, const struct server_view *v) {
    const char *address = arena_printf(&s->arena, "%s.stop", v->address);
    const struct change *c = address == NULL ? NULL : find_change(&s->plan, address);
    if (c == NULL || c->kind != &host_stop_kind || c->live == NULL || c->live->record == NULL)
        return NULL;
    const struct host_stop_record *r = c->live->record;
    return r->active && r->stops_in_s != FIELD_UNSET ? r : NULL;
}

static cJSON *server_json(struct session *s, const struct server_view *v) {
    cJSON *out = cJSON_CreateObject();
    const struct {
        const char *name, *value;
    } rows[] = {
        {"server", v->address},
        {"id", v->id},
        {"power", power_of(s, v)},
        {"address", v->host},
        {"public_dns", v->endpoint.public_dns},
        {"private_address", v->endpoint.private_address},
        {"user", v->endpoint.user},
        {"url", v->url},
        {"access", v->tunnel ? "tunnel" : NULL},
        {"jupyter", jupyter_of(s, v)},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].value != NULL)
            cJSON_AddStringToObject(out, rows[i].name, rows[i].value);
    const struct host_stop_record *countdown = countdown_of(s, v);
    if (countdown != NULL) {
        cJSON_AddNumberToObject(out, "stops_in_s", (double)countdown->stops_in_s);
        cJSON_AddNumberToObject(out, "idle_for_s", (double)countdown->idle_for_s);
        if (countdown->last != NULL)
            cJSON_AddStringToObject(out, "last_activity", countdown->last);
    }
    if (v->live != NULL && v->live->note != NULL)
        cJSON_AddStringToObject(out, "note", v->live->note);
    if (v->live != NULL && v->live->err.msg[0] != '\0')
        cJSON_AddStringToObject(out, "error", v->live->err.msg);
    return out;
}

static int print_json(struct session *s, const struct server_list *list) {
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "name", s->name);
    cJSON_AddStringToObject(out, "provider", s->provider);
    cJSON_AddNumberToObject(out, "changes", (double)show_plan_count(&s->plan));
    cJSON_AddNumberToObject(out, "unknown", (double)s->plan.counts[ACTION_UNKNOWN]);
    cJSON_AddNumberToObject(out, "api_calls", (double)s->live.calls);
    struct cost_sum sum = cost_sum(&s->cost.lines[COST_BEFORE]);
    if (s->cost.lines[COST_BEFORE].len > 0)
        cJSON_AddItemToObject(out, "cost", cost_sum_to_json(&sum));
    cJSON *servers = cJSON_AddArrayToObject(out, "servers");
    for (size_t i = 0; i < list->len; i++)
        cJSON_AddItemToArray(servers, server_json(s, &list->items[i]));
    cJSON *nodes = cJSON_AddArrayToObject(out, "nodes");
    for (size_t i = 0; i < s->plan.len; i++) {
        const struct change *c = &s->plan.changes[i];
        cJSON *node = cJSON_CreateObject();
        cJSON_AddStringToObject(node, "address", c->address);
        cJSON_AddStringToObject(node, "kind", c->kind->name);
        cJSON_AddStringToObject(node, "standing", standing(c));
        cJSON_AddItemToArray(nodes, node);
    }
    return cmd_print_json(s->cmd, out);
}

static enum paint paint_of(const char *word) {
    static const char *const good[] = {"running", "answering", "ok"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (strcmp(word, good[i]) == 0)
            return PAINT_GREEN;
    return PAINT_YELLOW;
}

/* "1 h 5 min", "40 s": for people. */
static void add_time(int64_t seconds, struct buf *out) {
    enum { MINUTE = 60, HOUR = 3600 };
    if (seconds >= HOUR)
        buf_addf(out, "%lld h ", (long long)(seconds / HOUR));
    if (seconds >= MINUTE)
        buf_addf(out, "%lld min", (long long)(seconds % HOUR / MINUTE));
    else
        buf_addf(out, "%lld s", (long long)seconds);
}

static void show_countdown(const struct host_stop_record *r, struct buf *out) {
    buf_adds(out, "  stops    in ");
    add_time(r->stops_in_s, out);
    buf_adds(out, " (idle for ");
    add_time(r->idle_for_s, out);
    buf_adds(out, ", since ");
    text_add_clean(str_of(r->last == NULL ? "then" : r->last), out);
    buf_adds(out, "; berth keep puts it off)\n");
}

static void show_server(struct session *s, const struct server_view *v, const struct look *look,
                        struct buf *out) {
    const char *power = power_of(s, v), *jupyter = jupyter_of(s, v);
    buf_addc(out, '\n');
    text_paint(look, PAINT_BOLD, v->address, out);
    buf_adds(out, "  ");
    text_paint(look, paint_of(power), power, out);
    if (v->id != NULL)
        buf_addf(out, "  %s", v->id);
    buf_adds(out, cstr_eq(power, "stopped") ? "  (berth start brings it back)\n" : "\n");
    if (v->live != NULL && v->live->err.msg[0] != '\0')
        text_line(look, str_of(v->live->err.msg), 2, out);
    bool there = !cstr_eq(power, "not there"); /* what is recorded of it is no more */
    if (v->host != NULL && there)
        buf_addf(out, "  address  %s\n", v->host);
    if (jupyter != NULL && there) {
        buf_adds(out, "  Jupyter  ");
        text_paint(look, paint_of(jupyter), jupyter, out);
        if (v->url != NULL)
            buf_addf(out, "  %s", v->url);
        else if (v->tunnel)
            buf_adds(out, "  over SSH: berth open");
        buf_addc(out, '\n');
    }
    if (v->live != NULL && v->live->note != NULL)
        text_line(look, str_of(v->live->note), 2, out);
    const struct host_stop_record *countdown = countdown_of(s, v);
    if (countdown != NULL)
        show_countdown(countdown, out);
}

/* Many servers: those that stand alike are one entry. */
static int show_many(struct session *s, const struct server_list *list, const struct look *look,
                     struct buf *out) {
    struct groups groups = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < list->len; i++) {
        _cleanup_buf_ struct buf body = BUF_INIT(BUF_SMALL);
        const char *power = power_of(s, &list->items[i]), *jupyter = jupyter_of(s, &list->items[i]);
        text_paint(look, paint_of(power), power, &body);
        if (jupyter != NULL) {
            buf_adds(&body, ", Jupyter ");
            text_paint(look, paint_of(jupyter), jupyter, &body);
        }
        rc = groups_add(&groups, list->items[i].address, 0, buf_str(&body));
    }
    for (size_t i = 0; rc == 0 && i < groups.len; i++) {
        _cleanup_buf_ struct buf line = BUF_INIT(BUF_MEDIUM);
        group_label(&groups.items[i], look, &line);
        buf_adds(&line, "  ");
        buf_addstr(&line, groups.items[i].body);
        buf_addc(out, '\n');
        text_wrap(look, buf_str(&line), 0, 2, out);
    }
    groups_free(&groups);
    if (rc == 0)
        buf_adds(out, "\nberth status -v says more of each.\n");
    return rc;
}

static void show_servers(struct session *s, const struct server_list *list, const struct look *look,
                         struct buf *out) {
    if (list->len > SERVERS_SHOWN_MAX && !look->each) {
        if (show_many(s, list, look, out) < 0)
            out->failed = true;
        return;
    }
    for (size_t i = 0; i < list->len; i++)
        show_server(s, &list->items[i], look, out);
}

/* Parts that are not as they should be, like ones as one entry; those that are only counted. */
static void show_parts(const struct plan *plan, const struct look *look, struct buf *out) {
    size_t good = 0, asleep = 0;
    for (size_t i = 0; i < plan->len; i++) {
        good += plan->changes[i].action == ACTION_NOOP;
        asleep += plan->changes[i].action == ACTION_NOOP && plan->changes[i].case_number == 18;
    }
    buf_addf(out, "\n%zu of %zu parts are as the spec says", good, plan->len);
    if (asleep > 0)
        buf_addf(out, ", %zu of them asleep", asleep);
    buf_adds(out, good == plan->len ? ".\n" : ":\n");
    struct groups groups = {.each = look->each};
    struct echoes echoes;
    if (echoes_find(plan, &groups.arena, &echoes) < 0) {
        out->failed = true;
        return;
    }
    for (size_t i = 0; i < plan->len; i++) {
        const struct change *c = &plan->changes[i];
        _cleanup_buf_ struct buf body = BUF_INIT(BUF_SMALL);
        if (c->action == ACTION_NOOP || (echoes.is_echo[i] && !look->each))
            continue;
        text_paint(look, paint_of(standing(c)), standing(c), &body);
        const char *why = c->note != NULL ? c->note : c->live != NULL ? c->live->err.msg : "";
        if (c->action == ACTION_UNKNOWN && why[0] != '\0')
            buf_addf(&body, ": %s", why);
        if (echoes.others[i] > 0 && !look->each) {
            buf_adds(&body, "; ");
            echoes_add(&echoes, i, &body);
        }
        if (body.failed || groups_add(&groups, c->address, 0, buf_str(&body)) < 0)
            out->failed = true;
    }
    for (size_t i = 0; i < groups.len; i++) {
        _cleanup_buf_ struct buf line = BUF_INIT(BUF_MEDIUM);
        group_label(&groups.items[i], look, &line);
        buf_adds(&line, ": ");
        buf_addstr(&line, groups.items[i].body);
        text_line(look, buf_str(&line), 2, out);
    }
    groups_free(&groups);
    if (good < plan->len)
        buf_adds(out, "berth plan says more.\n");
}

static int run(struct cmd *cmd) {
    struct err err = {0};
    struct session s;
    struct server_list list = {0};
    session_init(&s, cmd);
    int rc = session_load_spec(&s, NULL, &err);
    if (rc == 0)
        rc = session_run(&s, false, &err);
    if (rc == 0)
        rc = servers_make(&s, &list, &err);
    if (rc < 0)
        return session_fail(&s, &err);
    int code;
    if (cmd->args.json) {
        code = print_json(&s, &list);
    } else {
        _cleanup_buf_ struct buf text = BUF_INIT(BUF_LARGE);
        buf_addf(&text, "%s on %s\n", s.name, s.provider);
        show_servers(&s, &list, &cmd->out_look, &text);
        show_cost_now(&s.cost, &text);
        show_parts(&s.plan, &cmd->out_look, &text);
        code = cmd_print(cmd, &text);
    }
    session_free(&s);
    return code;
}

const struct verb verb_status = {
    .name = "status",
    .args = "",
    .summary = "ask the world: what is there, its address, does Jupyter answer",
    .details = "Looks at the live servers, not only at the state. What could not be found out is\n"
               "called unknown. Exits 0 when it could look, whatever it saw.",
    .options = {&option_file, &option_json},
    .run = run,
};
