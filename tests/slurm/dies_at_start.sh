#!/usr/bin/env bash
# The program, but in a job's second start rank 1 dies by the signal DIES_BY: before it joins MPI (DIES=before), or when
# MPI, on its way up, has loaded the part that connects to other nodes (DIES=during).
if [[ ${SLURM_RESTART_COUNT:-0} == 1 && ${OMPI_COMM_WORLD_RANK:-${PMIX_RANK:-}} == 1 ]]; then
  [[ $DIES != before ]] || kill "-$DIES_BY" $$
  (until grep -q mca_btl_tcp "/proc/$$/maps"; do sleep 0.01; done; kill "-$DIES_BY" $$) 2>/dev/null &
fi
exec "$LATENTCAST_PROGRAM" "$@"
