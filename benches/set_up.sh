# Sourced by the run.sh beside the scripts in Python, from the root of the repository: builds the library and the C
# loops, and installs NumPy, and PyTorch unless PEERS_TORCH is "no", into a virtual environment. All of it under target/,
# or where CARGO_TARGET_DIR says. Leaves the interpreter's path in $python.
#
# PyTorch's wheel on PyPI is the CUDA one and needs NVIDIA's libraries to load, though only the CPU is used: some 3 GB
# to fetch. Where it cannot be installed, or with PEERS_TORCH=no, what it would be measured by is left out.
peers=${CARGO_TARGET_DIR:-target}/peers
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
export PYTHONDONTWRITEBYTECODE=1 TORCHINDUCTOR_FORCE_DISABLE_CACHES=1
case $peers in
    /*) export TORCHINDUCTOR_CACHE_DIR="$peers/inductor" ;;
    *) export TORCHINDUCTOR_CACHE_DIR="$PWD/$peers/inductor" ;;
esac

# Threads of OpenMP, which the C loops and PyTorch use, sleep while they wait. They would else spin after a call for some
# milliseconds, on cores that the next candidate needs.
export OMP_WAIT_POLICY=passive
