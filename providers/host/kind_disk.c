/* server[N].disk: the root partition and its file system fill the root disk, also after it grew
 * under a server that runs. (cloud-init does it at boot only.) */
#include "providers/host/internal.h"
#include "providers/host/scripts.h"
#include "specs/sections/sections.h"

#define RECORD struct host_disk_record

static const struct field fields[] = {
    {.name = "size",
     .doc = "Size of the root disk that its file system fills.",
     .type = FIELD_SIZE,
     .offset = offsetof(RECORD, size_gib)},
    FIELD_END,
};

/* Into $root (its device), $disk and $part (names), $number, $size and $filled (bytes of the disk,
 * and up to where it is in use). False where the root is no partition of a disk: an overlay, LVM.
 */
static const char script_root[] =
    "root_disk() {\n"
    "  root=$(readlink -f \"$(mounted_at /)\") && [ -b \"$root\" ] || return 1\n"
    "  part=${root##*/}\n"
    "  sys=$(readlink -f \"/sys/class/block/$part\")\n"
    "  [ -e \"$sys/partition\" ] || return 1\n"
    "  number=$(cat \"$sys/partition\")\n"
    "  disk=${sys%/*}; disk=${disk##*/}\n"
    "  size=$(($(cat \"/sys/class/block/$disk/size\") * 512))\n"
    "  start=$(($(cat \"$sys/start\") * 512))\n"
    "  length=$(($(cat \"$sys/size\") * 512))\n"
    "  type=$(findmnt -rno FSTYPE -M / | tail -n 1)\n"
    "  have=$(storage_bytes \"$root\" \"$type\" /)\n"
    "  [ \"$have\" -gt 0 ] || have=$length\n"
    "  filled=$((start + have))\n"
    "  slack=$((size - filled))\n"
    /* A backup of the partition table, and what rounding leaves. */
    "  if [ \"$slack\" -lt 67108864 ]; then filled=$size; fi\n"
    "}\n";

static int fill(const struct desire *in, struct node *node, struct arena *arena, void *ctx) {
    (void)arena, (void)ctx;
    ((RECORD *)node->desired)->size_gib = spec_server(in->spec)->disk.size_gib;
    return 0;
}

static int desire(const struct desire *in, struct nodes *out, struct diags *diags) {
    (void)diags;
    static const char *const deps[] = {"host_key", NULL};
    bool sized = spec_server(in->spec)->disk.size_gib != FIELD_UNSET; /* not of a server of yours */
    return sized && host_is_wanted(in->spec)
               ? host_desire_each(in, out, &host_disk_kind, "disk", deps, fill, NULL)
               : 0;
}

static int probe(const struct host_node *node, struct buf *script) {
    (void)node;
    buf_adds(script, script_storage_probe);
    buf_adds(script, script_root);
    buf_adds(script, "if root_disk; then fact size \"$(gib \"$filled\")\"; fi\n");
    return 0;
}

static int read(const struct host_node *node, const struct facts *facts, void *record,
                enum presence *ret, struct err *err) {
    (void)err;
    RECORD *r = record;
    const RECORD *known = node->recorded, *wanted = node->desired;
    const char *size = facts_get(facts, node->address, "size");
    *ret = known == NULL ? LIVE_NONE : LIVE_OURS;
    if (known == NULL)
        return 0;
    /* Where there is nothing to grow it is as it is to be; and it may be larger than was asked
     * for. */
    r->size_gib = wanted != NULL ? wanted->size_gib : known->size_gib;
    if (size != NULL) {
        int64_t gib = 0;
        str_to_i64(str_of(size), 0, INT64_MAX, &gib);
        if (gib < r->size_gib)
            r->size_gib = gib;
    }
    return 0;
}

static int step(struct host_step *s, struct buf *script, struct err *err) {
    const RECORD *after = s->after;
    (void)err;
    if (after == NULL)
        return 0;
    buf_adds(script, script_storage_probe);
    buf_adds(script, script_root);
    buf_addf(
        script,
        "root_disk || exit 0\n"
        "want=$((%lld * 1073741824))\n"
        "for i in $(seq 600); do\n"
        "  [ \"$size\" -lt \"$want\" ] || break\n"
        "  [ \"$i\" != 1 ] || echo \"waiting for $disk to show its new size\"\n"
        "  sleep 0.1\n"
        "  root_disk\n"
        "done\n"
        "if [ \"$size\" -lt \"$want\" ]; then echo \"$disk has $(gib \"$size\") GiB "
        "still\"; exit 1; fi\n"
        "[ \"$filled\" -lt \"$size\" ] || exit 0\n"
        "if [ $((size - start - length)) -ge 67108864 ]; then\n"
        "  if command -v growpart >/dev/null; then growpart \"/dev/$disk\" \"$number\" || [ $? = "
        "1 ]\n"
        "  else echo ', +' | sfdisk -q --no-reread -N \"$number\" \"/dev/$disk\"; partx -u "
        "\"$root\"; fi\n"
        "fi\n"
        "case $type in\n"
        "ext[234]) resize2fs \"$root\";;\n"
        "xfs) xfs_growfs /;;\n"
        "btrfs) btrfs filesystem resize max /;;\n"
        "*) echo \"berth cannot grow a root file system of type $type\"; exit 1;;\n"
        "esac\n",
        (long long)after->size_gib);
    return 0;
}

const struct kind host_disk_kind = {
    .name = "server.disk",
    .world = &host_world,
    .fields = fields,
    .size = sizeof(RECORD),
    .desire = desire,
    .batch = host_batch,
};

const struct host_kind host_disk_host = {
    .kind = &host_disk_kind,
    .probe = probe,
    .read = read,
    .step = step,
};
