/* A guest's root may write to the loop devices of its volumes, and for a loop device that is enough
 * to be given another file (loop(4)): one that it let go could be the next guest's while it still
 * has it open. So its ioctls fail with EPERM in all of a guest, by seccomp(2). */
#include "providers/sandbox/volume.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined __x86_64__
#define NATIVE AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define NATIVE AUDIT_ARCH_AARCH64
#else
#error "which architecture do system calls here come with? (linux/audit.h)"
#endif

enum {
    LOOP_IOCTLS = 0x4c00, /* linux/loop.h: all of them are 0x4cNN */
    IOCTL_MASK = 0xff00,
    IOCTL_X32 = 0x40000000 + 514, /* arch/x86/entry/syscalls/syscall_64.tbl */
    IOCTL_32_BIT = 54             /* of i386 and of 32-bit ARM */
};

#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define IS(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, value)

int loops_forbid(void) {
    struct sock_filter filter[] = {
        LOAD(arch), IS(NATIVE, 0, 4), /* else: the 32-bit calls */
        LOAD(nr), IS(SYS_ioctl, 5, 0), IS(IOCTL_X32, 4, 0), RETURN(SECCOMP_RET_ALLOW),
        /* 32-bit */
        LOAD(nr), IS(IOCTL_32_BIT, 1, 0), RETURN(SECCOMP_RET_ALLOW),
        /* An ioctl: its command is the low half of the second argument. */
        LOAD(args[1]), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, IOCTL_MASK), IS(LOOP_IOCTLS, 0, 1),
        RETURN(SECCOMP_RET_ERRNO | 1), /* EPERM */
        RETURN(SECCOMP_RET_ALLOW)};
    const struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}
