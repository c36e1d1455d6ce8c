#!/usr/bin/env bash
# Behaves towards a job script as latentcast does, without rendering: a "clip" every SECONDS, a checkpoint after each,
# 75 when it was asked to stop, and continues where its last checkpoint is. The "video" is a line for each clip.
#   stand_in.sh render --config FILE --run_dir DIR [--num_clip N] [--seconds S] [--die_at CLIP] [--exit_at CLIP:CODE]
# --die_at: rank 0 kills itself before that clip, each time; --exit_at: all leave with this code, unless continued there.
set -u
clips=4 seconds=0.2 die_at=-1 exit_at=-1 code=0
shift
while (($#)); do
  case $1 in
    --run_dir) run=$2 ;;
    --num_clip) clips=$2 ;;
    --seconds) seconds=$2 ;;
    --die_at) die_at=$2 ;;
    --exit_at) exit_at=${2%:*} code=${2#*:} ;;
  esac
  shift 2
done
rank=${OMPI_COMM_WORLD_RANK:-${PMIX_RANK:-0}}
size=${OMPI_COMM_WORLD_SIZE:-${SLURM_STEP_NUM_TASKS:-1}}
stop=""
trap 'stop=1' USR1 TERM
if [[ -e $run/stop ]]; then exit 64; fi
mkdir -p "$run/checkpoint"
begun=$(find "$run/checkpoint" -name 'clip-*' | sort | tail -n 1 | sed 's/.*clip-0*//')
begun=${begun:-0}
echo "start at clip $begun rank $rank of $size on $(hostname) node ${SLURMD_NODENAME:-}" >>"$run/starts"
for ((clip = begun; clip < clips; ++clip)); do
  sleep "$seconds" &
  while kill -0 $! 2>/dev/null; do wait $!; done
  if ((clip == die_at)); then ((rank != 0)) || kill -KILL $$; exit 0; fi
  if ((clip == exit_at && (clip == 0 || begun < clip))); then ((rank == 0)) || sleep 2; exit "$code"; fi
  if ((rank == 0)); then
    head -n "$clip" "$run/lines" >"$run/lines.part" 2>/dev/null
    echo "clip $clip" >>"$run/lines.part"
    mv "$run/lines.part" "$run/lines"
    mkdir "$run/checkpoint/$(printf 'clip-%06d' $((clip + 1)))"
  fi
  if [[ -n $stop || -e $run/stop ]]; then
    ((rank == 0)) || sleep 2  # the launcher ends the others when one leaves
    exit 75
  fi
done
if ((rank == 0)); then cp "$run/lines" "$run/video.mp4"; fi
