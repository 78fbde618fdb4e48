#include "cmd/show_plan.h"

#include "cmd/show_change.h"
#include "cmd/show_echo.h"
#include "cmd/show_group.h"
#include "cmd/text.h"

#include <string.h>

enum { INDENT = 2 };

static const struct {
    const char *sign;
    enum paint paint;
    const char *done; /* in the counts: "3 to create" */
} actions[] = {
    [ACTION_NOOP] = {" ", PAINT_DIM, "unchanged"},
    [ACTION_CREATE] = {"+", PAINT_GREEN, "to create"},
    [ACTION_ADOPT] = {"+", PAINT_GREEN, "to adopt"},
    [ACTION_RESUME] = {"+", PAINT_GREEN, "to finish creating"},
    [ACTION_UPDATE] = {"~", PAINT_YELLOW, "to update"},
    [ACTION_STOP_UPDATE_START] = {"~", PAINT_YELLOW, "to stop, update and start"},
    [ACTION_REPLACE] = {"-/+", PAINT_RED, "to replace"},
    [ACTION_DESTROY] = {"-", PAINT_RED, "to destroy"},
    [ACTION_FORGET] = {"-", PAINT_DIM, "to forget"},
    [ACTION_KEEP] = {"=", PAINT_DIM, "kept"},
    [ACTION_UNKNOWN] = {"?", PAINT_YELLOW, "unknown"},
};
_Static_assert(sizeof actions / sizeof actions[0] == ACTION_COUNT, "one row an action");

static bool is_shown(const struct change *c) { return c->action != ACTION_NOOP && !c->with_parent; }

static int add_changes(const struct plan *plan, const struct look *look, struct buf *out) {
    struct groups groups = {.each = look->each};
    _cleanup_buf_ struct buf body = BUF_INIT(BUF_MEDIUM);
    struct echoes echoes;
    int rc = echoes_find(plan, &groups.arena, &echoes);
    for (size_t i = 0; rc == 0 && i < plan->len; i++) {
        const struct change *c = &plan->changes[i];
        if (!is_shown(c) || (echoes.is_echo[i] && !look->each))
            continue;
        buf_reset(&body); /* equal bodies of like nodes are shown once */
        show_change_body(plan, c, look, &body);
        if (echoes.others[i] > 0 && !look->each) {
            buf_addn(&body, ' ', INDENT + 4);
            echoes_add(&echoes, i, &body);
            buf_addc(&body, '\n');
        }
        rc = body.failed ? -ERRC_NOMEM
                         : groups_add(&groups, c->address, (int)c->action, buf_str(&body));
    }
    for (size_t i = 0; rc == 0 && i < groups.len; i++) {
        const struct group *g = &groups.items[i];
        const char *sign = actions[g->tag].sign;
        buf_addn(out, ' ', INDENT);
        text_paint(look, actions[g->tag].paint, sign, out);
        buf_addn(out, ' ', strlen(sign) < 4 ? 4 - strlen(sign) : 1);
        _cleanup_buf_ struct buf address = BUF_INIT(BUF_SMALL);
        group_label(g, look, &address);
        text_paint(look, PAINT_BOLD, buf_cstr(&address), out);
        buf_addstr(out, g->body);
    }
    groups_free(&groups);
    return rc;
}

enum reason { OF_SPEC = 1, OF_ROTATE = 2, OF_DRIFT = 4 };

/* Which words the marks that are shown have in them: bits of enum reason. */
static unsigned shown_reasons(const struct plan *plan) {
    unsigned shown = 0;
    for (size_t i = 0; i < plan->len; i++) {
        const struct change *c = &plan->changes[i];
        for (size_t k = 0; is_shown(c) && c->action != ACTION_ADOPT && k < c->fields_len; k++) {
            const struct field_change *f = &c->fields[k];
            if (f->why == WHY_SPEC || f->why == WHY_BOTH)
                shown |= f->field->flags & FIELD_ROTATED ? OF_ROTATE : OF_SPEC;
            if (f->why == WHY_DRIFT || f->why == WHY_BOTH)
                shown |= OF_DRIFT;
        }
    }
    return shown;
}

static void add_legend(const struct plan *plan, const char *spec_name, const struct look *look,
                       struct buf *out) {
    _cleanup_buf_ struct buf line = BUF_INIT(BUF_SMALL);
    unsigned shown = shown_reasons(plan);
    if (shown & OF_SPEC)
        buf_addf(&line, "(spec): changed in %s.", spec_name);
    if (shown & OF_ROTATE)
        buf_addf(&line, "%s(rotate): made anew by berth jupyter rotate.", line.len > 0 ? " " : "");
    if (shown & OF_DRIFT)
        buf_addf(&line, "%s(drift): changed out there since the last apply.",
                 line.len > 0 ? " " : "");
    if (line.len == 0)
        return;
    buf_addc(out, '\n');
    text_line(look, buf_str(&line), 0, out);
}

static void add_counts(const struct plan *plan, const struct look *look, struct buf *out) {
    _cleanup_buf_ struct buf line = BUF_INIT(BUF_SMALL);
    size_t counts[ACTION_COUNT] = {0};
    for (size_t i = 0; i < plan->len; i++)
        counts[plan->changes[i].action] += is_shown(&plan->changes[i]);
    for (size_t a = 0; a < ACTION_COUNT; a++)
        if (counts[a] > 0)
            buf_addf(&line, "%s%zu %s", line.len == 0 ? "Plan: " : ", ", counts[a],
                     actions[a].done);
    buf_adds(&line, ".");
    buf_addc(out, '\n');
    text_wrap(look, buf_str(&line), 0, 6, out);
    buf_addc(out, '\n');
}

/* Those that stand still, as is wanted, and what lives in them. */
static void add_stopped(const struct plan *plan, const struct look *look, struct buf *out) {
    struct groups groups = {0};
    _cleanup_arena_ struct arena arena = {0};
    size_t parts = 0, servers = 0;
    for (size_t i = 0; i < plan->len; i++) {
        const struct change *c = &plan->changes[i];
        struct endpoint at = {0};
        parts += c->action == ACTION_NOOP && c->case_number == 18;
        if (c->action != ACTION_NOOP || c->kind->endpoint == NULL || c->after == NULL ||
            c->kind->endpoint(c->after, "", &arena, &at) < 0 || at.running)
            continue;
        servers++;
        if (groups_add(&groups, c->address, 0, STR("")) < 0)
            out->failed = true;
    }
    _cleanup_buf_ struct buf line = BUF_INIT(BUF_SMALL);
    for (size_t i = 0; i < groups.len; i++) {
        buf_adds(&line, i == 0 ? "" : ", ");
        group_address(&groups.items[i], &line);
    }
    groups_free(&groups);
    if (servers == 0)
        return;
    buf_addf(&line, " %s stopped, as is wanted", servers == 1 ? "is" : "are");
    if (parts > 0)
        buf_addf(&line, "; %zu part%s on %s not looked at", parts, parts == 1 ? "" : "s",
                 servers == 1 ? "it" : "them");
    buf_addf(&line, ". berth start brings %s back.", servers == 1 ? "it" : "them");
    buf_addc(out, '\n');
    text_line(look, buf_str(&line), 0, out);
}

/* Those that say the same of like nodes are one. */
static void add_notices(const struct plan_warning *items, size_t len, const char *word,
                        enum paint paint, const struct look *look, struct buf *out) {
    struct groups groups = {.each = look->each};
    for (size_t i = 0; i < len; i++)
        if (groups_add(&groups, items[i].address == NULL ? "" : items[i].address, items[i].note,
                       str_of(items[i].text)) < 0)
            out->failed = true;
    for (size_t i = 0; i < groups.len; i++) {
        const struct group *g = &groups.items[i];
        const char *shown = g->tag != 0 ? "note:" : word;
        _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
        group_label(g, look, &text);
        buf_addf(&text, "%s%.*s", text.len > 0 ? ": " : "", STR_FMT(g->body));
        buf_addc(out, '\n');
        text_paint(look, g->tag != 0 ? PAINT_DIM : paint, shown, out);
        buf_addc(out, ' ');
        text_wrap(look, buf_str(&text), strlen(shown) + 1, 2, out);
        buf_addc(out, '\n');
    }
    groups_free(&groups);
}

void show_losses(const struct plan *plan, const struct look *look, struct buf *out) {
    struct groups groups = {0};
    for (size_t i = 0; i < plan->len; i++)
        if (plan->changes[i].loses != NULL &&
            groups_add(&groups, plan->changes[i].address, 0, str_of(plan->changes[i].loses)) < 0)
            out->failed = true;
    if (groups.len > 0)
        buf_adds(out, "\nThis data is lost for good:\n");
    for (size_t i = 0; i < groups.len; i++) {
        _cleanup_buf_ struct buf address = BUF_INIT(BUF_SMALL);
        group_address(&groups.items[i], &address);
        buf_addf(out, "  %s: ", buf_cstr(&address));
        text_wrap(look, groups.items[i].body, 4 + address.len, 4, out);
        buf_addc(out, '\n');
    }
    groups_free(&groups);
}

size_t show_plan_count(const struct plan *plan) {
    size_t n = 0;
    for (size_t i = 0; i < plan->len; i++)
        n += is_shown(&plan->changes[i]) && plan->changes[i].action != ACTION_UNKNOWN &&
             plan->changes[i].action != ACTION_KEEP;
    return n;
}

static void add_nothing(const struct plan *plan, const char *spec_name, const struct look *look,
                        struct buf *out) {
    _cleanup_buf_ struct buf line = BUF_INIT(BUF_SMALL);
    if (plan->destroy)
        buf_adds(&line, "Nothing to destroy.");
    else if (plan->partial)
        buf_adds(&line, "No changes to what -target names.");
    else
        buf_addf(&line, "No changes. The world matches %s.", spec_name);
    text_line(look, buf_str(&line), 0, out);
}

/* Said loudly: what follows from the spec is not all that is done. */
static void add_partial(const struct plan *plan, const struct look *look, struct buf *out) {
    if (!plan->partial || plan->left_out == 0)
        return;
    _cleanup_buf_ struct buf line = BUF_INIT(BUF_SMALL);
    buf_addf(&line,
             "this is only a part of the plan; %zu other change%s left out, and berth plan shows "
             "%s.",
             plan->left_out, plan->left_out == 1 ? " is" : "s are",
             plan->left_out == 1 ? "it" : "them");
    buf_addc(out, '\n');
    text_paint(look, PAINT_YELLOW, "partial:", out);
    buf_addc(out, ' ');
    text_wrap(look, buf_str(&line), 9, 2, out);
    buf_addc(out, '\n');
}

void show_plan(const struct plan *plan, const char *spec_name, const struct look *look,
               struct buf *out) {
    if (plan_has_changes(plan)) {
        if (add_changes(plan, look, out) < 0)
            out->failed = true;
        add_legend(plan, spec_name, look, out);
        add_counts(plan, look, out);
    } else {
        if (plan->counts[ACTION_KEEP] > 0 && add_changes(plan, look, out) < 0)
            out->failed = true;
        if (plan->counts[ACTION_KEEP] > 0)
            buf_addc(out, '\n');
        add_nothing(plan, spec_name, look, out);
    }
    if (plan->counts[ACTION_KEEP] > 0)
        text_line(look, STR("What is kept stays as it is; only berth destroy -data takes it too."),
                  0, out);
    add_stopped(plan, look, out);
    add_partial(plan, look, out);
    add_notices(plan->warnings, plan->warnings_len, "warning:", PAINT_YELLOW, look, out);
    add_notices(plan->blockers, plan->blockers_len, "error:", PAINT_RED, look, out);
}
