#include "cmd/text.h"
#include "cmd/verbs.h"
#include "specs/fs.h"
#include "specs/sections/check.h"
#include "specs/template.h"

#include <ctype.h>
#include <string.h>
#include <unistd.h>

enum { NAME_SIZE = SPEC_NAME_MAX + 1, PATH_SIZE = 4096 };

/* The folder's name, made to fit the language: lower case, digits and dashes. */
static void name_of_folder(char *ret, size_t size) {
    char cwd[PATH_SIZE];
    size_t n = 0;
    const char *at = getcwd(cwd, sizeof cwd) == NULL ? "" : cwd;
    const char *slash = strrchr(at, '/');
    for (at = slash == NULL ? at : slash + 1; *at != '\0' && n + 1 < size; at++) {
        char c = (char)tolower((unsigned char)*at);
        bool good = (c >= 'a' && c <= 'z') || (n > 0 && c >= '0' && c <= '9');
        if (good)
            ret[n++] = c;
        else if (n > 0 && ret[n - 1] != '-')
            ret[n++] = '-';
    }
    while (n > 0 && ret[n - 1] == '-')
        n--;
    ret[n] = '\0';
    if (check_spec_name(str_of(ret)) != NULL)
        snprintf(ret, size, "jupyter");
}

/* .berth/ holds a private key and a token: keep it out of git. */
static int ignore_project_folder(bool *ret_written, struct err *err) {
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    int rc = fs_read(".gitignore", &text, err);
    if (rc < 0 && rc != -ERRC_NOTFOUND)
        return rc;
    struct str rest = buf_str(&text), line;
    while (text.len > 0 && str_split(&rest, '\n', &line)) {
        line = str_trim(line);
        if (str_eqc(line, ".berth/") || str_eqc(line, ".berth") || str_eqc(line, "/.berth/") ||
            str_eqc(line, "/.berth"))
            return 0;
    }
    if (text.len > 0 && text.ptr[text.len - 1] != '\n')
        buf_addc(&text, '\n');
    buf_adds(&text, ".berth/\n");
    *ret_written = true;
    return text.failed ? err_set(err, ERRC_LIMIT, ".gitignore is too large")
                       : fs_write(".gitignore", buf_str(&text), 0644, err);
}

static int write_spec(const struct cmd *cmd, const char *path, const char *name, struct err *err) {
    if (fs_exists(path)) {
        err_set(err, ERRC_CONFLICT, "%s is here already; it was left alone", path);
        err_hint(err, "edit it, or give another path with -file");
        return -ERRC_CONFLICT;
    }
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_MEDIUM);
    spec_template(&text, name, cmd->args.provider == NULL ? "sandbox" : cmd->args.provider);
    return text.failed ? err_no_memory(err) : fs_write(path, buf_str(&text), 0644, err);
}

static int run(struct cmd *cmd) {
    struct err err = {0};
    char name[NAME_SIZE];
    name_of_folder(name, sizeof name);
    const char *provider = cmd->args.provider;
    if (provider != NULL && strcmp(provider, "ec2") != 0 && strcmp(provider, "sandbox") != 0 &&
        strcmp(provider, "host") != 0)
        return cmd_usage(cmd, "-provider is ec2, sandbox or host, not %s", provider);
    if (cmd->args.name != NULL) {
        const char *expected = check_spec_name(str_of(cmd->args.name));
        if (expected != NULL)
            return cmd_usage(cmd, "-name %s: expected %s", cmd->args.name, expected);
        snprintf(name, sizeof name, "%s", cmd->args.name);
    }
    const char *path = cmd->args.file == NULL ? "berth.yaml" : cmd->args.file;
    bool ignored = false;
    int rc = write_spec(cmd, path, name, &err);
    if (rc == 0)
        rc = ignore_project_folder(&ignored, &err);
    if (rc < 0)
        return cmd_fail(cmd, &err);
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    buf_addf(&text, "wrote %s%s\n", path, ignored ? " and .berth/ into .gitignore" : "");
    _cleanup_buf_ struct buf word = BUF_INIT(BUF_SMALL);
    if (cmd->args.file != NULL && strcmp(path, "berth.yaml") != 0) {
        buf_adds(&word, " -file ");
        text_shell_word(str_of(path), &word);
    }
    buf_addf(&text, "next: edit it, then berth plan%s, then berth apply%s\n", buf_cstr(&word),
             buf_cstr(&word));
    return cmd_print(cmd, &text);
}

const struct verb verb_init = {
    .name = "init",
    .args = "",
    .summary = "write a commented berth.yaml here",
    .details = "Never overwrites a spec. Also lists .berth/ in .gitignore: it will hold the\n"
               "private key, the token and the state.",
    .options = {&option_file, &option_name, &option_provider},
    .run = run,
};
