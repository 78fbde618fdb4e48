#include "providers/host/tar.h"

#include <stdio.h>
#include <string.h>

enum { NAME_SIZE = 100 };

struct header { /* octal numbers as text */
    char name[NAME_SIZE], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type;
    char link[NAME_SIZE], magic[6], version[2], uname[32], gname[32], major[8], minor[8];
    char prefix[155], rest[12];
};

_Static_assert(sizeof(struct header) == TAR_BLOCK, "a header is a block");

static void add_header(struct buf *out, const char *name, unsigned mode, int64_t size, char type) {
    struct header h = {.type = type, .magic = "ustar", .version = {'0', '0'}};
    size_t n = strlen(name) < NAME_SIZE ? strlen(name) : NAME_SIZE - 1;
    memcpy(h.name, name, n);
    snprintf(h.mode, sizeof h.mode, "%07o", mode & 07777);
    snprintf(h.uid, sizeof h.uid, "%07o", 0U);
    snprintf(h.gid, sizeof h.gid, "%07o", 0U);
    snprintf(h.size, sizeof h.size, "%011llo", (unsigned long long)size);
    snprintf(h.mtime, sizeof h.mtime, "%011o", 0U);
    memset(h.checksum, ' ', sizeof h.checksum);
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof h; i++)
        sum += ((const unsigned char *)&h)[i];
    snprintf(h.checksum, sizeof h.checksum, "%06o", sum & 0777777);
    buf_add(out, &h, sizeof h);
}

size_t tar_padding(int64_t size_bytes) {
    return (size_t)((TAR_BLOCK - size_bytes % TAR_BLOCK) % TAR_BLOCK);
}

void tar_add_header(struct buf *out, const char *path, unsigned mode, int64_t size_bytes) {
    size_t len = strlen(path);
    if (len >= NAME_SIZE) {
        add_header(out, "././@LongLink", 0644, (int64_t)len + 1, 'L');
        buf_add(out, path, len + 1);
        buf_addn(out, '\0', tar_padding((int64_t)len + 1));
    }
    add_header(out, path, mode, size_bytes, '0');
}

int64_t tar_file_bytes(const char *path, int64_t size_bytes) {
    int64_t len = (int64_t)strlen(path);
    int64_t name = len < NAME_SIZE ? 0 : TAR_BLOCK + len + 1 + (int64_t)tar_padding(len + 1);
    return name + TAR_BLOCK + size_bytes + (int64_t)tar_padding(size_bytes);
}
