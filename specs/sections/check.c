/* Written out rather than with regcomp(): that depends on the locale, compiles a pattern for each
 * value, and glibc 2.36 frees twice in it when memory runs out. */
#include "specs/sections/check.h"

#include "specs/cidr.h"

#include <string.h>

#define DIGIT "0123456789"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define ALNUM LOWER UPPER DIGIT

static bool one_of(char c, const char *set) { return c != '\0' && strchr(set, c) != NULL; }

/* How many bytes at the start are in the set. */
static size_t span(struct str s, const char *set) {
    size_t n = 0;
    while (n < s.len && one_of(s.ptr[n], set))
        n++;
    return n;
}

/* Takes what is in the set off the start; how many bytes. */
static size_t take(struct str *s, const char *set) {
    size_t n = span(*s, set);
    *s = (struct str){s->ptr + n, s->len - n};
    return n;
}

static bool take_word(struct str *s, struct str word) {
    if (!str_starts(*s, word))
        return false;
    *s = (struct str){s->ptr + word.len, s->len - word.len};
    return true;
}

/* min to max bytes, the first of one set, all of another. */
static bool is_word(struct str s, size_t min, size_t max, const char *first, const char *all) {
    return s.len >= min && s.len <= max && one_of(s.ptr[0], first) && span(s, all) == s.len;
}

const char *check_spec_name(struct str s) {
    bool good = is_word(s, 1, SPEC_NAME_MAX, LOWER, LOWER DIGIT "-") && s.ptr[s.len - 1] != '-';
    return good ? NULL : "small letters, digits and dashes, starting with a letter, at most 40";
}

const char *check_nonempty(struct str s) { return s.len > 0 ? NULL : "some text"; }

const char *check_region(struct str s) {
    return is_word(s, 3, 31, LOWER, LOWER DIGIT "-") ? NULL : "an AWS region such as us-east-1";
}

const char *check_cidr_or_my_ip(struct str s) {
    struct cidr ignored;
    const char *problem = str_eqc(s, "my-ip") ? NULL : cidr_parse(s, &ignored);
    return problem == NULL || memchr(s.ptr == NULL ? "" : s.ptr, '/', s.len) != NULL ||
                   cidr_parse_address(s, &ignored)
               ? problem
               : "my-ip or a CIDR block such as 203.0.113.7/32 or 2001:db8::/64";
}

/* https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IpRange.html */
const char *check_rule_description(struct str s) {
    bool good = s.len >= 1 && s.len <= 255 && span(s, ALNUM " ._-:/()#,@[]+=&;{}!$*") == s.len;
    return good ? NULL : "at most 255 letters, digits, spaces and ._-:/()#,@[]+=&;{}!$*";
}

const char *check_instance_type(struct str s) {
    struct str size = s;
    struct str family;
    bool good = s.len <= 64 && str_split(&size, '.', &family) &&
                is_word(family, 1, 64, LOWER, LOWER DIGIT "-") &&
                is_word(size, 1, 64, LOWER DIGIT "-", LOWER DIGIT "-");
    return good ? NULL : "an instance type such as t3.small";
}

const char *check_subnet_id(struct str s) {
    bool good = take_word(&s, STR("subnet-")) && (s.len == 8 || s.len == 17) &&
                span(s, DIGIT "abcdef") == s.len;
    return good ? NULL : "a subnet id such as subnet-0123456789abcdef0";
}

/* https://docs.aws.amazon.com/IAM/latest/APIReference/API_InstanceProfile.html */
const char *check_iam_name(struct str s) {
    bool good = s.len >= 1 && s.len <= 128 && span(s, ALNUM "+=,.@_-") == s.len;
    return good ? NULL : "the name of an instance profile, not its ARN";
}

const char *check_image_id(struct str s) {
    bool good = take_word(&s, STR("ami-")) && (s.len == 8 || s.len == 17) &&
                span(s, DIGIT "abcdef") == s.len;
    return good ? NULL : "an image name or an ami-… id";
}

const char *check_system_package(struct str s) {
    return is_word(s, 1, 100, ALNUM, ALNUM "+._-") ? NULL : "a package name such as git";
}

static bool take_identifier(struct str *s) {
    struct str before = *s;
    size_t n = take(s, ALNUM "._-");
    return n > 0 && one_of(before.ptr[0], ALNUM) && one_of(before.ptr[n - 1], ALNUM);
}

/* "[a, b]" */
static bool take_extras(struct str *s) {
    if (!take_word(s, STR("[")))
        return true;
    do {
        take(s, " ");
        if (!take_identifier(s))
            return false;
        take(s, " ");
    } while (take_word(s, STR(",")));
    return take_word(s, STR("]"));
}

/* ">=2, <3" */
static bool take_specifiers(struct str *s) {
    static const char *const operators[] = {"===", "==", "!=", "<=", ">=", "~=", "<", ">"};
    if (s->len == 0)
        return true;
    do {
        take(s, " ");
        bool found = false;
        for (size_t i = 0; i < sizeof operators / sizeof operators[0] && !found; i++)
            found = take_word(s, str_of(operators[i]));
        take(s, " ");
        if (!found || take(s, ALNUM ".*+!_-") == 0)
            return false;
        take(s, " ");
    } while (take_word(s, STR(",")));
    return s->len == 0;
}

/* PEP 508 without URLs and markers: name, extras, version specifiers. */
const char *check_requirement(struct str s) {
    bool good = s.len > 0 && s.len <= 500 && s.ptr[s.len - 1] != ' ' && take_identifier(&s);
    if (good)
        take(&s, " ");
    good = good && take_extras(&s);
    if (good)
        take(&s, " ");
    return good && take_specifiers(&s) ? NULL
                                       : "a requirement such as pandas or scikit-learn==1.5.*";
}

const char *check_extra(struct str s) {
    bool good = s.len <= 100 && take_identifier(&s) && s.len == 0;
    return good ? NULL : "a name such as dev";
}

const char *check_kernel_name(struct str s) {
    /* The kernel of the main environment. */
    bool good = is_word(s, 1, 64, LOWER DIGIT, LOWER DIGIT "._-") && !str_eqc(s, "python3");
    return good ? NULL : "a name such as py310; python3 is the main one";
}

const char *check_python_version(struct str s) {
    bool good = take_word(&s, STR("3.")) && s.len >= 1 && s.len <= 2 && span(s, DIGIT) == s.len;
    return good ? NULL : "a Python version such as \"3.12\"";
}

/* So that EC2 takes it as it is, and that it says the same however it is written. */
const char *check_price(struct str s) {
    struct str rest = s;
    size_t whole = span(rest, DIGIT);
    rest = (struct str){rest.ptr + whole, rest.len - whole};
    bool good = whole > 0 && whole <= 4;
    if (good && rest.len > 0) {
        rest = (struct str){rest.ptr + 1, rest.len - 1};
        good =
            s.ptr[whole] == '.' && rest.len > 0 && rest.len <= 6 && span(rest, DIGIT) == rest.len;
    }
    return good && span(s, "0.") < s.len ? NULL : "US dollars an hour, such as 0.01";
}

const char *check_http_url(struct str s) {
    bool good = s.len <= 2000 &&
                (take_word(&s, STR("https://")) || take_word(&s, STR("http://"))) && s.len > 0 &&
                span(s, ALNUM "._:@%~/?&=+-") == s.len;
    return good ? NULL : "an http or https URL";
}

const char *check_remote_path(struct str s) {
    bool good = str_eqc(s, "~") || str_starts(s, STR("~/")) || str_starts(s, STR("/"));
    if (!good || s.len > 1000)
        return "an absolute path or one that starts with ~/";
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f || one_of(s.ptr[i], "\\$`\"'"))
            return "a path without quotes, $, ` and \\";
    struct str rest = s;
    struct str part;
    while (str_split(&rest, '/', &part))
        if (str_eqc(part, ".."))
            return "a path without ..";
    return NULL;
}

/* The system's folders, and one of the login user's: what is `whole` with all that is below it. */
static const struct system_folder {
    const char *path;
    bool whole;
} system_folders[] = {
    {"/", false},           {"/home", false},      {"/root", false},
    {"/opt", false},        {"/var", false},       {"/opt/berth", true},
    {"/bin", true},         {"/boot", true},       {"/dev", true},
    {"/etc", true},         {"/lib", true},        {"/lib64", true},
    {"/proc", true},        {"/run", true},        {"/sbin", true},
    {"/sys", true},         {"/tmp", true},        {"/usr", true},
    {"/var/tmp", true},     {"/var/lib", false},   {"/var/lib/dpkg", true},
    {"/var/lib/rpm", true}, {"/var/cache", false}, {"/var/log", false},
    {"/var/run", true},     {"~", false},          {"~/.ssh", true},
};

const char *check_mount(struct str s) {
    static const char other[] = "a folder of its own, such as ~/work or /data";
    if (check_remote_path(s) != NULL)
        return check_remote_path(s);
    if (span(s, ALNUM "._~/@+-") != s.len)
        return "a path of letters, digits, dots, dashes and slashes";
    while (s.len > 1 && s.ptr[s.len - 1] == '/')
        s.len--;
    for (size_t i = 1; i < s.len; i++)
        if (s.ptr[i] == '/' && s.ptr[i - 1] == '/')
            return "a path without //";
    for (size_t i = 0; i < sizeof system_folders / sizeof system_folders[0]; i++) {
        struct str folder = str_of(system_folders[i].path);
        bool below = str_starts(s, folder) && s.len > folder.len && s.ptr[folder.len] == '/';
        if (str_eq(s, folder) || (system_folders[i].whole && below))
            return other;
    }
    /* Somebody's home: their keys would vanish. */
    struct str rest = s;
    bool home = take_word(&rest, STR("/home/")) && memchr(rest.ptr, '/', rest.len) == NULL;
    return home ? other : NULL;
}

/* No dash at the start: OpenSSH would take it for an option. */
static bool take_host(struct str *s, const char *more) {
    struct str whole = *s;
    const char *at = s->ptr == NULL ? NULL : memchr(s->ptr, '@', s->len);
    if (at != NULL) {
        size_t len = take(s, ALNUM "._-");
        if (len == 0 || whole.ptr[0] == '-' || !take_word(s, STR("@")))
            return false;
    }
    bool good = s->ptr != NULL && s->len > 0 && s->ptr[0] != '-';
    return good && take(s, more) > 0;
}

const char *check_login(struct str s) {
    size_t colons = 0, zones = 0; /* of an IPv6 address: RFC 4007, section 11 */
    for (size_t i = 0; i < s.len; i++) {
        colons += s.ptr[i] == ':';
        zones += s.ptr[i] == '%';
    }
    bool good = s.len <= 255 && take_host(&s, ALNUM "._-:%") && s.len == 0 &&
                (zones == 0 || (zones == 1 && colons > 1));
    if (good && colons == 1)
        return "a server without its port, which `port` says";
    return good ? NULL : "a server such as me@192.0.2.7, or a Host of ~/.ssh/config";
}

const char *check_jump(struct str s) {
    bool good = s.len > 0 && s.len <= 1000;
    struct str hop;
    while (good && str_split(&s, ',', &hop))
        good = take_host(&hop, ALNUM "._-:[]") && hop.len == 0;
    return good ? NULL : "a host to go through, such as me@bastion.example:22";
}

/* RFC 4253, 6.6: what known_hosts holds; or SHA-256 in base64, as ssh-keygen -l shows it. */
const char *check_host_key(struct str s) {
    enum { FINGERPRINT_LEN = 43 };
    static const char *const types[] = {"ssh-ed25519 ", "ssh-rsa ", "ecdsa-sha2-nistp256 ",
                                        "ecdsa-sha2-nistp384 ", "ecdsa-sha2-nistp521 "};
    bool good = false;
    if (take_word(&s, STR("SHA256:")))
        good = s.len == FINGERPRINT_LEN && span(s, ALNUM "+/") == s.len;
    for (size_t i = 0; i < sizeof types / sizeof types[0] && !good; i++)
        good = take_word(&s, str_of(types[i])) && s.len >= 32 && s.len <= 2000 &&
               span(s, ALNUM "+/=") == s.len;
    return good ? NULL : "a host key such as \"ssh-ed25519 AAAA…\", or its \"SHA256:…\"";
}

const char *check_file_mode(struct str s) {
    if (s.len == 4)
        (void)take_word(&s, STR("0"));
    bool good = s.len == 3 && span(s, "01234567") == s.len;
    return good ? NULL : "an octal mode such as \"0644\"";
}

/* RFC 1123, section 2.1; a number at its end would be an address. */
const char *check_host_name(struct str s) {
    enum { NAME_MAX_LEN = 253, LABEL_MAX = 63 };
    static const char *const expected = "a DNS name, such as jupyter.example.org";
    struct str label = {NULL, 0};
    bool good = s.len > 0 && s.len <= NAME_MAX_LEN && one_of(s.ptr[s.len - 1], ALNUM "}");
    while (good && str_split(&s, '.', &label)) {
        struct str rest = label;
        good = label.len > 0 && label.len <= LABEL_MAX && label.ptr[0] != '-' &&
               label.ptr[label.len - 1] != '-';
        while (good && rest.len > 0)
            good = take_word(&rest, STR("{n}")) || take(&rest, ALNUM "-") > 0;
    }
    return good && span(label, DIGIT) < label.len ? NULL : expected;
}

const char *check_user(struct str s) {
    enum { USER_MAX = 32 };
    static const char *const expected = "the name of a user, such as www-data";
    if (s.len == 0 || s.len > USER_MAX || (s.ptr[0] >= '0' && s.ptr[0] <= '9') || s.ptr[0] == '-')
        return expected;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_' && c != '-')
            return expected;
    }
    return NULL;
}
