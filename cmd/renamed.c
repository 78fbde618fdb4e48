#include "cmd/renamed.h"

#include "specs/fs.h"

#include <dirent.h>
#include <string.h>

/* Of a line `name: churn  # as it is called`, read loosely: a spec that is wrong elsewhere counts
 * as well. */
static bool names(struct str line, const char *name) {
    struct str key, value;
    if (!str_split(&line, ':', &key) || !str_eqc(key, "name") || line.ptr == NULL ||
        !str_split(&line, '#', &value))
        return false;
    value = str_trim(value);
    if (value.len >= 2 && (value.ptr[0] == '"' || value.ptr[0] == '\''))
        value = (struct str){value.ptr + 1, value.len - 2};
    return str_eqc(value, name);
}

static bool is_named_by(const char *path, const char *name) {
    _cleanup_buf_ struct buf text = BUF_INIT(TREE_BYTES_MAX);
    struct err ignored = {0};
    if (fs_read(path, &text, &ignored) < 0)
        return false;
    struct str rest = buf_str(&text), line;
    while (rest.len > 0 && str_split(&rest, '\n', &line))
        if (names(line, name))
            return true;
    return false;
}

static bool has_spec(const struct session *s, const char *name) {
    DIR *dir = opendir(s->spec_dir);
    bool found = dir == NULL; /* nothing is known: nothing is said */
    for (const struct dirent *e; !found && (e = readdir(dir)) != NULL;) {
        _cleanup_buf_ struct buf path = BUF_INIT(BUF_SMALL);
        struct str file = str_of(e->d_name);
        if (!str_ends(file, STR(".yaml")) && !str_ends(file, STR(".yml")))
            continue;
        buf_addf(&path, "%s/%s", s->spec_dir, e->d_name);
        found = is_named_by(buf_cstr(&path), name);
    }
    if (dir != NULL)
        closedir(dir);
    return found;
}

static bool has_records(const struct session *s, const char *projects, const char *name) {
    _cleanup_buf_ struct buf path = BUF_INIT(BUF_SMALL);
    struct state state = {0};
    struct err ignored = {0};
    buf_addf(&path, "%s/%s", projects, name);
    int rc = state_open(buf_cstr(&path), s->cmd->kinds, session_random, &state, &ignored);
    bool records = rc == 0 && state.nodes.len > 0;
    if (rc == 0)
        state_free(&state);
    return records;
}

void renamed_note(const struct session *s) {
    _cleanup_buf_ struct buf projects = BUF_INIT(BUF_SMALL);
    buf_addf(&projects, "%s/.berth", s->spec_dir);
    DIR *dir = opendir(buf_cstr(&projects));
    for (const struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;)
        if (e->d_name[0] != '.' && strcmp(e->d_name, s->name) != 0 &&
            has_records(s, buf_cstr(&projects), e->d_name) && !has_spec(s, e->d_name))
            cmd_note(s->cmd,
                     "note: %s/%s records what was made as %s, which no spec here is called. Was "
                     "this one\n  renamed? berth destroy -name %s takes that down.",
                     buf_cstr(&projects), e->d_name, e->d_name, e->d_name);
    if (dir != NULL)
        closedir(dir);
}
