#include "providers/host/given_check.h"

#include <string.h>

int given_ask(struct arena *arena, const char *user, struct buf *script) {
    const char *home = host_path(arena, user, "~");
    if (home == NULL)
        return -ERRC_NOMEM;
    buf_adds(script, "if [ -r " HOST_OWNER " ]; then read -r owner <" HOST_OWNER "; "
                     "printf 'berth\\towner\\t%s\\n' \"$owner\"; fi\n"
                     "home=$(getent passwd ");
    shell_quote(script, user);
    buf_adds(script, " | cut -d: -f6); at=");
    shell_quote(script, home);
    buf_adds(script,
             "\n[ -z \"$home\" ] || [ \"$home\" = \"$at\" ] || [ \"$home\" -ef \"$at\" ] || "
             "printf 'berth\\thome\\t%s\\n' \"$home\"\n");
    return 0;
}

/* Two specs on one server would undo each other's work; tags tell that of servers that berth made.
 */
static int check_owner(const char *project, const struct facts *facts, struct err *err) {
    const char *owner = facts_get(facts, "berth", "owner");
    if (owner == NULL || strcmp(owner, project) == 0)
        return 0;
    err_set(err, ERRC_CONFLICT, "the server is kept by another project: %s", owner);
    err_hint(
        err,
        "one server is for one spec: put both into one, or berth destroy that one. If it is no "
        "more: berth ssh -- sudo rm " HOST_OWNER);
    return -ERRC_CONFLICT;
}

/* What the spec puts below ~ would go to a folder that is not the user's. */
static int check_home(const char *user, const struct facts *facts, struct arena *arena,
                      struct err *err) {
    const char *home = facts_get(facts, "berth", "home");
    const char *at = host_path(arena, user, "~");
    if (home == NULL || at == NULL)
        return 0;
    err_set(err, ERRC_UNSUPPORTED, "the home of %s is %s there, and berth knows only %s", user,
            home, at);
    err_hint(err, "as root there: ln -s %s %s; or log in as another user", home, at);
    return -ERRC_UNSUPPORTED;
}

int given_check(const char *project, const char *user, const struct facts *facts,
                struct arena *arena, struct err *err) {
    int rc = check_owner(project, facts, err);
    return rc < 0 ? rc : check_home(user, facts, arena, err);
}
