#!/usr/bin/env bash
# Builds: tools/build.sh [PRESET [TARGET ...]]; the presets are release (default), debug and sanitizers.
# LATENTCAST_JOBS sets how many compilers run at once; otherwise as many as cores and memory allow.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
shift || true
source tools/env.sh
if [[ -z ${LATENTCAST_TORCH_DIR:-} || ! -x $(command -v ninja) ]]; then
  echo "build: cmake, ninja or LibTorch is missing: run tools/setup.sh first" >&2
  exit 1
fi

# A file that sees tensors takes up to 2 GB to compile.
jobs() {
  local cores memory
  cores=$(nproc)
  memory=$(awk '/^MemAvailable:/ { print int($2 / 2097152) }' /proc/meminfo)
  echo $((memory < 1 ? 1 : memory < cores ? memory : cores))
}

# Slurm, which tests start, may have been installed since.
slurm_is_new() { grep -q '^LATENTCAST_SLURMCTLD.*NOTFOUND$' "$cache" && [[ -x /usr/sbin/slurmctld ]]; }

cache=build/$preset/CMakeCache.txt
if [[ ! -e build/$preset/build.ninja ]] || ! grep -qxF "LATENTCAST_TORCH_DIR:PATH=$LATENTCAST_TORCH_DIR" "$cache" ||
  slurm_is_new; then
  cmake --preset "$preset" -DLATENTCAST_TORCH_DIR="$LATENTCAST_TORCH_DIR"
fi
exec ninja -C "build/$preset" -j "${LATENTCAST_JOBS:-$(jobs)}" "$@"
