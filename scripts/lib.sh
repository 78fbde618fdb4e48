# What ./quickstart and ./test share. POSIX sh; sourced with $root set to the repository.

say() { printf '\n== %s\n' "$*"; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# A command as root: as we are, or by sudo.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

need_debian() {
    [ "$(uname -s)" = Linux ] || die "this needs Linux; here is $(uname -s)"
    command -v apt-get >/dev/null 2>&1 ||
        die "this needs Debian 12 or a relative: there is no apt-get"
    [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null 2>&1 ||
        die "this needs root: run it as root, or install sudo"
}

# Install those of the named Debian packages that are missing; nothing is asked of the network when
# none is.
need_packages() {
    missing=
    for package in "$@"; do
        status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$status" = installed ] || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    echo "installing:$missing"
    log=$(mktemp)
    # shellcheck disable=SC2086 # the list is meant to be split
    if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q >"$log" 2>&1 ||
        ! as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -q -y --no-install-recommends $missing >>"$log" 2>&1; then
        tail -n 5 "$log" >&2
        rm -f "$log"
        die "apt-get could not install:$missing (is there a network?)"
    fi
    rm -f "$log"
}

build_packages="gcc libc6-dev cmake ninja-build pkg-config libyaml-dev libcurl4-openssl-dev \
libssl-dev libcjson-dev libssh2-1-dev libexpat1-dev libargon2-dev"
sandbox_packages="mmdebstrap uidmap iproute2 openssh-client ca-certificates"

# configure and build: FOLDER TARGET… -- CMAKE OPTIONS…
build() {
    folder=$1
    shift
    targets=
    while [ "$1" != -- ]; do
        targets="$targets $1"
        shift
    done
    shift
    cmake -S "$root" -B "$folder" -G Ninja "$@" >"$folder.log" 2>&1 || {
        tail -n 20 "$folder.log" >&2
        die "cmake failed; all of it is in $folder.log"
    }
    # shellcheck disable=SC2086
    ninja -C "$folder" $targets >"$folder.log" 2>&1 || {
        tail -n 40 "$folder.log" >&2
        die "the build failed; all of it is in $folder.log"
    }
}
