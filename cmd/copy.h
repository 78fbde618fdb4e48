/* One copy between this machine and a server: what the files of `berth cp` share. A small script on
 * the server says what is there, is told what to do, and then streams; all over one SSH session. */
#pragma once

#include "cmd/ssh_child.h"

#define COPY_PART ".berth-part" /* ".NAME.berth-part" beside what is being copied */

enum { COPY_CHUNK = 256 * 1024 };

struct copy_entry {
    char type; /* as find(1)'s %y: f, d, l */
    int64_t size;
    const char *path;
    bool same; /* both sides have it */
};

struct copy_entries {
    struct copy_entry *items;
    size_t len, cap;
    struct arena arena;
};

struct copy {
    struct session *s;
    const struct server_list *list;
    const struct server_view *server;
    const char *local, *remote; /* remote: relative to the login user's home, or absolute */
    struct ssh_child child;
    char *bytes; /* read from the server ahead */
    size_t at, len;
    struct str post;           /* still to be sent, while the answer to it comes */
    bool post_ends;            /* and then nothing more is sent */
    int64_t total, done, kept; /* bytes to send, sent, and there already */
    double started_s, shown_s;
};

/* Starts `script` on the server with these arguments (ends with NULL). It is one line: a login
 * shell such as tcsh takes no more between quotes. */
int copy_start(struct copy *c, const char *script, const char *const *args, struct err *err);
/* The session's end: its status, or what the server said as an error. */
int copy_end(struct copy *c, struct err *err);
/* Sends; fails on Ctrl-C and a broken session, then ended. */
int copy_send(struct copy *c, const void *bytes, size_t len, struct err *err);
/* The same in the course of the reads that follow, for what is answered while it is sent: both ends
 * would wait for each other else. `bytes` have to stay; `ends`: nothing is sent after them. */
void copy_post(struct copy *c, struct str bytes, bool ends);
/* Up to a byte, which is left out. */
int copy_read_to(struct copy *c, char end, struct buf *out, struct err *err);
/* What is there, at most `size`; 0 at the end. */
ssize_t copy_read(struct copy *c, void *bytes, size_t size, struct err *err);
/* Writes all of it here, to the file of that name. */
int copy_keep(int fd, const char *name, const char *bytes, size_t len, struct err *err);
void copy_progress(struct copy *c, int64_t moved);
/* Ctrl-C was pressed: -ERRC_CANCELLED with a hint, else 0. */
int copy_check(const struct copy *c, struct err *err);
/* SHA-256 in hex of the first `size` bytes of an open file, from its start. */
int copy_hash(int fd, int64_t size, char ret[65], struct err *err);

/* Entries that come as find's "%y %s %P\0", up to one of type e. Names that lead out, or are not
 * written as find does, are refused. */
int copy_read_entries(struct copy *c, struct copy_entries *ret, struct err *err);
int copy_add_entry(struct copy_entries *e, char type, int64_t size, const char *path);
void copy_entries_free(struct copy_entries *e);

int copy_file_up(struct copy *c, struct err *err);
int copy_folder_up(struct copy *c, struct err *err);
/* A file or a folder: the server says which. */
int copy_down(struct copy *c, struct err *err);
int copy_file_down(struct copy *c, const char *size_and_mode, struct err *err);
/* The last part of a path: "c" of "a/b/c/". */
const char *copy_base(struct arena *arena, const char *path);
/* Where it goes here: into a folder that is there, else as that name. */
const char *copy_local_target(struct copy *c, struct err *err);
