"""clang-tidy has nothing to say (.clang-tidy). Files that are as they were when they were last good
are not looked at again: their digests are kept in BUILD/tidy-cache. Usage: tidy.py ROOT BUILD"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shutil
import sys

from checklib import SKIP, finish, run, sources

root, build = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
if shutil.which("clang-tidy") is None:
    print("SKIPPED: clang-tidy is not installed")
    sys.exit(SKIP)
cache = build / "tidy-cache"
cache.mkdir(exist_ok=True)
headers = hashlib.sha256((root / ".clang-tidy").read_bytes())
for path in sources(root, ".h"):
    headers.update(path.read_bytes())
known = {str(pathlib.Path(c["file"])) for c in json.loads(
    (build / "compile_commands.json").read_text())}
files = [p for p in sources(root, ".c") if str(p) in known and "tests" not in p.parts]
if not files:
    finish([f"{build}/compile_commands.json names no source of {root}"])


def look(path):
    digest = hashlib.sha256(headers.digest() + path.read_bytes()).hexdigest()
    mark = cache / digest
    if mark.exists():
        return []
    result = run("clang-tidy", "--quiet", "-p", str(build), str(path))
    found = [line for line in result.stdout.splitlines()
             if re.search(r"(warning|error): .*\[", line)]
    if result.returncode != 0 and not found:
        found = [f"{path}: clang-tidy failed: {result.stderr[-500:]}"]
    if not found:
        mark.touch()
    return found


os.nice(10) # it takes all processors for minutes; tests that wait for something go first
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    finish(sorted({line for lines in pool.map(look, files) for line in lines}))
