"""Arrows point down (docs/architecture.md): checks what files include, and what symbols the static
libraries take from each other. Usage: layers.py ROOT BUILD"""

import pathlib
import re
import sys

from checklib import LAYERS, finish, run, sources

root, build = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
problems = []

# Which headers a file of a layer may include, as prefixes.
MAY = {
    "specs": ("specs/",),
    "providers": ("specs/", "providers/"),
    "engine": ("specs/", "engine/", "providers/provider.h"),
    "cmd": ("specs/", "engine/", "providers/", "cmd/"),
}
# Inside providers/: who may know whom. A world knows transports, never another world.
WORLDS = {
    "providers/aws/": ("providers/aws/",),
    "providers/ec2/": ("providers/ec2/", "providers/aws/"),
    "providers/given/": ("providers/given/", "providers/host/"),
    "providers/host/": ("providers/host/",),
    "providers/sandbox/": ("providers/sandbox/", "providers/aws/sign.h"),
}
# The pure half: no file, socket, clock, random number or environment.
PURE = ("specs/", "engine/compile", "engine/decide", "engine/plan.", "engine/plan_",
        "engine/scope", "engine/address", "engine/graph", "engine/index", "engine/fingerprint",
        "engine/batch", "engine/cost", "cmd/show_", "cmd/text", "cmd/options")
IMPURE_ALLOWED = {"specs/fs.c"}
IMPURE_HEADERS = {"unistd.h", "fcntl.h", "sys/socket.h", "sys/stat.h", "time.h", "sys/random.h",
                  "dirent.h", "netdb.h", "pthread.h", "curl/curl.h", "libssh2.h"}
IMPURE_SYMBOLS = {"open", "open64", "fopen", "fopen64", "read", "write", "socket", "connect", "time",
                  "clock_gettime", "gettimeofday", "monotonic_s", "getrandom", "rand", "random", "getenv",
                  "secure_getenv", "stat", "opendir", "system", "fork", "exit", "abort", "printf",
                  "puts", "fprintf"}

for path in sources(root, ".c", ".h"):
    name = path.relative_to(root).as_posix()
    layer = name.split("/")[0]
    if layer not in LAYERS:
        continue
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
        if not match:
            continue
        kind, header = match.groups()
        where = f"{name}:{number}"
        if kind == '"':
            if not (root / header).is_file():
                problems.append(f"{where}: {header} is not a path from the top")
            if not header.startswith(MAY[layer]):
                problems.append(f"{where}: {layer}/ may not include {header}")
            if header.startswith("providers/seam/") and not name.startswith(
                    ("providers/seam/", "providers/provider.h")):
                problems.append(f"{where}: the seam is included whole, by providers/provider.h")
            for world, may in WORLDS.items():
                if name.startswith(world) and header.startswith("providers/") \
                        and header.count("/") > 1 and not header.startswith(may):
                    problems.append(f"{where}: {world} may not include {header}")
        elif name.startswith(PURE) and name not in IMPURE_ALLOWED and header in IMPURE_HEADERS:
            problems.append(f"{where}: the pure half may not include <{header}>")
    if "registry_kinds" in path.read_text() and name not in (
            "cmd/main.c", "providers/registry.c", "providers/provider.h"):
        problems.append(f"{name}: only cmd/main.c names the registry")


def symbols(path):
    """{object: (defined for others, undefined)} of a static library."""
    result, current = {}, None
    for line in run("nm", "-A", str(path)).stdout.splitlines():
        match = re.match(r"[^:]+:([^:]+):[0-9a-f ]*([A-Za-z]) (\S+)", line)
        if match:
            name, kind, symbol = match.groups()
            defined, undefined = result.setdefault(name, (set(), set()))
            if kind.isupper():
                (undefined if kind == "U" else defined).add(symbol)
    return result


libraries = {layer: symbols(build / f"libberth_{layer}.a") for layer in LAYERS}
owner = {}
for layer, objects in libraries.items():
    if not objects:
        problems.append(f"libberth_{layer}.a is not in {build}")
    for name, (defined, _) in objects.items():
        for symbol in defined:
            owner.setdefault(symbol, layer)
for layer, objects in libraries.items():
    below = {"specs": {"specs"}, "providers": {"specs", "providers"},
             "engine": {"specs", "engine", "providers"}, "cmd": set(LAYERS)}[layer]
    for name, (defined, undefined) in objects.items():
        for symbol in sorted(undefined - defined):
            if symbol in owner and owner[symbol] not in below:
                problems.append(f"{layer}/{name}: uses {symbol} of {owner[symbol]}/")
            pure = any(f"{layer}/{name}".startswith(p) for p in PURE)
            if pure and f"{layer}/{name.removesuffix('.o')}" not in IMPURE_ALLOWED \
                    and symbol in IMPURE_SYMBOLS:
                problems.append(f"{layer}/{name}: the pure half uses {symbol}()")
            if layer != "cmd" and symbol in ("exit", "printf", "puts"):
                problems.append(f"{layer}/{name}: libraries never print or exit ({symbol})")

finish(problems)
