#!/usr/bin/env bash
# What each machine runs of a command whose processes share the work: 'pretrain', 'corpus build', or 'embed' with --parts.
# The machines find each other at MAIN_ADDRESS. Without SLURM, on two machines of four GPUs each:
#   MAIN_ADDRESS=first MACHINES=2 MACHINE=0 PROCESSES_PER_MACHINE=4 bash launch.sh pretrain --corpus CORPUS --out RUN
#   MAIN_ADDRESS=first MACHINES=2 MACHINE=1 PROCESSES_PER_MACHINE=4 bash launch.sh pretrain --corpus CORPUS --out RUN
# A machine has a process for each of its GPUs; without a GPU, processes compute on the CPU.
set -euo pipefail

machines="${MACHINES:-1}" machine="${SLURM_NODEID:-${MACHINE:-0}}"
processes="$((machines * ${PROCESSES_PER_MACHINE:-1}))"
several=()
if [ "$processes" -gt 1 ]; then
    several=(--multi_gpu)
fi
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
${ACCELERATE:-accelerate} launch "${several[@]}" --num_machines "$machines" --machine_rank "$machine" \
    --num_processes "$processes" --main_process_ip "${MAIN_ADDRESS:-127.0.0.1}" \
    --main_process_port "${MAIN_PORT:-29500}" --mixed_precision no --dynamo_backend no \
    -m stofm_pyg "$@"
