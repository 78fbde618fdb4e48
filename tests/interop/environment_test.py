"""Shell that fills a Python environment, with an installer that fails when it is told to: what was cut
or failed half-way is mended by the next run, what failed before it began costs nothing; one uv is made
at a time. In a mount namespace, with folders of its own. Usage: environment_test.py HOST_SCRIPT"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

from berthlib import check, need_program, need_root, step

need_root()
need_program("unshare", "mount", "flock")
if os.environ.get("ENVIRONMENT_TEST_INSIDE") is None:
    os.environ["ENVIRONMENT_TEST_INSIDE"] = "1"
    os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, *sys.argv])

SCRIPT = subprocess.run([sys.argv[1], "commands"], check=True, capture_output=True, text=True).stdout
OPT, RUN, PROGRAMS = pathlib.Path("/opt/berth"), pathlib.Path("/run/berth"), pathlib.Path("/run/berth/bin")
ENV = OPT / "env"
BUSY = ENV / ".berth-installing"
SITE = ENV / "lib/python3.12/site-packages"
UV = OPT / "uv/bin/uv"
# $SAYS is what happens: names of packages to bring, "cut" or "fail".
FAKE_UV = """#!/bin/sh
echo "$*" >>/run/berth/asked
for w in $SAYS; do case $w in
fail) echo "error: no such package"; exit 1;;
cut) kill -9 $PPID; exit 1;;
*) mkdir -p /opt/berth/env/lib/python3.12/site-packages/$w.dist-info;;
esac; done
"""
# Instead of the system's: makes an environment whose pip brings that uv, slowly.
FAKE_PYTHON = """#!/bin/sh
[ "$2" = venv ] || exit 0
echo made >>/run/berth/made
mkdir -p "$3/bin"
printf '#!/bin/sh\\nsleep ${SLOW:-0}\\ncp /run/berth/bin/uv /opt/berth/uv/bin/uv\\n' >"$3/bin/pip"
chmod 755 "$3/bin/pip"
"""


def shell(commands, says="", check_code=0, folder=None, **more):
    done = subprocess.run(["sh", "-c", SCRIPT + f"work=/run/berth\nPATH={PROGRAMS}:$PATH\n" + commands],
                          env={**os.environ, "SAYS": says, **more}, cwd=folder, capture_output=True, text=True)
    check(check_code is None or done.returncode == check_code, commands, done.returncode, done.stdout, done.stderr)
    return done.stdout


def asked():
    return (RUN / "asked").read_text().splitlines()[-1]


def program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


for folder in OPT, RUN: # nothing is left of them
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder.parent], check=True)
    folder.mkdir()
for name, text in ("uv", FAKE_UV), ("python3", FAKE_PYTHON):
    program(PROGRAMS / name, text)

step("what lies in the login user's home is no module of ours")
home = pathlib.Path("/run/home")
home.mkdir()
(home / "platform.py").write_text("raise SystemExit('not this one')\n")
said = shell(f"{sys.executable} -c 'import platform; print(platform.system())'", folder=home)
check(said == "Linux\n", "Python's own is taken", said)

step("one uv, whoever makes it, and one that is killed holds nobody up")
shell("start_uv ''; need_uv ''; need_uv ''", SLOW="0.3")
check((RUN / "made").read_text() == "made\n" and UV.exists(), "made once")
subprocess.run(["rm", "-rf", OPT / "uv"], check=True)
maker = subprocess.Popen(["sh", "-c", SCRIPT + f"PATH={PROGRAMS}:$PATH\nmake_uv ''"], start_new_session=True,
                         env={**os.environ, "SLOW": "60"})
while (RUN / "made").read_text() == "made\n":
    time.sleep(0.01)
os.killpg(maker.pid, signal.SIGKILL)
maker.wait()
shell("start_uv ''; need_uv ''")
check(UV.exists(), "made anew")

step("an install that fails before it changes anything costs nothing")
SITE.mkdir(parents=True)
shell("pip_install a", says="fail", check_code=1)
check(not BUSY.exists(), "no mark")
shell("pip_install a", says="a-1")
check("--reinstall" not in asked() and (ENV / ".berth-installed").read_text() == "a\n", asked())

step("one that fails, or is cut, in the middle is done anew, however often")
for how in "fail", "cut":
    shell("pip_install a b", says=f"b-1 {how}", check_code=None)
    check(BUSY.exists(), "what is there counts as half", how)
    shell("pip_install a b", says="fail", check_code=1)
    check("--reinstall" in asked() and BUSY.exists(), "still", how)
    shell("pip_install a b", says="a-1 b-1")
    check("--reinstall" in asked() and not BUSY.exists(), "mended", how)
    check((ENV / ".berth-installed").read_text() == "a\nb\n", "both are berth's", how)
    subprocess.run(["rm", "-r", SITE / "b-1.dist-info"], check=True)

step("what an RPM system does not have is none of what an environment needed")
state = pathlib.Path("/var/lib/berth")
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", state.parent], check=True)
state.mkdir()
for name in "apt-get", "dpkg-query", "rpm":
    found = shutil.which(name)
    if found is not None:
        subprocess.run(["mount", "--bind", "/dev/null", found], check=True)
program(PROGRAMS / "rpm", "#!/bin/sh\nexit 1\n")
program(PROGRAMS / "dnf", '#!/bin/sh\n[ "$4" = python3.11 ]\n')
shell("for v in 3.12 3.11; do if dist_python $v; then break; fi; done")
check((state / "implied").read_text() == "python3.11\n", (state / "implied").read_text())

step("of two kernels' environments one may be named like the other's mark once was")
shell("for k in a a.cut; do mark=$(cut_mark /opt/berth/kernels/$k); mkdir -p /opt/berth/kernels/$k; : >$mark; done\n"
      "remove_environment /opt/berth/kernels/a")
check(sorted(os.listdir(OPT / "kernels")) == [".cut.a.cut", "a.cut"], os.listdir(OPT / "kernels"))
