#!/usr/bin/env bash
# Whether what would be released works: builds the source distribution and, from it, the wheel, installs the wheel where
# the checkout cannot be seen, compares its files with the checkout's, and runs a short demo. No network: the dependencies
# are those of the environment in use, which the clean one is shown. Needs `pip install -e '.[dev]'`; takes a minute.
#   bash tools/release_check.sh [FOLDER]      FOLDER gets the two files; else nothing is left behind
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-.venv/bin/python}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
dist=${1:-$work/dist}

echo "build" >&2
"$python" -m build --no-isolation --outdir "$dist" . >"$work/build.log" 2>&1 || { cat "$work/build.log" >&2; exit 1; }
version=$("$python" -c 'import ocbench; print(ocbench.__version__)')
wheel=$dist/ocbench-$version-py3-none-any.whl
[ -f "$wheel" ] && [ -f "$dist/ocbench-$version.tar.gz" ]

echo "install into a clean environment" >&2
"$python" -m venv --without-pip "$work/clean"
site=$("$work/clean/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-index --target "$site" "$wheel"
# The tested dependencies, without what stands in their .pth files: an editable install of the checkout among it.
"$python" - "$work/clean/dependencies" "$PWD" >"$site/dependencies.pth" <<'PY'
import pathlib, sys
shown, checkout = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
shown.mkdir()
for place in map(pathlib.Path, dict.fromkeys(sys.path)):
    if place.name != "site-packages":
        continue
    for entry in place.iterdir():
        link = shown / entry.name
        if not (entry.suffix == ".pth" or entry.name.startswith(("ocbench", "_ocbench", "__editable__")) or link.exists()):
            link.symlink_to(entry.resolve())
print(shown)
PY

checkout=$PWD
cd "$work"
run() { "$work/clean/bin/python" -m ocbench "$@"; }
"$work/clean/bin/python" - "$site" "$version" "$checkout" <<'PY'
import pathlib, sys
import ocbench
from importlib.metadata import version
site, promised, checkout = pathlib.Path(sys.argv[1]), *sys.argv[2:]
assert pathlib.Path(ocbench.__file__).is_relative_to(site), f"not the wheel's: {ocbench.__file__}"
assert ocbench.__version__ == version("ocbench") == promised
forgotten = [
    path.relative_to(checkout)
    for package in ("ocbench", "ocbench_models")
    for path in pathlib.Path(checkout, package).rglob("*")
    if path.is_file() and path.suffix != ".pyc" and not (site / path.relative_to(checkout)).is_file()
]
assert not forgotten, f"the wheel lacks {', '.join(map(str, forgotten))}"
PY
echo "list models, list published, demo" >&2
run list models --check
run list published >/dev/null
run demo --limit 16 --steps 2 --quiet
[ -s runs/demo-s0.html ]
echo "ocbench $version: the wheel works" >&2
