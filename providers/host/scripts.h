/* The shell that every probe and every converge starts with. */
#pragma once

extern const char script_common[], script_probe[], script_converge[];
