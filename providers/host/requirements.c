#include "providers/host/requirements.h"

#include "providers/host/requirements_reader.h"
#include "specs/hash.h"
#include "specs/sections/check.h"

#include <string.h>

enum { NESTED_MAX = 16 };

/* Of a file of which nothing is right the first mistakes will do. */
static bool is_over(const struct requirement_reader *r) {
    return r->diags->errors >= r->errors + DIAG_MAX;
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

static bool is_main_index(const struct requirement_reader *r, struct str url) {
    const char *main = r->index_url == NULL ? "https://pypi.org/simple" : r->index_url;
    return str_eq(without_slash(url), without_slash(str_of(main)));
}

/* Whose code runs on the server is said in the spec, where plan and state show it: a file that a
 * tool wrote does not decide it. */
static void check_index(struct requirement_reader *r, struct requirement_text *t, struct str url) {
    if (!is_main_index(r, url))
        requirement_tell(r, t, url,
                         r->index_url == NULL
                             ? "write it into the spec, packages.python.index_url, and leave "
                               "it out here or let it stand"
                             : "the spec has packages.python.index_url: leave one of them out",
                         "the file names a package index that the spec does not");
}

static int add_index(struct requirement_reader *r, struct requirement_text *t, struct str url) {
    const char *text = arena_dup_str(r->arena, url);
    if (text == NULL)
        return -ERRC_NOMEM;
    if (is_main_index(r, url) || strlist_has(&r->ret->indexes, text))
        return 0;
    if (check_http_url(url) != NULL || requirement_has_login(url)) {
        requirement_tell(r, t, url, "expected an http or https URL without a login",
                         "this is no package index that berth can take");
        return 0;
    }
    if (r->index_file == NULL) {
        r->index_file = &t->source;
        r->index_mark = requirement_text_mark(t, url);
    }
    return strlist_add(r->arena, &r->ret->indexes, text);
}

static int read_file(struct requirement_reader *r, const char *path, enum requirement_role role,
                     struct requirement_text *from, struct str at);

/* Relative to the file that names it. */
static int read_named(struct requirement_reader *r, struct requirement_text *t, struct str name,
                      enum requirement_role role) {
    const char *path = t->source.file, *slash = strrchr(path, '/');
    if (memchr(name.ptr, ':', name.len) != NULL && str_starts(name, STR("file:"))) {
        requirement_tell(r, t, name, "name the file by its path", "a URL is not a path");
        return 0;
    }
    for (size_t i = 0; i + 2 < name.len; i++)
        if (str_starts((struct str){name.ptr + i, name.len - i}, STR("://"))) {
            requirement_tell(r, t, name, "fetch it, and name the file",
                             "requirements are not read from a URL");
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

static int use_option(struct requirement_reader *r, struct requirement_text *t,
                      const struct requirement_option *o, struct str rest) {
    const struct option *known = find_option(o->name);
    if (known == NULL || known->type == REFUSED) {
        requirement_tell(r, t, o->name, known == NULL ? "leave it out" : known->help,
                         "the option `%.*s` cannot stand here", STR_FMT(o->name));
        return 0;
    }
    bool bare = known->type == ALL_HASHED;
    if (o->broken || rest.len > 0 || (o->value.len == 0) != bare) {
        requirement_tell(r, t, t->line,
                         bare ? "expected no more on the line"
                              : "expected one value, and one option a line",
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

/* ---- Files */

static int read_lines(struct requirement_reader *r, struct requirement_text *t,
                      enum requirement_role role) {
    int rc = 0;
    while (rc == 0 && !is_over(r) && requirement_text_next(t)) {
        struct requirement_option o;
        struct str rest = t->line;
        if (requirement_text_option(&rest, &o))
            rc = use_option(r, t, &o, rest);
        else if (r->ask == NULL)
            rc = requirement_read(r, t, role);
    }
    return rc;
}

/* Is it one to be read now? `from` is the file that names it, or NULL. */
static bool is_to_be_read(struct requirement_reader *r, const char *path,
                          enum requirement_role role, struct requirement_text *from,
                          struct str at) {
    if (strlist_has(&r->open, path))
        requirement_tell(r, from, at, "leave it out",
                         "files of requirements name each other in a circle");
    else if (r->open.len == NESTED_MAX)
        requirement_tell(r, from, at, "write them into fewer files",
                         "files of requirements name each other more than %d deep", NESTED_MAX);
    else
        return !strlist_has(&r->done[role], path);
    return false;
}

static int read_text(struct requirement_reader *r, const struct input *input,
                     enum requirement_role role) {
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

static int read_file(struct requirement_reader *r, const char *path, enum requirement_role role,
                     struct requirement_text *from, struct str at) {
    if (!is_to_be_read(r, path, role, from, at))
        return 0;
    const struct input *input = inputs_get(r->inputs, INPUT_FILE, path);
    if (input == NULL && r->ask != NULL) /* that the spec names is to be there */
        return inputs_ask(r->ask, INPUT_FILE, path, r->field, from == NULL);
    if (input != NULL && input->found)
        return read_text(r, input, role);
    if (from != NULL && r->ask == NULL)
        requirement_tell(r, from, at, "paths are relative to the file that names them",
                         "the file does not exist");
    return 0;
}

int requirements_ask(struct inputs *inputs, const char *path, const char *field) {
    struct diags unheard = {.arena = inputs->arena};
    struct requirements unused = {0};
    struct requirement_reader r = {.inputs = inputs,
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
static void check_hashes(struct requirement_reader *r) {
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
    struct requirement_reader r = {.inputs = inputs,
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
