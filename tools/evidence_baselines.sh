#!/usr/bin/env bash
# Evidence that the published baselines learn: trains each on mini-plain, in minutes of one CPU thread, and keeps
# run.json and the score sheets of every run.
#   bash tools/evidence_baselines.sh [MODEL…]    all five, if none is named; `gpu` trains each on mini-tex@full
# What has its scores under benchmarks/baselines/ is skipped, so that it goes on after an interruption. Two calls may run
# at once with different models. docs/evidence/baselines.md is written at the end, with the references that
# evidence_ast_seg.sh has kept.
kept=benchmarks/baselines
source "$(dirname "${BASH_SOURCE[0]}")/evidence.sh"

models=(slot-attention monet monet-g genesis-v2 gnm)

gpu() { # ten objects at 128 px; DEVICE=cpu TRIAL=2 rehearses it
    local trial=(--device "${DEVICE:-cuda}" --precision "${PRECISION:-bf16}" ${TRIAL:+--steps "$TRIAL"})
    ocbench prepare mini-tex --protocol full
    for model in "${models[@]}"; do
        one "gpu-$model" 0 "$model" test,ood,camo --data mini-tex@full --preset mini-gpu "${trial[@]}"
    done
}

[ $# -gt 0 ] || set -- "${models[@]}"
for model in "$@"; do
    case " ${models[*]} gpu " in
        *" $model "*) ;;
        *) echo "error: no model '$model': ${models[*]}, or gpu" >&2 && exit 2 ;;
    esac
done
ocbench prepare mini-plain
for model in "$@"; do
    case $model in
        gpu) gpu ;;
        *) several "$model-mini-plain" "$model" test --data mini-plain ;;
    esac
done
tables docs/evidence/baselines.md "tools/evidence_baselines.sh from $kept" \
    benchmarks/ast_seg/{grid,kmeans,median}-mini-plain-s0/ "$kept"/*/
