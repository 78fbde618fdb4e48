#include "providers/host/scripts.h"

#include "providers/host/internal.h"

/* POSIX sh, for dash and bash alike. Not where the login user's files are: Python would take what
 * it imports from there (~/platform.py). Virtual packages ("mail-transport-agent") are looked up
 * only when a name is not that of a package. */
const char script_common[] =
    "export LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
    "umask 022\n"
    "cd /\n"
    "if command -v dpkg-query >/dev/null; then\n"
    "know_packages() { known=\";$(dpkg-query -W -f '${db:Status-Abbrev}${Package};' -- \"$@\" "
    "2>/dev/null || :)\"; provided=; }\n"
    "has_package() {\n"
    "  case $known in *\";\"?i?\"$1;\"*) return 0;; esac\n"
    "  [ -n \"$provided\" ] || provided=\";$(dpkg-query -W -f "
    "'${db:Status-Abbrev}${Provides}\\n' | sed -n 's/^.i.//p' | tr ',' '\\n' | "
    "sed 's/^ *//; s/ .*//' | tr '\\n' ';')\"\n"
    "  case $provided in *\";$1;\"*) return 0;; esac\n"
    "  return 1\n"
    "}\n"
    "else\n"
    "know_packages() { :; }\n"
    /* What it provides, a path of a file too, and NAME-VERSION. */
    "has_package() { rpm -q --quiet --whatprovides \"$1\" 2>/dev/null || "
    "rpm -q --quiet \"$1\" 2>/dev/null; }\n"
    "fi\n";

/* fact KEY VALUE: one line of the answer. hash_files reads lines "SHA256 PATH", what is expected of
 * each path (or dashes); two programs do for all of them. Of small files that are otherwise it also
 * gives the content, of the first 20. */
const char script_probe[] =
    "fact() { printf '%s\\t%s\\t%s\\n' \"$node\" \"$1\" \"$2\"; }\n"
    "fact64() { if [ -f \"$2\" ]; then fact \"$1\" \"$(base64 -w0 <\"$2\")\"; fi; }\n"
    "hash_files() {\n"
    "  expected=$(cat)\n"
    "  list=$(printf '%s\\n' \"$expected\" | cut -c66-)\n"
    "  sums=$(printf '%s\\n' \"$list\" | tr '\\n' '\\0' | xargs -0 sha256sum -- 2>/dev/null)\n"
    "  printf '%s\\n' \"$sums\" |\n"
    "    awk -v n=\"$node\" 'length > 66 { print n \"\\tsha:\" substr($0, 67) \"\\t\" "
    "substr($0, 1, 64) }'\n"
    "  printf '%s\\n' \"$list\" | tr '\\n' '\\0' | xargs -0 stat -L -c '%a %U %n' -- 2>/dev/null "
    "|\n"
    "    awk -v n=\"$node\" '{ split($0, w, \" \"); p = substr($0, length(w[1]) + length(w[2]) + "
    "3)\n"
    "      print n \"\\tmode:\" p \"\\t\" w[1]; print n \"\\towner:\" p \"\\t\" w[2] }'\n"
    "  printf '%s\\n=\\n%s\\n' \"$expected\" \"$sums\" |\n"
    "    awk '$0 == \"=\" { there = 1; next } !there { want[substr($0, 66)] = substr($0, 1, 64); "
    "next }\n"
    "      { w = want[substr($0, 67)] } w ~ /^[0-9a-f]/ && w != substr($0, 1, 64) { print "
    "substr($0, 67) }' |\n"
    "    head -n 20 | while IFS= read -r p; do\n"
    "      [ \"$(stat -L -c %s -- \"$p\")\" -gt 65536 ] || fact64 \"text:$p\" \"$p\"\n"
    "    done\n"
    "}\n";

/* One run at a time on a host. The lock's file says who has it, since when (seconds of the host's
 * clock) and at which step; `last` which run was the last to change anything. */
const char script_busy[] =
    "who_is_busy() { read -r since who <" HOST_LOCK " || :; at=; "
    "[ ! -r " HOST_RUN "/at ] || read -r at <" HOST_RUN "/at || :\n"
    "  printf '%s%s, for %s s now' \"${who:-another run}\" \"${at:+, at $at}\" "
    "$(($(date +%s) - ${since:-$(date +%s)})); }\n";

/* A probe looks at what stands still: it waits for a run to end, or says who is at work. */
const char script_probe_lock[] =
    "if [ -e " HOST_LOCK " ]; then\n"
    "exec 9<" HOST_LOCK "\n"
    "if ! flock -s -n 9; then\n"
    "printf 'berth\\tbusy\\t%s\\n' \"$(who_is_busy)\"\n"
    "[ \"$wait\" = yes ] || exit 0\n"
    "flock -s 9\n"
    "fi\n"
    "fi\n"
    "last=none; [ ! -e " HOST_RUN "/last ] || read -r last l <" HOST_RUN "/last || :\n"
    "printf 'berth\\tlast\\t%s\\n' \"$last\"\n";

/* A login shell such as tcsh takes one line between quotes.
 * The steps must not end, nor stand still, with the connection: the whole script is taken first,
 * runs in a session of its own, and writes to a file, which is what the connection hears of it.
 * What comes on the connection behind the script (files) is its input. */
#define START                                                                                      \
    "umask 077; mkdir -p " HOST_RUN " && w=$(mktemp -d " HOST_RUN "/XXXXXX) || exit 1; "           \
    "head -c \"$1\" >\"$w/script\"; "                                                              \
    "[ \"$(wc -c <\"$w/script\")\" -eq \"$1\" ] || { rm -rf \"$w\"; exit 1; }; "                   \
    ": >\"$w/log\"; "                                                                              \
    "exec 3<&0; "                                                                                  \
    "setsid sh \"$w/script\" \"$w\" <&3 >>\"$w/log\" 2>&1 3<&- & "                                 \
    "exec tail -c +1 -s 0.1 --pid=$! -f \"$w/log\" 3<&-"

const char script_start[] = "sh -c '" START "' sh ";

/* A shell reads ahead: the mark and what follows are one command, and the new shell reads nothing
 * but what is sent when the mark was seen. The probe's lock is not kept. */
const char script_keep[] = "{ printf '" SCRIPT_KEPT "\\n'; "
                           "exec sh -c 'read -r n || exit 0; set -- \"$n\"\n" START "' 9<&-; }\n";

const char script_rejoin[] = "sh -c 'w=" HOST_RUN "/$0; [ -e \"$w/log\" ] || exit 1; "
                             "exec tail -c +\"$2\" -s 0.1 --pid=\"$1\" -f \"$w/log\"' ";

/* Steps run one after another; what fails holds back only what needs it. Lines that start with
 * \001 are for berth: I(s) RUN PID, W(aiting for) WHO, M(oved by) WHO, B(egin) N, E(nd) N STATUS,
 * S(kipped) N, V(alue) KEY VALUE, Z (the end). */
static const char protocol[] =
    "work=$1; rm -f \"$work/script\"\n"
    "exec 4<&0 </dev/null\n"
    "printf '\\001I\\t%s\\t%s\\n' \"${work##*/}\" $$\n"
    "exec 9<>" HOST_LOCK "\n"
    "if ! flock -n 9; then printf '\\001W\\t%s\\n' \"$(who_is_busy)\"; flock 9; fi\n"
    "trap ': >" HOST_LOCK "; rm -f " HOST_RUN "/at; printf \"\\001Z\\n\"' EXIT\n"
    /* Asked to stop while it waited. */
    "[ ! -e \"$work/gone\" ] || exit 0\n"
    "printf '%s %s\\n' \"$(date +%s)\" \"$who\" >" HOST_LOCK "\n"
    "last=none; by=; [ ! -e " HOST_RUN "/last ] || read -r last by <" HOST_RUN "/last || :\n"
    /* Also after a reboot: the steps are good for the world that was seen. */
    "if [ -n \"$seen\" ] && [ \"$last\" != \"$seen\" ] && [ \"$last\" != none ]; then "
    "printf '\\001M\\t%s\\n' \"$by\"; exit 0; fi\n"
    "printf '%s %s\\n' \"${work##*/}\" \"$who\" >" HOST_RUN "/last\n"
    /* What earlier runs left. */
    "for d in " HOST_RUN "/??????; do [ \"$d\" = \"$work\" ] || rm -rf \"$d\"; done\n"
    "mkdir -p " HOST_STATE "\n"
    "begin() { [ ! -e \"$work/gone\" ] || exit 0; printf '%s\\n' \"$2\" >" HOST_RUN "/at; "
    "printf '\\001B\\t%s\\n' \"$1\"; }\n"
    "end() { printf '\\001E\\t%s\\t%s\\n' \"$1\" \"$2\"; [ \"$2\" = 0 ] || : >\"$work/failed.$1\"; "
    "}\n"
    "skip() { printf '\\001S\\t%s\\n' \"$1\"; : >\"$work/failed.$1\"; }\n"
    "value() { printf '\\001V\\t%s\\t%s\\n' \"$1\" \"$2\"; }\n"
    "need() { for n; do [ ! -e \"$work/failed.$n\" ] || return 1; done; }\n"
    /* STEP BYTES COMMAND...: an archive that comes behind the script goes to the command, whole;
     * what a command does not take is passed by, and so is an archive that no step took. tar is
     * content with one that ends early, between two files: so something stands behind its end. */
    "take_archive() {\n"
    "  : >\"$work/took.$1\"; s=0\n"
    "  head -c $(($2 - 1)) <&4 | { shift 2; s=0; \"$@\" || s=$?; cat >/dev/null; exit \"$s\"; } "
    "|| s=$?\n"
    "  end=$(head -c 1 <&4)\n"
    "  [ \"$s\" = 0 ] || return \"$s\"\n"
    "  [ \"$end\" = . ] || { echo 'not all files came: the connection was cut'; return 1; }\n"
    "}\n"
    "pass_archive() { [ -e \"$work/took.$1\" ] || head -c \"$2\" <&4 >/dev/null; }\n"
    /* The folder of a path, made by the user where the user may, else for the user. */
    "home_dirs() { d=${2%/*}; [ -d \"$d\" ] || runuser -u \"$1\" -- mkdir -p \"$d\" 2>/dev/null || "
    "{ mkdir -p \"$d\" && chown \"$1:\" \"$d\"; }; }\n"
    /* USER HOME, folders as lines: those that somebody else made there, so that the user may not
     * write in them, become the user's; but none outside of the home, where a link leads. */
    "own_dirs() {\n"
    "  runuser -u \"$1\" -- sh -c 'while IFS= read -r d; do [ ! -d \"$d\" ] || [ -w \"$d\" ] || "
    "printf \"%s\\n\" \"$d\"; done' | while IFS= read -r d; do\n"
    "    d=$(readlink -f -- \"$d\")\n"
    "    case $d in \"$(readlink -f -- \"$2\")\"/*) chown -h -- \"$1:\" \"$d\";; esac\n"
    "  done\n"
    "}\n"
    /* Jupyter reads its files at start only; the mark outlives a run that is cut. */
    "stale_jupyter() { [ ! -e " HOST_UNIT " ] || { mkdir -p " HOST_ETC "; : >" HOST_STALE "; }; }\n"
    "refresh_jupyter() { if [ -e " HOST_STALE " ]; then if systemctl is-active -q " HOST_SERVICE
    "; then systemctl restart " HOST_SERVICE "; fi; rm -f " HOST_STALE "; fi; }\n";

/* /etc/environment is pam_env's: KEY=VALUE with blanks unquoted, so it cannot be sourced. sudo has
 * dropped what it set. uv does not read pip's settings: they are handed on. */
static const char environment[] =
    "if [ -r /etc/environment ]; then while IFS= read -r l || [ -n \"$l\" ]; do\n"
    "  l=${l#export }\n"
    "  case $l in PATH=*) continue;; [A-Za-z_]*=*) ;; *) continue;; esac\n"
    "  k=${l%%=*}; v=${l#*=}\n"
    "  case $v in \\\"*\\\") v=${v#?}; v=${v%?};; \\'*\\') v=${v#?}; v=${v%?};; esac\n"
    "  case $k in *[!A-Za-z0-9_]*) ;; *) export \"$k=$v\";; esac\n"
    "done </etc/environment; fi\n"
    "pip_setting() { [ ! -r /etc/pip.conf ] || "
    "sed -n \"s/^$1 *[=:] *//p\" /etc/pip.conf | tail -n 1; }\n"
    "hand_on() { if [ -n \"$2\" ]; then eval \"export $1=\\${$1:-\\$2}\"; fi; }\n"
    "hand_on UV_DEFAULT_INDEX \"${PIP_INDEX_URL:-$(pip_setting index-url)}\"\n"
    "hand_on UV_INDEX \"${PIP_EXTRA_INDEX_URL:-$(pip_setting extra-index-url)}\"\n"
    "hand_on UV_FIND_LINKS \"${PIP_FIND_LINKS:-$(pip_setting find-links)}\"\n"
    "hand_on SSL_CERT_FILE \"${PIP_CERT:-$(pip_setting cert)}\"\n"
    "export DEBIAN_FRONTEND=noninteractive TMPDIR=/var/tmp PIP_DISABLE_PIP_VERSION_CHECK=1 "
    "PIP_ROOT_USER_ACTION=ignore\n"
    "export UV_PYTHON_INSTALL_DIR=/opt/berth/python UV_LINK_MODE=${UV_LINK_MODE:-copy}\n"
    "[ -n \"${UV_CACHE_DIR-}\" ] || export UV_NO_CACHE=1\n";

/* Packages of the distribution. The lists are fetched anew only when an install fails. What others
 * need is not removed with them: dpkg and rpm refuse, and it stays. */
static const char packages[] =
    /* The host remembers what berth installed: a cut connection loses no word of it. */
    "note_package() { value added \"$1\"; printf '%s\\n' \"$1\" >>" HOST_ADDED "; }\n"
    "forget_package() { value removed \"$1\"; if [ -e " HOST_ADDED " ]; then "
    "grep -vxF -e \"$1\" " HOST_ADDED " >" HOST_ADDED ".new || :; "
    "mv -f " HOST_ADDED ".new " HOST_ADDED "; fi; }\n"
    /* What is needed for what the spec asks for, and was not there. */
    "imply() { know_packages \"$@\"; for need; do has_package \"$need\" || "
    "printf '%s\\n' \"$need\" >>" HOST_IMPLIED "; done; }\n"
    "if command -v apt-get >/dev/null; then\n"
    /* apt waits for dpkg's lock only; those of its lists and downloads are held for a while by what
     * a fresh instance does at boot (cloud-init, unattended-upgrades). */
    "apt() {\n"
    "  for try in $(seq 600); do\n"
    "    s=0\n"
    "    apt-get -qq -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 \"$@\" 2>\"$work/apt\" || s=$?\n"
    "    grep -q '^E: Could not get lock' \"$work/apt\" || break\n"
    "    [ \"$try\" -gt 1 ] || echo 'waiting for another apt-get to end'\n"
    "    sleep 1\n"
    "  done\n"
    "  cat \"$work/apt\"\n"
    "  return \"$s\"\n"
    "}\n"
    "apt_install() { apt -y --no-install-recommends install \"$@\"; }\n"
    "install_packages() { apt_install \"$@\" || { dpkg --configure -a; apt update && "
    "apt_install \"$@\"; }; }\n"
    "remove_packages() { for p; do dpkg --remove \"$p\" || echo \"$p stays: others need it\"; "
    "forget_package \"$p\"; done; }\n"
    "dist_python() { [ -n \"$(apt-cache -q policy \"python$1\" 2>/dev/null)\" ] && "
    "imply \"python$1\" \"python$1-venv\" && install_packages \"python$1\" \"python$1-venv\"; }\n"
    "venv_package=python3-venv\n"
    "else\n"
    /* Not -q: it would not say that it waits for another dnf, nor what it is at. */
    "install_packages() { dnf -y install \"$@\"; }\n"
    "remove_packages() { for p; do rpm -e \"$p\" || echo \"$p stays: others need it\"; "
    "forget_package \"$p\"; done; }\n"
    /* Tried without a look at whether there is one of that name. */
    "unimply() { if [ -e " HOST_IMPLIED " ]; then grep -vxF -e \"$1\" " HOST_IMPLIED
    " >" HOST_IMPLIED ".new || :; mv -f " HOST_IMPLIED ".new " HOST_IMPLIED "; fi; }\n"
    /* With all that came along: packages that need each other go together or not at all. */
    "names() { rpm -qa --qf '%{NAME}\\n' | sort; }\n"
    "dist_python() { imply \"python$1\"; names >\"$work/names\"\n"
    "  dnf -y -q install \"python$1\" 2>/dev/null || { unimply \"python$1\"; return 1; }\n"
    "  names | comm -13 \"$work/names\" - >>" HOST_IMPLIED "\n"
    "}\n"
    "venv_package=python3-pip\n"
    "fi\n";

#define UV_LOCK HOST_RUN "/uv.lock"

/* uv from the package index, into an environment of its own; it starts while packages install where
 * it needs none of them. Where uv cannot be had, venv and pip do. One makes it at a time: what was
 * started for a run goes on when that run ends early. */
static const char python[] =
    "env=" HOST_ENV "\n"
    "cut_mark() { echo \"${1%/*}/.cut.${1##*/}\"; }\n"
    /* The spec's index first; not every one has uv. */
    "make_uv() { (\n"
    "  flock 8\n"
    "  [ ! -x " HOST_UV " ] || exit 0\n"
    "  python3 -m venv /opt/berth/uv && { { [ -n \"$1\" ] && "
    "/opt/berth/uv/bin/pip install -q --index-url \"$1\" uv; } || "
    "/opt/berth/uv/bin/pip install -q uv; } || rm -rf /opt/berth/uv\n"
    ") 8>" UV_LOCK "; }\n"
    "start_uv() {\n"
    "  if [ -x " HOST_UV " ] || ! python3 -c 'import ensurepip, venv' 2>/dev/null; then return 0; "
    "fi\n"
    "  make_uv \"$1\" >/dev/null 2>&1 </dev/null 4<&- 9>&- &\n"
    "}\n"
    "need_uv() {\n"
    "  flock " UV_LOCK " true\n"
    "  if [ -x " HOST_UV " ]; then return 0; fi\n"
    "  python3 -c 'import ensurepip, venv' 2>/dev/null || { imply $venv_package; "
    "install_packages $venv_package; }\n"
    "  make_uv \"$1\"\n"
    "  [ -x " HOST_UV " ] || echo 'uv cannot be had; going on with venv and pip'\n"
    "}\n"
    /* VERSION PYTHONS: the asked one from the distribution where it has it, else uv's own; without
     * a wish the system's where it is one of those that will do, else the first that is to be had.
     */
    "choose_python() {\n"
    "  v=$1\n"
    "  if [ -z \"$v\" ]; then\n"
    "    v=$(python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])' 2>/dev/null || :)\n"
    "    case \" $2 \" in *\" $v \"*) p=$(command -v python3); return 0;; esac\n"
    "    for v in $2; do if command -v \"python$v\" >/dev/null; then break; fi; v=; done\n"
    "    [ -n \"$v\" ] || for v in $2; do if dist_python \"$v\"; then break; fi; v=; done\n"
    "    v=${v:-${2%% *}}\n"
    "  fi\n"
    "  p=$(command -v \"python$v\" || true)\n"
    "  if [ -z \"$p\" ] && dist_python \"$v\"; then p=$(command -v \"python$v\" || true); fi\n"
    "}\n"
    /* Extra kernels are registered in the main environment, which may be made anew. */
    "link_kernel() { mkdir -p " HOST_ENV "/share/jupyter/kernels; "
    "ln -sfn \"$1/kernelspec\" \"" HOST_ENV "/share/jupyter/kernels/${1##*/}\"; }\n"
    "remove_environment() { rm -rf \"$1\"; rm -f \"$(cut_mark \"$1\")\"; }\n"
    "make_environment() {\n"
    "  choose_python \"$1\" \"$2\"\n"
    /* Found or fetched before what is there is given up. */
    "  if [ -z \"$p\" ] && [ -x " HOST_UV " ] && ! " HOST_UV
    " python find -q \"$v\" >/dev/null 2>&1 && ! " HOST_UV " python install \"$v\"; then\n"
    "    echo \"neither this system nor uv has Python $v: ask for another in "
    "packages.python.version\"; return 1; fi\n"
    "  if [ -z \"$p\" ] && [ ! -x " HOST_UV " ]; then echo \"this system has no Python $v, and uv, "
    "which may have it, cannot be had: ask for another in packages.python.version\"; return 1; fi\n"
    "  mkdir -p \"${env%/*}\"\n"
    "  : >\"$(cut_mark \"$env\")\"\n"
    "  rm -rf \"$env\"\n"
    "  if [ -x " HOST_UV " ]; then " HOST_UV " venv -q --seed --python \"${p:-$v}\" \"$env\"\n"
    "  else \"$p\" -m venv \"$env\"; fi\n"
    "  [ \"$env\" != " HOST_ENV " ] || for k in " HOST_KERNELS "/*; do\n"
    "    [ ! -e \"$k/kernelspec\" ] || link_kernel \"$k\"; done\n"
    "  rm -f \"$(cut_mark \"$env\")\"\n"
    "  value python \"$(\"$env/bin/python\" -c 'import platform; "
    "print(platform.python_version())')\"\n"
    "  value machine \"$(uname -m)\"\n"
    "}\n"
    /* A patch level that a project asks for is not chosen by: it is there or not. */
    "check_python() {\n"
    "  \"$env/bin/python\" -c 'import platform, sys\n"
    "from pip._vendor.packaging.specifiers import SpecifierSet\n"
    "sys.exit(not SpecifierSet(sys.argv[1]).contains(platform.python_version(), True))' \"$1\" || "
    "{\n"
    "    echo \"the project asks for Python $1, and what is to be had is "
    "$(\"$env/bin/python\" --version): ask for another in packages.python.version\"; return 1; }\n"
    "}\n"
    /* What an install brings is berth's, what lay there before is not: uv marks all that it
     * installs as asked for by name. Of an install that was cut, what lay there before it counts.
     */
    "pip_names() { for d in \"$env\"/lib/python3*/site-packages/*.dist-info; do\n"
    "  n=${d##*/}; [ ! -e \"$d\" ] || echo \"${n%%-*}\"; done; }\n"
    "pip_own() { cat >\"$env/" HOST_OWN ".new\"; mv \"$env/" HOST_OWN ".new\" \"$env/" HOST_OWN
    "\"; }\n"
    "pip_there() { echo \"$env\"/lib/python3*/site-packages/*.dist-info; }\n"
    /* The mark stays when a reboot cuts it, or it fails in the middle: what is half there is then
     * installed anew. */
    "again=; force=\n"
    "pip_install() {\n"
    "  s=0; b=$env/" HOST_BUSY "; o=$env/" HOST_OWN "; was=$(pip_there)\n"
    "  if [ -e \"$b\" ]; then was=; again=--reinstall; force=--force-reinstall\n"
    "  else pip_names >\"$b.new\"; mv \"$b.new\" \"$b\"; fi\n"
    "  if [ -x " HOST_UV " ]; then " HOST_UV
    " pip install $again --python \"$env/bin/python\" \"$@\" || s=$?\n"
    "  else \"$env/bin/python\" -m pip install $force \"$@\" || s=$?; fi\n"
    "  if [ \"$s\" != 0 ] && [ \"$was\" != \"$(pip_there)\" ]; then return \"$s\"; fi\n"
    "  touch \"$o\"\n"
    "  { cat \"$o\"; pip_names | grep -vxFf \"$b\"; } | sort -u | pip_own\n"
    "  rm -f \"$b\"\n"
    "  return \"$s\"\n"
    "}\n"
    /* Could it be had, were nothing there? pip knows since 22.2. */
    "pip_rehearse() {\n"
    "  if [ -x " HOST_UV " ]; then " HOST_UV
    " pip install -q --dry-run --reinstall --python \"$env/bin/python\" \"$@\"\n"
    "  elif \"$env/bin/python\" -m pip help install | grep -q -e --dry-run; then\n"
    "    \"$env/bin/python\" -m pip install -q --dry-run --ignore-installed \"$@\"; fi\n"
    "}\n"
    "pip_uninstall() {\n"
    "  if [ -x " HOST_UV " ]; then " HOST_UV " pip uninstall --python \"$env/bin/python\" \"$@\"\n"
    "  else \"$env/bin/python\" -m pip uninstall -y \"$@\"; fi\n"
    "  [ ! -e \"$env/" HOST_OWN "\" ] || { pip_names | grep -xFf \"$env/" HOST_OWN
    "\" || :; } | pip_own\n"
    "}\n"
    /* NAME==VERSION HASHES: a line of what is installed, and one of what it may not be moved from,
     * which has no extras. */
    "limit() { printf '%s\\n' \"$1\" >>\"$work/constraints\"; }\n"
    "locked() { printf '%s\\n' \"$*\" >>\"$work/locked\"; l=${1%%=*}; "
    "limit \"${l%%[[]*}${1#\"$l\"}\"; }\n"
    /* So that %pip works in a notebook. */
    "own_environment() { find \"$env\" ! -user \"$1\" -exec chown -h \"$1:\" {} +; }\n";

const char script_stop[] = "sh -c '[ ! -d " HOST_RUN "/$0 ] || : >" HOST_RUN "/$0/gone' ";

const char *const script_converge[] = {protocol, environment, packages, python, NULL};
