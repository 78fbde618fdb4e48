#include "providers/host/requirements.h"

#include "providers/host/internal.h"
#include "providers/host/requirements_text.h"
#include "specs/hash.h"
#include "specs/sections/check.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { NESTED_MAX = 16 };

enum role { WANTED, LIMITS };

struct reader {
    const struct inputs *inputs;
    struct inputs *ask; /* further files are asked for, and nothing else is read; or NULL */
    const char *field;
    const char *index_url;
    struct arena *arena;
    struct diags *diags;
    size_t errors; /* that were there before */
    struct requirements *ret;
    struct strlist done[2]; /* by role */
    struct strlist open;    /* the file that is read, and those that led to it */
    struct buf hashes;      /* of the files */
    bool require_hashes;
    const struct diag_source *index_file; /* of the first index besides the main one */
    struct mark index_mark;
};

/* Of a file of which nothing is right the first mistakes will do. */
static bool is_over(const struct reader *r) { return r->diags->errors >= r->errors + DIAG_MAX; }

static bool has_login(struct str text) {
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

__attribute__((format(printf, 5, 6))) static void tell(struct reader *r, struct requirement_text *t,
                                                       struct str part, const char *help,
                                                       const char *fmt, ...) {
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    diag_add_in(r->diags, &t->source, requirement_text_mark(t, part), has_login(t->line), help,
                "%s", text);
}

/* ---- Options */

enum option_type { FILE_OF_MORE, FILE_OF_LIMITS, INDEX, MORE_INDEX, ALL_HASHED, REFUSED };

/* https://pip.pypa.io/en/stable/reference/requirements-file-format/#supported-options */
static const struct option {
    const char *brief, *name;
    enum option_type type;
    const char *help;
} options[] = {
    {"-r", "--requirement", FILE_OF_MORE, NULL},
    {"-c", "--constraint", FILE_OF_LIMITS, NULL},
    {"-i", "--index-url", INDEX, NULL},
    {NULL, "--pypi-url", INDEX, NULL},
    {NULL, "--extra-index-url", MORE_INDEX, NULL},
    {NULL, "--require-hashes", ALL_HASHED, NULL},
    {"-e", "--editable", REFUSED,
     "only packages of an index can be installed: `files` brings a folder of yours, and uv export "
     "--no-emit-project leaves a project out"},
    {"-f", "--find-links", REFUSED,
     "name an index that has them, packages.python.index_url in the spec, or write find-links into "
     "/etc/pip.conf on the server"},
    {NULL, "--no-index", REFUSED, "name the index: packages.python.index_url in the spec"},
    {NULL, "--trusted-host", REFUSED,
     "leave it out, and write the certificate into /etc/pip.conf on the server: cert = FILE"},
    {NULL, "--pre", REFUSED, "leave it out, and name the version: pandas==3.0.0rc1"},
    {NULL, "--no-binary", REFUSED, "leave it out: what is installed is what the index has"},
    {NULL, "--only-binary", REFUSED, "leave it out: what is installed is what the index has"},
    {NULL, "--prefer-binary", REFUSED, "leave it out: what is installed is what the index has"},
    {NULL, "--use-feature", REFUSED, "leave it out"},
    {NULL, "--hash", REFUSED,
     "a hash stands behind its requirement: on its line, or on the next one after a backslash"},
};

static const struct option *find_option(struct str name) {
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if (str_eqc(name, options[i].name) ||
            (options[i].brief != NULL && str_eqc(name, options[i].brief)))
            return &options[i];
    return NULL;
}

static struct str without_slash(struct str url) {
    while (url.len > 0 && url.ptr[url.len - 1] == '/')
        url.len--;
    return url;
}

static bool is_main_index(const struct reader *r, struct str url) {
    const char *main = r->index_url == NULL ? "https://pypi.org/simple" : r->index_url;
    return str_eq(without_slash(url), without_slash(str_of(main)));
}

/* Whose code runs on the server is said in the spec, where plan and state show it: a file that a
 * tool wrote does not decide it. */
static void check_index(struct reader *r, struct requirement_text *t, struct str url) {
    if (!is_main_index(r, url))
        tell(r, t, url,
             r->index_url == NULL ? "write it into the spec, packages.python.index_url, and leave "
                                    "it out here or let it stand"
                                  : "the spec has packages.python.index_url: leave one of them out",
             "the file names a package index that the spec does not");
}

static int add_index(struct reader *r, struct requirement_text *t, struct str url) {
    const char *text = arena_dup_str(r->arena, url);
    if (text == NULL)
        return -ERRC_NOMEM;
    if (is_main_index(r, url) || strlist_has(&r->ret->indexes, text))
        return 0;
    if (check_http_url(url) != NULL || has_login(url)) {
        tell(r, t, url, "expected an http or https URL without a login",
             "this is no package index that berth can take");
        return 0;
    }
    if (r->index_file == NULL) {
        r->index_file = &t->source;
        r->index_mark = requirement_text_mark(t, url);
    }
    return strlist_add(r->arena, &r->ret->indexes, text);
}

static int read_file(struct reader *r, const char *path, enum role role,
                     struct requirement_text *from, struct str at);

/* Relative to the file that names it. */
static int read_named(struct reader *r, struct requirement_text *t, struct str name,
                      enum role role) {
    const char *path = t->source.file, *slash = strrchr(path, '/');
    if (memchr(name.ptr, ':', name.len) != NULL && str_starts(name, STR("file:"))) {
        tell(r, t, name, "name the file by its path", "a URL is not a path");
        return 0;
    }
    for (size_t i = 0; i + 2 < name.len; i++)
        if (str_starts((struct str){name.ptr + i, name.len - i}, STR("://"))) {
            tell(r, t, name, "fetch it, and name the file", "requirements are not read from a URL");
            return 0;
        }
    while (str_starts(name, STR("./")))
        name = (struct str){name.ptr + 2, name.len - 2};
    bool absolute = name.len > 0 && *name.ptr == '/';
    const char *full =
        absolute ? arena_dup_str(r->arena, name)
        : slash != NULL
            ? arena_printf(r->arena, "%.*s%.*s", (int)(slash + 1 - path), path, STR_FMT(name))
            /* An input's path that begins with it is in the user's home; pip's is not. */
            : arena_printf(r->arena, "%s%.*s", str_starts(name, STR("~")) ? "./" : "",
                           STR_FMT(name));
    return full == NULL ? -ERRC_NOMEM : read_file(r, full, role, t, name);
}

static int use_option(struct reader *r, struct requirement_text *t,
                      const struct requirement_option *o, struct str rest) {
    const struct option *known = find_option(o->name);
    if (known == NULL || known->type == REFUSED) {
        tell(r, t, o->name, known == NULL ? "leave it out" : known->help,
             "the option `%.*s` cannot stand here", STR_FMT(o->name));
        return 0;
    }
    bool bare = known->type == ALL_HASHED;
    if (o->broken || rest.len > 0 || (o->value.len == 0) != bare) {
        tell(r, t, t->line, bare ? "expected no more on the line" : "expected one value",
             "`%.*s` is not written as it should be", STR_FMT(o->name));
        return 0;
    }
    switch (known->type) {
    case FILE_OF_MORE:
        return read_named(r, t, o->value, WANTED);
    case FILE_OF_LIMITS:
        return read_named(r, t, o->value, LIMITS);
    case MORE_INDEX:
        return add_index(r, t, o->value);
    case INDEX:
        check_index(r, t, o->value);
        return 0;
    default:
        r->require_hashes = true;
        return 0;
    }
}

/* ---- Requirements */

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

static int add_hashes(struct reader *r, struct requirement_text *t, struct str rest,
                      struct requirement_line *line, enum role role) {
    struct requirement_option o;
    while (requirement_text_option(&rest, &o)) {
        const char *hash = NULL;
        if (!str_eqc(o.name, "--hash"))
            tell(r, t, o.name, "leave it out", "the option `%.*s` cannot stand here",
                 STR_FMT(o.name));
        else if (role == LIMITS)
            tell(r, t, o.name, "name that file by -r, or take the hashes out of it",
                 "hashes in a file of constraints are not supported");
        else if (o.broken || (hash = read_hash(o.value, r->arena)) == NULL)
            tell(r, t, o.value.len == 0 ? o.name : o.value,
                 "expected --hash=sha256: and 64 hexadecimal digits, or sha384 or sha512",
                 "this is no hash");
        else if (strlist_add(r->arena, &line->hashes, hash) < 0)
            return -ERRC_NOMEM;
    }
    if (rest.len > 0)
        tell(r, t, rest, "expected only --hash behind a requirement", "this is no option");
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

static void tell_bad(struct reader *r, struct requirement_text *t, struct str text) {
    bool path = *text.ptr == '.' || *text.ptr == '/' || ends_like_archive(text) ||
                memchr(text.ptr, '/', text.len) != NULL;
    tell(r, t, text,
         path ? "only packages of an index can be installed; `files` brings a file or folder of "
                "yours"
              : "expected a package with its versions, such as pandas==2.2.*",
         path ? "a path or a URL is not installed" : "this is no requirement");
}

static bool is_good(struct reader *r, struct requirement_text *t, struct str text,
                    const struct requirement *q, enum role role) {
    static const struct marker_env any = {.python = "3.12.0", .machine = "x86_64"};
    if (q->url != NULL)
        tell(r, t, text, "only packages of an index can be installed",
             "%s is to come from elsewhere than an index", q->name);
    else if (marker_holds(q->marker, &any) < 0)
        tell(r, t, q->marker, "expected a marker such as python_version < \"3.12\"",
             "%s has no good marker", q->name);
    else if (!pep440_is_specifier(q->specifier))
        tell(r, t, text, "expected versions such as ==2.2.*, or >=2,<3",
             "%s is asked for in versions that are none", q->name);
    else if (role == LIMITS && q->extras[0] != '\0')
        tell(r, t, text, "leave them out there: extras are asked for, not limited",
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

static int read_requirement(struct reader *r, struct requirement_text *t, enum role role) {
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
        tell(r, t, text, "expected those that you need: they bring others", "more than %d packages",
             REQUIREMENTS_MAX);
        return -ERRC_LIMIT;
    }
    rc = add_hashes(r, t, options_text, &line, role);
    return rc < 0 ? rc : lines_add(r->arena, list, &line);
}

/* ---- Files */

static int read_lines(struct reader *r, struct requirement_text *t, enum role role) {
    int rc = 0;
    while (rc == 0 && !is_over(r) && requirement_text_next(t)) {
        struct requirement_option o;
        struct str rest = t->line;
        if (requirement_text_option(&rest, &o))
            rc = use_option(r, t, &o, rest);
        else if (r->ask == NULL)
            rc = read_requirement(r, t, role);
    }
    return rc;
}

/* Is it one to be read now? `from` is the file that names it, or NULL. */
static bool is_to_be_read(struct reader *r, const char *path, enum role role,
                          struct requirement_text *from, struct str at) {
    if (strlist_has(&r->open, path))
        tell(r, from, at, "leave it out", "files of requirements name each other in a circle");
    else if (r->open.len == NESTED_MAX)
        tell(r, from, at, "write them into fewer files",
             "files of requirements name each other more than %d deep", NESTED_MAX);
    else
        return !strlist_has(&r->done[role], path);
    return false;
}

static int read_text(struct reader *r, const struct input *input, enum role role) {
    struct requirement_text *t = ARENA_NEW(r->arena, struct requirement_text);
    if (t == NULL ||
        requirement_text_begin(t, input->name, secret_reveal(&input->content), r->arena) < 0 ||
        strlist_add(r->arena, &r->open, input->name) < 0 ||
        strlist_add(r->arena, &r->done[role], input->name) < 0)
        return -ERRC_NOMEM;
    buf_addf(&r->hashes, "%s\n", input->sha256 == NULL ? "" : input->sha256);
    int rc = 0;
    if (!t->is_utf_8)
        diag_add_in(r->diags, &t->source, (struct mark){0}, false,
                    "save it as UTF-8; PowerShell: pip freeze | Out-File -Encoding utf8 FILE",
                    "the file is not UTF-8");
    else
        rc = read_lines(r, t, role);
    r->open.len--;
    return rc;
}

static int read_file(struct reader *r, const char *path, enum role role,
                     struct requirement_text *from, struct str at) {
    if (!is_to_be_read(r, path, role, from, at))
        return 0;
    const struct input *input = inputs_get(r->inputs, INPUT_FILE, path);
    if (input == NULL && r->ask != NULL) /* that the spec names is to be there */
        return inputs_ask(r->ask, INPUT_FILE, path, r->field, from == NULL);
    if (input != NULL && input->found)
        return read_text(r, input, role);
    if (from != NULL && r->ask == NULL)
        tell(r, from, at, "paths are relative to the file that names them",
             "the file does not exist");
    return 0;
}

int requirements_ask(struct inputs *inputs, const char *path, const char *field) {
    struct diags unheard = {.arena = inputs->arena};
    struct requirements unused = {0};
    struct reader r = {.inputs = inputs,
                       .ask = inputs,
                       .field = field,
                       .arena = inputs->arena,
                       .diags = &unheard,
                       .ret = &unused,
                       .hashes = BUF_INIT(BUF_SMALL)};
    int rc = read_file(&r, path, WANTED, NULL, (struct str){NULL, 0});
    buf_free(&r.hashes);
    return rc;
}

/* ---- All of them */

/* https://pip.pypa.io/en/stable/topics/secure-installs/: all or nothing, and exact versions. */
static void check_hashes(struct reader *r) {
    const struct requirement_lines *list = &r->ret->wanted;
    const struct requirement_line *with = NULL;
    for (size_t i = 0; with == NULL && i < list->len; i++)
        with = list->items[i].hashes.len > 0 ? &list->items[i] : NULL;
    r->ret->hashed = with != NULL || r->require_hashes;
    for (size_t i = 0; r->ret->hashed && !is_over(r) && i < list->len; i++) {
        const struct requirement_line *line = &list->items[i];
        const char *shown = specifier_shown(line->q.specifier);
        if (line->hashes.len == 0 && with != NULL)
            diag_add_in(r->diags, line->file, line->mark, false,
                        "give all of them hashes, or none: uv pip compile --generate-hashes",
                        "%s has no hash, and %s has (%s:%zu)", line->q.name, with->q.name,
                        with->file->file, with->mark.line);
        else if (line->hashes.len == 0)
            diag_add_in(r->diags, line->file, line->mark, false, "uv pip compile --generate-hashes",
                        "%s has no hash, and --require-hashes asks for one", line->q.name);
        else if (!specifier_is_version(shown) && strncmp(shown, "===", 3) != 0)
            diag_add_in(r->diags, line->file, line->mark, false,
                        "a hash is one file's: expected an exact version, such as pandas==2.2.3",
                        "%s has hashes and no exact version", line->q.name);
    }
    if (r->index_file != NULL && !r->ret->hashed)
        diag_add_in(r->diags, r->index_file, r->index_mark, false,
                    "give all packages hashes (uv pip compile --generate-hashes), or name one "
                    "index that has them all: packages.python.index_url in the spec",
                    "of two indexes, any may have a package by a name that you mean of the other");
}

int requirements_read(const struct inputs *inputs, const char *path, const char *index_url,
                      struct arena *arena, struct diags *diags, struct requirements *ret) {
    struct requirements out = {0};
    struct reader r = {.inputs = inputs,
                       .index_url = index_url,
                       .arena = arena,
                       .diags = diags,
                       .errors = diags->errors,
                       .ret = &out,
                       .hashes = BUF_INIT(BUF_SMALL)};
    char hex[SHA256_HEX_SIZE];
    int rc = read_file(&r, path, WANTED, NULL, (struct str){NULL, 0});
    if (rc == 0 && diags->errors == r.errors)
        check_hashes(&r);
    sha256_hex(buf_str(&r.hashes), hex);
    out.sha256 = arena_dup(arena, hex);
    bool failed = out.sha256 == NULL || r.hashes.failed;
    buf_free(&r.hashes);
    if (rc == -ERRC_NOMEM || failed)
        return -ERRC_NOMEM;
    *ret = out;
    return 0;
}
