"""What the end-to-end tests share: a project in a folder of its own, a sandbox world of its own,
the berth under test, and loud skips. Nothing here decides what is right."""

import json
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SKIP = 77  # ctest's SKIP_RETURN_CODE


def skip(reason):
    print(f"SKIPPED: {reason}", flush=True)
    sys.exit(SKIP)


def need_root():
    if os.geteuid() != 0:
        skip("sandbox guests need root")


def need_program(*names):
    for name in names:
        if shutil.which(name) is None:
            skip(f"{name} is not installed")


def step(text):
    step.number = getattr(step, "number", 0) + 1
    now = time.monotonic()
    start = getattr(step, "start", now)
    step.start = start
    print(f"[{now - start:6.1f} s] {step.number}. {text}", flush=True)


def check(condition, text, *details):
    if not condition:
        print(f"FAILED: {text}", flush=True)
        for detail in details:
            print(detail if isinstance(detail, str) else json.dumps(detail, indent=2), flush=True)
        raise SystemExit(1)


def free_port():
    """A port of 127.0.0.1 that nobody listened at just now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(condition, text, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, text)
        time.sleep(0.1)


class Project:
    """A folder with a berth.yaml, and a sandbox world; used as a context manager that resets the
    world and removes both whatever happened."""

    def __init__(self, berth, spec, sandbox=True):
        self.berth = str(pathlib.Path(berth).resolve())
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="berth-test-"))
        self.dir = self.root / "project"
        self.dir.mkdir()
        self.sandbox = sandbox
        self.world = self.root / "world"
        self.env = dict(os.environ, BERTH_SANDBOX_DIR=str(self.world), NO_COLOR="1")
        if not sandbox:  # what AWS answered is this project's alone; guests share their images
            self.env["BERTH_CACHE_DIR"] = str(self.root / ".cache")
        self.write_spec(spec)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.sandbox:
            result = self.run("sandbox", "reset", "-auto-approve", check_code=None)
            if result.returncode != 0:
                print("sandbox reset:", result.stdout, result.stderr, flush=True)
        if os.environ.get("BERTH_TEST_KEEP") and kind is not None:
            print(f"kept: {self.root}", flush=True)
            return
        shutil.rmtree(self.root, ignore_errors=True)

    @property
    def spec_path(self):
        return self.dir / "berth.yaml"

    def write_spec(self, text):
        self.spec_path.write_text(text)

    def edit_spec(self, old, new):
        text = self.spec_path.read_text()
        check(text.count(old) == 1, f"the spec has {old!r} once", text)
        self.write_spec(text.replace(old, new))

    def run(self, *args, check_code=0, timeout=900, stdin=None, env=None, prefix=()):
        result = subprocess.run([*prefix, self.berth, *args], cwd=self.dir, env=dict(self.env, **(env or {})),
                                text=True, input=stdin, capture_output=True, timeout=timeout,
                                stdin=subprocess.DEVNULL if stdin is None else None)
        if check_code is not None and result.returncode != check_code:
            check(False, f"berth {' '.join(args)}: exit {result.returncode}, wanted {check_code}",
                  result.stdout, result.stderr)
        return result

    def json(self, *args, check_code=0):
        result = self.run(*args, "-json", check_code=check_code)
        try:
            return json.loads(result.stdout)
        except ValueError as error:
            check(False, f"berth {' '.join(args)} -json prints JSON: {error}", result.stdout)

    def plan(self):
        """The changes that are not no-ops: {address: change}."""
        result = self.run("plan", "-json", "-detailed-exitcode", check_code=None)
        check(result.returncode in (0, 2), "plan works", result.stdout, result.stderr)
        plan = json.loads(result.stdout)
        changes = {c["address"]: c for c in plan["changes"] if c["action"] not in ("no-op", "keep")}
        check((result.returncode == 2) == bool(changes), "-detailed-exitcode agrees", plan)
        return changes

    def apply(self):
        return self.run("apply", "-auto-approve")

    def ssh(self, command, check_code=0, server=None):
        args = ["ssh"] + ([server] if server else []) + ["--", command]
        return self.run(*args, check_code=check_code)

    def state(self):
        return self.json("show")


class Running:
    """A berth that goes on until Ctrl-C."""

    def __init__(self, project, *args):
        self.process = subprocess.Popen([project.berth, *args], cwd=project.dir, env=project.env,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, start_new_session=True)
        self.said = {"stdout": b"", "stderr": b""}

    def wait_for(self, word, stream="stdout", timeout=30):
        """Until it has said that; all that the stream said so far."""
        pipe = getattr(self.process, stream)
        until = time.monotonic() + timeout
        while word.encode() not in self.said[stream] and time.monotonic() < until:
            if select.select([pipe], [], [], 0.2)[0]:
                piece = os.read(pipe.fileno(), 65536)
                if not piece:
                    break
                self.said[stream] += piece
        said = self.said[stream].decode(errors="replace")
        check(word in said, f"it says {word!r}", said, self.said["stderr"].decode())
        return said

    def interrupt(self, code=0):
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=20)
        check(self.process.returncode == code, f"Ctrl-C ends it with {code}",
              self.process.returncode, out.decode(errors="replace"), err.decode())
        return err.decode()


def changes_of(plan, address):
    """The fields that a plan changes there, and why: {name: why}."""
    return {f["name"]: f["why"] for f in plan[address]["fields"]}


# No leak, no bad access: anything else ends with 99.
VALGRIND = ("valgrind", "-q", "--leak-check=full", "--error-exitcode=99")


def guest_groups(world):
    """The cgroups of a world's guests: each is there as long as anything runs in that guest."""
    try:
        subnet = json.loads((pathlib.Path(world) / "world.json").read_text())["subnet"]
    except (OSError, KeyError):
        return []
    folders = [pathlib.Path(root) / f"berth-sandbox-{subnet}"
               for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")]
    return sorted(g.name for f in folders if f.is_dir() for g in f.iterdir() if g.is_dir())


def loop_devices(world):
    """{loop device: volume} over files of that world."""
    return {file.parts[3]: pathlib.Path(text).name
            for file in pathlib.Path("/sys/block").glob("loop*/loop/backing_file")
            if (text := file.read_text().strip()).startswith(f"{world}/")}


def leftovers(world, seconds=10):
    """Everything of a sandbox world that is still on this machine: what runs in its guests, mounts,
    loop devices and files of instances. The kernel may take a moment to be rid of what has ended."""
    end = time.monotonic() + seconds
    while True:
        found = [f"guest {name} runs" for name in guest_groups(world)]
        mounts = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
        found += [f"mount {line}" for line in mounts if str(world) in line]
        found += [f"{loop} of {volume}" for loop, volume in loop_devices(world).items()]
        instances = pathlib.Path(world) / "i"
        if instances.is_dir():
            found += [f"file {path}" for path in instances.iterdir()]
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.1)


def interfaces(world):
    """This machine's ends of the links of a world's guests."""
    try:
        subnet = json.loads((pathlib.Path(world) / "world.json").read_text())["subnet"]
    except (OSError, KeyError):
        return []
    return sorted(i for i in os.listdir("/sys/class/net") if i.startswith(f"bs{subnet}-"))
