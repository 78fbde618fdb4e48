"""No source file over 800 lines; those over 400 are named. No tabs, trailing spaces, forbidden
calls. Usage: sizes.py ROOT"""

import pathlib
import re
import sys

from checklib import LAYERS, finish, sources

root = pathlib.Path(sys.argv[1])
problems = []
FORBIDDEN = re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|atof|alloca|strtok|system"
                       r"|popen)\s*\(")
TYPEDEF = re.compile(r"^\s*typedef\s+struct\b")

for path in sources(root, ".c", ".h", ".py"):
    name = path.relative_to(root).as_posix()
    lines = path.read_text().splitlines()
    if len(lines) > 800:
        problems.append(f"{name}: {len(lines)} lines; split it")
    elif len(lines) > 400:
        print(f"note: {name} has {len(lines)} lines (the aim is 400)")
    for number, line in enumerate(lines, 1):
        where = f"{name}:{number}"
        if line != line.rstrip():
            problems.append(f"{where}: trailing space")
        if path.suffix == ".py" or name.split("/")[0] not in LAYERS:
            continue
        if "\t" in line:
            problems.append(f"{where}: a tab")
        code = re.sub(r'"(\\.|[^"\\])*"|/\*.*?\*/|//.*', "", line)
        match = None if code.lstrip().startswith("*") else FORBIDDEN.search(code)
        if match:
            problems.append(f"{where}: {match.group(1)}() is not used here")
        if TYPEDEF.match(code):
            problems.append(f"{where}: no typedef of structs")
        if re.search(r"\b(TODO|FIXME|XXX)\b", line):
            problems.append(f"{where}: {line.strip()}")
finish(problems)
