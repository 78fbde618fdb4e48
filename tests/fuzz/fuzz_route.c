/* Any bytes as what OpenSSH says of its configuration, as known_hosts, and as a key file: a route
 * that can be used, or an error. */
#include "providers/host/key_file.h"
#include "providers/host/route.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct given_login login = {.host = "me@box"};
    _cleanup_arena_ struct arena arena = {0};
    struct str text = {(const char *)data, size};
    struct ssh_route route = {0};
    struct known_keys known = {0};
    struct key_file file = {.blob = BUF_INIT(BUF_SMALL)};
    struct err err = {0};
    if (ssh_route_read(&login, text, &arena, &route, &err) < 0) {
        if (err.code == 0)
            abort();
    } else if (route.user == NULL || route.address == NULL || route.known_as == NULL ||
               route.port < 1 || route.port > 65535) {
        abort();
    }
    if (ssh_route_read_known(text, &arena, &known) < 0)
        abort();
    key_file_read(text, text, &file);
    buf_reset(&file.blob);
    /* Again with the line that a key file begins with. */
    _cleanup_buf_ struct buf whole = BUF_INIT(BUF_MEDIUM);
    buf_adds(&whole, "-----BEGIN OPENSSH PRIV"
                     "ATE KEY-----\n");
    buf_addstr(&whole, text);
    key_file_read(buf_str(&whole), STR(""), &file);
    buf_free(&file.blob);
    return 0;
}
