# shellcheck shell=bash
# What the scripts of this folder share; sourced with LATENTCAST_HOME set to the repository's folder.
# From the environment, all optional:
#   LATENTCAST            the program (build/release/latentcast)
#   LATENTCAST_LAUNCHER   srun or mpirun, for jobs; else srun where Slurm has PMIx

LATENTCAST=${LATENTCAST:-$LATENTCAST_HOME/build/release/latentcast}
ulimit -S -c 0  # nor do launchers leave a core when ranks or nodes are killed

say() { echo "$(date +%FT%T)${job:+ job $job}: $*" >&2; }
refuse() {
  say "$*"
  exit 64
}

# find_job CONFIG [OPTION ...]: sets config, run_dir and command (the render without its launcher). The folder of the run
# must be the same whenever the job starts: from the options, else from the config, else output/NAME here.
find_job() {
  config=$1
  shift
  [[ -x $LATENTCAST ]] || refuse "there is no program $LATENTCAST: run tools/build.sh, or set LATENTCAST"
  [[ -r $config ]] || refuse "can't read the config $config"
  command=("$LATENTCAST" render --config "$config" "$@")
  run_dir=$(run_dir_of_options "$@")
  if [[ -z $run_dir ]]; then
    run_dir=$(run_dir_of_config)
  fi
  if [[ -z $run_dir ]]; then
    run_dir=output/$(basename "${config%.*}")
    command+=(--run_dir "$run_dir")
  fi
}
run_dir_of_options() {
  while (($#)); do
    case $1 in
      --run_dir | --run-dir) echo "${2:-}" ;;
      --run_dir=* | --run-dir=*) echo "${1#*=}" ;;
    esac
    shift
  done | tail -n 1
}
run_dir_of_config() {
  local value
  value=$(sed -nE "s/^run[_-]dir:[[:space:]]*//p" "$config" | sed -E "s/[[:space:]]+#.*//; s/[[:space:]]+$//; s/^(['\"])(.*)\1$/\2/")
  [[ -z $value || $value == /* ]] || value=$(dirname "$config")/$value
  echo "$value"
}

# The newest finished checkpoint by name, such as clip-000012; nothing if there is none.
newest_checkpoint() {
  find "$run_dir/checkpoint" -mindepth 1 -maxdepth 1 -type d -regex '.*/clip-[0-9]+' -printf '%f\n' 2>/dev/null |
    sort -V | tail -n 1
}

# supervise COMMAND ...: runs it, hands on the signals that ask it to stop with a checkpoint, and sets code, its exit code.
# USR1 is what srun and mpirun pass to all ranks. Without Slurm TERM, a closed terminal and Ctrl-C mean the same (a second
# Ctrl-C ends it at once); in a Slurm job TERM comes to every process anyway.
supervise() {
  child="" came="" interrupts=0
  trap 'came=USR1; signal_child USR1' USR1
  if [[ -n ${SLURM_JOB_ID:-} ]]; then
    trap 'came=TERM' TERM
  else
    trap 'came=TERM; signal_child USR1' TERM
    trap 'came=HUP; signal_child USR1' HUP
    trap 'came=INT; interrupts=$((interrupts + 1)); signal_child "$( ((interrupts > 1)) && echo TERM || echo USR1)"' INT
  fi
  "$@" &
  child=$!
  while true; do
    came=""
    # shellcheck disable=SC2034
    wait "$child" && code=0 || code=$?
    [[ -n $came ]] || break
    say "$came: $( ((interrupts > 1)) && echo "ending at once" || echo "stopping at a clip's end")"
  done
  trap - USR1 TERM HUP INT
}
signal_child() { [[ -z $child ]] || kill "-$1" "$child" 2>/dev/null || true; }
