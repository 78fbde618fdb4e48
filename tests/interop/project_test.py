"""packages.python.project beside uv and Python themselves: TOML as tomllib reads it, and of locks
that uv makes what uv would install, on other Pythons and machines, with extras and groups. Usage:
project_test.py PROJECT_SET"""

import json
import math
import pathlib
import sys
import tempfile
import tomllib

from berthlib import check, skip, step
from uvlib import UV, run

PROJECT_SET = str(pathlib.Path(sys.argv[1]).resolve())
try:
    from packaging.markers import Marker, default_environment
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name
except ImportError as error:
    skip(f"python module missing: {error}")

HEAD = """\
berth: 1
name: t
provider: ec2
server: { image: debian-12, type: t3.small }
packages:
  python:
    project: project
"""


# ---- TOML

GOOD = ["", "# only a comment", "a = 1\r\nb = 'x'\r\n", 'a."b c".\'d\' = "\\u00e9\\t\\"\\\\ \\U0001F600"',
        "a = [1, 2,\n  # between\n 3,\n]", "a = { b = 1, c = [ { d = 2 } ], e.f = 3 }",
        "[a.b.c]\nx = 1\n[a]\ny = 2\n[a.b]\nz = 3", "[[p]]\nn = 1\n[p.q]\nr = 2\n[[p]]\nn = 3\n[[p.s]]\nt = 4",
        'a = """\nline\n  two \\\n   joined""""', "a = '''x''y''''", 'a = """"quoted""""', "a = ''''' '''''",
        "a = 0x1F\nb = 0o17\nc = 0b101\nd = 1_000\ne = -3.5e-2\nf = +7\ng = 1e5", "a = true\nb = false",
        "a = 1979-05-27\nb = 1979-05-27T07:32:00Z\nc = 1979-05-27 07:32:00\nd = 07:32:00",
        "[x]\na.b = 1\na.c = 2\n[x.a.d]\ne = 3", "'' = 1", "\ufeffa = 1", "a = [[], [[]], {}]",
        "fruit.apple.smooth = true\nfruit.orange = 2", "a = '\\'", "1234 = 1\n-_ = 2"]
BAD = ["a", "a =", "a = 1 2", "a = 'x", 'a = "\\q"', "a = 1\na = 2", "[a]\n[a]", "a = 1\n[a]", "[a\nb = 1",
       "a = [1", "a = {b = 1", "a = 01", "a = 1__0", "a = _1", "a = .5", "a = 5.", "a.b = 1\na = 2",
       "a = {}\n[a.b]", "a = []\n[[a]]", "[[a]]\n[a]", "a = {b = 1}\na.c = 2", "[a.b]\n[a]\nb.c = 1",
       "a = 'x\ny'", "a = \"\x01\"", "= 1", "a = nope", '"""a""" = 1', "a = \"\\ud800\"", "[a]\nb = 1\n[a.b]",
       "a = 0x", "a = 0xg", "a = 1e", "[]", "[[a]", "a = '''x", "a..b = 1", "# \x01", "a = 1 b = 2",
       "a = {b = 1}\n[a]", "a.b = 1\n[a]"]


def plain(value):
    """As project_set prints it: dates and what JSON has no number for are texts."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, bool) or isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and math.isfinite(value):
        return float(value)
    return None


def same(ours, theirs):
    if theirs is None: # a date: its text
        return isinstance(ours, str)
    if isinstance(theirs, dict):
        return isinstance(ours, dict) and ours.keys() == theirs.keys() \
            and all(same(ours[k], theirs[k]) for k in theirs)
    if isinstance(theirs, list):
        return isinstance(ours, list) and len(ours) == len(theirs) and all(map(same, ours, theirs))
    return ours == theirs and isinstance(ours, bool) == isinstance(theirs, bool)


def read_toml(folder, text):
    path = folder / "x.toml"
    path.write_bytes(text.encode())
    return run(PROJECT_SET, "-toml", path, cwd=folder, good=False)


def compare_toml(folder, text):
    result = read_toml(folder, text)
    check(result.returncode == 0, "it is read", text, result.stderr)
    ours, theirs = json.loads(result.stdout), plain(tomllib.loads(text.removeprefix("\ufeff")))
    check(same(ours, theirs), "TOML as tomllib reads it", text, result.stdout, theirs)


# ---- Locks

EVERYTHING = """\
[project]
name = "My.Proj"
version = "0.1.0"
requires-python = ">=3.10"
dependencies = ["pandas<3,>=2", "requests[socks]", "numpy; python_version<'3.12'",
  "colorama; sys_platform=='win32'", "redis>=4.5", "greenlet; platform_machine=='x86_64'"]
[project.optional-dependencies]
ml = ["scikit-learn==1.5.*"]
all = ["my-proj[ml]", "tabulate"]
old = ["exceptiongroup; python_version in '3.10'", "tomli; python_full_version<='3.11.0a6'"]
[dependency-groups]
dev = ["pytest", {include-group = "lint"}]
lint = ["ruff"]
"""
EXCLUSIVE = """\
[project]
name = "tools"
version = "1"
requires-python = ">=3.11"
dependencies = ["click"]
[project.optional-dependencies]
new = ["six==1.17.*"]
old = ["six==1.16.*"]
[dependency-groups]
early = ["idna==3.7"]
late = ["idna==3.10"]
[tool.uv]
conflicts = [[{extra = "new"}, {extra = "old"}], [{group = "early"}, {group = "late"}]]
"""


def make(root, name, text):
    folder = root / name
    (folder / "project").mkdir(parents=True)
    (folder / "project/pyproject.toml").write_text(text)
    result = run(UV, "lock", cwd=folder / "project", good=False)
    if result.returncode != 0 and "fetch" in result.stderr:
        skip("the package index cannot be reached")
    check(result.returncode == 0, "uv lock", result.stderr)
    return folder


def spec(folder, extras=(), groups=(), more="", python=""):
    text = HEAD + python
    text += f"    extras: {json.dumps(list(extras))}\n" if extras else ""
    text += f"    groups: {json.dumps(list(groups))}\n" if groups else ""
    (folder / "berth.yaml").write_text(text + more)
    return folder / "berth.yaml"


def ours(folder, python, machine, **what):
    path = spec(folder, **what)
    if machine == "aarch64":
        path.write_text(path.read_text().replace("t3.small", "t4g.small"))
    result = run(PROJECT_SET, path, python, machine, cwd=folder)
    return dict(line.split(" ") for line in result.stdout.splitlines())


def of_uv(folder, python, machine, extras=(), groups=()):
    """The export's requirements whose markers hold there."""
    export = run(UV, "export", "--frozen", "--no-emit-project", "--no-hashes", "--no-header",
                 "--no-annotate", "--no-default-groups", *[f"--extra={e}" for e in extras],
                 *[f"--group={g}" for g in groups], cwd=folder / "project").stdout
    environment = dict(default_environment(), python_full_version=python, extra="",
                       python_version=".".join(python.split(".")[:2]), sys_platform="linux",
                       platform_machine=machine, platform_system="Linux", os_name="posix",
                       implementation_version=python, implementation_name="cpython",
                       platform_python_implementation="CPython")
    found = {}
    for line in export.splitlines():
        requirement = Requirement(line)
        if requirement.marker is None or Marker(str(requirement.marker)).evaluate(environment):
            found[canonicalize_name(requirement.name)] = str(requirement.specifier)[2:]
    return found


def refused(folder, words, **what):
    result = run(PROJECT_SET, spec(folder, **what), cwd=folder, good=False)
    check(result.returncode == 1 and all(w in result.stderr for w in words), f"it says {words}",
          result.stderr)


with tempfile.TemporaryDirectory(prefix="berth-project-") as place:
    root = pathlib.Path(place)

    step("TOML")
    for text in GOOD:
        compare_toml(root, text)
    for text in BAD:
        result = read_toml(root, text)
        check(result.returncode == 1 and "line " in result.stderr, "it is refused", text,
              result.stdout)
        try:
            tomllib.loads(text)
            check(False, "so does tomllib", text)
        except tomllib.TOMLDecodeError:
            pass

    step("what uv would install, wherever")
    folder = make(root, "everything", EVERYTHING)
    compare_toml(root, (folder / "project/uv.lock").read_text())
    choices = [((), ()), (("ml",), ()), (("all",), ("lint",)), ((), ("dev",)), (("old",), ("dev",))]
    sets = set()
    for extras, groups in choices:
        for python in ("3.10.0", "3.10.14", "3.11.2", "3.11.3", "3.11.9", "3.12.4", "3.13.0", "3.14.0"):
            for machine in ("x86_64", "aarch64"):
                want = of_uv(folder, python, machine, extras, groups)
                got = ours(folder, python, machine, extras=extras, groups=groups)
                check(got == want, f"{extras} {groups} on {python} {machine}", sorted(got.items()),
                      sorted(want.items()))
                sets.add(tuple(sorted(got.items())))
    check(len(sets) > 12, "these are not all the same", len(sets))

    step("known before there is a Python, where that makes no difference")
    for python, answer in (("", "unknown"), ('    version: "3.11"\n', "unknown"), # before and after 3.11.3
                           ('    version: "3.12"\n', "known")):
        text = run(PROJECT_SET, spec(folder, python=python), cwd=folder).stdout
        check(text == answer + "\n", answer, python, text)

    step("extras and groups that exclude each other")
    folder = make(root, "exclusive", EXCLUSIVE)
    for extras, groups in (((), ()), (("new",), ()), (("old",), ("late",)), ((), ("early",))):
        want = of_uv(folder, "3.12.4", "x86_64", extras, groups)
        got = ours(folder, "3.12.4", "x86_64", extras=extras, groups=groups)
        check(got == want, f"{extras} {groups}", got, want)
    check(run(PROJECT_SET, spec(folder), cwd=folder).stdout == "known\n", "the same everywhere")
    refused(folder, ["six is asked for as 1.1", "exclude each other"], extras=["new", "old"])

    step("what is refused, at its line")
    refused(folder, ["berth.yaml:7:", "no extra `nope`"], extras=["nope"])
    refused(folder, ["no group `nope`"], groups=["nope"])
    refused(folder, ["berth.yaml:8:", "Python >=3.11"], python='    version: "3.10"\n')
    refused(folder, ["uv.lock has 8.", "click"], more='    packages: ["click<7"]\n')
    (folder / "r.txt").write_text("six\n")
    refused(folder, ["berth.yaml:8:", "`requirements` and `project`"], more="    requirements: r.txt\n")
    (folder / "r.txt").write_text("".join(f"p{i}\n" for i in range(100000)))
    refused(folder, ["r.txt:5001:1:", "more than 5000 packages"], more="    requirements: r.txt\n")
    got = ours(folder, "3.12.4", "x86_64", more='    packages: ["click>=7", toolz]\n')
    check(got["click"].startswith("8.") and got["toolz"] == "any", "others, once", got)
    lock = folder / "project/uv.lock"
    text = lock.read_text()
    lock.write_text(text.replace("version = 1\n", "version = 2\n", 1))
    refused(folder, ["format 2"])
    lock.write_text(text.replace('name = "click"', 'name = "clack"', 1))
    refused(folder, ["click is asked for and not in it"])
    lock.write_text(text + "x = [\n")
    refused(folder, ["uv.lock: line "])
    lock.write_text(text)

    step("packages from elsewhere than an index are named")
    folder = root / "elsewhere"
    (folder / "project/lib").mkdir(parents=True)
    (folder / "project/lib/pyproject.toml").write_text(
        '[project]\nname = "inner"\nversion = "1"\nrequires-python = ">=3.11"\n')
    (folder / "project/pyproject.toml").write_text(
        '[project]\nname = "outer"\nversion = "1"\nrequires-python = ">=3.11"\n'
        'dependencies = ["inner"]\n[tool.uv.sources]\ninner = { path = "lib" }\n')
    run(UV, "lock", cwd=folder / "project")
    refused(folder, ["inner comes from directory lib", "`files` brings"])

    step("a lock that is older than the project, as uv says it")
    folder = make(root, "older", EVERYTHING)
    pyproject = folder / "project/pyproject.toml"
    for old, new in (("pandas<3,>=2", "pandas<3,>=2.1"), ("requests[socks]", "requests"), ("redis>=4.5", "redis>=4.5.0"),
                     ('"tabulate"', '"tabulate", "six"'), ("pandas<3,>=2", "pandas >= 2.0, < 3"),
                     ("scikit-learn==1.5.*", "Scikit_Learn == 1.5.*"), (', "redis>=4.5"', ""), ("dev =", "dev2 = []\ndev =")):
        check(EVERYTHING.count(old) == 1 or old == '"tabulate"', old)
        pyproject.write_text(EVERYTHING.replace(old, new, 1))
        stale = run(UV, "lock", "--check", "--offline", cwd=folder / "project", good=False).returncode != 0
        warned = "is older" in run(PROJECT_SET, spec(folder), "3.12.4", "x86_64", cwd=folder).stderr
        print(f"      {new}: uv says {'older' if stale else 'current'}, berth {'older' if warned else 'current'}")
        # What only the spelling or a group changes is none of berth's business.
        check(warned == stale or not warned, "no warning without a reason", new)
        check(warned or new in ("redis>=4.5.0", "pandas >= 2.0, < 3", "dev2 = []\ndev =",
                                "Scikit_Learn == 1.5.*"), "what differs is seen", new)

    step("without a lock: what pyproject.toml asks for, and a warning")
    lock = folder / "project/uv.lock"
    lock.unlink()
    pyproject.write_text(EVERYTHING)
    result = run(PROJECT_SET, spec(folder, extras=["all"], groups=["dev"]), "3.11.5", "x86_64", cwd=folder)
    got = dict(line.split(" ") for line in result.stdout.splitlines())
    check(got == {"pandas": "<3,>=2", "requests[socks]": "any", "numpy": "any", "redis": ">=4.5",
                  "greenlet": "any", "scikit-learn": "==1.5.*", "tabulate": "any", "pytest": "any", "ruff": "any"},
          "with their markers", got)
    check("no uv.lock" in result.stderr, "and it is said", result.stderr)
    pyproject.write_text(EVERYTHING.replace('"redis>=4.5"', '"redis @ git+https://example.com/redis"'))
    refused(folder, ["redis comes from git+https"])
print("1 passed, 0 failed")
