#!/usr/bin/env bash
# The whole job on built-in data: prepare, train, evaluate, report. Sets up .venv if it is missing; no GPU, no download
# of data. Words given are handed to `ocbench demo`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
set_up .
echo "ocbench demo: renders 3,000 scenes, trains for 3,000 updates, scores 500 scenes; about 4 minutes on 2 cores" >&2
exec .venv/bin/ocbench demo "$@"
