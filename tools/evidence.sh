# Sourced by evidence_*.sh, which first set `kept`, the folder under benchmarks/ that holds run.json and score sheets.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
set_up '.[dev]'
export PATH="$PWD/.venv/bin:$PATH" HF_HUB_OFFLINE=1 OCBENCH_RUNS=runs/evidence

metrics=miou,miou@tight,miou_fg,ari_fg,msc_fg,mse
seeds=${SEEDS:-0 1 2}

one() { # $1: name, $2: seed, $3: model, $4: splits, $5…: words of `ocbench train`; skips what is kept
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

tables() { # $1: page, $2: the script that writes it, $3…: runs
    mkdir -p docs/evidence
    {
        echo "<!-- written by $2 -->"
        ocbench report "${@:3}"
    } > "$1"
    echo "wrote $1" >&2
}
