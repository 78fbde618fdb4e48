/* The door between a guest and this machine: a filter on this machine's end of the guest's link.
 * What the guest begins is dropped: it would reach services of this machine that listen on all
 * addresses. What it answers passes. Nothing else of this machine's network is touched. */
#define _GNU_SOURCE
#include "providers/sandbox/guest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of a frame: Ethernet, IPv4 without options, TCP. */
enum {
    AT_PROTOCOL = 12,
    AT_IP = 14,
    AT_FRAGMENT = 20,
    AT_IP_PROTOCOL = 23,
    AT_ICMP = 34,
    AT_TCP_FLAGS = 47,
    TCP_END = 48,
    IPV4_NO_OPTIONS = 0x45,
    FRAGMENT_BITS = 0x3fff,
    TCP_SYN_ACK = 0x12,
    TCP_SYN = 0x02,
    ICMP_ECHO_REPLY = 0,
    ICMP_UNREACHABLE = 3
};

#define LOAD(size, to, from, at)                                                                   \
    { .code = BPF_LDX | BPF_MEM | (size), .dst_reg = (to), .src_reg = (from), .off = (at) }
#define MOVE(to, from)                                                                             \
    { .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = (to), .src_reg = (from) }
#define SET(to, value)                                                                             \
    { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = (to), .imm = (value) }
#define DO(op, to, value)                                                                          \
    { .code = BPF_ALU64 | (op) | BPF_K, .dst_reg = (to), .imm = (value) }
#define IF(op, a, value, skip)                                                                     \
    { .code = BPF_JMP | (op) | BPF_K, .dst_reg = (a), .imm = (value), .off = (skip) }
#define IF_PAST(a, b, skip)                                                                        \
    { .code = BPF_JMP | BPF_JGT | BPF_X, .dst_reg = (a), .src_reg = (b), .off = (skip) }
#define EXIT                                                                                       \
    { .code = BPF_JMP | BPF_EXIT }

static int load_filter(void) {
    /* r2: the frame, r3: its end. The last four: 24 drop, 26 pass. */
    const struct bpf_insn program[] = {
        LOAD(BPF_W, 2, 1, 0),                  /* 0: xdp_md.data */
        LOAD(BPF_W, 3, 1, 4),                  /* 1: xdp_md.data_end */
        MOVE(4, 2),                            /* 2 */
        DO(BPF_ADD, 4, AT_ICMP + 1),           /* 3: ARP's frame is longer, too */
        IF_PAST(4, 3, 19),                     /* 4: → 24 */
        LOAD(BPF_H, 5, 2, AT_PROTOCOL),        /* 5 */
        IF(BPF_JEQ, 5, htons(ETH_P_ARP), 19),  /* 6: → 26 */
        IF(BPF_JNE, 5, htons(ETH_P_IP), 16),   /* 7: → 24 */
        LOAD(BPF_B, 5, 2, AT_IP),              /* 8 */
        IF(BPF_JNE, 5, IPV4_NO_OPTIONS, 14),   /* 9: → 24 */
        LOAD(BPF_H, 5, 2, AT_FRAGMENT),        /* 10 */
        DO(BPF_AND, 5, htons(FRAGMENT_BITS)),  /* 11 */
        IF(BPF_JNE, 5, 0, 11),                 /* 12: → 24 */
        LOAD(BPF_B, 5, 2, AT_IP_PROTOCOL),     /* 13 */
        IF(BPF_JNE, 5, IPPROTO_ICMP, 3),       /* 14: → 18 */
        LOAD(BPF_B, 5, 2, AT_ICMP),            /* 15 */
        IF(BPF_JEQ, 5, ICMP_ECHO_REPLY, 9),    /* 16: → 26 */
        IF(BPF_JEQ, 5, ICMP_UNREACHABLE, 8),   /* 17: → 26; ICMP's 0 and 3 are no TCP below */
        IF(BPF_JNE, 5, IPPROTO_TCP, 5),        /* 18: → 24 */
        DO(BPF_ADD, 4, TCP_END - AT_ICMP - 1), /* 19 */
        IF_PAST(4, 3, 3),                      /* 20: → 24 */
        LOAD(BPF_B, 5, 2, AT_TCP_FLAGS),       /* 21 */
        DO(BPF_AND, 5, TCP_SYN_ACK),           /* 22 */
        IF(BPF_JNE, 5, TCP_SYN, 2),            /* 23: → 26 */
        SET(0, XDP_DROP),                      /* 24 */
        EXIT,                                  /* 25 */
        SET(0, XDP_PASS),                      /* 26 */
        EXIT,                                  /* 27 */
    };
    union bpf_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.prog_type = BPF_PROG_TYPE_XDP;
    attributes.insns = (uint64_t)(uintptr_t)program;
    attributes.insn_cnt = sizeof program / sizeof program[0];
    attributes.license = (uint64_t)(uintptr_t) "";
    return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof attributes);
}

/* RTM_SETLINK with IFLA_XDP { IFLA_XDP_FD }: rtnetlink(7). It stays until the link goes. */
static int attach(unsigned link, int program) {
    struct {
        struct nlmsghdr header;
        struct ifinfomsg info;
        struct rtattr xdp, fd;
        int value;
    } ask = {
        .header = {.nlmsg_len = sizeof ask,
                   .nlmsg_type = RTM_SETLINK,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
        .info = {.ifi_family = AF_UNSPEC, .ifi_index = (int)link},
        .xdp = {.rta_len = 2 * sizeof(struct rtattr) + sizeof(int),
                .rta_type = IFLA_XDP | NLA_F_NESTED},
        .fd = {.rta_len = sizeof(struct rtattr) + sizeof(int), .rta_type = IFLA_XDP_FD},
        .value = program,
    };
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char more[1024];
    } answer = {0};
    int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    bool good = s >= 0 && send(s, &ask, sizeof ask, 0) == (ssize_t)sizeof ask &&
                recv(s, &answer, sizeof answer, 0) >= (ssize_t)sizeof answer.header &&
                answer.header.nlmsg_type == NLMSG_ERROR;
    int problem = good ? -answer.error.error : errno;
    if (s >= 0)
        close(s);
    errno = problem;
    return problem == 0 ? 0 : -1;
}

static void set_switch(const char *format, const char *link, const char *value) {
    char path[128];
    snprintf(path, sizeof path, format, link);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, value, 1) != 1)
        fprintf(stderr, "guest: write %s: %s\n", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

int guard_link(const char *link, struct err *err) {
    /* Machines that forward (all that run Docker) do not forward for guests. */
    set_switch("/proc/sys/net/ipv4/conf/%s/forwarding", link, "0");
    set_switch("/proc/sys/net/ipv6/conf/%s/disable_ipv6", link, "1");
    int program = load_filter();
    int rc = program < 0 || attach(if_nametoindex(link), program) < 0
                 ? err_set_errno(err, ERRC_UNSUPPORTED, errno, "filter what comes from the guest")
                 : 0;
    if (program >= 0)
        close(program);
    return rc;
}
