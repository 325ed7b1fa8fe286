#!/usr/bin/env bash
# Checks and measures on a machine with an NVIDIA GPU; writes benchmarks/gpu.json and the runs that it trained.
#   bash tools/gpu_check.sh pack [3.12]     where packages can be had: what such a machine may lack, for that Python, in .whl/
#   bash tools/gpu_check.sh                 there, without a network: under 9 minutes
# The second needs torch, transformers and pytest; where ocbench is not installed, it takes .whl/ in.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ "${1:-}" = pack ]; then
    source tools/setup.sh
    set_up '.[dev]'
    rm -rf .whl
    wanted=$(grep -E '^(webdataset|zlib-ng|google-crc32c)==' constraints.txt)
    # shellcheck disable=SC2086
    .venv/bin/python -m pip download --quiet --no-deps --only-binary=:all: --python-version "${2:-3.12}" \
        --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 \
        --platform manylinux2014_x86_64 --dest .whl braceexpand $wanted
    .venv/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir .whl .
    ls .whl
    exit
fi

python=${PYTHON:-python3}
if ! "$python" -c 'import ocbench.cli, webdataset, zlib_ng' 2> /dev/null; then
    site=$(mktemp -d)
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$site" .whl/*.whl
    export PYTHONPATH="$site"
fi
exec "$python" tools/gpu_check.py
