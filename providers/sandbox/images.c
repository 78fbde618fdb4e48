/* The images: a row each. The SSM parameters are AWS's, Canonical's and Debian's public ones. */
#include "providers/sandbox/images.h"
#include "providers/sandbox/internal.h"

#include <string.h>

/* What every guest of Debian's kind begins with, Python's venv apart: an Ubuntu image has none. */
#define PACKAGES                                                                                   \
    "systemd,systemd-sysv,dbus,libpam-systemd,openssh-server,sudo,ca-certificates,python3,"        \
    "iproute2,procps,curl,fuse2fs"
#define HOLDS "lib/systemd/systemd usr/sbin/sshd usr/bin/python3 usr/bin/sudo usr/bin/fuse2fs"

static const struct base base_debian = {
    .name = "debian-12",
    .version = 2,
    .title = "Debian 12",
    .seconds = 30,
    .mib = 800,
    .suite = "bookworm",
    .include = PACKAGES ",python3-venv",
    .holds = HOLDS " usr/bin/apt-get",
};

#define UBUNTU "http://archive.ubuntu.com/ubuntu"

/* Of the release itself, which does not change any more. */
static const struct archive_keys ubuntu_keys = {
    .local = "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
    .url = UBUNTU "/pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb",
    .sha256 = "36de43b15853ccae0028e9a767613770c704833f82586f28eb262f0311adb8a8",
    .file = "./usr/share/keyrings/ubuntu-archive-keyring.gpg",
};

static const struct base base_ubuntu = {
    .name = "ubuntu-24.04",
    .version = 1,
    .title = "Ubuntu 24.04",
    .seconds = 30,
    .mib = 800,
    .suite = "noble",
    .sources = {"deb " UBUNTU " noble main universe", "deb " UBUNTU " noble-updates main universe",
                "deb " UBUNTU " noble-security main universe"},
    .include = PACKAGES ",apt",
    .keys = &ubuntu_keys,
    .holds = HOLDS " usr/bin/apt-get usr/bin/python3.12",
};

const struct image images[] = {
    {"debian-12", "ami-0deb1a0120000000a", "snap-0deb1a0120000000a",
     "/aws/service/debian/release/12/latest/amd64", "admin", &base_debian, seed_apt},
    {"ubuntu-24.04", "ami-0ab4240400000000a", "snap-0ab4240400000000a",
     "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id", "ubuntu",
     &base_ubuntu, seed_apt},
    {"amazon-linux-2023", "ami-0a12023000000000a", "snap-0a12023000000000a",
     "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64", "ec2-user",
     &base_amazon, NULL},
    {"deep-learning-ubuntu-24.04", "ami-0d12404000000000a", "snap-0d12404000000000a",
     "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id",
     "ubuntu", &base_ubuntu, seed_gpu},
    {NULL, NULL, NULL, NULL, NULL, NULL, NULL},
};

const struct image *image_named(const char *name) {
    for (const struct image *i = images; i->name != NULL; i++)
        if (name != NULL && strcmp(i->name, name) == 0)
            return i;
    return NULL;
}

const struct image *image_of_ami(const char *ami) {
    for (const struct image *i = images; i->name != NULL; i++)
        if (strcmp(i->ami, ami) == 0)
            return i;
    return NULL;
}

const struct image *image_of(const cJSON *instance) {
    const struct image *image = image_of_ami(text_of(instance, "image"));
    return image == NULL ? images : image;
}
