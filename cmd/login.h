/* How OpenSSH's programs and berth itself log in to a server: its key file, its pinned host keys,
 * and the options that hold them to these. */
#pragma once

#include "cmd/servers.h"

/* A line of ssh_config(5): "IdentityFile" and its value, quoted where it has to be. */
struct login_option {
    const char *name, *value;
};

enum { LOGIN_OPTIONS = 40 };

/* The host keys that the server may show, "ssh-ed25519 AAAA…": as recorded by the node that pins
 * them (two while a rotation is under way), else as expected of its launch. -ERRC_HOSTKEY when none
 * is known. */
int login_host_keys(struct session *s, const struct server_view *v, struct strlist *ret,
                    struct err *err);
/* Write the keys of all servers whose keys are known to <project_dir>/known_hosts. */
int login_write_known_hosts(struct session *s, const struct server_list *list, struct err *err);
/* The options for one server, in the session's arena, with absolute paths; ends with a row without
 * a name. -ERRC_NOTFOUND when the server has no address now. */
int login_options(struct session *s, const struct server_view *v,
                  struct login_option ret[LOGIN_OPTIONS + 1], struct err *err);
