/* Instance types, of AWS's, and the zones that they can be had in. What a type says of processors
 * and memory is what EC2's DescribeInstanceTypes says; guests share this machine's. Prices are
 * those of Linux on demand in us-east-1 (https://aws.amazon.com/ec2/pricing/on-demand/, 2024). */
#include "providers/sandbox/types.h"
#include "providers/sandbox/internal.h"

#include <string.h>

const struct zone zones[] = {
    {"sandbox-1a", "sbx1-az1", "subnet-05a0d0b0c0000001a", 0, 25},
    {"sandbox-1b", "sbx1-az2", "subnet-05a0d0b0c0000001b", 128, 26},
    {"sandbox-1c", "sbx1-az3", "subnet-05a0d0b0c0000001c", 192, 26},
    {NULL, NULL, NULL, 0, 0},
};

const struct zone *zone_named(const char *name) {
    for (const struct zone *z = zones; z->name != NULL; z++)
        if (strcmp(z->name, name) == 0)
            return z;
    return NULL;
}

const struct zone *zone_of_subnet(const char *id) {
    for (const struct zone *z = zones; z->name != NULL; z++)
        if (strcmp(z->subnet, id) == 0)
            return z;
    return NULL;
}

const struct zone *zone_of(const cJSON *instance) {
    const struct zone *z = zone_named(text_of(instance, "zone"));
    return z == NULL ? zones : z;
}

#define X86 "x86_64"
#define ARM "arm64"
/* Not every zone has every type, so that a launch must look. */
enum { IN_A = 1, IN_B = 2, IN_C = 4, IN_ALL = 7 };

const struct instance_type instance_types[] = {
    {"m1.small", 1, 1740, 0, X86, 0.044, IN_A},
    {"t1.micro", 1, 627, 0, X86, 0.02, IN_A},
    {"t2.nano", 1, 512, 0, X86, 0.0058, IN_A | IN_B},
    {"t2.micro", 1, 1024, 0, X86, 0.0116, IN_A | IN_B},
    {"t2.small", 1, 2048, 0, X86, 0.023, IN_A | IN_B},
    {"t2.medium", 2, 4096, 0, X86, 0.0464, IN_A | IN_B},
    {"t2.large", 2, 8192, 0, X86, 0.0928, IN_A | IN_B},
    {"t2.xlarge", 4, 16384, 0, X86, 0.1856, IN_A | IN_B},
    {"t2.2xlarge", 8, 32768, 0, X86, 0.3712, IN_A | IN_B},
    {"t3.nano", 2, 512, 0, X86, 0.0052, IN_ALL},
    {"t3.micro", 2, 1024, 0, X86, 0.0104, IN_ALL},
    {"t3.small", 2, 2048, 0, X86, 0.0208, IN_ALL},
    {"t3.medium", 2, 4096, 0, X86, 0.0416, IN_ALL},
    {"t3.large", 2, 8192, 0, X86, 0.0832, IN_ALL},
    {"t3.xlarge", 4, 16384, 0, X86, 0.1664, IN_ALL},
    {"t3.2xlarge", 8, 32768, 0, X86, 0.3328, IN_ALL},
    {"t3a.nano", 2, 512, 0, X86, 0.0047, IN_ALL},
    {"t3a.micro", 2, 1024, 0, X86, 0.0094, IN_ALL},
    {"t3a.small", 2, 2048, 0, X86, 0.0188, IN_ALL},
    {"t3a.medium", 2, 4096, 0, X86, 0.0376, IN_ALL},
    {"t3a.large", 2, 8192, 0, X86, 0.0752, IN_ALL},
    {"t3a.xlarge", 4, 16384, 0, X86, 0.1504, IN_ALL},
    {"t3a.2xlarge", 8, 32768, 0, X86, 0.3008, IN_ALL},
    {"t4g.nano", 2, 512, 0, ARM, 0.0042, IN_ALL},
    {"t4g.micro", 2, 1024, 0, ARM, 0.0084, IN_ALL},
    {"t4g.small", 2, 2048, 0, ARM, 0.0168, IN_ALL},
    {"t4g.medium", 2, 4096, 0, ARM, 0.0336, IN_ALL},
    {"t4g.large", 2, 8192, 0, ARM, 0.0672, IN_ALL},
    {"t4g.xlarge", 4, 16384, 0, ARM, 0.1344, IN_ALL},
    {"t4g.2xlarge", 8, 32768, 0, ARM, 0.2688, IN_ALL},
    {"m5.large", 2, 8192, 0, X86, 0.096, IN_ALL},
    {"m5.xlarge", 4, 16384, 0, X86, 0.192, IN_ALL},
    {"m5.2xlarge", 8, 32768, 0, X86, 0.384, IN_ALL},
    {"m5.4xlarge", 16, 65536, 0, X86, 0.768, IN_ALL},
    {"m6i.large", 2, 8192, 0, X86, 0.096, IN_ALL},
    {"m6i.xlarge", 4, 16384, 0, X86, 0.192, IN_ALL},
    {"m6i.2xlarge", 8, 32768, 0, X86, 0.384, IN_ALL},
    {"m6i.4xlarge", 16, 65536, 0, X86, 0.768, IN_ALL},
    {"m6g.large", 2, 8192, 0, ARM, 0.077, IN_ALL},
    {"m6g.xlarge", 4, 16384, 0, ARM, 0.154, IN_ALL},
    {"m6g.2xlarge", 8, 32768, 0, ARM, 0.308, IN_ALL},
    {"m7i.large", 2, 8192, 0, X86, 0.1008, IN_ALL},
    {"m7i.xlarge", 4, 16384, 0, X86, 0.2016, IN_ALL},
    {"m7i.2xlarge", 8, 32768, 0, X86, 0.4032, IN_ALL},
    {"m7i.4xlarge", 16, 65536, 0, X86, 0.8064, IN_ALL},
    {"m7g.medium", 1, 4096, 0, ARM, 0.0408, IN_ALL},
    {"m7g.large", 2, 8192, 0, ARM, 0.0816, IN_ALL},
    {"m7g.xlarge", 4, 16384, 0, ARM, 0.1632, IN_ALL},
    {"m7g.2xlarge", 8, 32768, 0, ARM, 0.3264, IN_ALL},
    {"c5.large", 2, 4096, 0, X86, 0.085, IN_ALL},
    {"c5.xlarge", 4, 8192, 0, X86, 0.17, IN_ALL},
    {"c5.2xlarge", 8, 16384, 0, X86, 0.34, IN_ALL},
    {"c5.4xlarge", 16, 32768, 0, X86, 0.68, IN_ALL},
    {"c6i.large", 2, 4096, 0, X86, 0.085, IN_ALL},
    {"c6i.xlarge", 4, 8192, 0, X86, 0.17, IN_ALL},
    {"c6i.2xlarge", 8, 16384, 0, X86, 0.34, IN_ALL},
    {"c7i.large", 2, 4096, 0, X86, 0.08925, IN_B | IN_C},
    {"c7i.xlarge", 4, 8192, 0, X86, 0.1785, IN_B | IN_C},
    {"c7i.2xlarge", 8, 16384, 0, X86, 0.357, IN_B | IN_C},
    {"c7i.4xlarge", 16, 32768, 0, X86, 0.714, IN_B | IN_C},
    {"c7g.medium", 1, 2048, 0, ARM, 0.0363, IN_ALL},
    {"c7g.large", 2, 4096, 0, ARM, 0.0725, IN_ALL},
    {"c7g.xlarge", 4, 8192, 0, ARM, 0.145, IN_ALL},
    {"c7g.2xlarge", 8, 16384, 0, ARM, 0.29, IN_ALL},
    {"r5.large", 2, 16384, 0, X86, 0.126, IN_ALL},
    {"r5.xlarge", 4, 32768, 0, X86, 0.252, IN_ALL},
    {"r5.2xlarge", 8, 65536, 0, X86, 0.504, IN_ALL},
    {"r5.4xlarge", 16, 131072, 0, X86, 1.008, IN_ALL},
    {"r6i.large", 2, 16384, 0, X86, 0.126, IN_ALL},
    {"r6i.xlarge", 4, 32768, 0, X86, 0.252, IN_ALL},
    {"r6i.2xlarge", 8, 65536, 0, X86, 0.504, IN_ALL},
    {"r7i.large", 2, 16384, 0, X86, 0.1323, IN_ALL},
    {"r7i.xlarge", 4, 32768, 0, X86, 0.2646, IN_ALL},
    {"r6g.medium", 1, 8192, 0, ARM, 0.0504, IN_ALL},
    {"r6g.large", 2, 16384, 0, ARM, 0.1008, IN_ALL},
    {"r6g.xlarge", 4, 32768, 0, ARM, 0.2016, IN_ALL},
    {"g4dn.xlarge", 4, 16384, 1, X86, 0.526, IN_A | IN_B},
    {"g4dn.2xlarge", 8, 32768, 1, X86, 0.752, IN_A | IN_B},
    {"g4dn.4xlarge", 16, 65536, 1, X86, 1.204, IN_A | IN_B},
    {"g4dn.12xlarge", 48, 196608, 4, X86, 3.912, IN_A | IN_B},
    {"g5.xlarge", 4, 16384, 1, X86, 1.006, IN_B},
    {"g5.2xlarge", 8, 32768, 1, X86, 1.212, IN_B},
    {"g5.4xlarge", 16, 65536, 1, X86, 1.624, IN_B},
    {"g5.12xlarge", 48, 196608, 4, X86, 5.672, IN_B},
    {"g6.xlarge", 4, 16384, 1, X86, 0.8048, IN_C},
    {"g6.2xlarge", 8, 32768, 1, X86, 0.9776, IN_C},
    {NULL, 0, 0, 0, NULL, 0, 0},
};

const struct instance_type *instance_type_named(const char *name) {
    for (const struct instance_type *t = instance_types; t->name != NULL; t++)
        if (strcmp(t->name, name) == 0)
            return t;
    return NULL;
}

bool zone_offers(const struct zone *zone, const struct instance_type *type) {
    return (type->zones >> (zone - zones) & 1) != 0;
}
