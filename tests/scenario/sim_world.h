/* The two simulated worlds. Their session is run->env_ctx: the struct sim. */
#pragma once

#include "providers/provider.h"

extern const struct world sim_cloud_world, sim_inside_world;
