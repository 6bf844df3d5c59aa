#!/usr/bin/env bash
# Builds the engine (llama.cpp, once, some minutes), contrib, and the adapter with its program:
#
#     adapters/llama/build.sh
#     target/llama/adapter/contrib-explain MODEL.gguf "a prompt"
#
# Needs cargo, cmake, a C++17 compiler and Python 3. JOBS says how many compilers run at a time (2).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=$root/target/llama
jobs=${JOBS:-2}

source=$(cargo metadata --quiet --format-version 1 --locked --manifest-path "$here/engine/Cargo.toml" | python3 -c '
import json, os, sys
packages = json.load(sys.stdin)["packages"]
print(*[os.path.dirname(p["manifest_path"]) for p in packages if p["name"] == "llama-cpp-sys-2"])')/llama.cpp

if [ ! -e "$out/engine/src/libllama.a" ]; then
    cmake -S "$source" -B "$out/engine" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
        -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_TOOLS=OFF \
        -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DGGML_OPENMP=OFF
    cmake --build "$out/engine" -j "$jobs"
fi

cargo build --quiet --release --locked --manifest-path "$root/Cargo.toml" -p contrib-ffi

cmake -S "$here" -B "$out/adapter" -DCMAKE_BUILD_TYPE=Release -DLLAMA_SOURCE="$source" -DLLAMA_BUILD="$out/engine" \
    -DCONTRIB_LIBRARY="${CARGO_TARGET_DIR:-$root/target}/release/libcontrib.a" >"$out/adapter.log" ||
    { cat "$out/adapter.log" >&2; exit 1; }
cmake --build "$out/adapter" -j "$jobs"
