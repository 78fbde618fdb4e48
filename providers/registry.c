#include "providers/ec2/ec2.h"
#include "providers/given/given.h"
#include "providers/host/host.h"
#include "providers/provider.h"

/* One row a kind. Parents stand before what lives in them. */
const struct kind *const registry_kinds[] = {
    &key_pair_kind,
    &access_kind,
    &address_kind,
    &server_kind,
    &given_kind,
    &volume_kind,
    &host_key_kind,
    &host_disk_kind,
    &host_data_kind,
    &host_swap_kind,
    &host_packages_kind,
    &host_gpu_kind,
    &host_python_kind,
    &host_python_packages_kind,
    &host_kernel_kind,
    &host_files_kind,
    &host_tls_kind,
    &host_jupyter_kind,
    &host_extensions_kind,
    &host_service_kind,
    &host_health_kind,
    &host_stop_kind,
    NULL,
};
