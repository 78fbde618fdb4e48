#include "cmd/show_change.h"

#include "cmd/show_value.h"
#include "cmd/text.h"

enum { BODY_INDENT = 6 };

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

static const char *field_mark(const struct field_change *f) {
    bool rotated = (f->field->flags & FIELD_ROTATED) != 0;
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (marks[i].why == f->why && marks[i].rotated == rotated)
            return marks[i].mark;
    return NULL;
}

/* Behind an address: what the sign alone does not say. */
static void add_remark(const struct change *c, const struct look *look, struct buf *out) {
    const char *text = NULL;
    _cleanup_buf_ struct buf made = BUF_INIT(BUF_SMALL);
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
        buf_addf(&made, "has vanished: %s%s",
                 c->kind->leaves == NULL ? "only the record goes" : "the record goes, and ",
                 c->kind->leaves == NULL ? "" : c->kind->leaves);
        text = buf_cstr(&made);
        break;
    case ACTION_UPDATE:
        text = c->fields_len == 0 && c->why == WHY_PARENT ? "looked at again when its server runs"
               : c->fields_len == 0                       ? "finish what was interrupted"
                                                          : NULL;
        break;
    case ACTION_KEEP:
        buf_addf(&made, "stays, not in use: %s", c->note == NULL ? "it is to be kept" : c->note);
        text = buf_cstr(&made);
        break;
    default:
        break;
    }
    if (text == NULL)
        return;
    buf_adds(out, "  ");
    text_paint(look, PAINT_DIM, text, out);
}

static void add_unread(const struct change *c, const struct look *look, struct buf *out) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    const struct err *err = c->live == NULL ? NULL : &c->live->err;
    if (c->note != NULL) {
        text_line(look, str_of(c->note), BODY_INDENT, out);
        return;
    }
    bool foreign = c->live != NULL && c->live->presence == LIVE_FOREIGN;
    buf_adds(&text, foreign ? "taken by somebody else: " : "could not be read: ");
    buf_adds(&text, err != NULL && err->msg[0] != '\0' ? err->msg : "its server does not answer");
    text_line(look, buf_str(&text), BODY_INDENT, out);
    if (err != NULL && err->hint[0] != '\0') {
        buf_reset(&text);
        buf_addf(&text, "try: %s", err->hint);
        text_line(look, buf_str(&text), BODY_INDENT, out);
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

static void add_beside(const struct plan *plan, const struct change *c, const struct look *look,
                       struct buf *out) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    const struct change *other = plan_beside(plan, c);
    if (other == NULL)
        return;
    buf_adds(&text, c->kind->besides);
    if (other->live != NULL && other->live->at_stake != NULL)
        buf_addf(&text, " (%s)", other->live->at_stake);
    text_line(look, buf_str(&text), BODY_INDENT, out);
}

void show_change_body(const struct plan *plan, const struct change *c, const struct look *look,
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
