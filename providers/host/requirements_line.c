/* One requirement in a file of them, with its hashes. */
#include "providers/host/internal.h"
#include "providers/host/requirements_reader.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool requirement_has_login(struct str text) {
    bool authority = false;
    for (size_t i = 0; i < text.len; i++) {
        if (str_starts((struct str){text.ptr + i, text.len - i}, STR("://"))) {
            authority = true;
            i += 2;
        } else if (strchr("/ \t", text.ptr[i]) != NULL) {
            authority = false;
        } else if (authority && text.ptr[i] == '@') {
            return true;
        }
    }
    return false;
}

void requirement_tell(struct requirement_reader *r, struct requirement_text *t, struct str part,
                      const char *help, const char *fmt, ...) {
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    diag_add_in(r->diags, &t->source, requirement_text_mark(t, part),
                requirement_has_login(t->line), help, "%s", text);
}

/* "sha256:0A…" → "sha256:0a…"; NULL when it is none, or without memory. */
static const char *read_hash(struct str text, struct arena *arena) {
    static const struct {
        struct str name;
        size_t digits;
    } algorithms[] = {{{"sha256:", 7}, 64}, {{"sha384:", 7}, 96}, {{"sha512:", 7}, 128}};
    char *out = NULL;
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++)
        if (str_starts(text, algorithms[i].name) &&
            text.len == algorithms[i].name.len + algorithms[i].digits)
            out = arena_alloc(arena, text.len + 1);
    for (size_t i = 0; out != NULL && i < text.len; i++) {
        if (i >= STR("sha256:").len && !isxdigit((unsigned char)text.ptr[i]))
            return NULL;
        out[i] = (char)tolower((unsigned char)text.ptr[i]);
    }
    return out;
}

static int add_hashes(struct requirement_reader *r, struct requirement_text *t, struct str rest,
                      struct requirement_line *line, enum requirement_role role) {
    struct requirement_option o;
    while (requirement_text_option(&rest, &o)) {
        const char *hash = NULL;
        if (!str_eqc(o.name, "--hash"))
            requirement_tell(r, t, o.name, "leave it out", "the option `%.*s` cannot stand here",
                             STR_FMT(o.name));
        else if (role == LIMITS)
            requirement_tell(r, t, o.name, "name that file by -r, or take the hashes out of it",
                             "hashes in a file of constraints are not supported");
        else if (o.broken || (hash = read_hash(o.value, r->arena)) == NULL)
            requirement_tell(
                r, t, o.value.len == 0 ? o.name : o.value,
                "expected --hash=sha256: and 64 hexadecimal digits, or sha384 or sha512",
                "this is no hash");
        else if (strlist_add(r->arena, &line->hashes, hash) < 0)
            return -ERRC_NOMEM;
    }
    if (rest.len > 0)
        requirement_tell(r, t, rest, "expected only --hash behind a requirement",
                         "this is no option");
    return 0;
}

static bool ends_like_archive(struct str text) {
    static const struct str ends[] = {{".whl", 4}, {".zip", 4},     {".tar.gz", 7},
                                      {".tgz", 4}, {".tar.bz2", 8}, {".tar.xz", 7}};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (str_ends(text, ends[i]))
            return true;
    return false;
}

/* "numpy=1.26.4=py312_0" */
static bool is_of_conda(struct str text) {
    for (size_t i = 1; i + 1 < text.len; i++)
        if (text.ptr[i] == '=')
            return text.ptr[i + 1] != '=' && strchr("<>!~=", text.ptr[i - 1]) == NULL;
    return false;
}

static void tell_bad(struct requirement_reader *r, struct requirement_text *t, struct str text) {
    bool path = *text.ptr == '.' || *text.ptr == '/' || ends_like_archive(text) ||
                memchr(text.ptr, '/', text.len) != NULL;
    requirement_tell(
        r, t, text,
        path ? "only packages of an index can be installed; `files` brings a file or folder of "
               "yours"
        : is_of_conda(text) ? "expected == before a version; of conda's packages, pip list "
                              "--format=freeze writes those that pip has too"
                            : "expected a package with its versions, such as pandas==2.2.*",
        path ? "a path or a URL is not installed" : "this is no requirement");
}

static bool is_good(struct requirement_reader *r, struct requirement_text *t, struct str text,
                    const struct requirement *q, enum requirement_role role) {
    static const struct marker_env any = {.python = "3.12.0", .machine = "x86_64"};
    if (q->url != NULL)
        requirement_tell(
            r, t, text,
            strncmp(q->url, "file:", 5) == 0
                ? "pip list --format=freeze writes versions, where a file of conda's has paths"
                : "only packages of an index can be installed",
            "%s is to come from elsewhere than an index", q->name);
    else if (marker_holds(q->marker, &any) < 0)
        requirement_tell(r, t, q->marker, "expected a marker such as python_version < \"3.12\"",
                         "%s has no good marker", q->name);
    else if (!pep440_is_specifier(q->specifier))
        requirement_tell(r, t, text, "expected versions such as ==2.2.*, or >=2,<3",
                         "%s is asked for in versions that are none", q->name);
    else if (role == LIMITS && q->extras[0] != '\0')
        requirement_tell(r, t, text, "leave them out there: extras are asked for, not limited",
                         "a constraint has no extras");
    else
        return true;
    return false;
}

static int lines_add(struct arena *arena, struct requirement_lines *list,
                     const struct requirement_line *line) {
    if (list->len == list->cap) {
        size_t cap = list->cap == 0 ? 32 : list->cap * 2;
        struct requirement_line *items = arena_calloc(arena, cap, sizeof *items);
        if (items == NULL)
            return -ERRC_NOMEM;
        if (list->len > 0)
            memcpy(items, list->items, list->len * sizeof *items);
        list->items = items;
        list->cap = cap;
    }
    list->items[list->len++] = *line;
    return 0;
}

int requirement_read(struct requirement_reader *r, struct requirement_text *t,
                     enum requirement_role role) {
    struct str options_text, text = requirement_text_split(t->line, &options_text);
    struct requirement_lines *list = role == WANTED ? &r->ret->wanted : &r->ret->limits;
    struct requirement_line line = {.file = &t->source, .mark = requirement_text_mark(t, text)};
    int rc = requirement_parse(r->arena, text, &line.q);
    if (rc == -ERRC_NOMEM)
        return rc;
    if (rc < 0 || (line.q.url == NULL && ends_like_archive(text))) {
        tell_bad(r, t, text);
        return 0;
    }
    if (!is_good(r, t, text, &line.q, role))
        return 0;
    if (list->len == REQUIREMENTS_MAX) {
        requirement_tell(r, t, text, "expected those that you need: they bring others",
                         "more than %d packages", REQUIREMENTS_MAX);
        return -ERRC_LIMIT;
    }
    rc = add_hashes(r, t, options_text, &line, role);
    return rc < 0 ? rc : lines_add(r->arena, list, &line);
}
