"""Files of requirements beside pip and uv themselves: what pip reads of them is what berth would
install, wherever; what berth refuses is named at its place. Usage: requirements_test.py PROJECT_SET"""

import pathlib
import re
import sys
import tempfile

from berthlib import check, skip, step
from uvlib import UV, run

PROJECT_SET = str(pathlib.Path(sys.argv[1]).resolve())
try:
    from packaging.markers import default_environment
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet
    from packaging.utils import canonicalize_name
    from pip._internal.exceptions import InstallationError, RequirementsFileParseError
    from pip._internal.network.session import PipSession
    from pip._internal.req.constructors import install_req_from_parsed_requirement
    from pip._internal.req.req_file import parse_requirements
except ImportError as error:
    skip(f"python module missing: {error}")

SPEC = """\
berth: 1
name: t
provider: ec2
server: { image: debian-12, type: t3.small }
packages:
  python:
    requirements: r.txt
"""
A, B = "sha256:" + "0a" * 32, "sha256:" + "1b" * 32
PYTHONS = ("3.10.0", "3.10.14", "3.11.2", "3.11.3", "3.12.4", "3.13.0", "3.14.0")

# As real files are; all of them pip reads too. A text, or several files.
GOOD = [
    "", "\n\n# nothing\n", "six", "six==1.17.0\n", "\ufeffsix==1.17.0\r\nidna>=3\r\n", "six==1.17.0 # why\n",
    "Scikit_Learn [Alpha,b]>=1.5, <2\n", "six==1.17.0;python_version<'3.12'\n", "a (>=1)\n", "a===1.0\n",
    "six==1.17.0\n    # via\n    #   -r x.in\n    #   python-dateutil\nidna==3.7\n", "a~=1.4\nb!=1.*\nc==2!1.0.post1+local.1\n",
    "numpy==2.2.6 ; python_full_version < '3.11'\nnumpy==2.3.1 ; python_full_version >= '3.11'\n",
    'redis>=5\nasync-timeout==5.0.1 ; python_full_version < "3.11.3" and sys_platform == "linux"\n',
    'a; sys_platform == "win32"\nb; extra == "x"\nc; platform_machine == "aarch64" or python_version in "3.10, 3.12"\n',
    f"six==1.17.0 \\\n    --hash={A} \\\n    --hash={B}\nidna==3.7 --hash={B} # x\n",
    f"six==1.17.0 ; python_version >= '3.11' \\\r\n    --hash={A.upper().replace('SHA', 'sha')}\r\n",
    f"--require-hashes\nsix==1.17.0 --hash={A}\n", f"six[x]===1.17.0 --hash {A}\n", f"six==1.17.0 --hash='{A}'\n",
    "-i https://pypi.org/simple\nsix\n", "--index-url=https://pypi.org/simple/\nsix\n", "six \\\n  >= \\\n 1\n",
    "six\\\n\n\nidna\n", "six \\", "# a \\\nsix\n", "six # a \\\n idna\nb\n", "six\n\\\nidna\n", "\tsix\t\n", "six\rx\n",
    {"r.txt": "-r other/a.txt\n--requirement b.txt\nsix\n", "other/a.txt": "-r ../b.txt\nidna==3.7\n", "b.txt": "toolz\n"},
    {"r.txt": "-rb.txt\n-r b.txt\n-r './c d.txt'\n", "b.txt": "toolz; python_version > '3.11'\n", "c d.txt": "a\n"},
    {"r.txt": "-c c.txt\nsix\nidna>=3\n", "c.txt": "six==1.16.0\nidna<4\nabsent==1\n"},
    {"r.txt": "--constraint=c.txt\nsix[x]>=1\n", "c.txt": "six==1.16.0 ; python_version < '3.12'\n-c d.txt\n", "d.txt": "six<2\n"},
    {"r.txt": "-c c.txt\nsix\n", "c.txt": "-r d.txt\n", "d.txt": "idna\n"},
]
# What neither takes.
BAD = ["six=1.17.0", "six 1.17.0", "six==", "six>=1,,<2", "six[", "six[a", "-six", "six; python_version", "six==1.0#x",
       "six; nonsense == 'x'", "six; python_version >= 3.8", "==1.0", "six==1.0 --nonsense", "six==1.0 --hash", "--nonsense",
       "-r", "-r absent.txt", "six==1.0 --hash=md4:00", "six>=abc", "six==1.0.*.1", "a b c",
       "\x00", "@", "six @", "six ~= 1", "six >= 1.*", "6+5", "six==1+", "six>1+x", "six==1.0a.*x", "six==!1", "six==1.dev1.*", "six==1..2", "six==1.0-x"]
# What pip takes, and berth does not: words, and where.
REFUSED = [
    ("-e .\nsix\n", "r.txt:1:1: ", "`-e` cannot", "--no-emit-project"), ("six\n  --editable=./x\n", "r.txt:2:3: ", "cannot stand here"),
    ("six @ https://example.com/six.whl\n", "r.txt:1:1: ", "six is to come from elsewhere"), ("six\n./x\n", "r.txt:2:1: ", "a path or a URL"),
    ("six @ file:///x/work\n", "r.txt:1:1: ", "pip list --format=freeze"),
    ("https://example.com/six-1.whl", "r.txt:1:1: ", "a path or a URL"), ("git+https://example.com/x#egg=six", "a path or a URL"),
    ("six-1-py3-none-any.whl", "a path or a URL"), ("--find-links /tmp\nsix\n", "r.txt:1:1: ", "/etc/pip.conf"), ("--pre\nsix", "name the version"),
    ("--trusted-host x\nsix", "certificate"), ("six --config-settings=a=b", "r.txt:1:5: ", "cannot stand here"),
    ("-i https://example.com/simple\nsix", "r.txt:1:4: ", "packages.python.index_url"), ("--no-binary :all:\nsix", "r.txt:1:1: ", "leave it out"),
    ("--extra-index-url https://example.com/simple\nsix\n", "r.txt:1:19: ", "two indexes"),
    (f"six==1.17.0 \\\n  --hash={A}\nidna==3.7\ntoolz==1\n", "r.txt:3:1: ", "idna has no hash, and six has (r.txt:1)", "r.txt:4:1: "),
    (f"six>=1.17.0 --hash={A}\n", "r.txt:1:1: ", "no exact version"), (f"six==1.17.* --hash={A}\n", "no exact version"),
    ("--require-hashes\nsix==1.17.0\n", "r.txt:2:1: ", "--require-hashes asks"), ("six\n--index-url $INDEX\n", "r.txt:2:13: "),
    ("-r https://example.com/r.txt", "r.txt:1:4: ", "not read from a URL"), ("-r file:///tmp/r.txt", "r.txt:1:4: ", "not a path"),
    ({"r.txt": "-r a.txt\n", "a.txt": "six\n-r r.txt\n"}, "a.txt:2:4: ", "in a circle"), ("-r r.txt\n", "in a circle"),
    ({"r.txt": "-r a/0.txt", **{f"a/{i}.txt": f"-r {i + 1}.txt" for i in range(20)}}, "a/14.txt:1:4: ", "16 deep"),
    ({"r.txt": "-c c.txt\nsix", "c.txt": "idna\nsix[x]<2\n"}, "c.txt:2:1: ", "no extras"),
    ({"r.txt": "-c c.txt\nsix", "c.txt": f"six==1 --hash={A}\n"}, "c.txt:1:8: ", "hashes in a file of constraints"),
    ({"r.txt": f"-c c.txt\nsix==1.17.0 --hash={A}", "c.txt": "idna<3\nsix<1.17\n"}, "c.txt:2:1: ", "six 1.17.0 is to be installed"),
    ("--index-url https://user:hunter2@example.com/simple\nsix", "r.txt:1:13: "), ("six @ git+https://hunter2@example.com/six", "six is to come"),
    ("six==1.0 -r x.txt", "r.txt:1:10: ", "cannot stand here"),
    (f"six==1.0 \\\n# x\n--hash={A}", "r.txt:3:1: "), (f"six==1.0\n--hash={A}\n", "r.txt:2:1: ", "behind its requirement"),
    ("sïx é==1 # é\nidna-é", "r.txt:2:1: ", "    ^~~~~~"), ("".join(f"p{i}\n" for i in range(5001)), "r.txt:5001:1: ", "more than 5000"),
]
BYTES = [("six\n".encode("utf-16"), "r.txt: error: the file is not UTF-8"), (b"# \xff\nsix==1\n", "not UTF-8"), (b"six\n# \xc3", "not UTF-8")]


def put(root, files):
    folder = pathlib.Path(tempfile.mkdtemp(dir=root))
    for name, text in (files.items() if isinstance(files, dict) else [("r.txt", files)]):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    (folder / "berth.yaml").write_text(SPEC)
    return folder


def environment(python, machine):
    return dict(default_environment(), python_full_version=python, extra="", sys_platform="linux", os_name="posix",
                python_version=".".join(python.split(".")[:2]), platform_machine=machine, platform_system="Linux",
                implementation_version=python, implementation_name="cpython", platform_python_implementation="CPython")


def of_pip(folder):
    """[requirement], [constraint], as pip reads them."""
    wanted, limits = [], []
    for parsed in parse_requirements(str(folder / "r.txt"), session=PipSession()):
        line = install_req_from_parsed_requirement(parsed)
        if line.link or line.editable:
            raise InstallationError("from elsewhere")
        # pip's own copy of packaging is older than what judges here.
        (limits if line.constraint else wanted).append((Requirement(str(line.req) + (f" ; {line.markers}" if line.markers else "")),
                                                        line.hash_options))
    return wanted, limits


def there(lines, python, machine):
    for requirement, _ in lines:
        if requirement.marker is None or requirement.marker.evaluate(environment(python, machine)):
            extras = "[" + ",".join(sorted(canonicalize_name(e) for e in requirement.extras)) + "]" if requirement.extras else ""
            yield canonicalize_name(requirement.name), extras, requirement.specifier


def both(specifiers):
    """Both hold; where one is a version that fits the other, that."""
    out = SpecifierSet()
    for new in specifiers:
        for one, other in ((out, new), (new, out)):
            if len(one) == 1 and (s := next(iter(one))).operator == "==" and "*" not in s.version and other.contains(s.version, True):
                out = one
                break
        else:
            out = out & new
    return out


def want(folder, python, machine):
    wanted, limits = of_pip(folder)
    found, limit = {}, {}
    for name, extras, specifier in there(wanted, python, machine):
        found[name + extras] = found.get(name + extras, SpecifierSet()) & specifier
    for name, _, specifier in there(limits, python, machine):
        limit.setdefault(name, []).append(specifier)
    return {key: both([specifier, *limit.get(key.split("[")[0], [])]) for key, specifier in found.items()}


def got(folder, python, machine):
    spec = SPEC if machine == "x86_64" else SPEC.replace("t3.small", "t4g.small")
    (folder / "berth.yaml").write_text(spec)
    out = {}
    for line in run(PROJECT_SET, "berth.yaml", python, machine, cwd=folder).stdout.splitlines():
        name, value = line.split(" ")
        name, _, extras = name.partition("[")
        if extras:
            name += "[" + ",".join(sorted(canonicalize_name(e) for e in extras[:-1].split(","))) + "]"
        out[name] = SpecifierSet("" if value == "any" else value if value[0] in "<>=!~" else f"=={value}")
    return out


def compare(folder, what):
    marked = ";" in str(what)
    for python in PYTHONS if marked else PYTHONS[:1]:
        for machine in ("x86_64", "aarch64") if marked else ("x86_64",):
            ours, theirs = got(folder, python, machine), want(folder, python, machine)
            check(ours == theirs, f"as pip reads it for {python} {machine}", what, ours, theirs)


def says(folder, words, what):
    result = run(PROJECT_SET, "berth.yaml", cwd=folder, good=False)
    check(result.returncode == 1 and all(w in result.stderr for w in words) and "hunter2" not in result.stderr,
          f"it says {words}", repr(what)[:500], result.stderr)


with tempfile.TemporaryDirectory(prefix="berth-requirements-") as place:
    root = pathlib.Path(place)

    step("as pip reads them")
    for files in GOOD:
        compare(put(root, files), files)

    step("what nobody takes")
    for text in BAD:
        folder = put(root, text)
        try:
            wanted, _ = of_pip(folder)
            check(False, "pip refuses it", text, wanted)
        except (InstallationError, RequirementsFileParseError, ValueError, SystemExit):
            pass
        says(folder, ["r.txt:", "error:"], text)
    says(put(root, "six\nnumpy=1.26.4=py312_0\n"), ["r.txt:2:1: ", "pip list --format=freeze"], "a list by conda")

    step("what pip takes and berth does not, at its place")
    for files, *words in REFUSED:
        says(put(root, files), words, files)
    for content, words in BYTES:
        says(put(root, content), [words], content)

    step("a second index only by hashes, the main one only by the spec")
    folder = put(root, f"-i https://example.com/simple/\n--extra-index-url https://example.org/simple\nsix==1.17.0 --hash={A}\n")
    says(folder, ["r.txt:1:4: "], "main")
    (folder / "berth.yaml").write_text(SPEC + "    index_url: https://example.com/simple\n")
    check(run(PROJECT_SET, "berth.yaml", cwd=folder).stdout == "known\n", "it is taken")

    step("known before there is a Python, where that makes no difference")
    for text, python, answer in (("six; python_version > '3.5'", "", "known"), ("six; python_version > '3.11'", "", "unknown"),
                                 ("six; python_version > '3.11'", '    version: "3.12"\n', "known"),
                                 ("six; python_full_version > '3.12.3'", '    version: "3.12"\n', "unknown")):
        folder = put(root, text)
        (folder / "berth.yaml").write_text(SPEC + python)
        out = run(PROJECT_SET, "berth.yaml", cwd=folder).stdout
        check(out == answer + "\n", answer, text, out)

    step("`packages` beside hashes: once, and not against them")
    folder = put(root, f"six==1.17.0 --hash={A}\n")
    (folder / "berth.yaml").write_text(SPEC + '    packages: ["six>=1", toolz]\n')
    out = run(PROJECT_SET, "berth.yaml", "3.12.4", "x86_64", cwd=folder).stdout
    check(out == "six 1.17.0\ntoolz any\n", "both are there", out)
    (folder / "berth.yaml").write_text(SPEC + '    packages: ["six<1.17"]\n')
    says(folder, ["berth.yaml:8:", "r.txt has 1.17.0"], "against")

    step("what uv makes of a project and of a list")
    folder = put(root, "")
    (folder / "x.in").write_text("pandas<3\nrequests[socks]\nredis>=5\ncolorama; sys_platform == 'win32'\n")
    (folder / "pyproject.toml").write_text('[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.10"\n'
                                           'dependencies = ["pandas<3", "requests[socks]", "redis>=5", "numpy"]\n[tool.uv]\npackage = true\n')
    result = run(UV, "lock", cwd=folder, good=False)
    if result.returncode != 0 and "fetch" in result.stderr:
        skip("the package index cannot be reached")
    made = [run(UV, "pip", "compile", "-q", "--universal", "--python-version", "3.10", "--generate-hashes", "x.in", cwd=folder).stdout,
            run(UV, "pip", "compile", "-q", "--emit-index-url", "--python-version", "3.12", "x.in", cwd=folder).stdout,
            run(UV, "export", "-q", "--format", "requirements-txt", "--no-emit-project", cwd=folder).stdout]
    for text in made:
        (folder / "r.txt").write_text(text)
        compare(folder, text)
    check("--hash" in made[0] and "index-url" in made[1] and re.search(r"; python.* \\\n    --hash", made[2]), "they are as expected", *made)
    (folder / "r.txt").write_text(run(UV, "export", "-q", "--format", "requirements-txt", cwd=folder).stdout)
    says(folder, ["`-e` cannot", "--no-emit-project"], "with the project itself")
print("1 passed, 0 failed")
