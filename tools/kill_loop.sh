#!/usr/bin/env bash
# Kills a long render again and again at random times, continues it each time, and checks that it comes to the bytes
# of one that nothing disturbed: tools/kill_loop.sh [CLIPS] [KILLS] [CASE] [RANKS] [DIR]
# CASE is landscape (tests/data/cases) or tiny, its speech repeated; FRAMES=12 in the environment makes clips of 12
# frames in place of 48 (encoding takes time by the square of the speech), LONGEST=S bounds the time from a start to
# its kill. Each kill takes a random rank, every fourth all of them and mpirun. Prints how often it was run, where the
# kills hit and the resident memory by clip; the last line says whether all is well. DIR (else a temporary folder)
# keeps everything; the undisturbed run in it is used again.
set -euo pipefail
cd "$(dirname "$0")/.."
clips=${1:-1000} kills=${2:-200} case=${3:-landscape} ranks=${4:-2} dir=${5:-$(mktemp -d)}
frames=${FRAMES:-48}
program=$(readlink -f "${LATENTCAST_PROGRAM:-build/release/latentcast}")
export OMP_WAIT_POLICY=passive OMPI_MCA_mpi_yield_when_idle=1
mkdir -p "$dir"
echo "$clips clips of $case, $frames frames each, on $ranks ranks, $kills kills, in $dir"

python3 tools/kill_loop/repeat_speech.py "$case" "$clips" "$frames" "$dir/speech.wav"
job=(--threads 1 --device cpu --audio "$dir/speech.wav" --num_clip "$clips" --infer_frames "$frames"
  --checkpoint_clips 1)
if [[ $case == tiny ]]; then
  job=(--config tests/data/tiny/job.yaml "${job[@]}")
else
  data=tests/data/cases/$case
  job+=(--ckpt_dir "$data/checkpoint" --image "$data/portrait.png" --prompt "A calm presenter speaks." --size '384*256'
    --base_seed 420 --load_lora)
fi

start_render() { # RUN RANKS
  local launcher=()
  (($2 == 1)) || launcher=(mpirun --allow-run-as-root --oversubscribe --bind-to none -n "$2")
  exec "${launcher[@]}" "$program" render "${job[@]}" --run_dir "$1"
}

processes() { # RUN: the program's own
  local pid
  for pid in $(pgrep -f -- "--run_dir $1" || true); do
    [[ $(readlink "/proc/$pid/exe" || true) != "$program" ]] || echo "$pid"
  done
}

sum() { sha256sum "$1/video.mp4" | cut -d' ' -f1; }

begin=$SECONDS
[[ -s $dir/undisturbed/video.mp4 ]] || (start_render "$dir/undisturbed" "$ranks") >"$dir/undisturbed.log" 2>&1
whole=$((SECONDS - begin > 0 ? SECONDS - begin : 1))
wanted=$(sum "$dir/undisturbed")

run=$dir/killed
rm -rf "$run" "$dir/pauses" "$dir/hits"
mkdir -p "$run"
# So that the kills are spread over the clips: what a run loses at each is a clip or two and its start.
longest=$((${LONGEST:-2 * whole / kills + 10}))
runs=0 done_runs=0 killed=0 finished_early=0
while :; do
  python3 tools/kill_loop/finished_segments.py "$run" >"$dir/before"
  rm -f "$dir/pauses"
  (export LATENTCAST_PAUSE_LOG=$dir/pauses; start_render "$run" "$ranks") >"$dir/killed.log" 2>&1 &
  child=$! code=0
  runs=$((runs + 1))
  if ((killed < kills)); then
    while [[ -z $(processes "$run") ]] && kill -0 "$child" 2>/dev/null; do sleep 0.05; done
    # A long speech takes longer to encode than the longest wait: only the first few kills may hit that.
    while ((killed >= 3)) && [[ ! -e $run/conditions.h5 ]] && kill -0 "$child" 2>/dev/null; do sleep 0.5; done
    sleep "$((RANDOM % longest)).$((RANDOM % 10))"
    mapfile -t all < <(processes "$run")
    if ((${#all[@]} > 0)); then
      if ((killed % 4 == 3)); then
        kill -KILL "$child" "${all[@]}" 2>/dev/null || true
      else
        kill -KILL "${all[RANDOM % ${#all[@]}]}" 2>/dev/null || true
      fi
    fi
  fi
  wait "$child" 2>/dev/null || code=$?
  while [[ -n $(processes "$run") ]]; do sleep 0.1; done # mpirun may be gone before they are
  python3 tools/kill_loop/finished_segments.py "$run" >"$dir/after"
  if ! python3 tools/kill_loop/finished_segments.py --unchanged "$dir/before" "$dir/after"; then
    echo "FAILED: a finished segment has changed" >&2
    exit 1
  fi
  if ((code == 137)); then
    killed=$((killed + 1))
    { tail -n 1 "$dir/pauses" 2>/dev/null || echo start; } >>"$dir/hits"
    continue
  fi
  if ((code != 0)); then
    cat "$dir/killed.log" >&2
    echo "FAILED: a continued run ended with $code" >&2
    exit 1
  fi
  if [[ $(sum "$run") != "$wanted" ]]; then
    echo "FAILED: the video differs from $dir/undisturbed/video.mp4" >&2
    exit 1
  fi
  done_runs=$((done_runs + 1))
  ((killed < kills)) || break
  finished_early=$((finished_early + 1))
  rm -rf "$run"
  mkdir -p "$run"
done

python3 tools/kill_loop/outcome.py "$dir/hits" "$run/telemetry.csv" "$dir/undisturbed/telemetry.csv"
echo "$runs starts, $killed kills, $done_runs renders of $clips clips complete ($finished_early before the last kill)," \
  "all with SHA-256 $wanted, no finished segment changed"
