#include "cmd/ask.h"

#include "cmd/verbs.h"

#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <termios.h>
#include <unistd.h>

int ask_person(const struct cmd *cmd, const char *question, const char *const *yes,
               struct err *err) {
    if (!isatty(STDIN_FILENO)) {
        err_set(err, ERRC_INVALID, "there is no terminal to ask at; nothing was changed");
        err_hint(err, "look at what it shows, then run the same command with -auto-approve");
        return -ERRC_INVALID;
    }
    fflush(cmd->out);
    fprintf(cmd->err, "%s ", question);
    fflush(cmd->err);
    char line[64] = "";
    if (fgets(line, sizeof line, stdin) == NULL)
        fputc('\n', cmd->err);
    line[strcspn(line, "\n")] = '\0';
    for (; *yes != NULL; yes++)
        if (strcasecmp(line, *yes) == 0)
            return 0;
    return err_set(err, ERRC_CANCELLED, "not approved; nothing was changed");
}

static void write_all(int fd, const char *text) {
    size_t len = strlen(text);
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
    }
}

/* One line without its end; what does not fit is dropped. */
static size_t read_line(int fd, char *ret, size_t size) {
    size_t len = 0;
    char c;
    while (read(fd, &c, 1) == 1 && c != '\n')
        if (c != '\r' && len + 1 < size)
            ret[len++] = c;
    ret[len] = '\0';
    return len;
}

int ask_secret(const char *question, struct secret *ret, struct err *err) {
    struct termios shown, hidden;
    char line[256];
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || tcgetattr(fd, &shown) < 0) {
        if (fd >= 0)
            close(fd);
        err_set(err, ERRC_AUTH, "there is no terminal to ask at");
        err_hint(err, "run it at a terminal");
        return -ERRC_AUTH;
    }
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(fd, TCSAFLUSH, &hidden); /* before the question: it drops what was typed till then */
    write_all(fd, question);
    size_t len = read_line(fd, line, sizeof line);
    tcsetattr(fd, TCSAFLUSH, &shown);
    write_all(fd, "\n");
    close(fd);
    int rc = len == 0 ? err_set(err, ERRC_CANCELLED, "nothing was given")
             : secret_set(ret, (struct str){line, len}) < 0 ? err_no_memory(err)
                                                            : 0;
    explicit_bzero(line, sizeof line);
    return rc;
}
