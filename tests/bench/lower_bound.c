/* The least that a program can do over libssh2 to have a script run on a host: connect, exchange
 * keys, compare the host's, log in, one exec. What berth's plan of a host is measured against.
 * Usage: bench_lower_bound ADDRESS PORT USER PRIVATE_KEY KNOWN_HOSTS COMMAND <INPUT >OUTPUT */
#include <libssh2.h>

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static _Noreturn void give_up(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static int connect_to(const char *address, const char *port) {
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    const int on = 1;
    if (getaddrinfo(address, port, &hints, &list) != 0)
        give_up("no such address");
    int fd = socket(list->ai_family, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, list->ai_addr, list->ai_addrlen) < 0)
        give_up("cannot connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    freeaddrinfo(list);
    return fd;
}

static void verify(LIBSSH2_SESSION *session, const char *address, const char *file) {
    size_t len = 0;
    int type = 0;
    const char *key = libssh2_session_hostkey(session, &len, &type);
    LIBSSH2_KNOWNHOSTS *known = libssh2_knownhost_init(session);
    const int mask =
        LIBSSH2_KNOWNHOST_TYPE_PLAIN | LIBSSH2_KNOWNHOST_KEYENC_RAW | LIBSSH2_KNOWNHOST_KEY_ED25519;
    if (known == NULL || key == NULL ||
        libssh2_knownhost_readfile(known, file, LIBSSH2_KNOWNHOST_FILE_OPENSSH) < 0 ||
        libssh2_knownhost_check(known, address, key, len, mask, NULL) !=
            LIBSSH2_KNOWNHOST_CHECK_MATCH)
        give_up("another host key");
    libssh2_knownhost_free(known);
}

static void send_all(LIBSSH2_CHANNEL *channel) {
    static char chunk[256 * 1024];
    ssize_t n;
    while ((n = read(STDIN_FILENO, chunk, sizeof chunk)) > 0)
        for (ssize_t sent = 0; sent < n;) {
            ssize_t m = libssh2_channel_write(channel, chunk + sent, (size_t)(n - sent));
            if (m < 0)
                give_up("cannot write");
            sent += m;
        }
    libssh2_channel_send_eof(channel);
}

static void receive_all(LIBSSH2_CHANNEL *channel) {
    static char chunk[32768];
    ssize_t n;
    while ((n = libssh2_channel_read(channel, chunk, sizeof chunk)) > 0)
        if (write(STDOUT_FILENO, chunk, (size_t)n) != n)
            give_up("cannot write");
}

int main(int argc, char **argv) {
    if (argc != 7)
        give_up("usage: bench_lower_bound ADDRESS PORT USER PRIVATE_KEY KNOWN_HOSTS COMMAND");
    const char *user = argv[3];
    if (libssh2_init(0) != 0)
        give_up("libssh2");
    LIBSSH2_SESSION *session = libssh2_session_init();
    if (session == NULL)
        give_up("out of memory");
    int fd = connect_to(argv[1], argv[2]);
    libssh2_session_method_pref(session, LIBSSH2_METHOD_HOSTKEY, "ssh-ed25519");
    if (libssh2_session_handshake(session, fd) != 0)
        give_up("the handshake failed");
    verify(session, argv[1], argv[5]);
    if (libssh2_userauth_publickey_fromfile_ex(session, user, (unsigned)strlen(user), NULL, argv[4],
                                               "") != 0)
        give_up("the login was refused");
    LIBSSH2_CHANNEL *channel = libssh2_channel_open_session(session);
    if (channel == NULL || libssh2_channel_exec(channel, argv[6]) != 0)
        give_up("cannot run the command");
    send_all(channel);
    receive_all(channel);
    libssh2_channel_close(channel);
    int status = libssh2_channel_get_exit_status(channel);
    libssh2_channel_free(channel);
    libssh2_session_disconnect(session, "done");
    libssh2_session_free(session);
    close(fd);
    return status;
}
