"""What the documents say is there: links lead somewhere, folders and verbs that they name exist.
Usage: docs.py ROOT BERTH"""

import pathlib
import re
import subprocess
import sys

from checklib import finish

root, berth = pathlib.Path(sys.argv[1]), sys.argv[2]
problems = []
documents = [*root.glob("*.md"), *(root / "docs").glob("*.md")]
verbs = set(re.findall(r"^  ([\w-]+) ", subprocess.run([berth, "help"], text=True, check=True,
                                                    capture_output=True).stdout, re.M))
for path in documents:
    text = path.read_text()
    name = path.relative_to(root)
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
        if not (path.parent / target).exists():
            problems.append(f"{name}: {target} is not there")
    for verb in re.findall(r"`berth ([a-z-]+[a-z])", text):
        if verb not in verbs:
            problems.append(f"{name}: there is no verb `berth {verb}`")
    for place in re.findall(r"`((?:cmd|engine|providers|specs|tests|docs|examples)/[\w./-]+)`", text):
        if not (root / place).exists():
            problems.append(f"{name}: {place} is not there")
if len((root / "README.md").read_text().splitlines()) > 110:
    problems.append("README.md: longer than two screens")
finish(problems)
