#!/usr/bin/env bash
# Renders on four GPUs of this host without Slurm: a denoising step on each, decoding beside the last one's work.
#   jobs/run_4gpu_tpp.sh [CONFIG.yaml [options of latentcast render ...]]
# CONFIG is configs/render.yaml by default; the run's folder is its run_dir, else output/NAME. The same once more continues
# a run that was stopped (exit code 75) or killed. Ctrl-C stops it at a clip's end with a checkpoint, a second one at once.
set -euo pipefail
LATENTCAST_HOME=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=common.sh
source "$LATENTCAST_HOME/jobs/common.sh"
if (($# == 0)); then
  set -- "$LATENTCAST_HOME/configs/render.yaml"
fi
find_job "$@"
# In a session of its own, where the terminal's Ctrl-C does not reach it.
supervise setsid mpirun --bind-to none -n 4 "${command[@]}" --num_gpus_dit 4 --decoder stream
if ((code == 75)); then
  say "stopped with checkpoint $(newest_checkpoint); the same command continues"
fi
exit "$code"
