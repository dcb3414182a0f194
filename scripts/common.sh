# Shared by quickstart and test; sourced, not run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=/usr/bin/python3 # the one that the distribution's python3-numpy belongs to
jobs=$(nproc 2>/dev/null || echo 2)

say() { printf '\n==> %s\n' "$*"; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

build_packages=(gcc g++ make cmake ninja-build pkg-config libluajit-5.1-dev liburing-dev
  libcurl4-openssl-dev liblz4-dev libzstd-dev libblosc-dev zlib1g-dev libisal-dev libdeflate-dev
  libjansson-dev libxxhash-dev libssl-dev)
test_packages=(git nginx-light openssl luajit lua-busted libcmocka-dev libseccomp-dev python3 python3-dev
  python3-venv python3-numpy python3-blosc lz4 zstd clang libclang-rt-dev)

# Installs those of the named packages that are not there. Needs root, or sudo.
install_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "Not a Debian or Ubuntu: taking it that these are installed: $*"
    return 0
  fi
  local package missing=()
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
      missing+=("$package")
  done
  if [ ${#missing[@]} -eq 0 ]; then
    say "All packages are installed"
    return 0
  fi
  local sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "packages are missing, and this is not root and has no sudo.
  As root, run: apt-get update && apt-get install --no-install-recommends ${missing[*]}
  and then this command again."
    sudo=(sudo)
  fi
  say "Installing ${missing[*]}"
  "${sudo[@]}" apt-get update -qq </dev/null ||
    printf 'apt-get update failed; trying with the lists that are here\n' >&2
  # A server that the tests start themselves is not to run for ever: packages ask this file.
  local policy=/usr/sbin/policy-rc.d kept=yes code=0
  if [ ! -e $policy ]; then
    kept=no
    printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee $policy >/dev/null && "${sudo[@]}" chmod 755 $policy
  fi
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    "${missing[@]}" </dev/null >/dev/null || code=$?
  [ $kept = yes ] || "${sudo[@]}" rm -f $policy
  [ $code -eq 0 ] || die "could not install ${missing[*]}"
}

# configure_and_build FOLDER CMAKE_OPTION... [-- TARGET...]
configure_and_build() {
  local folder=$1 options=()
  shift
  while [ $# -gt 0 ] && [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  [ $# -eq 0 ] || shift
  cmake -S "$root" -B "$folder" -G Ninja "${options[@]}" || return 1
  ninja -C "$folder" -j "$jobs" "$@" || return 1
}

# upstream_luajit PREFIX: a current LuaJIT, where it was made before or cargo is there to bring its source.
upstream_luajit() { "$root/lua/upstream/build" "$1" >"$1.log" 2>&1; }

# can_fuzz: there is a clang, with libFuzzer beside it.
can_fuzz() {
  printf 'int LLVMFuzzerTestOneInput(const char *p, long n) { return p && n < 0; }\n' |
    "${CLANG:-clang}" -x c - -fsanitize=fuzzer,address,undefined -o /dev/null 2>/dev/null
}
