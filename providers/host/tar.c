#include "providers/host/tar.h"

#include <stdio.h>
#include <string.h>

enum { BLOCK = 512, NAME_SIZE = 100 };

struct header { /* octal numbers as text */
    char name[NAME_SIZE], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type;
    char link[NAME_SIZE], magic[6], version[2], uname[32], gname[32], major[8], minor[8];
    char prefix[155], rest[12];
};

_Static_assert(sizeof(struct header) == BLOCK, "a header is a block");

static void add_header(struct buf *out, const char *name, unsigned mode, size_t size, char type) {
    struct header h = {.type = type, .magic = "ustar", .version = {'0', '0'}};
    size_t n = strlen(name) < NAME_SIZE ? strlen(name) : NAME_SIZE - 1;
    memcpy(h.name, name, n);
    snprintf(h.mode, sizeof h.mode, "%07o", mode & 07777);
    snprintf(h.uid, sizeof h.uid, "%07o", 0U);
    snprintf(h.gid, sizeof h.gid, "%07o", 0U);
    snprintf(h.size, sizeof h.size, "%011zo", size);
    snprintf(h.mtime, sizeof h.mtime, "%011o", 0U);
    memset(h.checksum, ' ', sizeof h.checksum);
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof h; i++)
        sum += ((const unsigned char *)&h)[i];
    snprintf(h.checksum, sizeof h.checksum, "%06o", sum & 0777777);
    buf_add(out, &h, sizeof h);
}

static void add_content(struct buf *out, const char *ptr, size_t len) {
    buf_add(out, ptr, len);
    if (len % BLOCK != 0)
        buf_addn(out, '\0', BLOCK - len % BLOCK);
}

void tar_add(struct buf *out, const char *path, unsigned mode, struct str content) {
    size_t len = strlen(path);
    if (len >= NAME_SIZE) {
        add_header(out, "././@LongLink", 0644, len + 1, 'L');
        add_content(out, path, len + 1);
    }
    add_header(out, path, mode, content.len, '0');
    add_content(out, content.ptr, content.len);
}

void tar_end(struct buf *out) { buf_addn(out, '\0', (size_t)2 * BLOCK); }
