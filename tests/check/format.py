"""clang-format has nothing to change. Usage: format.py ROOT"""

import shutil
import sys

from checklib import SKIP, finish, run, sources

if shutil.which("clang-format") is None:
    print("SKIPPED: clang-format is not installed")
    sys.exit(SKIP)
files = [str(path) for path in sources(sys.argv[1], ".c", ".h")]
result = run("clang-format", "--dry-run", "--Werror", *files)
finish([line for line in result.stderr.splitlines() if "error:" in line])
