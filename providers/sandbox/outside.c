#define _GNU_SOURCE /* memmem */
#include "providers/sandbox/outside.h"
#include "providers/sandbox/internal.h"
#include "specs/buf.h"
#include "specs/fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *env_of(const char *name) {
    const char *value = getenv(name);
    return value == NULL ? "" : value;
}

struct url {
    struct str user, host, port;
};

static bool split_url(struct str text, struct url *ret) {
    bool secure = str_starts(text, STR("https://"));
    if (!secure && !str_starts(text, STR("http://")))
        return false;
    size_t scheme = secure ? 8 : 7;
    struct str rest = {text.ptr + scheme, text.len - scheme};
    const char *slash = memchr(rest.ptr, '/', rest.len);
    if (slash != NULL)
        rest.len = (size_t)(slash - rest.ptr);
    *ret = (struct url){.port = secure ? STR("443") : STR("80")};
    for (size_t i = rest.len; i > 0; i--)
        if (rest.ptr[i - 1] == '@') {
            ret->user = (struct str){rest.ptr, i - 1};
            rest = (struct str){rest.ptr + i, rest.len - i};
            break;
        }
    if (rest.len > 0 && rest.ptr[0] == '[') {
        const char *end = memchr(rest.ptr, ']', rest.len);
        if (end == NULL)
            return false;
        ret->host = (struct str){rest.ptr + 1, (size_t)(end - rest.ptr - 1)};
        rest = (struct str){end + 1, (size_t)(rest.ptr + rest.len - end - 1)};
    } else {
        const char *colon = memchr(rest.ptr, ':', rest.len);
        size_t len = colon == NULL ? rest.len : (size_t)(colon - rest.ptr);
        ret->host = (struct str){rest.ptr, len};
        rest = (struct str){rest.ptr + len, rest.len - len};
    }
    if (rest.len > 1 && rest.ptr[0] == ':')
        ret->port = (struct str){rest.ptr + 1, rest.len - 1};
    return ret->host.len > 0;
}

static bool same_name(struct str a, const char *b) {
    return a.len == strlen(b) && strncasecmp(a.ptr, b, a.len) == 0;
}

/* ---- The proxy */

static bool is_exempt(const char *host) {
    const char *list = env_of("no_proxy")[0] != '\0' ? env_of("no_proxy") : env_of("NO_PROXY");
    struct str rest = str_of(list), entry;
    size_t len = strlen(host);
    while (str_split(&rest, ',', &entry)) {
        entry = str_trim(entry);
        if (str_eqc(entry, "*"))
            return true;
        if (entry.len > 0 && entry.ptr[0] == '.')
            entry = (struct str){entry.ptr + 1, entry.len - 1};
        if (entry.len == 0 || entry.len > len)
            continue;
        if (strncasecmp(host + len - entry.len, entry.ptr, entry.len) == 0 &&
            (entry.len == len || host[len - entry.len - 1] == '.'))
            return true;
    }
    return false;
}

/* "user:password", percent-encoded where it must be. */
static void authorize(struct str user, char *ret, size_t size) {
    _cleanup_buf_ struct buf plain = BUF_INIT(BUF_SMALL);
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    ret[0] = '\0';
    if (user.len == 0)
        return;
    for (size_t i = 0; i < user.len; i++) {
        int a = user.ptr[i] == '%' && i + 2 < user.len ? hex_value(user.ptr[i + 1]) : -1;
        int b = a >= 0 ? hex_value(user.ptr[i + 2]) : -1;
        buf_addc(&plain, (char)(b >= 0 ? a << 4 | b : user.ptr[i]));
        i += b >= 0 ? 2 : 0;
    }
    buf_add_base64(&text, buf_cstr(&plain), plain.len);
    snprintf(ret, size, "Basic %s", buf_cstr(&text));
}

bool outside_proxy_for(bool tunnel, const char *host, struct outside_proxy *ret) {
    /* HTTP_PROXY in capitals is not taken, as curl does not: a CGI's caller could set it. */
    const char *const names[] = {tunnel ? "https_proxy" : "http_proxy",
                                 tunnel ? "HTTPS_PROXY" : "http_proxy", "all_proxy", "ALL_PROXY"};
    const char *value = "";
    struct url url;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && value[0] == '\0'; i++)
        value = env_of(names[i]);
    if (value[0] == '\0' || is_exempt(host) || !split_url(str_of(value), &url) ||
        url.host.len >= sizeof ret->host || url.port.len >= sizeof ret->port)
        return false;
    snprintf(ret->host, sizeof ret->host, "%.*s", STR_FMT(url.host));
    snprintf(ret->port, sizeof ret->port, "%.*s", STR_FMT(url.port));
    authorize(url.user, ret->authorization, sizeof ret->authorization);
    return true;
}

/* ---- Package indexes */

bool outside_pip_setting(const char *name, char *ret, unsigned long size) {
    char user[2][1024];
    snprintf(user[0], sizeof user[0], "%s/.config/pip/pip.conf", env_of("HOME"));
    snprintf(user[1], sizeof user[1], "%s/.pip/pip.conf", env_of("HOME"));
    const char *const files[] = {env_of("PIP_CONFIG_FILE"), user[0], user[1], "/etc/pip.conf"};
    for (size_t f = 0; f < sizeof files / sizeof files[0]; f++) {
        _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
        struct err ignored;
        struct str line, key;
        if (files[f][0] == '\0' || fs_read(files[f], &text, &ignored) < 0)
            continue;
        struct str rest = buf_str(&text);
        bool global = false;
        while (str_split(&rest, '\n', &line)) {
            line = str_trim(line);
            if (line.len > 0 && line.ptr[0] == '[')
                global = str_eqc(line, "[global]");
            struct str value = line;
            if (!global || !str_split(&value, '=', &key) || value.ptr == NULL ||
                !str_eqc(str_trim(key), name))
                continue;
            value = str_trim(value);
            if (value.len == 0 || value.len >= size)
                continue;
            snprintf(ret, size, "%.*s", STR_FMT(value));
            return true;
        }
    }
    return false;
}

/* A variable may list several, blanks between them; uv's may have a NAME= in front. */
static bool names_host(struct str list, const char *host, const char *port) {
    struct str word;
    while (str_split(&list, ' ', &word)) {
        struct url url;
        const char *at = memmem(word.ptr, word.len, "http", 4);
        if (at == NULL)
            continue;
        word = (struct str){at, (size_t)(word.ptr + word.len - at)};
        if (split_url(word, &url) && same_name(url.host, host) && str_eqc(url.port, port))
            return true;
    }
    return false;
}

bool outside_is_index(const char *host, const char *port) {
    static const char *const variables[] = {"PIP_INDEX_URL",    "PIP_EXTRA_INDEX_URL",
                                            "UV_DEFAULT_INDEX", "UV_INDEX",
                                            "UV_INDEX_URL",     "UV_EXTRA_INDEX_URL"};
    static const char *const settings[] = {"index-url", "extra-index-url"};
    char text[1024];
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        if (names_host(str_of(env_of(variables[i])), host, port))
            return true;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (outside_pip_setting(settings[i], text, sizeof text) &&
            names_host(str_of(text), host, port))
            return true;
    return false;
}
