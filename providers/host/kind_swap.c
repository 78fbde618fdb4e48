/* server[N].swap: a swap file on the root disk. */
#include "providers/host/internal.h"
#include "providers/host/scripts.h"
#include "specs/sections/sections.h"

#include <string.h>

#define RECORD struct host_swap_record
#define SWAP_FILE "/var/lib/berth/swap"

static const struct field fields[] = {
    {.name = "size",
     .doc = "Size of the swap file in use.",
     .type = FIELD_SIZE,
     .offset = offsetof(RECORD, size_gib)},
    {.name = "refused",
     .doc = "Why there is none.",
     .type = FIELD_STR,
     .flags = FIELD_COMPUTED,
     .offset = offsetof(RECORD, refused)},
    FIELD_END,
};

/* The kernel asks for the right to swap outside of all user namespaces. */
static const char in_a_container[] =
    "in_a_container() { read -r inner outer most </proc/self/uid_map; "
    "[ \"$inner$outer$most\" != 004294967295 ]; }\n";

static int fill(const struct desire *in, struct node *node, struct arena *arena, void *ctx) {
    (void)arena, (void)ctx;
    ((RECORD *)node->desired)->size_gib = spec_server(in->spec)->swap_gib;
    return 0;
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    (void)diags;
    bool sized = spec_server(in->spec)->disk.size_gib != FIELD_UNSET;
    const char *const deps[] = {"host_key", sized ? "disk" : NULL, NULL};
    return spec_server(in->spec)->swap_gib == FIELD_UNSET
               ? 0
               : host_desire_each(in, out, &host_swap_kind, "swap", deps, fill, NULL);
}

static int probe(const struct host_node *node, struct buf *script) {
    (void)node;
    buf_adds(script, script_storage_probe);
    buf_adds(script, in_a_container);
    buf_adds(script,
             "in_a_container && fact refused yes\n"
             "grep -qs '^" SWAP_FILE " ' /proc/swaps && grep -qs '^" SWAP_FILE " ' /etc/fstab && "
             "fact size \"$(gib \"$(stat -c %s " SWAP_FILE ")\")\"\n");
    return 0;
}

#define REFUSED "the kernel lets no container swap"

static int read(const struct host_node *node, const struct facts *facts, void *record,
                enum presence *ret, struct err *err) {
    (void)err;
    RECORD *r = record;
    const RECORD *known = node->recorded;
    const char *size = facts_get(facts, node->address, "size");
    *ret = known == NULL ? LIVE_NONE : LIVE_OURS;
    if (size != NULL)
        str_to_i64(str_of(size), 0, INT64_MAX, &r->size_gib);
    /* Nothing can be done about it: it is no difference, and is said in a note. */
    if (known != NULL && facts_get(facts, node->address, "refused") != NULL) {
        r->size_gib = known->size_gib;
        r->refused = REFUSED;
    }
    return 0;
}

static const char *remark(const struct host_node *node, const struct facts *facts) {
    return facts_get(facts, node->address, "refused") == NULL ? NULL : "there is no swap: " REFUSED;
}

static int step(struct host_step *s, struct buf *script, struct err *err) {
    const RECORD *after = s->after;
    (void)err;
    buf_adds(script, script_storage_probe);
    buf_adds(script, script_storage);
    buf_adds(script, in_a_container);
    buf_adds(script, "if grep -qs '^" SWAP_FILE " ' /proc/swaps; then swapoff " SWAP_FILE "; fi\n"
                     "rm -f " SWAP_FILE "\n");
    if (after == NULL) {
        buf_adds(script, "set_fstab " SWAP_FILE " ''\n");
        return 0;
    }
    buf_addf(
        script,
        "if in_a_container; then echo 'no swap: " REFUSED "'; value refused yes; exit 0; fi\n"
        "mkdir -p /var/lib/berth\n"
        "case $(stat -f -c %%T /var/lib/berth) in ext2/ext3|xfs) ;; *)\n"
        "  echo \"no swap file works on $(stat -f -c %%T /var/lib/berth), which the root disk "
        "has\"; exit 1;; esac\n"
        "gib=%lld\n"
        "free=$(df --output=avail -k /var/lib/berth | tail -n 1)\n"
        "if [ \"$free\" -lt $((gib * 1048576 + 262144)) ]; then\n"
        "  echo \"the root disk has $((free / 1024)) MiB left: too little for $gib GiB of swap; "
        "make server.disk.size larger\"; exit 1; fi\n"
        "(umask 077; : >" SWAP_FILE ")\n"
        "fallocate -l \"${gib}G\" " SWAP_FILE " 2>/dev/null ||\n"
        "  dd if=/dev/zero of=" SWAP_FILE " bs=1M count=$((gib * 1024)) status=none\n"
        "mkswap -q " SWAP_FILE " || mkswap " SWAP_FILE "\n"
        "swapon " SWAP_FILE "\n"
        "set_fstab " SWAP_FILE " '" SWAP_FILE " none swap defaults,nofail 0 0'\n",
        (long long)after->size_gib);
    return 0;
}

static int take_value(struct host_step *s, const char *key, const char *value) {
    RECORD *r = s->record;
    (void)value;
    if (r != NULL && strcmp(key, "refused") == 0)
        r->refused = REFUSED;
    return 0;
}

const struct kind host_swap_kind = {
    .name = "server.swap",
    .world = &host_world,
    .fields = fields,
    .size = sizeof(RECORD),
    .desire = desire,
    .batch = host_batch,
};

const struct host_kind host_swap_host = {
    .kind = &host_swap_kind,
    .probe = probe,
    .read = read,
    .remark = remark,
    .step = step,
    .value = take_value,
};
