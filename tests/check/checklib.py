"""What the checks share: the sources, by layer."""

import pathlib
import subprocess
import sys

SKIP = 77
LAYERS = ("specs", "providers", "engine", "cmd")


def sources(root, *suffixes):
    """Tracked and new files of the layers and the tests, not what a build left behind."""
    found = []
    for folder in (*LAYERS, "tests"):
        for path in sorted((pathlib.Path(root) / folder).rglob("*")):
            if path.suffix in suffixes and path.is_file():
                found.append(path)
    return found


def finish(problems):
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems" if problems else "good")
    sys.exit(1 if problems else 0)


def run(*args, **more):
    return subprocess.run(args, text=True, capture_output=True, **more)
