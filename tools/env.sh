# shellcheck shell=bash
# Where the build finds its tools; sourced by the other scripts. Sets
#   LATENTCAST_VENV       virtual environment with cmake, ninja, numpy and (unless given) LibTorch
#   LATENTCAST_TORCH_DIR  the folder 'torch' of an installed PyTorch 2.11; set it to use one that is there already
#   PATH                  the environment's programs first

latentcast_venv() {
  local shared=/opt/latentcast/venv own="${HOME:-/tmp}/.cache/latentcast/venv"
  if [[ -e $shared/.latentcast ]] || { mkdir -p "${shared%/*}" 2>/dev/null && [[ -w ${shared%/*} ]]; }; then
    echo "$shared"
  else
    echo "$own"
  fi
}

export LATENTCAST_VENV="${LATENTCAST_VENV:-$(latentcast_venv)}"
if [[ -z ${LATENTCAST_TORCH_DIR:-} ]]; then
  for dir in "$LATENTCAST_VENV"/lib/python3*/site-packages/torch; do
    if [[ -e $dir/lib/libtorch_cpu.so ]]; then
      export LATENTCAST_TORCH_DIR="$dir"
    fi
  done
fi
case ":$PATH:" in
  *":$LATENTCAST_VENV/bin:"*) ;;
  *) export PATH="$LATENTCAST_VENV/bin:$PATH" ;;
esac
