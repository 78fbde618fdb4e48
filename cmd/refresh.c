#include "engine/refresh.h"

#include "cmd/session.h"
#include "cmd/show_group.h"
#include "cmd/show_value.h"
#include "cmd/text.h"
#include "cmd/verbs.h"
#include "specs/record.h"

static const char *standing(const struct moved *m) {
    if (m->live == NULL || m->live->presence == LIVE_NONE)
        return "vanished";
    if (m->live->presence == LIVE_FOREIGN)
        return "foreign";
    return m->live->presence == LIVE_UNREADABLE ? "unreadable" : "moved";
}

/* ---- JSON */

static bool add_value(cJSON *out, const char *name, const struct field *f, const void *record) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    if (!record_field_is_set(f, record))
        return true;
    record_print_field(f, record, &text);
    return !text.failed && cJSON_AddStringToObject(out, name, buf_cstr(&text)) != NULL;
}

static cJSON *moved_json(const struct moved *m) {
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "address", m->recorded->address);
    cJSON_AddStringToObject(out, "kind", m->recorded->kind_name);
    cJSON_AddStringToObject(out, "standing", standing(m));
    if (m->live != NULL && m->live->err.msg[0] != '\0')
        cJSON_AddStringToObject(out, "error", m->live->err.msg);
    cJSON *fields = cJSON_AddArrayToObject(out, "fields");
    for (size_t i = 0; i < m->fields_len; i++) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "name", m->fields[i]->name);
        add_value(item, "recorded", m->fields[i], m->recorded->record);
        add_value(item, "live", m->fields[i], m->live->record);
        if (m->fields[i]->flags & FIELD_KEPT)
            cJSON_AddTrueToObject(item, "kept");
        cJSON_AddItemToArray(fields, item);
    }
    return out;
}

static int print_json(struct session *s, const struct refresh *r, int taken) {
    cJSON *out = cJSON_CreateObject();
    cJSON *list = cJSON_AddArrayToObject(out, "moved");
    cJSON_AddNumberToObject(out, "written", taken);
    for (size_t i = 0; i < r->len; i++)
        cJSON_AddItemToArray(list, moved_json(&r->items[i]));
    return cmd_print_json(s->cmd, out);
}

/* ---- Text */

static void add_body(const struct moved *m, const struct look *look, struct buf *out) {
    const char *why = standing(m);
    bool told = m->live != NULL && m->live->err.msg[0] != '\0';
    if (m->fields_len == 0)
        buf_addf(out, "  %s%s%s", why, told ? ": " : "", told ? m->live->err.msg : "");
    buf_addc(out, '\n');
    for (size_t i = 0; i < m->fields_len; i++)
        show_field_change(look, m->fields[i], m->recorded->record, m->live->record, false,
                          m->fields[i]->flags & FIELD_KEPT ? "(not taken over: berth apply, start "
                                                             "or stop settles it)"
                                                           : NULL,
                          2, out);
}

static int add_moved(const struct refresh *r, const struct look *look, struct buf *out) {
    struct groups groups = {.each = look->each};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < r->len; i++) {
        _cleanup_buf_ struct buf body = BUF_INIT(BUF_MEDIUM);
        add_body(&r->items[i], look, &body);
        rc = body.failed ? -ERRC_NOMEM
                         : groups_add(&groups, r->items[i].recorded->address, 0, buf_str(&body));
    }
    for (size_t i = 0; rc == 0 && i < groups.len; i++) {
        _cleanup_buf_ struct buf address = BUF_INIT(BUF_SMALL);
        group_label(&groups.items[i], look, &address);
        text_paint(look, PAINT_BOLD, buf_cstr(&address), out);
        buf_addstr(out, groups.items[i].body);
    }
    groups_free(&groups);
    return rc;
}

static int print_text(struct session *s, const struct refresh *r) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_LARGE);
    if (add_moved(r, &s->cmd->out_look, &text) < 0)
        text.failed = true;
    if (r->len == 0)
        buf_addf(&text, "Nothing moved since the state of %s was written.\n", s->name);
    return cmd_print(s->cmd, &text);
}

/* After it was shown. */
static int write_moved(struct session *s, const struct refresh *r, int taken, struct err *err) {
    int rc = refresh_take(r, &s->state, err);
    if (rc >= 0)
        rc = state_write(&s->state, err);
    if (rc < 0 || s->cmd->args.json)
        return rc;
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    buf_addf(&text,
             "\nThe state says so now, of %d thing%s. berth plan says what the spec wants.\n",
             taken, taken == 1 ? "" : "s");
    cmd_print(s->cmd, &text);
    return 0;
}

static int run(struct cmd *cmd) {
    struct err err = {0};
    struct session s;
    struct refresh refresh = {0};
    int taken = 0, code = EXIT_OK;
    session_init(&s, cmd);
    int rc = session_load_spec(&s, NULL, &err);
    if (rc == 0)
        rc = session_run(&s, true, &err);
    if (rc == 0)
        rc = refresh_make(&s.state, &s.live, &s.arena, &refresh, &err);
    for (size_t i = 0; i < refresh.len; i++)
        taken += refresh.items[i].after != NULL;
    if (rc == 0)
        code = cmd->args.json ? print_json(&s, &refresh, taken) : print_text(&s, &refresh);
    if (rc == 0 && code == EXIT_OK && taken > 0)
        rc = write_moved(&s, &refresh, taken, &err);
    if (rc < 0)
        return session_fail(&s, &err);
    session_free(&s);
    return code;
}

const struct verb verb_refresh = {
    .name = "refresh",
    .args = "",
    .summary = "say what moved in the world since it was recorded, and record it",
    .details = "Each field is shown as recorded and as it is now; then the state says what is.\n"
               "What has vanished stays recorded, and whether a server is to run is not taken\n"
               "over: berth plan shows both. Changes nothing but the state.",
    .options = {&option_file, &option_json},
    .run = run,
};
