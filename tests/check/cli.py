"""The command line as a person meets it, where no server is needed: words, exit codes, what stays
untouched. Usage: cli.py BERTH"""

import atexit
import fcntl
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tempfile
with open(private / "lock", "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    lock.write("berth apply, process 4711 on elsewhere, since now\n")
    lock.flush()
    run("apply", "-file", "two.yaml", cwd=project, code=1, env=keys, err="process 4711 on elsewhere")

# Output that cannot be written is an error.
full = subprocess.run([berth, "help"], stdout=open("/dev/full", "w"), stderr=subprocess.PIPE,
                      text=True)
assert full.returncode == 1 and "could not be written" in full.stderr, full

# Closed streams are not mistaken for files that berth opens itself.
for stream, code in ((0, 0), (1, 1), (2, 0)):
    shut = subprocess.run(["sh", "-c", f'"$0" validate {stream}>&-', berth], cwd=project, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert shut.returncode == code, (stream, shut)
assert "could not be written" in subprocess.run(["sh", "-c", '"$0" init -file shut.yaml >&-', berth],
                                                cwd=project, stderr=subprocess.PIPE, text=True).stderr
assert (project / "shut.yaml").read_text().startswith("# What the server is")
subprocess.run(["rm", "-rf", str(folder)], check=True)
print(f"{cases} cases passed")
