/* Checks that several sections share. Each returns NULL when the text is good, else what was
 * expected: see struct field. */
#pragma once

#include "specs/str.h"

/* It becomes part of names in EC2, of folders and of host names. */
enum { SPEC_NAME_MAX = 40 };
const char *check_spec_name(struct str s);
const char *check_nonempty(struct str s);
/* Bits behind the prefix are the access section's own check, which knows the corrected block. */
const char *check_cidr_or_my_ip(struct str s);
const char *check_rule_description(struct str s);
const char *check_subnet_id(struct str s);
const char *check_iam_name(struct str s);
const char *check_instance_type(struct str s);
/* US dollars an hour. */
const char *check_price(struct str s);
const char *check_image_id(struct str s);
const char *check_system_package(struct str s);
const char *check_requirement(struct str s);
/* The name of an extra or of a dependency group: PEP 508, PEP 735. */
const char *check_extra(struct str s);
/* Of a kernel of Jupyter: jupyter_client's kernelspec.py; and a folder of its own. */
const char *check_kernel_name(struct str s);
const char *check_python_version(struct str s);
const char *check_http_url(struct str s);
const char *check_remote_path(struct str s);
/* Where a volume may be mounted: nothing that is needed may vanish below it. */
const char *check_mount(struct str s);
const char *check_file_mode(struct str s);
/* A DNS name, which may have "{n}" in it for a number. */
const char *check_host_name(struct str s);
/* Of a user on a host: useradd(8). */
const char *check_user(struct str s);
/* How to come to a server that berth did not make: "[user@]name". */
const char *check_login(struct str s);
/* "[user@]host[:port]", several with commas: ssh(1) -J. */
const char *check_jump(struct str s);
/* A public host key, or its fingerprint. */
const char *check_host_key(struct str s);
const char *check_region(struct str s);
