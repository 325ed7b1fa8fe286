#!/usr/bin/env bash
# Evidence that AST-Seg learns: trains it on the built-in sets and keeps run.json and the score sheets of every run.
#   bash tools/evidence_ast_seg.sh [GROUP…]      plain ablations fixed tex: all of them, if none is named; gpu asks for one
# What has its scores under benchmarks/ast_seg/ is skipped, so that it goes on after an interruption. Two calls may run at
# once unless they share a run: `plain` and `ablations` share `ct`. docs/evidence/tables.md is written at the end.
kept=benchmarks/ast_seg
source "$(dirname "${BASH_SOURCE[0]}")/evidence.sh"

references() { # $1: dataset, $2: splits; prepares it first
    ocbench prepare "$1"
    for model in blank grid kmeans median; do
        one "$model-$1" 0 "$model" "$2" --data "$1"
    done
}

scenarios() { # $1: dataset, $2: splits
    references "$@"
    for scenario in ct bt frozen; do
        several "ast-seg-$scenario-$1" ast-seg "$2" --data "$1" --scenario "$scenario"
    done
}

plain() {
    scenarios mini-plain test
}

fixed() {
    scenarios mini-fixed test
}

tex() {
    references mini-tex test,ood,camo
    several ast-seg-ct-mini-tex ast-seg test,ood,camo --data mini-tex
}

ablations() { # of the scenario ct that `plain` trains, too
    ocbench prepare mini-plain
    several ast-seg-ct-mini-plain ast-seg test --data mini-plain
    several no-transformer ast-seg test --data mini-plain -s refiner=none
    several no-entropy ast-seg test --data mini-plain -s entropy_weight=0
    several double-slots ast-seg test --data mini-plain -s slots_per_object=2
}

gpu() { # ten objects at 128 px; DEVICE=cpu TRIAL=2 rehearses it
    local trial=(--device "${DEVICE:-cuda}" --precision "${PRECISION:-bf16}" ${TRIAL:+--steps "$TRIAL"})
    python tools/bench_gpu.py
    ocbench prepare mini-tex --protocol full
    seeds=0
    for words in "ct ast-seg --scenario ct" "bt ast-seg --scenario bt" "unet ast-seg-unet --scenario ct"; do
        read -r name model options <<< "$words"
        # shellcheck disable=SC2086
        several "gpu-$name" "$model" test,ood,camo --data mini-tex@full --preset mini-gpu $options "${trial[@]}"
    done
}

[ $# -gt 0 ] || set -- plain ablations fixed tex
for group in "$@"; do
    case $group in
        plain | ablations | fixed | tex | gpu) ;;
        *) echo "error: no group '$group': plain ablations fixed tex gpu" >&2 && exit 2 ;;
    esac
done
for group in "$@"; do
    "$group"
done

tables docs/evidence/tables.md "tools/evidence_ast_seg.sh from benchmarks/ast_seg" "$kept"/*/
