#include "cmd/look.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* LC_ALL, LC_CTYPE, LANG: the first that is set decides (POSIX). */
static bool locale_is_utf8(void) {
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i]);
        if (value == NULL || value[0] == '\0')
            continue;
        const char *charset = strchr(value, '.');
        return charset != NULL &&
               (strncasecmp(charset, ".utf-8", 6) == 0 || strncasecmp(charset, ".utf8", 5) == 0);
    }
    return false;
}

static size_t columns_of(int fd) {
    const char *set = getenv("COLUMNS");
    int64_t columns;
    if (set != NULL && str_to_i64(str_of(set), 40, 1000, &columns))
        return (size_t)columns;
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40)
        return size.ws_col;
    return 80;
}

struct look look_at(FILE *stream, bool no_color) {
    int fd = fileno(stream);
    const char *term = getenv("TERM");
    const char *no = getenv("NO_COLOR"); /* no-color.org: set and not empty */
    bool dumb = term == NULL || strcmp(term, "dumb") == 0;
    struct look look = {.width = WIDTH_PLAIN, .utf8 = locale_is_utf8()};
    if (!isatty(fd))
        return look;
    look.width = columns_of(fd);
    look.tty = !dumb;
    look.color = !dumb && !no_color && (no == NULL || no[0] == '\0');
    return look;
}
