/* `berth doctor` of a server that berth did not make. */
#pragma once

#include "cmd/session.h"

/* The spec is loaded. The exit code; frees the session. */
int doctor_given(struct session *s);
