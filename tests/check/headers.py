"""Every header compiles alone, starts with a comment, and has #pragma once.
Usage: headers.py ROOT BUILD"""

import json
import pathlib
import shlex
import sys

from checklib import finish, run, sources

root, build = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
problems = []
commands = json.loads((build / "compile_commands.json").read_text())
flags = [word for word in shlex.split(next(c["command"] for c in commands
                                          if c["file"].endswith("cmd/servers.c")))
         if word.startswith(("-I", "-D", "-std", "-W", "/usr")) or word == "-isystem"]
compiler = flags.pop(0) if flags and flags[0].startswith("/usr") and "include" not in flags[0] else "cc"

for path in sources(root, ".h"):
    text = path.read_text()
    name = path.relative_to(root).as_posix()
    if "#pragma once" not in text:
        problems.append(f"{name}: no #pragma once")
    if not text.startswith("/*"):
        problems.append(f"{name}: no comment says what it is for")
    # Included as a file does it, twice over; -x c on a header itself would warn of the pragma.
    result = run(compiler, *flags, "-I", str(root), "-fsyntax-only", "-x", "c", "-",
                 input=f'#include "{name}"\n#include "{name}"\nint main(void);\n')
    if result.returncode != 0:
        problems.append(f"{name} does not compile alone:\n{result.stderr.strip()[:800]}")
finish(problems)
