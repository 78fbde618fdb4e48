/* The images that the spec names: where AWS publishes their newest AMI, and who logs in. */
#include "providers/ec2/internal.h"
#include "specs/sections/sections.h"

/* Public parameters: https://docs.aws.amazon.com/systems-manager/latest/userguide/
 * parameter-store-public-parameters.html; Debian's: https://wiki.debian.org/Cloud/AmazonEC2Image */
static const struct image images[] = {
    {"debian-12", "admin", "/aws/service/debian/release/12/latest/amd64",
     "/aws/service/debian/release/12/latest/arm64"},
    {"ubuntu-24.04", "ubuntu",
     "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id",
     "/aws/service/canonical/ubuntu/server/24.04/stable/current/arm64/hvm/ebs-gp3/ami-id"},
    {"amazon-linux-2023", "ec2-user",
     "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
     "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"},
    {"deep-learning-ubuntu-24.04", "ubuntu",
     "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id",
     NULL},
};

const struct image *image_find(const char *name) {
    for (size_t i = 0; i < sizeof images / sizeof images[0]; i++)
        if (cstr_eq(images[i].name, name))
            return &images[i];
    return NULL;
}

bool image_is_arm(const char *type) { return instance_type_is_arm(type); }

const char *image_parameter(const struct image *image, const char *instance_type) {
    return image_is_arm(instance_type) ? image->ssm_arm : image->ssm_x86;
}
