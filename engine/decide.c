#include "engine/decide.h"

#include "specs/record.h"

/* ---- The table. The first row that fits decides; cases 7 to 10 and 16 are then told apart by what
 * differs (choose), 14 is what protect makes of a destroy or replace (protect), 17 what keeping
 * makes of them (keep), 18 what lives in something that is stopped as wanted (sleep), and 19 is
 * what berth did not make (leave). */

enum tri { ANY, NO, YES };
enum memory { M_ANY, M_NONE, M_PENDING, M_KNOWN };

static const struct row {
    int number;
    enum tri desired;
    enum memory recorded;
    enum presence presence;
    enum action action;
    enum why why;
    bool compare; /* then look at the fields */
} table[] = {
    {15, ANY, M_ANY, LIVE_UNREADABLE, ACTION_UNKNOWN, WHY_UNREADABLE, false},
    {3, YES, M_ANY, LIVE_FOREIGN, ACTION_UNKNOWN, WHY_UNREADABLE, false},
    {1, YES, M_NONE, LIVE_NONE, ACTION_CREATE, WHY_NEW, false},
    {2, YES, M_NONE, LIVE_OURS, ACTION_ADOPT, WHY_NEW, true},
    {4, YES, M_PENDING, LIVE_NONE, ACTION_RESUME, WHY_NEW, false},
    {5, YES, M_PENDING, LIVE_OURS, ACTION_ADOPT, WHY_NEW, true},
    {6, YES, M_KNOWN, LIVE_NONE, ACTION_CREATE, WHY_DRIFT, false},
    {7, YES, M_KNOWN, LIVE_OURS, ACTION_NOOP, WHY_SAME, true},
    {11, NO, M_KNOWN, LIVE_OURS, ACTION_DESTROY, WHY_REMOVED, false},
    {11, NO, M_PENDING, LIVE_OURS, ACTION_DESTROY, WHY_REMOVED, false},
    {12, NO, M_ANY, LIVE_FOREIGN, ACTION_FORGET, WHY_REMOVED, false},
    {12, NO, M_KNOWN, LIVE_NONE, ACTION_FORGET, WHY_REMOVED, false},
    {12, NO, M_PENDING, LIVE_NONE, ACTION_FORGET, WHY_REMOVED, false},
    {13, NO, M_NONE, LIVE_OURS, ACTION_DESTROY, WHY_ORPHAN, false},
};

static enum memory memory_of(const struct recorded *recorded) {
    if (recorded == NULL)
        return M_NONE;
    return recorded->status == RECORDED_PENDING ? M_PENDING : M_KNOWN;
}

static const struct row *find_row(const struct situation *s) {
    enum tri desired = s->node != NULL ? YES : NO;
    enum memory memory = memory_of(s->recorded);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct row *row = &table[i];
        if ((row->desired == ANY || row->desired == desired) &&
            (row->recorded == M_ANY || row->recorded == memory) && row->presence == s->presence)
            return row;
    }
    return NULL;
}

/* ---- Fields */

struct difference {
    bool any, replaces, needs_stop, spec, drift;
};

static const void *recorded_record(const struct situation *s) {
    return s->recorded == NULL ? NULL : s->recorded->record;
}

static const void *live_record(const struct situation *s) {
    return s->live == NULL ? NULL : s->live->record;
}

static bool is_unread(const struct live *live, const struct field *fields, size_t i) {
    return fields[i].flags & FIELD_UNREADABLE || live->unread >> i & 1;
}

/* `live` is NULL where the world could not tell this field. */
static enum why why_of(const struct field *f, const void *desired, const void *recorded,
                       const void *live) {
    bool spec_moved =
        desired == NULL || recorded == NULL || !record_field_equal(f, desired, recorded);
    bool live_moved = recorded != NULL && live != NULL && !record_field_equal(f, live, recorded);
    return spec_moved ? (live_moved ? WHY_BOTH : WHY_SPEC) : WHY_DRIFT;
}

static bool is_in_place(const struct situation *s, const struct field *f, const void *have) {
    const struct kind *kind = s->node->kind;
    return kind->in_place != NULL && kind->in_place(f, have, s->desired);
}

/* Compares desired with live field by field; where the world cannot tell, with the state. Asked for
 * by name, it is replaced whatever differs. */
static int compare_fields(const struct situation *s, struct arena *arena, struct change *c,
                          struct difference *d, struct err *err) {
    const struct field *fields = c->kind->fields;
    size_t n = fields_count(fields);
    const void *recorded = recorded_record(s), *live = live_record(s);
    c->fields = arena_calloc(arena, n + 1, sizeof *c->fields);
    if (c->fields == NULL)
        return err_no_memory(err);
    for (size_t i = 0; i < n; i++) {
        const struct field *f = &fields[i];
        bool unread = live == NULL || is_unread(s->live, fields, i);
        const void *have = unread ? recorded : live;
        bool unknown = s->unknown >> i & 1;
        if (f->flags & FIELD_COMPUTED || have == NULL)
            continue;
        if (!unknown && record_field_equal(f, s->desired, have))
            continue;
        enum why why = why_of(f, unknown ? NULL : s->desired, recorded, unread ? NULL : live);
        bool replaces = f->flags & FIELD_IMMUTABLE && !unknown && !is_in_place(s, f, have);
        c->fields[c->fields_len++] = (struct field_change){f, why, unknown, replaces};
        d->any = true;
        d->replaces |= replaces;
        d->needs_stop |= (f->flags & FIELD_NEEDS_STOP) != 0;
        d->spec |= why == WHY_SPEC || why == WHY_BOTH;
        d->drift |= why == WHY_DRIFT || why == WHY_BOTH;
    }
    return 0;
}

/* Cases 7, 8, 9, 10 and 16; an adopt (2, 5) keeps its number and carries the fields. */
static void choose(const struct situation *s, const struct difference *d, struct change *c) {
    bool failed = s->recorded != NULL && s->recorded->status == RECORDED_FAILED;
    if (s->replace) {
        c->action = ACTION_REPLACE;
        c->case_number = 9;
        c->why = WHY_ASKED;
        return;
    }
    if (!d->any) {
        c->case_number = failed ? 16 : c->case_number;
        return;
    }
    enum action action = d->replaces     ? ACTION_REPLACE
                         : d->needs_stop ? ACTION_STOP_UPDATE_START
                                         : ACTION_UPDATE;
    enum why why = d->spec && d->drift ? WHY_BOTH : d->drift ? WHY_DRIFT : WHY_SPEC;
    if (c->action == ACTION_ADOPT && !d->replaces)
        return;
    c->action = action;
    c->why = why;
    c->case_number = failed ? 16 : why == WHY_DRIFT ? 10 : d->replaces ? 9 : 8;
}

/* Desired, with what the world computed carried over; a replace computes anew. */
static int make_after(const struct situation *s, struct arena *arena, struct change *c,
                      struct err *err) {
    const struct kind *kind = c->kind;
    void *after = arena_alloc(arena, kind->size);
    if (after == NULL || record_copy(arena, kind->fields, after, s->desired) < 0)
        return err_no_memory(err);
    c->after = after;
    c->after_unknown = s->unknown;
    bool anew =
        c->action == ACTION_CREATE || c->action == ACTION_RESUME || c->action == ACTION_REPLACE;
    if (anew || c->before == NULL)
        return 0;
    for (size_t i = 0; kind->fields[i].name != NULL; i++)
        if (kind->fields[i].flags & FIELD_COMPUTED && !(s->unknown >> i & 1) &&
            record_copy_field(arena, &kind->fields[i], after, c->before) < 0)
            return err_no_memory(err);
    return 0;
}

static bool parent_is_made(const struct change *parent) {
    return parent->action == ACTION_CREATE || parent->action == ACTION_RESUME ||
           parent->action == ACTION_REPLACE;
}

static bool runs(const struct kind *kind, const void *record, struct arena *arena) {
    struct endpoint at = {0};
    return kind->endpoint(record, "", arena, &at) == 0 && at.running;
}

/* It is there, and is wanted to stand still: nobody can look into it, or need. */
static bool parent_sleeps(const struct change *parent, struct arena *arena) {
    bool stays = parent->action == ACTION_NOOP || parent->action == ACTION_UPDATE ||
                 parent->action == ACTION_ADOPT || parent->action == ACTION_STOP_UPDATE_START;
    return stays && parent->kind->endpoint != NULL && parent->after != NULL &&
           !runs(parent->kind, parent->after, arena);
}

/* It stands still now, and will run after its change. */
static bool parent_starts(const struct change *parent, struct arena *arena) {
    const void *record = parent->live == NULL ? NULL : parent->live->record;
    if (parent->action == ACTION_STOP_UPDATE_START)
        return true;
    bool changes = parent->action == ACTION_UPDATE || parent->action == ACTION_ADOPT;
    return changes && record != NULL && parent->kind->endpoint != NULL &&
           !runs(parent->kind, record, arena);
}

static bool parent_goes(const struct change *parent) {
    return parent->action == ACTION_DESTROY || parent->action == ACTION_FORGET ||
           parent->action == ACTION_REPLACE;
}

/* What lives in a parent that goes, goes with it: nothing to call. */
static void go_with_parent(const struct change *parent, struct change *c) {
    c->action = parent->action == ACTION_FORGET ? ACTION_FORGET : ACTION_DESTROY;
    c->case_number = c->action == ACTION_FORGET ? 12 : 11;
    c->why = WHY_PARENT;
    c->with_parent = true;
}

/* What lives in a parent that is made is made too, whatever was seen in the parent's last life. */
static void come_with_parent(struct change *c) {
    c->action = ACTION_CREATE;
    c->case_number = c->recorded == NULL ? 1 : 6;
    c->why = c->recorded == NULL ? WHY_NEW : WHY_PARENT;
    c->live = NULL;
    c->before = NULL;
}

/* Is what was recorded what is wanted? Where the address is in it, that is known again when it
 * runs. */
static bool sleeps_as_wanted(const struct situation *s, const struct change *c) {
    const struct recorded *r = s->recorded;
    if (s->node == NULL || r == NULL || r->record == NULL || r->status != RECORDED_OK)
        return false;
    uint64_t unknown = s->unknown | (c->kind->follows_address ? s->node->unknown : 0);
    for (size_t i = 0; c->kind->fields[i].name != NULL; i++) {
        const struct field *f = &c->kind->fields[i];
        bool compared =
            !(f->flags & (FIELD_COMPUTED | FIELD_UNSTORED | FIELD_SECRET)) && !(unknown >> i & 1);
        if (compared && !record_field_equal(f, s->desired, r->record))
            return false;
    }
    return true;
}

/* Case 18: it is compared with the state alone. */
static int sleep_with_parent(const struct situation *s, struct arena *arena, struct change *c) {
    bool same = sleeps_as_wanted(s, c);
    c->case_number = 18;
    c->action = same ? ACTION_NOOP : ACTION_UNKNOWN;
    c->why = same ? WHY_SAME : WHY_UNREADABLE;
    c->live = NULL;
    c->before = recorded_record(s);
    c->note = arena_printf(arena, "%s is stopped%s", s->parent->address,
                           same ? "" : ": berth start, then apply");
    return c->note == NULL ? -ERRC_NOMEM : 0;
}

/* What a parent's fate means for what lives in it; true when that decided. */
static bool decide_by_parent(const struct situation *s, struct arena *arena, struct change *c) {
    const struct change *parent = s->parent;
    bool unreadable = s->presence == LIVE_UNREADABLE;
    if (parent->kind->given && (parent_goes(parent) || parent_is_made(parent)))
        return false; /* it stays: what lives in it is its own */
    if (s->node == NULL && parent_goes(parent)) {
        go_with_parent(parent, c);
    } else if (s->node != NULL && parent_is_made(parent)) {
        come_with_parent(c);
    } else if (unreadable && parent_starts(parent, arena)) { /* it is read after the start */
        c->action = s->node == NULL ? ACTION_DESTROY : ACTION_UPDATE;
        c->case_number = s->node == NULL ? 11 : 8;
        c->why = s->node == NULL ? WHY_REMOVED : WHY_PARENT;
    } else if (parent->action == ACTION_UNKNOWN && s->live == NULL) {
        c->action = ACTION_UNKNOWN; /* nobody could look into it */
        c->case_number = 15;
        c->why = WHY_UNREADABLE;
    } else {
        return false;
    }
    return true;
}

/* Case 17: it outlives the spec. What is to replace it is shown, and may not. */
static void keep(const struct situation *s, struct change *c) {
    if (s->data || c->with_parent || c->kind->keeps == NULL || c->before == NULL ||
        (c->action != ACTION_DESTROY && c->action != ACTION_REPLACE) || !c->kind->keeps(c->before))
        return;
    c->case_number = 17;
    if (c->action == ACTION_DESTROY)
        c->action = ACTION_KEEP;
}

/* Case 19: it is not berth's to destroy, nor to make anew. */
static void leave(struct change *c) {
    if (!c->kind->given || (c->action != ACTION_DESTROY && c->action != ACTION_REPLACE))
        return;
    c->case_number = 19;
    if (c->action == ACTION_DESTROY)
        c->action = ACTION_FORGET;
}

static int decide_by_table(const struct situation *s, struct arena *arena, struct change *c,
                           struct err *err) {
    const struct row *row = find_row(s);
    if (row == NULL)
        return err_set(err, ERRC_INTERNAL, "no case fits %s", c->address);
    c->action = row->action;
    c->case_number = row->number;
    c->why = row->why;
    if (!row->compare)
        return 0;
    struct difference d = {0};
    int rc = compare_fields(s, arena, c, &d, err);
    if (rc == 0)
        choose(s, &d, c);
    return rc;
}

/* Case 14: the change stays as it is, so that people see what is forbidden. */
static void protect(const struct situation *s, struct change *c) {
    bool known = c->node != NULL ? c->node->protect : c->recorded != NULL && c->recorded->protect;
    bool goes = c->action == ACTION_DESTROY || c->action == ACTION_REPLACE ||
                (c->action == ACTION_FORGET && c->case_number == 19);
    if ((s->protect || known) && goes)
        c->case_number = 14;
}

/* What is there now: live, and as recorded where the world cannot tell. */
static int make_before(const struct situation *s, struct arena *arena, struct change *c,
                       struct err *err) {
    const struct field *fields = c->kind->fields;
    const void *recorded = recorded_record(s), *live = live_record(s);
    c->before = live != NULL ? live : recorded;
    if (live == NULL || recorded == NULL)
        return 0;
    void *merged = NULL;
    for (size_t i = 0; fields[i].name != NULL; i++) {
        if (!is_unread(s->live, fields, i))
            continue;
        if (merged == NULL) {
            merged = arena_alloc(arena, c->kind->size);
            if (merged == NULL || record_copy(arena, fields, merged, live) < 0)
                return err_no_memory(err);
        }
        if (record_copy_field(arena, &fields[i], merged, recorded) < 0)
            return err_no_memory(err);
    }
    if (merged != NULL)
        c->before = merged;
    return 0;
}

static struct change start_change(const struct situation *s) {
    const struct node *n = s->node;
    const struct recorded *r = s->recorded;
    return (struct change){
        .address = n != NULL   ? n->address
                   : r != NULL ? r->address
                               : s->live->address,
        .kind = n != NULL   ? n->kind
                : r != NULL ? r->kind
                            : s->live->kind,
        .node = n,
        .recorded = r,
        .live = s->live,
        .parent = n != NULL   ? n->parent
                  : r != NULL ? r->parent
                              : NULL,
        .deps = n != NULL   ? n->deps
                : r != NULL ? r->deps
                            : (struct strlist){0},
    };
}

int decide(const struct situation *s, struct arena *arena, struct change *ret, struct err *err) {
    struct change c = start_change(s);
    int rc = make_before(s, arena, &c, err);
    if (rc < 0)
        return rc;
    bool sleeps = s->parent != NULL && parent_sleeps(s->parent, arena);
    if (sleeps)
        rc = sleep_with_parent(s, arena, &c) < 0 ? err_no_memory(err) : 0;
    else if (s->parent == NULL || !decide_by_parent(s, arena, &c))
        rc = decide_by_table(s, arena, &c, err);
    if (sleeps && c.action == ACTION_NOOP)
        c.after = c.before;
    else if (rc == 0 && s->node != NULL)
        rc = make_after(s, arena, &c, err);
    if (rc < 0)
        return rc;
    keep(s, &c);
    leave(&c);
    protect(s, &c);
    if ((c.action == ACTION_DESTROY || c.action == ACTION_REPLACE || c.action == ACTION_KEEP) &&
        !c.with_parent && c.kind->loses != NULL && c.before != NULL) {
        const char **text = c.action == ACTION_KEEP ? &c.note : &c.loses;
        *text = c.kind->loses(c.before, arena);
    }
    bool in_place = c.action == ACTION_UPDATE || c.action == ACTION_ADOPT ||
                    c.action == ACTION_STOP_UPDATE_START;
    if (in_place && c.kind->drops != NULL && c.before != NULL && c.after != NULL)
        c.loses = c.kind->drops(c.before, c.after, arena);
    if (c.action == ACTION_CREATE)
        c.before = NULL;
    *ret = c;
    return 0;
}
