"""uv of the tests' environment, as a judge."""

import pathlib
import subprocess
import sys

from berthlib import check, skip

UV = pathlib.Path(sys.executable).parent / "uv"
if not UV.exists():
    skip("uv is not in the tests' environment")


def run(*args, cwd, good=True):
    result = subprocess.run([str(a) for a in args], cwd=cwd, text=True, capture_output=True,
                            timeout=300, stdin=subprocess.DEVNULL)
    check(not good or result.returncode == 0, f"{args}", result.stdout[-2000:], result.stderr[-2000:])
    return result


def uv(folder, *args):
    """What it prints. It asks the package index; where there is none the test is skipped."""
    result = run(UV, *args, cwd=folder, good=False)
    if result.returncode != 0 and "fetch" in result.stderr:
        skip("the package index cannot be reached")
    check(result.returncode == 0, f"uv {args}", result.stderr)
    return result.stdout
