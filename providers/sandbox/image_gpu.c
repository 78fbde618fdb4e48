/* What a deep-learning image has besides: an nvidia-smi(1) that knows the GPUs of the instance's
 * type by name, and the questions that are asked most. There is no GPU behind it. */
#include "providers/sandbox/images.h"
#include "providers/sandbox/internal.h"
#include "providers/sandbox/types.h"

#include <string.h>

static const struct {
    const char *family, *name;
    int mib;
} gpus[] = {
    {"g4dn.", "Tesla T4", 15360}, {"g5.", "NVIDIA A10G", 23028}, {"g6.", "NVIDIA L4", 23034}};

/* /run/sandbox-gpu: the utilization in percent that it tells of; 0 without it. */
static const char script[] =
    "fields= units=yes header=yes\n"
    "[ \"$count\" -gt 0 ] || { echo 'NVIDIA-SMI has failed because it couldn'\"'\"'t communicate "
    "with the NVIDIA driver. Make sure that the latest NVIDIA driver is installed and running.'\n"
    "  exit 9; }\n"
    "uuid() { printf 'GPU-5a0d0b0c-0000-4000-8000-%012d' \"$1\"; }\n"
    "for a; do\n"
    "  case $a in\n"
    "  -L | --list-gpus)\n"
    "    for i in $(seq 0 $((count - 1))); do echo \"GPU $i: $name (UUID: $(uuid \"$i\"))\"; done\n"
    "    exit ;;\n"
    "  --query-gpu=*) fields=$(echo \"${a#*=}\" | tr -d ' ' | tr ',' ' ') ;;\n"
    "  --format=*)\n"
    "    case $a in *nounits*) units= ;; esac\n"
    "    case $a in *noheader*) header= ;; esac ;;\n"
    "  *) echo \"ERROR: Option $a is not recognized. Please run 'nvidia-smi -h'.\"; exit 2 ;;\n"
    "  esac\n"
    "done\n"
    "[ -n \"$fields\" ] || { echo \"NVIDIA-SMI 570.86.15  Driver Version: 570.86.15  CUDA Version: "
    "12.8: $count x $name\"; exit; }\n"
    "used=0\n"
    "[ ! -r /run/sandbox-gpu ] || read -r used </run/sandbox-gpu\n"
    "value() {\n"
    "  case $1 in\n"
    "  index) echo \"$2\" ;;\n"
    "  count) echo \"$count\" ;;\n"
    "  name | gpu_name) echo \"$name\" ;;\n"
    "  uuid | gpu_uuid) uuid \"$2\" ;;\n"
    "  driver_version) echo 570.86.15 ;;\n"
    "  memory.total) echo \"$mib${units:+ MiB}\" ;;\n"
    "  memory.used) echo \"0${units:+ MiB}\" ;;\n"
    "  memory.free) echo \"$mib${units:+ MiB}\" ;;\n"
    "  utilization.gpu) echo \"$used${units:+ %}\" ;;\n"
    "  utilization.memory) echo \"0${units:+ %}\" ;;\n"
    "  temperature.gpu) echo 30 ;;\n"
    "  *) return 1 ;;\n"
    "  esac\n"
    "}\n"
    "for f in $fields; do value \"$f\" 0 >/dev/null || {\n"
    "  echo \"Field \\\"$f\\\" is not a valid field to query.\"; exit 2; }; done\n"
    "[ -z \"$header\" ] || echo \"$fields\" | sed 's/ /, /g'\n"
    "for i in $(seq 0 $((count - 1))); do\n"
    "  line=\n"
    "  for f in $fields; do line=\"$line${line:+, }$(value \"$f\" \"$i\")\"; done\n"
    "  echo \"$line\"\n"
    "done\n";

void seed_gpu(const cJSON *instance, struct buf *out) {
    seed_apt(instance, out);
    const struct instance_type *type = instance_type_named(text_of(instance, "type"));
    int count = type == NULL ? 0 : type->gpus, mib = 0;
    const char *name = "";
    for (size_t i = 0; count > 0 && i < sizeof gpus / sizeof gpus[0]; i++)
        if (strncmp(type->name, gpus[i].family, strlen(gpus[i].family)) == 0) {
            name = gpus[i].name;
            mib = gpus[i].mib;
        }
    buf_addf(out,
             "cat >/usr/bin/nvidia-smi <<'BERTH_END'\n#!/bin/sh\ncount=%d name='%s' mib=%d\n%s"
             "BERTH_END\nchmod 755 /usr/bin/nvidia-smi\n",
             count, name, mib, script);
}
