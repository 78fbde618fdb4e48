/* Which host keys known_hosts holds for a server: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT. */
#include "providers/host/child.h"
#include "providers/host/route.h"
#include "specs/fs.h"

/* Between blanks of either kind, several of them too. */
static struct str next_word(struct str *line) {
    struct str rest = *line;
    while (rest.len > 0 && (*rest.ptr == ' ' || *rest.ptr == '\t'))
        rest = (struct str){rest.ptr + 1, rest.len - 1};
    size_t n = 0;
    while (n < rest.len && rest.ptr[n] != ' ' && rest.ptr[n] != '\t')
        n++;
    *line = (struct str){rest.ptr + n, rest.len - n};
    return (struct str){rest.ptr, n};
}

static int take_line(struct str line, struct arena *arena, struct known_keys *out) {
    struct str first = next_word(&line), marker = {NULL, 0};
    if (first.len == 0 || first.ptr[0] == '#')
        return 0;
    if (first.ptr[0] == '@') {
        marker = first;
        next_word(&line);
    }
    struct str type = next_word(&line), key = next_word(&line);
    bool revoked = str_eqc(marker, "@revoked"), authority = str_eqc(marker, "@cert-authority");
    if (key.len == 0 || (marker.len > 0 && !revoked && !authority))
        return 0;
    if (authority) {
        out->authority = true;
        return 0;
    }
    const char *text = arena_printf(arena, "%.*s %.*s", STR_FMT(type), STR_FMT(key));
    struct strlist *list = revoked ? &out->revoked : &out->keys;
    if (text == NULL)
        return -ERRC_NOMEM;
    return strlist_has(list, text) ? 0 : strlist_add(arena, list, text);
}

int ssh_route_read_known(struct str text, struct arena *arena, struct known_keys *out) {
    struct str line;
    while (text.len > 0 && str_split(&text, '\n', &line))
        if (take_line(str_trim(line), arena, out) < 0)
            return -ERRC_NOMEM;
    return 0;
}

int ssh_route_known(const struct ssh_route *route, struct arena *arena, struct known_keys *ret,
                    struct err *err) {
    struct known_keys known = {0};
    for (size_t i = 0; i < route->known_hosts.len; i++) {
        const char *file = route->known_hosts.items[i];
        const char *const words[] = {"ssh-keygen", "-F", route->known_as, "-f", file, NULL};
        _cleanup_buf_ struct buf out = BUF_INIT(BUF_MEDIUM);
        struct err ignored = {0};
        int status = 0;
        if (!fs_exists(file) || child_capture(words, &out, NULL, &status, &ignored) < 0)
            continue;
        if (ssh_route_read_known(buf_str(&out), arena, &known) < 0)
            return err_no_memory(err);
    }
    *ret = known;
    return 0;
}
