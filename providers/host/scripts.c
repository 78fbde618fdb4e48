#include "providers/host/scripts.h"

/* POSIX sh, for dash and bash alike. */
const char script_common[] =
    "export LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
    "umask 022\n"
    "if command -v dpkg-query >/dev/null; then\n"
    "has_package() { [ \"$(dpkg-query -W -f '${db:Status-Status}' \"$1\" 2>/dev/null)\" = "
    "installed ]; }\n"
    "else\n"
    "has_package() { rpm -q --quiet --whatprovides \"$1\" 2>/dev/null; }\n"
    "fi\n";

/* fact KEY VALUE: one line of the answer. */
const char script_probe[] =
    "tab=$(printf '\\t')\n"
    "fact() { printf '%s\\t%s\\t%s\\n' \"$node\" \"$1\" \"$2\"; }\n"
    "fact64() { if [ -f \"$2\" ]; then fact \"$1\" \"$(base64 -w0 <\"$2\")\"; fi; }\n"
    "hash_files() { while read -r i p; do if [ -f \"$p\" ]; then s=$(sha256sum <\"$p\"); "
    "fact \"$i\" \"$(stat -c %a \"$p\") ${s%% *}\"; fi; done; }\n";

/* Steps run one after another; what fails holds back only what needs it. Lines that start with
 * \001 are for berth: B(egin) N, E(nd) N STATUS, S(kipped) N, V(alue) KEY VALUE. */
const char script_converge[] =
    "work=$(mktemp -d /run/berth.XXXXXX) || exit 1\n"
    "trap 'rm -rf \"$work\"' EXIT\n"
    "if [ -r /etc/environment ]; then set -a; . /etc/environment; set +a; fi\n"
    "export DEBIAN_FRONTEND=noninteractive TMPDIR=/var/tmp\n"
    "begin() { printf '\\001B\\t%s\\n' \"$1\"; }\n"
    "end() { printf '\\001E\\t%s\\t%s\\n' \"$1\" \"$2\"; [ \"$2\" = 0 ] || : >\"$work/failed.$1\"; "
    "}\n"
    "skip() { printf '\\001S\\t%s\\n' \"$1\"; : >\"$work/failed.$1\"; }\n"
    "value() { printf '\\001V\\t%s\\t%s\\n' \"$1\" \"$2\"; }\n"
    "need() { for n; do [ ! -e \"$work/failed.$n\" ] || return 1; done; }\n"
    /* mkdir -p as the user, from the home folder down. */
    "home_dirs() { d=${2%/*}; [ -d \"$d\" ] || (umask 022; install -d -o \"$1\" -g \"$1\" \"$d\"); "
    "}\n"
    "if command -v apt-get >/dev/null; then\n"
    "apt_install() { apt-get -o DPkg::Lock::Timeout=600 -y -q install --no-install-recommends "
    "\"$@\"; }\n"
    "install_packages() { apt_install \"$@\" || { apt-get -o DPkg::Lock::Timeout=600 -q update && "
    "apt_install \"$@\"; }; }\n"
    "remove_packages() { apt-get -o DPkg::Lock::Timeout=600 -y -q remove \"$@\"; }\n"
    "venv_package=python3-venv\n"
    "else\n"
    "install_packages() { dnf -y -q install \"$@\"; }\n"
    "remove_packages() { dnf -y -q remove \"$@\"; }\n"
    "venv_package=python3-pip\n"
    "fi\n"
    /* uv from the package index, into an environment of its own. */
    "need_uv() {\n"
    "  if [ -x /opt/berth/uv/bin/uv ]; then return 0; fi\n"
    "  python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages $venv_package\n"
    "  python3 -m venv /opt/berth/uv\n"
    "  /opt/berth/uv/bin/pip install -q --disable-pip-version-check uv || {\n"
    "    echo 'uv cannot be had; going on with venv and pip'; rm -rf /opt/berth/uv; }\n"
    "}\n"
    "export UV_PYTHON_INSTALL_DIR=/opt/berth/python UV_LINK_MODE=${UV_LINK_MODE:-copy}\n"
    /* The asked version from the distribution where it has it, else uv's own; without a wish the
     * system's where it is new enough for Jupyter. */
    "make_environment() {\n"
    "  v=$1\n"
    "  if [ -z \"$v\" ]; then\n"
    "    if python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then v=python3; "
    "else v=3.12; fi\n"
    "  fi\n"
    "  rm -rf /opt/berth/env\n"
    "  if [ -x /opt/berth/uv/bin/uv ]; then /opt/berth/uv/bin/uv venv -q --python \"$v\" "
    "/opt/berth/env\n"
    "  else p=python3; [ \"$v\" = python3 ] || p=python$v; \"$p\" -m venv /opt/berth/env; fi\n"
    "}\n"
    "pip_install() {\n"
    "  if [ -x /opt/berth/uv/bin/uv ]; then /opt/berth/uv/bin/uv pip install --python "
    "/opt/berth/env/bin/python \"$@\"\n"
    "  else /opt/berth/env/bin/pip install --disable-pip-version-check \"$@\"; fi\n"
    "}\n";
