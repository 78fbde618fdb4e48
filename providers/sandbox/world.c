/* The world on disk, and its place on this machine: a subnet of its own. */
#define _GNU_SOURCE
#include "providers/sandbox/guest.h"
#include "providers/sandbox/internal.h"
#include "specs/fs.h"

#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

enum { WORLD_BYTES_MAX = 64 * 1024 * 1024, SUBNETS = 256 };

void world_path(const struct sandbox *s, const char *name, char *ret, size_t size) {
    snprintf(ret, size, "%s/%s", s->paths.dir, name);
}

int world_save(struct sandbox *s, struct err *err) {
    char path[PATH_SIZE];
    world_path(s, "world.json", path, sizeof path);
    char *text = cJSON_Print(s->world);
    int rc = text == NULL ? err_no_memory(err) : fs_write(path, str_of(text), 0600, err);
    cJSON_free(text);
    if (rc < 0)
        sandbox_log("the world cannot be kept: %s", err->msg);
    return rc;
}

cJSON *world_list(struct sandbox *s, const char *name) {
    cJSON *list = cJSON_GetObjectItemCaseSensitive(s->world, name);
    return list != NULL ? list : cJSON_AddArrayToObject(s->world, name);
}

static void random_text(size_t bytes, char *ret) {
    unsigned char raw[32];
    RAND_bytes(raw, sizeof raw);
    for (size_t i = 0; i < bytes; i++)
        snprintf(ret + 2 * i, 3, "%02x", raw[i]);
}

int world_load(struct sandbox *s, struct err *err) {
    char path[PATH_SIZE], text[80];
    _cleanup_buf_ struct buf bytes = BUF_INIT(WORLD_BYTES_MAX);
    struct err why;
    world_path(s, "world.json", path, sizeof path);
    int rc = fs_read(path, &bytes, &why);
    if (rc == 0) {
        s->world = cJSON_ParseWithLength(bytes.ptr, bytes.len);
        if (cJSON_IsObject(s->world))
            return 0;
        err_set(err, ERRC_STATE, "%s is not a world's JSON", path);
        err_hint(err, "berth sandbox reset removes this world");
        return -ERRC_STATE;
    }
    if (rc != -ERRC_NOTFOUND) {
        *err = why;
        return rc;
    }
    s->world = cJSON_CreateObject();
    if (s->world == NULL)
        return err_no_memory(err);
    /* Twenty characters that start as AWS's do, but could be nobody's. */
    random_text(8, text);
    for (char *c = text; *c != '\0'; c++)
        *c = *c >= 'a' ? (char)(*c - 'a' + 'A') : *c;
    char key[32];
    snprintf(key, sizeof key, "SBOX%.16s", text);
    set_text(s->world, "access_key", key);
    random_text(20, text);
    set_text(s->world, "secret_key", text);
    return world_save(s, err);
}

/* ---- The subnets: SANDBOX_NET.N.0/24 and SANDBOX_PUBLIC_NET.N.0/24, one N a world on this machine
 */

static bool subnet_in_use(int subnet) {
    struct ifaddrs *list = NULL;
    bool used = false;
    if (getifaddrs(&list) < 0)
        return true;
    for (const struct ifaddrs *a = list; a != NULL; a = a->ifa_next) {
        if (a->ifa_addr == NULL || a->ifa_addr->sa_family != AF_INET)
            continue;
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)a->ifa_addr;
        uint32_t address = ntohl(in->sin_addr.s_addr);
        used |= address >> 8 == (SANDBOX_NET_BITS | (unsigned)subnet) ||
                address >> 8 == (SANDBOX_PUBLIC_NET_BITS | (unsigned)subnet);
    }
    freeifaddrs(list);
    return used;
}

static int lock_subnet(int subnet) {
    char path[64];
    snprintf(path, sizeof path, "/run/berth-sandbox-%d.lock", subnet);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

int world_take_subnet(struct sandbox *s, struct err *err) {
    const cJSON *before = cJSON_GetObjectItem(s->world, "subnet");
    int first = cJSON_IsNumber(before) ? before->valueint : 0;
    for (int i = 0; i < SUBNETS; i++) {
        int subnet = (first + i) % SUBNETS;
        bool mine = i == 0 && cJSON_IsNumber(before) && guests_alive(s);
        int fd = lock_subnet(subnet);
        if (fd < 0)
            continue;
        if (!mine && subnet_in_use(subnet)) {
            close(fd);
            continue;
        }
        s->subnet = subnet;
        s->subnet_fd = fd;
        set_number(s->world, "subnet", subnet);
        return 0;
    }
    return err_set(err, ERRC_CONFLICT, "no free subnet in " SANDBOX_NET ".0.0/16");
}
