/* Volumes: the devices that they are here, and what the API sees of them. Mutex held, everywhere.
 */
#pragma once

#include "providers/sandbox/internal.h"

struct api_error;
struct page;

/* ---- As devices: nothing of one is in a guest before it is plugged in */

/* Make or grow its file to its size; sparse. */
int volume_file_size(struct sandbox *s, const cJSON *volume, struct err *err);
void volume_file_remove(struct sandbox *s, const char *id);
/* Into a guest that runs: /dev/loopN, /dev/nvmeNn1 and the link in /dev/disk/by-id. */
int volume_plug(struct sandbox *s, cJSON *volume, const cJSON *instance, struct err *err);
/* Out of the guest, which may have ended, and volume_release(). */
void volume_unplug(struct sandbox *s, cJSON *volume, const cJSON *instance);
/* Its loop device is freed, when the last one has closed it. */
void volume_release(struct sandbox *s, cJSON *volume);
/* The number of its loop device; -1: it has none. */
int volume_loop(const cJSON *volume);
/* Take one for it, unless it has one. */
int volume_loop_take(struct sandbox *s, cJSON *volume, struct err *err);
/* Its loop device as mknod(2) takes it. */
int volume_loop_device(const cJSON *volume, dev_t *ret, struct err *err);
/* Freed once nobody has it open any more. */
void volume_loop_give_back(cJSON *volume);
/* Tell its loop device, if it has one, that the file has grown. */
int volume_capacity(const cJSON *volume, struct err *err);
bool volume_mounted(const cJSON *volume);
/* What a guest must have from its boot on, added to its boot.json. */
int volumes_boot(struct sandbox *s, const cJSON *instance, cJSON *boot, struct err *err);
/* Free the loop devices over files of this world that its volumes do not know. */
void volume_loops_sweep(const struct paths *paths, const cJSON *world);
/* And what they were made with, once it has ended. */
void devices_remove(struct sandbox *s, const char *instance);
/* A mount of that node that is nowhere yet; -1 and errno. */
int device_tree(const char *path);
/* Put it and its names below `root`'s /dev. 0 or -1 and errno; system calls only. */
int device_place(int tree, const char *root, const char *node, const char *nvme, const char *link);
/* A guest has no business with loop devices themselves: their ioctl(2)s fail from here on. */
int loops_forbid(void);

/* ---- As the API sees them */

struct volume_wanted {
    const char *type, *zone;
    int64_t size_gib, iops, throughput; /* 0: what the type has */
    bool encrypted;
};
/* Fills what the form says by these names, and checks it all. */
int volume_read_wanted(const cJSON *form, const char *prefix, const char *size_name,
                       struct volume_wanted *ret, struct api_error *e);
cJSON *volume_make(struct sandbox *s, const struct volume_wanted *wanted, cJSON *tags);
bool volume_is(const cJSON *volume, const char *flag); /* "root", "delete", "encrypted" */
void volume_date(double when, char ret[40]);
void volume_attachment_xml(struct buf *out, const cJSON *volume);
cJSON *volume_find(struct sandbox *s, const char *id, struct api_error *e);
/* The volumes of VolumeId.N, which must all be there. */
int volumes_named(struct sandbox *s, const cJSON *form, cJSON **ret, struct api_error *e);
bool volume_listed(const cJSON *ids, const cJSON *volume); /* all are when none is named */
/* As form_page(), but not of volumes that are named. */
int volume_page(const cJSON *form, struct page *ret, struct api_error *e);
/* What takes time goes on; true when something changed. */
bool volumes_look_after(struct sandbox *s);
/* An instance's: its root disk, as RunInstances asks for it; how it shows them; what becomes of
 * them when its guest has ended, and when it is terminated. */
int volumes_check_launch(const cJSON *form, const char *snapshot, struct volume_wanted *ret,
                         struct api_error *e);
void volumes_launch(struct sandbox *s, const cJSON *form, const cJSON *instance,
                    const struct volume_wanted *wanted);
void volumes_mapping_xml(struct sandbox *s, struct buf *out, const cJSON *instance);
void volumes_release(struct sandbox *s, const cJSON *instance);
void volumes_end(struct sandbox *s, const cJSON *instance);
/* Has it any but its root disk? */
bool volumes_in_guest(struct sandbox *s, const cJSON *instance);
