#!/usr/bin/env bash
# Installs what the build needs and is missing; a second or less when nothing is.
#   Debian packages       as root, or with sudo; with --tests also Slurm, which only tests need
#   LibTorch, cmake, ninja, numpy
#                         from PyPI into a virtual environment of their own: /opt/latentcast/venv, or
#                         ~/.cache/latentcast/venv where /opt can't be written to, or $LATENTCAST_VENV
# A machine that has PyTorch 2.11 already: LATENTCAST_TORCH_DIR=/path/to/site-packages/torch tools/setup.sh
# An installation that was interrupted is repaired by the next call.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

torch_version=2.11.0
packages=(
  ca-certificates ccache espeak-ng ffmpeg g++ git pkg-config python3 python3-venv sentencepiece
  libavcodec-dev libavfilter-dev libavformat-dev libavutil-dev libswresample-dev libswscale-dev
  libbenchmark-dev libcli11-dev libcpp-httplib-dev libgmock-dev libgtest-dev libhdf5-dev libjpeg-dev libopenmpi-dev
  libsoxr-dev libspdlog-dev libssl-dev libutf8proc-dev libxxhash-dev libyaml-cpp-dev nlohmann-json3-dev openmpi-bin
)
if [[ ${1:-} == --tests ]]; then
  packages+=(munge slurm-wlm)
fi

say() { echo "setup: $*"; }
fail() {
  echo "setup: $*" >&2
  exit 1
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Runs a command quietly; if it fails, shows its last lines and the advice given first.
quietly() {
  local advice=$1
  shift
  if ! "$@" >"$log" 2>&1 </dev/null; then
    tail -n 15 "$log" >&2
    fail "'$*' failed (its last lines are above). $advice"
  fi
}

missing_packages() {
  local installed  # dpkg-query fails if it doesn't know one of them
  installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null |
    sed -n 's/^installed //p') || true
  comm -23 <(printf '%s\n' "${packages[@]}" | sort -u) <(sort -u <<<"$installed")
}

install_packages() {
  if ! command -v dpkg-query >/dev/null; then
    say "no Debian here: these packages, or what your system calls them, must be there: ${packages[*]}"
    return
  fi
  local missing as_root=()
  mapfile -t missing < <(missing_packages)
  if ((${#missing[@]} == 0)); then
    return
  fi
  if ((EUID != 0)); then
    if ! command -v sudo >/dev/null || { [[ ! -t 0 ]] && ! sudo -n true 2>/dev/null; }; then
      fail "Debian packages are missing; as root: apt-get install ${missing[*]}"
    fi
    as_root=(sudo)
  fi
  say "installing ${#missing[@]} Debian packages"
  quietly "Check the network and /etc/apt." "${as_root[@]}" apt-get update -q
  quietly "Check the network and the free space." "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends "${missing[@]}"
}

# The system's python first: one of another manager may lack venv, or vanish.
find_python() {
  local python
  for python in /usr/bin/python3 python3; do
    if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
      echo "$python"
      return
    fi
  done
  fail "no Python of 3.10 or later with venv: install python3 and python3-venv"
}

check_given_torch() {
  local dir=$1
  [[ -e $dir/lib/libtorch_cpu.so && -d $dir/include/ATen ]] ||
    fail "LATENTCAST_TORCH_DIR=$dir is not the folder 'torch' of a PyTorch (no lib/libtorch_cpu.so or no include/ATen)"
  grep -q "^__version__ = '${torch_version%.*}\." "$dir/version.py" ||
    fail "LATENTCAST_TORCH_DIR=$dir is not PyTorch ${torch_version%.*}: $(grep -m1 '^__version__' "$dir/version.py")"
}

install_environment() {
  local venv=$LATENTCAST_VENV wanted="$*" marker=$LATENTCAST_VENV/.latentcast
  if [[ -e $marker && $(<"$marker") == "$wanted" ]]; then
    return
  fi
  mkdir -p "${venv%/*}" || fail "can't write to ${venv%/*}: set LATENTCAST_VENV to a folder of yours"
  exec 9>"$venv.lock"
  flock -n 9 || { say "waiting for another setup of $venv" && flock 9; }
  if [[ -e $marker && $(<"$marker") == "$wanted" ]]; then
    return
  fi
  # The marker is written last; without it the files themselves must show that they are whole.
  rm -f "$marker"
  if ! "$venv/bin/python" tools/check_venv.py "$@" >"$log" 2>&1; then
    if [[ -e $venv ]]; then
      say "$venv is not whole ($(tail -n 1 "$log")): making it anew"
    fi
    say "installing $* into $venv$([[ $wanted == torch* ]] && echo ' (some minutes: 2.5 GB to load, 5 GB on the disk)')"
    local python
    python=$(find_python)
    quietly "Install python3-venv." "$python" -m venv --clear "$venv"
    quietly "Check the network, pip's configuration and the free space (5 GB in $venv, 3 GB in ${TMPDIR:-/tmp}); run this again." \
      "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir "$@"
    quietly "Run this again." "$venv/bin/python" tools/check_venv.py "$@"
  fi
  echo "$wanted" >"$marker"
}

given=${LATENTCAST_TORCH_DIR:-}
source tools/env.sh
if [[ $given == "$LATENTCAST_VENV"/* ]]; then
  given=""
fi
install_packages
if [[ -n $given ]]; then
  check_given_torch "$given"
  install_environment cmake ninja numpy
else
  unset LATENTCAST_TORCH_DIR
  install_environment "torch==$torch_version" cmake ninja numpy
fi
source tools/env.sh
say "ready: LibTorch in $LATENTCAST_TORCH_DIR"
