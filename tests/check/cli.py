"""The command line as a person meets it, where no server is needed: words, exit codes, what stays
untouched. Usage: cli.py BERTH"""

import atexit
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tempfile

berth = str(pathlib.Path(sys.argv[1]).resolve())
folder = pathlib.Path(tempfile.mkdtemp(prefix="berth-cli-"))
atexit.register(shutil.rmtree, folder, ignore_errors=True)
clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "BERTH_"))}
clean.update(HOME=str(folder), AWS_EC2_METADATA_DISABLED="true", AWS_ENDPOINT_URL="http://127.0.0.1:1",
             AWS_MAX_ATTEMPTS="1")
cases = 0


def run(*args, code=0, out=None, err=None, cwd=folder, env=None):
    """Run berth; `out` and `err` are regular expressions that must be found."""
    global cases
    cases += 1
    result = subprocess.run([berth, *args], cwd=cwd, env=dict(clean, **(env or {})), text=True,
                            capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    text = f"berth {' '.join(args)}: exit {result.returncode}\n{result.stdout}{result.stderr}"
    assert result.returncode == code, f"wanted exit {code}\n{text}"
    for wanted, got in ((out, result.stdout), (err, result.stderr)):
        assert wanted is None or re.search(wanted, got, re.M), f"wanted {wanted}\n{text}"
    assert "\033" not in result.stdout + result.stderr, f"colours without a terminal\n{text}"
    assert "\r" not in result.stdout + result.stderr, f"carriage returns\n{text}"
    return result


verbs = re.findall(r"^  ([\w-]+) ", run("help").stdout, re.M)
assert verbs == re.findall(r"^  ([\w-]+) ", run().stdout, re.M) and len(verbs) >= 14, verbs
for verb in verbs:
    help_text = run(verb, "--help", out=rf"^usage: berth {verb}").stdout
    assert all(len(line) <= 80 for line in help_text.splitlines()), help_text
    assert help_text == run("help", verb).stdout == run(verb, "-h").stdout
run("--version", out=r"^berth \d+\.\d+\.\d+$")
run("version", "-json", out=r'"version"')
run("aply", code=64, err="did you mean berth apply")
run("frobnicate", code=64, err="there is no verb frobnicate")
run("plan", "-jsno", code=64, err="did you mean -json")
run("plan", "-file", code=64, err="needs SPEC")
run("plan", "extra", code=64, err="does not take `extra`")
run("plan", "--", "x", code=64, err="nothing after `--`")

# Without a spec.
for verb in ("validate", "plan", "apply", "destroy", "status", "show", "output", "ssh", "open"):
    run(verb, code=1, err="there is no berth.yaml here(.|\n)*try: ")
assert list(folder.iterdir()) == [], "nothing was made"
run("destroy", "-name", "nope", code=1, err="nothing is recorded for nope")
assert list(folder.iterdir()) == [], "nothing was made"
run("plan", "-file", "other.yaml", code=1, err="there is no other.yaml here")

# init
project = folder / "My Project 2"
project.mkdir()
(project / ".gitignore").write_text("build/")
run("init", cwd=project, out="wrote berth.yaml and .berth/")
spec = (project / "berth.yaml").read_text()
assert re.search(r"^name: my-project-2\b", spec, re.M), spec
assert (project / ".gitignore").read_text() == "build/\n.berth/\n"
run("validate", cwd=project, out="^berth.yaml is valid$")
run("init", cwd=project, code=1, err="is here already")
assert (project / "berth.yaml").read_text() == spec
run("init", "-file", "two.yaml", "-name", "two", "-provider", "ec2", cwd=project,
    out="^wrote two.yaml$")
assert (project / ".gitignore").read_text() == "build/\n.berth/\n"
run("init", "-file", "three.yaml", "-provider", "gcp", cwd=project, code=64)
run("init", "-file", "three.yaml", "-name", "No Name", cwd=project, code=64, err="expected")
assert not (project / "three.yaml").exists()
longest = "n" * 40
run("init", "-file", "longest.yaml", "-name", longest, cwd=project)
assert f"\nname: {longest} " in (project / "longest.yaml").read_text()
run("init", "-file", "longer.yaml", "-name", longest + "n", cwd=project, code=64, err="at most 40")

# A broken spec touches nothing.
(project / "bad.yaml").write_text(spec.replace("image:", "imgae:"))
for verb in ("validate", "plan", "apply", "destroy", "status", "output"):
    run(verb, "-file", "bad.yaml", cwd=project, code=1,
        err=r"bad.yaml:\d+:\d+: error: unknown key `imgae`(.|\n)*did you mean `image`")
assert not (project / ".berth").exists()
report = json.loads(run("validate", "-json", "bad.yaml", cwd=project, code=1).stdout)
assert not report["valid"] and any("image" in d.get("help", "") for d in report["diagnostics"])
assert json.loads(run("validate", "-json", cwd=project).stdout) == {"valid": True, "diagnostics": []}
assert json.loads(run("schema").stdout)["$schema"].endswith("2020-12/schema")

# Nothing recorded yet.
for verb in ("show", "output", "ssh", "open"):
    run(verb, "-file", "two.yaml", cwd=project, code=1, err="nothing is recorded for two")
assert not (project / ".berth").exists()

# No credentials, then an endpoint that is down.
(project / "two.yaml").write_text("berth: 1\nname: two\nprovider: ec2\nregion: us-east-1\n"
                                  "server: { image: ami-0123456789abcdef0, type: t3.micro }\n"
                                  "access: { ssh: 203.0.113.7/32 }\n")
for verb in ("plan", "apply", "status", "destroy"):
    run(verb, "-file", "two.yaml", cwd=project, code=1, err="no AWS credentials")
keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
for verb in ("plan", "apply", "status"):
    run(verb, "-file", "two.yaml", cwd=project, code=1, err=r"127\.0\.0\.1:1\b", env=keys)
private = project / ".berth" / "two"
assert stat.S_IMODE(private.stat().st_mode) == 0o700

# A state that is cut short, or from a newer berth, is refused and left alone.
for text, words in (('{"version": 1, "ser', r"cannot be used(.|\n)*state\.json\.backup"),
                    ('{"version": 99, "serial": 1, "lineage": "x", "nodes": []}',
                     r"newer berth(.|\n)*install that berth")):
    (private / "state.json").write_text(text)
    (private / "state.json.backup").write_text("good")
    for verb in ("plan", "apply", "show", "destroy"):
        run(verb, "-file", "two.yaml", cwd=project, code=1, env=keys, err=words)
    assert (private / "state.json").read_text() == text
    assert (private / "state.json.backup").read_text() == "good"
(private / "state.json").unlink()
(private / "journal").write_text('{"remove": 5}\n')
for verb in ("plan", "apply", "show", "destroy"):
    run(verb, "-file", "two.yaml", cwd=project, code=1, env=keys,
        err=r"the journal .*/?journal cannot be used: a line says nothing\n  try: nothing was over")
assert (private / "journal").read_text() == '{"remove": 5}\n'
(private / "journal").unlink()

# A state belongs to one region: what lives there must not pass for vanished.
(private / "state.json").write_text(json.dumps(
    {"version": 1, "serial": 1, "lineage": "x", "name": "two", "provider": "ec2",
     "region": "us-east-1", "nodes": [{"address": "key_pair", "kind": "key_pair", "status": "ok"}]}))
two = (project / "two.yaml").read_text()
for moved, region in ((two.replace("us-east-1", "eu-west-1"), ""),
                      (two.replace("region: us-east-1\n", ""), "eu-west-1")):
    (project / "two.yaml").write_text(moved)
    for verb in ("plan", "apply", "destroy", "status"):
        run(verb, "-file", "two.yaml", cwd=project, code=1, env=dict(keys, AWS_REGION=region),
            err=r"two is in us-east-1 now, and berth would look for it in eu-west-1(.|\n)*try: ")
(project / "two.yaml").write_text(two)
(private / "state.json").unlink()

# A second apply at once: who holds the lock.
import fcntl
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
