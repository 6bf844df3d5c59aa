# Sourced by scripts that record models, from the root of the repository: makes a virtual environment with the Python package and
# what its recorder needs, under target/ or where CARGO_TARGET_DIR says. Leaves the interpreter's path in $python, and the folder in
# $recording.
#
# PyTorch's own index has wheels for CPUs alone. Where it cannot be reached, PyPI's are taken, which bring NVIDIA's libraries along:
# 5.6 GB, installed. An interpreter that has all of it can be given as RECORD_PYTHON.
recording=${CARGO_TARGET_DIR:-target}/record
python=${RECORD_PYTHON:-$recording/venv/bin/python}
mkdir -p "$recording"

[ -x "$python" ] || python3 -m venv "$recording/venv"
if ! "$python" -c 'import torch' 2>/dev/null; then
    "$python" -m pip install --quiet --index-url https://download.pytorch.org/whl/cpu torch 2>/dev/null ||
        "$python" -m pip install --quiet torch
fi
"$python" -c 'import residual_routes, transformers, gguf, accelerate' 2>/dev/null ||
    "$python" -m pip install --quiet './python[hf]'

# Threads of OpenMP sleep while they wait: they would else spin on cores that others need.
export OMP_WAIT_POLICY=passive PYTHONDONTWRITEBYTECODE=1 HF_HUB_DISABLE_PROGRESS_BARS=1
