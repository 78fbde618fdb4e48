/* Files that go to a host behind the script, as tar archives, one a step: read from the disk as
 * they are sent, whatever their size. */
#pragma once

#include "providers/host/ssh.h"
#include "specs/arena.h"
#include "specs/buf.h"

#include <stddef.h>
#include <stdint.h>

/* Behind each archive, so that one that was cut between two files is told from a whole one; the
 * host looks for it (take_archive). */
enum { STREAM_END = '.' };

struct stream_file {
    const char *path;       /* on the host, without the leading slash; NULL: the archive's end */
    const char *local_path; /* to read */
    const char *sha256;     /* that its content must have */
    int64_t size_bytes;
    unsigned mode;
    size_t step;
};

struct host_stream {
    struct arena *arena;
    struct stream_file *items;
    size_t len, cap;
    int64_t *bytes;       /* of each step's archive; 0: none */
    const char **changed; /* of each step: a file that was not what was planned when it was sent */
    size_t steps;
    /* Being sent. */
    size_t at;
    bool begun; /* its header was made */
    int fd;
    int64_t left;       /* bytes of content */
    void *digest;       /* EVP_MD_CTX of the file */
    struct buf between; /* header and padding, still to be sent */
    size_t between_sent;
};

/* For that many steps. 0 or -ERRC_NOMEM. */
int stream_init(struct host_stream *s, struct arena *arena, size_t steps);
void stream_free(struct host_stream *s);
/* A file of a step's archive; steps come in order. Strings are borrowed. -ERRC_LIMIT for one that
 * tar cannot hold. */
int stream_add(struct host_stream *s, const struct stream_file *file, struct err *err);
/* The end of a step's archive, when anything was added to it. */
int stream_end(struct host_stream *s, size_t step, struct err *err);
/* Its bytes for ssh_run_command; `s` outlives it. A file that is not what was planned is sent as
 * zeros or cut to its size, and noted in `changed`. */
struct ssh_source stream_source(struct host_stream *s);
