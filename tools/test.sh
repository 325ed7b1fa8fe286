#!/usr/bin/env bash
# The tests: lint, types, then everything under tests/ with the line coverage of ocbench/. Sets up .venv if it is missing.
#   bash tools/test.sh          a small sample of each counted test; under 10 minutes on 2 cores
#   bash tools/test.sh --all    every count in full; under 40 minutes
# Further words are handed to pytest, such as -n0 for one process, which a debugger needs.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
set_up '.[dev]'

marks='not slow'
minutes=10
if [ "${1:-}" = --all ]; then
    marks=''
    minutes=40
    shift
fi
export PATH="$PWD/.venv/bin:$PATH"
export HF_HUB_OFFLINE=1 MPLBACKEND=Agg
export OMP_NUM_THREADS=1 # the processes of pytest share the cores; threads of each would only wait for one another

echo "lint and types" >&2
ruff check .
ruff format --check --quiet .
mypy
echo "tests: under $minutes minutes on 2 cores" >&2
coverage erase
status=0
coverage run -m pytest -n auto --maxprocesses 8 --dist worksteal -m "$marks" "$@" || status=$?
coverage combine --quiet
if [ $# -eq 0 ]; then
    coverage report --fail-under=90
fi
exit "$status"
