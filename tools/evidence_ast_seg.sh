#!/usr/bin/env bash
# Evidence that AST-Seg learns: trains it on the built-in sets and keeps run.json and the score sheets of every run.
#   bash tools/evidence_ast_seg.sh [GROUP…]      plain ablations fixed tex: all of them, if none is named; gpu asks for one
# What has its scores under benchmarks/ast_seg/ is skipped, so that it goes on after an interruption. Two calls may run at
# once unless they share a run: `plain` and `ablations` share `ct`. docs/evidence/tables.md is written at the end.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
set_up '.[dev]'
export PATH="$PWD/.venv/bin:$PATH" HF_HUB_OFFLINE=1 OCBENCH_RUNS=runs/evidence

kept=benchmarks/ast_seg
metrics=miou,miou@tight,miou_fg,ari_fg,msc_fg,mse
seeds=${SEEDS:-0 1 2}

one() { # $1: name, $2: seed, $3: model, $4: splits, $5…: words of `ocbench train`
    local run="$1-s$2"
    [ ! -e "$kept/$run/run.json" ] || return 0
    ocbench train "$3" --name "$1" --seed "$2" "${@:5}"
    ocbench evaluate "runs/evidence/$run" --split "$4" --metrics "$metrics" --panels 6
    mkdir -p "$kept/$run/scores" # first the scores: a run.json says that all is there
    cp "runs/evidence/$run"/scores/*.json "$kept/$run/scores/"
    if [ "$2" = 0 ]; then
        mkdir -p docs/evidence
        for picture in "runs/evidence/$run"/{curves.png,panels/*@*.png}; do
            [ ! -e "$picture" ] || cp "$picture" "docs/evidence/$run-${picture##*/}"
        done
    fi
    cp "runs/evidence/$run/run.json" "$kept/$run/"
}

several() { # the same for every seed
    for seed in $seeds; do
        one "$1" "$seed" "${@:2}"
    done
}

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

mkdir -p docs/evidence
{
    echo "<!-- written by tools/evidence_ast_seg.sh from benchmarks/ast_seg -->"
    ocbench report "$kept"/*/
} > docs/evidence/tables.md
echo "wrote docs/evidence/tables.md" >&2
