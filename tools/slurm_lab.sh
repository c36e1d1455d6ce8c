#!/usr/bin/env bash
# A Slurm cluster on this machine, to try job scripts and to test with: one controller and two nodes that are only names,
# with 16 cores and 4 GPUs each that need not exist. As root or as any user; several can run side by side.
#   tools/slurm_lab.sh start DIR [PID]    DIR: a new or empty folder; with PID it stops when that process ends
#   set -a; . DIR/environment; set +a     now sbatch, srun, mpirun and squeue work on this cluster
#   tools/slurm_lab.sh crash DIR NODE     a node and all that runs on it die
#   tools/slurm_lab.sh boot DIR NODE      ... and it comes back
#   tools/slurm_lab.sh stop DIR           ends what start and the jobs began; logs stay in DIR/log
# Partitions: main, and urgent, whose jobs preempt those of main.
# LATENTCAST_LAB_HOSTS=0: nodes share this machine's name, as they must where namespaces are not allowed.
# Needs slurmctld, slurmd, munged (packages slurm-wlm and munge).
set -uo pipefail
PATH=$PATH:/usr/sbin:/sbin
nodes=2 cores=16 gpus=4
patience=60  # seconds: a machine may be busy

usage() {
  sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
  exit 64
}
fail() {
  echo "slurm_lab: $*" >&2
  exit 1
}
# Waits until a command succeeds, by the clock, since sinfo itself waits while there is no controller.
until_true() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < end)) || return 1
    sleep 0.1
  done
}

# --- processes: known by number and start time, since numbers are used again
start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }
alive() { [[ -n ${2:-} && $(start_time "$1") == "$2" ]]; }
all_gone() {
  while (($#)); do
    alive "$1" "$2" && return 1
    shift 2
  done
}

# launch NAME COMMAND...: the marks in the environment tell whose a process is.
launch() {
  local name=$1
  shift
  SLURM_LAB="$dir" SLURM_LAB_NODE="$name" SLURM_CONF="$dir/slurm.conf" setsid "$@" >>"$dir/log/$name.out" 2>&1 </dev/null &
  sleep 0.05  # past setsid's fork
  local since
  since=$(start_time $!)
  echo "$name $! ${since:--}" >>"$dir/pids"
}
pid_of() { awk -v name="$1" '$1 == name { last = $2 " " $3 } END { print last }' "$dir/pids"; }
# Ends them together: each takes seconds.
end_processes() {  # PID START_TIME ...
  signal_processes TERM "$@"
  until_true 10 all_gone "$@" || signal_processes KILL "$@"
}
signal_processes() {  # SIGNAL PID START_TIME ...
  local signal=$1
  shift
  while (($#)); do
    alive "$1" "$2" && kill "-$signal" "$1" 2>/dev/null
    shift 2
  done
}
# The slurmstepd of this cluster, or of one of its nodes; their parent is init.
stepds() {
  local proc files node=${1:-lab*}
  for proc in /proc/[0-9]*; do
    [[ $(cat "$proc/comm" 2>/dev/null) == slurmstepd ]] || continue
    # Its title lies over its environment; but it has its node's log open.
    files=$(readlink "$proc"/fd/* 2>/dev/null)
    # shellcheck disable=SC2053
    [[ $'\n'$files$'\n' == *$'\n'"$dir/log/"$node.log$'\n'* ]] && echo "${proc#/proc/}"
  done
}
tree() {  # PID...: these and all below them
  local level="$*" pid next
  while [[ -n $level ]]; do
    echo "$level"
    next=""
    for pid in $level; do
      next+=" $(cat "/proc/$pid"/task/*/children 2>/dev/null)"
    done
    level=$(xargs <<<"$next")
  done
}

# --- configuration
node_name() { echo "lab${port}n$1"; }  # unlike those of a cluster beside this one: Open MPI names shared memory after them

free_port() {
  local base=0 port busy=1
  while [[ -n $busy ]]; do
    base=$((10000 + RANDOM % 20000))
    busy=""
    for port in $(seq "$base" $((base + nodes))); do
      if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then busy=1; fi
    done
  done
  echo "$base"
}

write_slurm_conf() {
  local host user i
  host=$(hostname -s)
  user=$(id -un)
  cat <<CONF
ClusterName=lab
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$user
SlurmdUser=$user
SlurmctldPort=$port
SrunPortRange=$((port + 100))-$((port + 199))
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits for its old credential to expire.
AuthInfo=socket=$dir/munge/socket,cred_expire=5
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
# A folder a node, or PMIx of the second node finds that of the first.
TmpFS=$dir/tmp/%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/spool/%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/%n.log
SlurmctldDebug=verbose
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$dir/log/jobs.txt
MailProg=/bin/true
MpiDefault=pmix
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
# Nodes may have more cores than the machine.
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PropagateResourceLimitsExcept=ALL
KillWait=15
SlurmdTimeout=10
MinJobAge=3600
ReturnToService=2
JobRequeue=1
GresTypes=gpu
CONF
  for i in $(seq $nodes); do
    echo "NodeName=$(node_name "$i") NodeHostname=$([[ -e $dir/hosts ]] && node_name "$i" || echo "$host")" \
      "NodeAddr=127.0.0.1 Port=$((port + i)) CPUs=$cores RealMemory=16000 Gres=gpu:$gpus"
  done
  echo "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=1 OverSubscribe=NO"
  echo "PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=2 PreemptMode=OFF OverSubscribe=NO"
}

write_environment() {
  cat <<END
SLURM_CONF=$dir/slurm.conf
SLURM_LAB_NODES="$(node_name 1) $(node_name 2)"
TMPDIR=$dir/tmp
OMPI_ALLOW_RUN_AS_ROOT=1
OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
OMPI_MCA_btl_tcp_if_include=lo
OMPI_MCA_oob_tcp_if_include=lo
OMPI_MCA_hwloc_base_binding_policy=none
OMPI_MCA_rmaps_base_oversubscribe=1
OMPI_MCA_mpi_yield_when_idle=1
END
  # Under one name ranks of two nodes would take one another's shared memory.
  [[ -e $dir/hosts ]] && echo "OMPI_MCA_btl=self,vader,tcp" || echo "OMPI_MCA_btl=self,tcp"
}

# Own host names need namespaces, and a file of hosts in them, since slurmd listens where its own name leads.
try_own_names() {
  [[ ${LATENTCAST_LAB_HOSTS:-1} == 1 ]] || return 0
  unshare --uts --mount sh -c 'hostname lab && mount --bind /etc/hosts /etc/hosts' 2>/dev/null || return 0
  {
    cat /etc/hosts
    echo "127.0.0.1 $(node_name 1) $(node_name 2)"
  } >"$dir/hosts"
}

boot() {
  # What PMIx, Open MPI and steps that died with the node left behind would be in their second run's way.
  rm -rf "${dir:?}/tmp/$1" "$dir/spool/$1"/*[0-9].0 "/dev/shm/vader_segment.$1".* "/tmp/ompi.$1".*
  mkdir -p "$dir/spool/$1" "$dir/tmp/$1"
  chmod 1777 "$dir/tmp/$1"
  if [[ -e $dir/hosts ]]; then
    # shellcheck disable=SC2016
    launch "$1" unshare --uts --mount sh -c 'hostname "$1" && mount --bind "$2/hosts" /etc/hosts &&
      exec slurmd -D -N "$1" -f "$2/slurm.conf"' sh "$1" "$dir"
  else
    launch "$1" slurmd -D -N "$1" -f "$dir/slurm.conf"
  fi
}

all_idle() { [[ $(timeout 5 sinfo -h -N -p main -o %t 2>/dev/null | grep -cx idle) == "$nodes" ]]; }

start() {
  local program i
  for program in slurmctld slurmd munged srun; do
    command -v "$program" >/dev/null || fail "$program is missing: install the packages slurm-wlm and munge"
  done
  mkdir -p "$dir" || exit 1
  dir=$(cd "$dir" && pwd -P)
  [[ -z $(ls -A "$dir") ]] || fail "$dir is not empty: name a new folder, which will be the cluster's own"
  mkdir -p "$dir"/{munge,state,spool,log,gpu,tmp}
  chmod 0755 "$dir" "$dir/munge"
  (umask 277 && head -c 1024 /dev/urandom >"$dir/munge/key")
  port=$(free_port)
  try_own_names
  write_slurm_conf >"$dir/slurm.conf"
  write_environment >"$dir/environment"
  # Slurm sets CUDA_VISIBLE_DEVICES for character devices only.
  for i in $(seq 0 $((gpus - 1))); do ln -sf /dev/null "$dir/gpu/gpu$i"; done
  echo "Name=gpu File=$dir/gpu/gpu[0-$((gpus - 1))]" >"$dir/gres.conf"
  echo "CgroupPlugin=cgroup/v1" >"$dir/cgroup.conf"
  # By force, since it refuses folders above its socket that are closed to others, or open to them.
  launch munged munged -F --force --socket="$dir/munge/socket" --key-file="$dir/munge/key" --log-file="$dir/log/munged.log" \
    --pid-file="$dir/munge/pid" --seed-file="$dir/munge/seed"
  until_true $patience test -S "$dir/munge/socket" || give_up "munged did not start"
  launch slurmctld slurmctld -D -c -f "$dir/slurm.conf"
  for i in $(seq $nodes); do boot "$(node_name "$i")"; done
  export SLURM_CONF=$dir/slurm.conf
  until_true $patience all_idle || give_up "the nodes did not become idle"
  # Under no parent that could be ended with it.
  [[ -z ${1:-} ]] || (setsid "$0" watch_owner "$dir" "$1" "$(start_time "$1")" >/dev/null 2>&1 </dev/null &)
}
give_up() {
  tail -n 5 "$dir"/log/*.log "$dir"/log/*.out >&2
  stop
  fail "$1 (their last words are above)"
}

# Ends the cluster when its owner is gone, however that ended.
watch_owner() {  # PID START_TIME
  while alive "$@" && [[ -e $dir/pids ]]; do sleep 1; done
  [[ ! -e $dir/pids ]] || { stop && rm -rf "$dir"; }
}

no_jobs() { [[ -z $(timeout 10 squeue -h -t R,CG,S -o %A 2>/dev/null) ]]; }

stop() {
  local pid name
  [[ -e $dir/pids ]] || return 0
  export SLURM_CONF=$dir/slurm.conf
  # shellcheck disable=SC2046
  if alive $(pid_of slurmctld); then
    # Jobs first, at once: they are asked, and then what is left of them is killed.
    timeout 20 squeue -h -o %A 2>/dev/null | sort -u | xargs -r timeout 20 scancel 2>/dev/null
    until_true 20 no_jobs
  fi
  # shellcheck disable=SC2046
  kill -KILL $(for pid in $(stepds); do tree "$pid"; done) 2>/dev/null
  # shellcheck disable=SC2046
  end_processes $(awk '$1 != "munged" { print $2, $3 }' "$dir/pids")
  # shellcheck disable=SC2046
  end_processes $(pid_of munged)
  while read -r name _; do
    # What killed ranks left behind.
    [[ $name != lab* ]] || rm -rf "/dev/shm/vader_segment.$name".* "/tmp/ompi.$name".*
  done <"$dir/pids"
  rm -f "$dir/pids"
}

crash() {
  # shellcheck disable=SC2046
  set -- "$1" $(pid_of "$1")
  alive "${2:-}" "${3:-}" || fail "$1 does not run"
  # shellcheck disable=SC2046
  kill -KILL "$2" $(for pid in $(stepds "$1"); do tree "$pid"; done) 2>/dev/null
}

(($# >= 2)) || usage
command=$1 dir=$2
shift 2
if [[ $command != start ]]; then
  dir=$(cd "$dir" 2>/dev/null && pwd -P) || fail "there is no cluster in $dir"
fi
case $command in
  start) start "${1:-}" ;;
  stop) stop ;;
  watch_owner) watch_owner "$@" ;;
  crash | boot) [[ -n ${1:-} ]] || usage; "$command" "$1" ;;
  *) usage ;;
esac
