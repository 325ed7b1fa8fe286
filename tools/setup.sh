# Sourced by demo.sh and test.sh: the virtual environment .venv with the tested versions, made once and whenever
# pyproject.toml or constraints.txt change. Needs Python 3.11 or newer as python3.11 … python3, or as $PYTHON.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

python_of() {
    for name in ${PYTHON:-python3.11 python3.12 python3.13 python3.14 python3 python}; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "error: no Python 3.11 or newer" >&2
    echo "  expected  python3.11, or another one named by PYTHON=…" >&2
    return 1
}

set_up() { # $1: what to install, '.' or '.[dev]'; the second holds the first
    local versions python
    versions=$(cat pyproject.toml constraints.txt | cksum)
    if grep -qsF -e "$versions $1" -e "$versions .[dev]" .venv/installed; then
        return
    fi
    python=$(python_of) || return 1
    echo "setting up .venv (once; about 1.5 GB, two minutes on a fast line)" >&2
    [ -x .venv/bin/python ] || "$python" -m venv .venv || return 1
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e "$1" || {
        echo "error: .venv is not whole; an installation that was broken off can be in the way: rm -rf .venv, then again" >&2
        return 1
    }
    echo "$versions $1" > .venv/installed
}
