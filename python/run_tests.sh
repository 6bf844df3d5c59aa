#!/usr/bin/env bash
# Builds the package in a virtual environment under target/ and runs its tests.
#
#   python/run_tests.sh          without PyTorch, whose tests are skipped; compiled for a short time of compiling
#   python/run_tests.sh full     as a user gets it: from the source distribution, with PyTorch and all that it works with
set -euo pipefail
cd "$(dirname "$0")"
mode=${1:-quick}
venv=../target/python-$mode
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
source "$venv/bin/activate"
export PIP_DISABLE_PIP_VERSION_CHECK=1
# Whatever else Python would find is not tested.
unset PYTHONPATH

case $mode in
quick)
    pip install -q 'maturin>=1.9.4,<2' numpy pytest hypothesis pandas mypy array-api-strict
    maturin develop -q
    python -m pytest -q "${@:2}"
    ;;
full)
    pip install -q 'maturin>=1.9.4,<2' pytest hypothesis mypy array-api-strict ml_dtypes networkx tqdm nbclient ipykernel
    rm -rf ../target/python-sdist
    maturin sdist -o ../target/python-sdist
    pip install -q --force-reinstall --no-deps ../target/python-sdist/*.tar.gz
    # CPU builds of PyTorch have another index; the default one serves as well.
    pip install -q numpy "$(echo ../target/python-sdist/*.tar.gz)[hf,pandas,networkx]"
    python -m pytest -q "${@:2}"
    ;;
*)
    echo "quick or full, not $mode" >&2
    exit 1
    ;;
esac
# Some of what the allowlist has is there only with PyTorch, and some only without.
stubtest residual_routes --mypy-config-file pyproject.toml --allowlist tests/stubtest-allowlist.txt --ignore-unused-allowlist
mypy package/residual_routes
echo "Python tests passed ($mode)"
