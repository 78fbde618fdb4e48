#include "cmd/show_plan.h"

#include "cmd/show_group.h"
#include "cmd/show_value.h"
#include "cmd/text.h"

#include <stdio.h>
#include <string.h>

enum { INDENT = 2, BODY_INDENT = 6 };

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

/* Behind a field: why it differs. What is wanted otherwise, the spec says, or a verb asked for. */
static const struct {
    enum why why;
    bool rotated;
    const char *mark;
} marks[] = {
    {WHY_SPEC, false, "(spec)"},        {WHY_SPEC, true, "(rotate)"},
    {WHY_DRIFT, false, "(drift)"},      {WHY_DRIFT, true, "(drift)"},
    {WHY_BOTH, false, "(spec, drift)"}, {WHY_BOTH, true, "(rotate, drift)"},
};

static bool is_rotated(const struct field_change *f) {
    return (f->field->flags & FIELD_ROTATED) != 0;
}

static const char *field_mark(const struct field_change *f) {
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (marks[i].why == f->why && marks[i].rotated == is_rotated(f))
            return marks[i].mark;
    return NULL;
}

/* Behind an address: what the sign alone does not say. */
static void add_remark(const struct change *c, const struct look *look, struct buf *out) {
    const char *text = NULL;
    char forget[128];
    switch (c->action) {
    case ACTION_ADOPT:
        text = c->kind->given      ? "is there: a server of yours"
               : c->fields_len > 0 ? "is there and berth's: take it over, then update"
                                   : "is there and berth's: take it over";
        break;
    case ACTION_RESUME:
        text = "an earlier apply was interrupted: go on";
        break;
    case ACTION_CREATE:
        text = c->why == WHY_DRIFT ? "has vanished: create it anew" : NULL;
        break;
    case ACTION_STOP_UPDATE_START:
        text = "the server stops for a moment";
        break;
    case ACTION_REPLACE:
        text = c->kind->given ? "not berth's to make anew" : "destroy it and create it anew";
        break;
    case ACTION_DESTROY:
        text = c->why == WHY_ORPHAN ? "berth's by its tags, in no spec" : NULL;
        break;
    case ACTION_FORGET:
        if (c->kind->given) {
            text = "berth lets go of it; the server stays as it is";
            break;
        }
        snprintf(forget, sizeof forget, "has vanished: %s%s",
                 c->kind->leaves == NULL ? "only the record goes" : "the record goes, and ",
                 c->kind->leaves == NULL ? "" : c->kind->leaves);
        text = forget;
        break;
    case ACTION_UPDATE:
        text = c->fields_len == 0 && c->why == WHY_PARENT ? "looked at again when its server runs"
               : c->fields_len == 0                       ? "finish what was interrupted"
                                                          : NULL;
        break;
    case ACTION_KEEP:
        snprintf(forget, sizeof forget, "stays, not in use: %s",
                 c->note == NULL ? "it is to be kept" : c->note);
        text = forget;
        break;
    default:
        break;
    }
    if (text == NULL)
        return;
    buf_adds(out, "  ");
    text_paint(look, PAINT_DIM, text, out);
}

static void add_line(const struct look *look, const char *text, size_t indent, struct buf *out) {
    buf_addn(out, ' ', indent);
    text_wrap(look, str_of(text), indent, indent + 2, out);
    buf_addc(out, '\n');
}

static void add_unread(const struct change *c, const struct look *look, struct buf *out) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    const struct err *err = c->live == NULL ? NULL : &c->live->err;
    if (c->note != NULL) {
        add_line(look, c->note, BODY_INDENT, out);
        return;
    }
    bool foreign = c->live != NULL && c->live->presence == LIVE_FOREIGN;
    buf_adds(&text, foreign ? "taken by somebody else: " : "could not be read: ");
    buf_adds(&text, err != NULL && err->msg[0] != '\0' ? err->msg : "its server does not answer");
    add_line(look, buf_cstr(&text), BODY_INDENT, out);
    if (err != NULL && err->hint[0] != '\0') {
        buf_reset(&text);
        buf_addf(&text, "try: %s", err->hint);
        add_line(look, buf_cstr(&text), BODY_INDENT, out);
    }
}

static void add_create_fields(const struct change *c, const struct look *look, struct buf *out) {
    for (size_t i = 0; c->after != NULL && c->kind->fields[i].name != NULL; i++) {
        const struct field *f = &c->kind->fields[i];
        if (!(f->flags & FIELD_COMPUTED))
            show_field(look, f, c->after, c->after_unknown >> i & 1, BODY_INDENT, out);
    }
}

static void add_changed_fields(const struct change *c, const struct look *look, struct buf *out) {
    for (size_t i = 0; i < c->fields_len; i++) {
        const struct field_change *f = &c->fields[i];
        _cleanup_buf_ struct buf mark = BUF_INIT(BUF_SMALL);
        const char *why = field_mark(f);
        if (why != NULL && c->action != ACTION_ADOPT)
            buf_adds(&mark, why);
        if (f->replaces)
            buf_addf(&mark, "%s(this is why it is replaced)", mark.len > 0 ? " " : "");
        show_field_change(look, f->field, c->before, c->after, f->after_unknown,
                          mark.len > 0 ? buf_cstr(&mark) : NULL, BODY_INDENT, out);
    }
}

/* What was edited out there, line by line. */
static void add_texts(const struct live_texts *texts, const struct look *look, struct buf *out) {
    for (size_t i = 0; i < texts->len; i++) {
        const struct live_text *t = &texts->items[i];
        buf_addn(out, ' ', BODY_INDENT + 2);
        text_wrap(look, str_of(t->name), BODY_INDENT + 2, BODY_INDENT + 4, out);
        buf_addf(out, ":%s%s\n", t->note == NULL ? "" : " ", t->note == NULL ? "" : t->note);
        if (t->note == NULL)
            text_diff(look, str_of(t->before), str_of(t->after), BODY_INDENT + 4, out);
    }
}

/* What the change does to something else that is there already and stays; NULL when there is none.
 */
static const struct change *find_beside(const struct plan *plan, const struct change *c) {
    bool acts = c->action == ACTION_CREATE || c->action == ACTION_RESUME ||
                c->action == ACTION_DESTROY || c->fields_len > 0 ||
                (c->action == ACTION_UPDATE && c->why != WHY_PARENT);
    for (size_t i = 0; c->kind->besides != NULL && acts && i < plan->len; i++) {
        const struct change *other = &plan->changes[i];
        if (other->kind == c->kind->beside && cstr_eq(other->parent, c->parent))
            return other->action == ACTION_CREATE || other->action == ACTION_DESTROY ? NULL : other;
    }
    return NULL;
}

static void add_beside(const struct plan *plan, const struct change *c, const struct look *look,
                       struct buf *out) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    const struct change *other = find_beside(plan, c);
    if (other == NULL)
        return;
    buf_adds(&text, c->kind->besides);
    if (other->live != NULL && other->live->at_stake != NULL)
        buf_addf(&text, " (%s)", other->live->at_stake);
    add_line(look, buf_cstr(&text), BODY_INDENT, out);
}

/* What stands below the address; equal bodies of like nodes are shown once. */
static void add_body(const struct plan *plan, const struct change *c, const struct look *look,
                     struct buf *out) {
    add_remark(c, look, out);
    buf_addc(out, '\n');
    if (c->action == ACTION_CREATE || c->action == ACTION_RESUME)
        add_create_fields(c, look, out);
    else if (c->action == ACTION_UNKNOWN)
        add_unread(c, look, out);
    else if (c->fields_len > 0)
        add_changed_fields(c, look, out);
    if (c->live != NULL && c->fields_len > 0)
        add_texts(&c->live->texts, look, out);
    add_beside(plan, c, look, out);
    if (c->loses != NULL) {
        buf_addn(out, ' ', BODY_INDENT);
        text_paint(look, PAINT_RED, "! loses", out);
        buf_addc(out, ' ');
        text_wrap(look, str_of(c->loses), BODY_INDENT + 8, BODY_INDENT + 2, out);
        buf_addc(out, '\n');
    }
    size_t parts = 0;
    for (size_t i = 0; c->action == ACTION_DESTROY && i < plan->len; i++)
        parts += plan->changes[i].with_parent && cstr_eq(plan->changes[i].parent, c->address);
    if (parts > 0) {
        buf_addn(out, ' ', BODY_INDENT);
        if (parts == 1)
            buf_adds(out, "and the part on it\n");
        else
            buf_addf(out, "and the %zu parts on it\n", parts);
    }
}

static bool is_shown(const struct change *c) { return c->action != ACTION_NOOP && !c->with_parent; }

static int add_changes(const struct plan *plan, const struct look *look, struct buf *out) {
    struct groups groups = {.each = look->each};
    _cleanup_buf_ struct buf body = BUF_INIT(BUF_MEDIUM);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < plan->len; i++) {
        const struct change *c = &plan->changes[i];
        if (!is_shown(c))
            continue;
        buf_reset(&body);
        add_body(plan, c, look, &body);
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
                shown |= is_rotated(f) ? OF_ROTATE : OF_SPEC;
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
    add_line(look, buf_cstr(&line), 0, out);
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
    add_line(look, buf_cstr(&line), 0, out);
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
    add_line(look, buf_cstr(&line), 0, out);
}

/* Said loudly: what follows from the spec is not all that is done. */
static void add_partial(const struct plan *plan, const struct look *look, struct buf *out) {
    if (!plan->partial)
        return;
    _cleanup_buf_ struct buf line = BUF_INIT(BUF_SMALL);
    buf_adds(&line, "this is only a part of the plan (-target)");
    if (plan->left_out > 0)
        buf_addf(&line, "; %zu other change%s left out, and berth plan shows %s", plan->left_out,
                 plan->left_out == 1 ? " is" : "s are", plan->left_out == 1 ? "it" : "them");
    buf_adds(&line, ".");
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
        add_line(look, "What is kept stays as it is; only berth destroy -data takes it too.", 0,
                 out);
    add_stopped(plan, look, out);
    add_partial(plan, look, out);
    add_notices(plan->warnings, plan->warnings_len, "warning:", PAINT_YELLOW, look, out);
    add_notices(plan->blockers, plan->blockers_len, "error:", PAINT_RED, look, out);
}
