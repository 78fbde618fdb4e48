/* What the first boot of a guest finds in it, as cloud-init would leave it: a script that its shell
 * runs before its init. */
#include "providers/sandbox/guest.h"
#include "providers/sandbox/images.h"
#include "providers/sandbox/internal.h"
#include "providers/sandbox/outside.h"
#include "specs/fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_heredoc(struct buf *out, const char *path, const char *mode, const char *text) {
    buf_addf(out, "cat >%s <<'BERTH_END'\n%s%sBERTH_END\nchmod %s %s\n", path, text,
             text[0] != '\0' && text[strlen(text) - 1] == '\n' ? "" : "\n", mode, path);
}

/* The two keys of #cloud-config's ssh_keys that berth sends; a block scalar and a line. */
static void add_host_key(struct buf *out, const char *user_data) {
    const char *private = strstr(user_data, "ed25519_private: |\n");
    const char *public = strstr(user_data, "ed25519_public: ");
    if (private == NULL || public == NULL) {
        buf_adds(out, "ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key\n");
        return;
    }
    struct str rest = str_of(strchr(private, '\n') + 1);
    struct str line;
    buf_adds(out, "(umask 077; cat >/etc/ssh/ssh_host_ed25519_key) <<'BERTH_END'\n");
    while (str_split(&rest, '\n', &line) && line.len > 0 && line.ptr[0] == ' ') {
        struct str text = str_trim(line);
        if (memchr(text.ptr, ':', text.len) != NULL)
            break;
        buf_addf(out, "%.*s\n", STR_FMT(text));
    }
    buf_adds(out, "BERTH_END\n");
    rest = str_of(public + strlen("ed25519_public: "));
    str_split(&rest, '\n', &line);
    buf_addf(out, "echo '%.*s' >/etc/ssh/ssh_host_ed25519_key.pub\n", STR_FMT(line));
}

/* Settings of this machine that a package client in the guest needs as much. */
static void add_environment(struct buf *out) {
    static const char *const names[] = {
        "PIP_INDEX_URL",    "PIP_EXTRA_INDEX_URL", "PIP_DEFAULT_TIMEOUT", "PIP_TRUSTED_HOST",
        "UV_INDEX_URL",     "UV_EXTRA_INDEX_URL",  "UV_DEFAULT_INDEX",    "UV_INDEX",
        "UV_INSECURE_HOST", "UV_HTTP_TIMEOUT"};
    buf_adds(out, "cat >/etc/environment <<'BERTH_END'\n");
    buf_addf(out,
             "http_proxy=http://127.0.0.1:%d\nhttps_proxy=http://127.0.0.1:%d\n"
             "HTTP_PROXY=http://127.0.0.1:%d\nHTTPS_PROXY=http://127.0.0.1:%d\n"
             "no_proxy=localhost,127.0.0.1,169.254.169.254\n"
             "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt\n"
             "PIP_CERT=/etc/ssl/certs/ca-certificates.crt\n"
             "REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt\n"
             "UV_CACHE_DIR=/var/cache/berth/uv\nUV_LINK_MODE=copy\n"
             "PIP_CACHE_DIR=/var/cache/berth/pip\n",
             PROXY_PORT, PROXY_PORT, PROXY_PORT, PROXY_PORT);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && value[0] != '\0' && strchr(value, '\n') == NULL &&
            strchr(value, '\'') == NULL)
            buf_addf(out, "%s='%s'\n", names[i], value);
    }
    buf_adds(out, "BERTH_END\n");
}

/* Of pip's files only what is good in another machine: no paths. */
static void add_pip_settings(struct buf *out) {
    static const char *const names[] = {"index-url", "extra-index-url", "trusted-host", "timeout"};
    _cleanup_buf_ struct buf text = BUF_INIT(BUF_SMALL);
    char value[1024];
    buf_adds(&text, "[global]\n");
    size_t empty = text.len;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (outside_pip_setting(names[i], value, sizeof value))
            buf_addf(&text, "%s = %s\n", names[i], value);
    if (text.len > empty)
        add_heredoc(out, "/etc/pip.conf", "644", buf_cstr(&text));
}

static void add_ca_bundle(struct buf *out) {
    _cleanup_buf_ struct buf bundle = BUF_INIT(BUF_MEDIUM);
    struct err ignored;
    if (fs_read("/etc/ssl/certs/ca-certificates.crt", &bundle, &ignored) == 0)
        add_heredoc(out, "/etc/ssl/certs/ca-certificates.crt", "644", buf_cstr(&bundle));
}

/* The way out of apt. What one guest downloaded the next finds: packages are linked from the shared
 * cache and moved into it; each distribution has its own, since a name and a version may be those
 * of two different packages. Each guest keeps an archive folder of its own, since apt locks that
 * for as long as it installs. */
void seed_apt(const cJSON *instance, struct buf *out) {
    char apt[512], keep[640];
    const char *name = image_of(instance)->base->name;
    snprintf(apt, sizeof apt,
             "Acquire::http::Proxy \"http://127.0.0.1:%d\";\n"
             "Acquire::https::Proxy \"http://127.0.0.1:%d\";\n"
             "APT::Keep-Downloaded-Packages \"true\";\n"
             "Binary::apt-get::APT::Keep-Downloaded-Packages \"true\";\n"
             "DPkg::Post-Invoke { \"/usr/local/sbin/berth-keep-packages\"; };\n",
             PROXY_PORT, PROXY_PORT);
    buf_adds(out, "mkdir -p /etc/apt/apt.conf.d\n");
    add_heredoc(out, "/etc/apt/apt.conf.d/90berth", "644", apt);
    snprintf(keep, sizeof keep,
             "#!/bin/sh\n"
             "cache=/var/cache/berth/apt-%s\n"
             "for f in /var/cache/apt/archives/*.deb; do\n"
             "  if [ -L \"$f\" ] || [ ! -f \"$f\" ]; then continue; fi\n"
             "  kept=$cache/${f##*/} part=$cache/.$(uname -n).$$\n"
             "  cp \"$f\" \"$part\" && mv \"$part\" \"$kept\" && ln -sf \"$kept\" \"$f\"\n"
             "done\n"
             "exit 0\n",
             name);
    add_heredoc(out, "/usr/local/sbin/berth-keep-packages", "755", keep);
    buf_addf(out,
             "cache=/var/cache/berth/apt-%s\n"
             "mkdir -p $cache /var/cache/apt/archives\n"
             "for f in $cache/*.deb; do\n"
             "  if [ -f \"$f\" ]; then ln -sf \"$f\" /var/cache/apt/archives/; fi\n"
             "done\n",
             name);
}

/* mount(8) runs what is called mount.TYPE, umount(8) what is called umount.TYPE. The process that
 * serves the file system is a service of its own: it must outlive who mounted it, and end before
 * the guest does. umount(8) comes back before it has written everything: the helper waits for it.
 * Of fstab systemd takes no devices in a container. */
static void add_mounting(struct buf *out) {
    add_heredoc(
        out, "/usr/sbin/mount.ext4", "755",
        "#!/bin/sh\n"
        "device=$(readlink -f \"$1\") folder=$2\n"
        "shift 2\n"
        "mode=rw\n"
        "while getopts sfnvN:o:t: option; do\n"
        "  case $option in o) case ,$OPTARG, in *,ro,*) mode=ro;; esac;; f) exit 0;; esac\n"
        "done\n"
        "unit=fuse2fs-${device##*/}\n"
        "[ $mode = ro ] || e2fsck -p \"$device\" >/dev/null || [ $? -lt 4 ] || {\n"
        "  echo \"mount.ext4: $device wants e2fsck\" >&2; exit 32; }\n"
        "systemctl reset-failed -q \"$unit\" 2>/dev/null\n"
        "systemd-run -q --collect --unit=\"$unit\" -p Type=forking -p DefaultDependencies=no "
        "-p Conflicts=umount.target -p Before=umount.target "
        "fuse2fs \"$device\" \"$folder\" -o \"$mode,nonempty,allow_other,suid,dev\" &&\n"
        "  mountpoint -q \"$folder\" && exit 0\n"
        "journalctl -q -u \"$unit\" -n 5 -o cat >&2\n"
        "exit 32\n");
    add_heredoc(
        out, "/usr/sbin/umount.fuse", "755",
        "#!/bin/sh\n"
        "device=$(findmnt -rno SOURCE \"$1\")\n"
        "umount -i \"$1\" || exit\n"
        "unit=fuse2fs-${device##*/}\n"
        "for i in $(seq 600); do\n"
        "  case $(systemctl is-active \"$unit\") in active|deactivating) sleep 0.05;; *) exit 0;;"
        " esac\n"
        "done\n"
        "echo \"umount: $unit does not end\" >&2\n"
        "exit 32\n");
    add_heredoc(out, "/etc/systemd/system/sandbox-fstab.service", "644",
                "[Unit]\nDescription=Volumes of /etc/fstab\nDefaultDependencies=no\n"
                "After=local-fs-pre.target systemd-journald.socket\nBefore=local-fs.target\n"
                "[Service]\nType=oneshot\nRemainAfterExit=yes\n"
                "ExecStart=-/usr/bin/mount -a -t ext4\n"
                "[Install]\nWantedBy=local-fs.target\n");
    buf_adds(out, "mkdir -p /etc/systemd/system/local-fs.target.wants\n"
                  "ln -sf ../sandbox-fstab.service /etc/systemd/system/local-fs.target.wants/\n"
                  "ln -sf umount.fuse /usr/sbin/umount.fuse.ext4\n"
                  "touch /etc/fstab\n");
}

static void add_user(struct buf *out, const char *user, const char *public_key) {
    char home[128], sudoers[512];
    buf_addf(out,
             "id %s >/dev/null 2>&1 || useradd -m -s /bin/bash %s\nmkdir -p /etc/sudoers.d\n"
             "install -d -m 700 -o %s -g %s /home/%s/.ssh\n",
             user, user, user, user, user);
    snprintf(sudoers, sizeof sudoers,
             "%s ALL=(ALL) NOPASSWD:ALL\n"
             "Defaults env_keep += \"http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY "
             "SSL_CERT_FILE PIP_CERT UV_CACHE_DIR UV_LINK_MODE PIP_CACHE_DIR\"\n",
             user);
    add_heredoc(out, "/etc/sudoers.d/90-cloud-init-users", "440", sudoers);
    snprintf(home, sizeof home, "/home/%s/.ssh/authorized_keys", user);
    add_heredoc(out, home, "600", public_key);
    buf_addf(out, "chown %s:%s %s\n", user, user, home);
}

void seed_compose(const cJSON *instance, struct buf *out) {
    const struct image *image = image_of(instance);
    const char *name = text_of(instance, "hostname");
    char hosts[256];
    buf_adds(out, "set -e\numask 022\nrm -f /etc/resolv.conf /etc/ssh/ssh_host_*\n"
                  ": >/etc/resolv.conf\n: >/etc/machine-id\n");
    buf_addf(out, "echo %s >/etc/hostname\n", name);
    snprintf(hosts, sizeof hosts, "127.0.0.1 localhost\n%s %s\n", text_of(instance, "address"),
             name);
    add_heredoc(out, "/etc/hosts", "644", hosts);
    add_user(out, image->user, text_of(instance, "public_key"));
    add_host_key(out, text_of(instance, "user_data"));
    add_environment(out);
    add_pip_settings(out);
    buf_adds(out, "mkdir -p /var/cache/berth/uv /var/cache/berth/pip\n"
                  "chmod 1777 /var/cache/berth/uv /var/cache/berth/pip 2>/dev/null || true\n");
    add_ca_bundle(out);
    add_mounting(out);
    if (image->seed != NULL)
        image->seed(instance, out);
}
