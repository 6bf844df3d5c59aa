#!/bin/sh
# Compares contrib with what one would use instead: C loops and PyTorch. Builds everything under target/, installs NumPy
# and PyTorch from PyPI into a virtual environment there, and prints tables. Arguments go to compare.py (--help).
#
# PyTorch's wheel on PyPI is the CUDA one and needs NVIDIA's libraries to load, though only the CPU is used: some 3 GB
# to fetch. Where it cannot be installed, or with PEERS_TORCH=no, the rows of PyTorch are left out.
set -eu
cd "$(dirname "$0")/../.."
peers=target/peers
python=$peers/venv/bin/python
mkdir -p "$peers"

cargo build --release --locked -p contrib-ffi

cc=${CC:-cc}
loops=benches/peers/loops.c
$cc -O2 -fno-tree-vectorize -Wall -Wextra -Wno-unknown-pragmas -fPIC -shared -o "$peers/libnaive.so" $loops -lm
# In two steps: linking a library with -Ofast would make the whole process flush denormal numbers to zero.
$cc -Ofast -march=native -fopenmp -Wall -Wextra -fPIC -c -o "$peers/careful.o" $loops
$cc -shared -fopenmp -o "$peers/libcareful.so" "$peers/careful.o" -lm

[ -x "$python" ] || python3 -m venv "$peers/venv"
"$python" -c 'import numpy' 2>/dev/null || "$python" -m pip install --quiet numpy
if [ "${PEERS_TORCH:-yes}" = yes ] && ! "$python" -c 'import torch' 2>/dev/null; then
    "$python" -m pip install --quiet torch || echo "PyTorch could not be installed."
fi

# Kernels kept on disk may be those of another number of threads. (PyTorch warns that they are not kept.)
export PYTHONDONTWRITEBYTECODE=1 TORCHINDUCTOR_FORCE_DISABLE_CACHES=1 TORCHINDUCTOR_CACHE_DIR="$PWD/$peers/inductor"
exec "$python" benches/peers/compare.py "$@"
