#include "cmd/servers.h"
#include "cmd/verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Hand the address to the desktop's browser; false when there is none. */
static bool open_browser(const char *url) {
    const char *x = getenv("DISPLAY"), *wayland = getenv("WAYLAND_DISPLAY");
    if ((x == NULL || x[0] == '\0') && (wayland == NULL || wayland[0] == '\0'))
        return false;
    pid_t pid = fork();
    if (pid < 0)
        return false;
    if (pid == 0) {
        execlp("xdg-open", "xdg-open", url, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int run(struct cmd *cmd) {
    struct err err = {0};
    struct session s;
    struct server_list list = {0};
    session_init(&s, cmd);
    int rc = servers_recorded(&s, &list, &err);
    const char *name = cmd->args.positional_len > 0 ? cmd->args.positional[0] : NULL;
    const struct server_view *server = rc < 0 ? NULL : servers_find(&list, name, &err);
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    if (server == NULL || servers_login_url(&s, server, &text, &err) < 0)
        return session_fail(&s, &err);
    buf_addc(&text, '\n');
    int code = cmd_print(cmd, &text);
    cmd_note(cmd,
             "The certificate is signed by this project's own authority. To trust it once, import\n"
             "%s/ca.pem into the browser (Settings, Certificates, Authorities).",
             s.project_dir);
    text.ptr[--text.len] = '\0';
    if (code == EXIT_OK && cmd->out_look.tty && !open_browser(buf_cstr(&text)))
        cmd_note(cmd, "No browser was started here: open the address by hand.");
    session_free(&s);
    return code;
}

const struct verb verb_open = {
    .name = "open",
    .args = "[SERVER]",
    .summary = "print the logged-in address of Jupyter, and open it in the browser",
    .details = "At a terminal with a display the browser is started (xdg-open); elsewhere the\n"
               "address is only printed. It carries the login token: treat it like a password.",
    .options = {&option_file},
    .positional_max = 1,
    .run = run,
};
