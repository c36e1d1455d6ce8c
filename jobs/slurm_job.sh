# shellcheck shell=bash
# The life of a Slurm job that renders, sourced by render.sbatch and array.sbatch: starts the render, hands the stop
# signal on, and decides by the exit code whether Slurm should start the job again (docs/slurm.md).

# shellcheck source=common.sh
source "$LATENTCAST_HOME/jobs/common.sh"

# This job's name for Slurm. The number alone may mean a whole array.
job=${SLURM_JOB_ID:-}
if [[ -n ${SLURM_ARRAY_JOB_ID:-} ]]; then
  job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
fi

choose_launcher() {
  local launcher=${LATENTCAST_LAUNCHER:-}
  if [[ -z $launcher ]]; then
    launcher=mpirun
    if srun --mpi=list 2>&1 | grep -qw pmix; then launcher=srun; fi
  fi
  case $launcher in
    # srun doesn't take the cores of a task from sbatch. Ranks leave together, and only mpirun ends those that one which
    # died before MPI was up has left waiting.
    srun) command=(srun --mpi=pmix --cpu-bind=none --wait=60 ${SLURM_CPUS_PER_TASK:+"--cpus-per-task=$SLURM_CPUS_PER_TASK"} "${command[@]}") ;;
    mpirun) command=(mpirun --bind-to none -n "${SLURM_NTASKS:-1}" "${command[@]}") ;;
    *) refuse "LATENTCAST_LAUNCHER=$launcher: srun or mpirun" ;;
  esac
}

# What Slurm says of this job: field NAME.
field() { scontrol show job -o "$job" 2>/dev/null | grep -oP "\b$1=\K\S+" | head -n 1; }

# Whether Slurm itself starts the job again: its node failed, or another job took its place.
requeued_already() { (($(field Restarts) > ${SLURM_RESTART_COUNT:-0})); }
# Cancelled: Slurm is ending the job, and not for its time.
cancelled() { [[ $(field JobState) != RUNNING && $(field Reason) != TimeLimit ]]; }

# Whether a start that came no further than the checkpoint it began with is the first one of this job in a row. Something
# may have happened while it started (a rank killed, a node not quite back, a signal), and there is work to lose.
first_in_vain() {
  local mark=$run_dir/log/in_vain
  [[ $(cat "$mark" 2>/dev/null) != "$job" ]] && mkdir -p "$run_dir/log" && echo "$job" >"$mark"
}

# Last words, and the job once more if that helps.
conclude() {  # CHECKPOINT_BEFORE
  local after why
  after=$(newest_checkpoint)
  [[ $after == "$1" ]] || rm -f "$run_dir/log/in_vain"
  case $code in
    0) say "done"; exit 0 ;;
    64) say "the job can't be rendered as it is (message above); it will not be started again"; exit 64 ;;
    74) say "the output can't be written (message above); when there is room, submit the job again"; exit 74 ;;
    75) why="stopped with checkpoint $after" ;;
    *)
      if [[ -n $after && $after != "$1" ]]; then
        why="ended with code $code, but its checkpoint $after is newer than ${1:-none}"
      elif [[ -n $after ]] && { requeued_already || first_in_vain; }; then
        why="ended with code $code and no newer checkpoint than $after, the first start in vain"
      else
        say "ended with code $code and no newer checkpoint than ${1:-none}: it will not be started again"
        exit "$code"
      fi
      ;;
  esac
  if [[ -e $run_dir/stop ]]; then
    say "$why; not started again because of $run_dir/stop: remove it and submit the job again to continue"
    exit "$code"
  fi
  if requeued_already; then
    say "$why; Slurm starts the job again"
    exit "$code"
  fi
  if cancelled; then
    say "$why; not started again, since the job was cancelled: submit it again to continue"
    exit "$code"
  fi
  say "$why; to be started again"
  # Nothing may follow: Slurm ends this script now.
  scontrol requeue "$job" || say "Slurm does not requeue this job: submit it again to continue"
  exit "$code"
}

render_job() {  # CONFIG [OPTION ...]
  local before
  find_job "$@"
  choose_launcher
  before=$(newest_checkpoint)
  say "start ${SLURM_RESTART_COUNT:-0} in $run_dir, newest checkpoint: ${before:-none}: ${command[*]}"
  supervise "${command[@]}"
  conclude "$before"
}
