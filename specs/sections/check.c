#include "specs/sections/check.h"

#include <arpa/inet.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>

/* POSIX extended regular expression over the whole text. */
static bool matches(struct str s, const char *pattern) {
    char text[512];
    regex_t regex;
    if (s.len >= sizeof text || memchr(s.ptr, '\0', s.len) != NULL ||
        regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return false;
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    bool good = strchr(text, '\n') == NULL && regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return good;
}

const char *check_spec_name(struct str s) {
    return matches(s, "^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$")
               ? NULL
               : "small letters, digits and dashes, starting with a letter, at most 40";
}

const char *check_nonempty(struct str s) { return s.len > 0 ? NULL : "some text"; }

const char *check_region(struct str s) {
    return matches(s, "^[a-z][a-z0-9-]{2,30}$") ? NULL : "an AWS region such as us-east-1";
}

const char *check_cidr_or_my_ip(struct str s) {
    static const char form[] = "my-ip or a CIDR block such as 203.0.113.7/32 or 2001:db8::/64";
    if (str_eqc(s, "my-ip"))
        return NULL;
    struct str rest = s;
    struct str address;
    if (s.len >= 64 || !str_split(&rest, '/', &address))
        return form;
    char text[64];
    snprintf(text, sizeof text, "%.*s", STR_FMT(address));
    unsigned char bytes[16];
    size_t len = inet_pton(AF_INET, text, bytes) == 1    ? 4
                 : inet_pton(AF_INET6, text, bytes) == 1 ? 16
                                                         : 0;
    if (len == 0)
        return form;
    if (rest.ptr == NULL)
        return len == 4 ? "a CIDR block: write /32 behind it for this one address"
                        : "a CIDR block: write /128 behind it for this one address";
    int64_t prefix = 0;
    if (!str_to_i64(rest, 0, (int64_t)len * 8, &prefix))
        return len == 4 ? "a prefix length of 0 to 32" : "a prefix length of 0 to 128";
    return NULL;
}

const char *check_instance_type(struct str s) {
    return matches(s, "^[a-z][a-z0-9-]*\\.[a-z0-9-]+$") ? NULL
                                                        : "an instance type such as t3.small";
}

const char *check_image_id(struct str s) {
    return matches(s, "^ami-([0-9a-f]{8}|[0-9a-f]{17})$") ? NULL : "an image name or an ami-… id";
}

const char *check_system_package(struct str s) {
    return matches(s, "^[A-Za-z0-9][A-Za-z0-9+._-]{0,99}$") ? NULL : "a package name such as git";
}

/* PEP 508 without URLs and markers: name, extras, version specifiers. */
const char *check_requirement(struct str s) {
    return matches(s, "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"
                      "( *\\[ *[A-Za-z0-9._-]+( *, *[A-Za-z0-9._-]+)* *\\])?"
                      "( *(==|!=|<=|>=|<|>|~=) *[A-Za-z0-9.*+!_-]+"
                      "( *, *(==|!=|<=|>=|<|>|~=) *[A-Za-z0-9.*+!_-]+)*)?$")
               ? NULL
               : "a requirement such as pandas or scikit-learn==1.5.*";
}

const char *check_python_version(struct str s) {
    return matches(s, "^3\\.[0-9]{1,2}$") ? NULL : "a Python version such as \"3.12\"";
}

const char *check_http_url(struct str s) {
    return matches(s, "^https?://[A-Za-z0-9._:@%~/?&=+-]+$") ? NULL : "an http or https URL";
}

const char *check_remote_path(struct str s) {
    if (!matches(s, "^(~|~/[^\\\\$`\"']*|/[^\\\\$`\"']*)$"))
        return "an absolute path or one that starts with ~/";
    struct str rest = s;
    struct str part;
    while (str_split(&rest, '/', &part))
        if (str_eqc(part, ".."))
            return "a path without ..";
    return NULL;
}

const char *check_file_mode(struct str s) {
    return matches(s, "^0?[0-7]{3}$") ? NULL : "an octal mode such as \"0644\"";
}
