#include "specs/unit.h"

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit sizes[] = {{"TiB", 1024}, {"GiB", 1}, {NULL, 0}};
static const struct unit durations[] = {
    {"d", 86400}, {"h", 3600}, {"min", 60}, {"s", 1}, {NULL, 0}};

enum { NUMBER_MAX = 1000000000 };

static bool parse(const struct unit *units, struct str text, int64_t *ret) {
    size_t digits = 0;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    int64_t number = 0;
    if (!str_to_i64((struct str){text.ptr, digits}, 0, NUMBER_MAX, &number))
        return false;
    struct str name = str_trim((struct str){text.ptr + digits, text.len - digits});
    for (; units->name != NULL; units++) {
        if (str_eqc(name, units->name)) {
            *ret = number * units->factor;
            return true;
        }
    }
    return false;
}

static void print(const struct unit *units, int64_t value, struct buf *out) {
    while (units->factor > 1 && (value == 0 || value % units->factor != 0))
        units++;
    buf_addf(out, "%lld %s", (long long)(value / units->factor), units->name);
}

bool unit_parse_size(struct str text, int64_t *ret_gib) { return parse(sizes, text, ret_gib); }

bool unit_parse_duration(struct str text, int64_t *ret_s) { return parse(durations, text, ret_s); }

void unit_print_size(int64_t gib, struct buf *out) { print(sizes, gib, out); }

void unit_print_duration(int64_t seconds, struct buf *out) { print(durations, seconds, out); }
