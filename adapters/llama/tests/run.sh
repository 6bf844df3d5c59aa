#!/usr/bin/env bash
# All tests of the adapter: builds it, makes tiny models of each family, and compares what is recorded of them with a forward pass
# in float64; then SmolLM2. Some minutes, most of them for the engine's compilation; one where that is done. PYTHON: one with the
# packages gguf and numpy, else a virtual environment is made.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
out=$root/target/llama
"$here/../build.sh" >"$out.log" 2>&1 || { tail -50 "$out.log" >&2; exit 1; }
cmake --build "$out/adapter" --target recorder_test >/dev/null

if [ -z "${PYTHON:-}" ]; then
    PYTHON=$out/python/bin/python
    [ -e "$PYTHON" ] || python3 -m venv "$out/python"
    "$PYTHON" -m pip install --quiet --disable-pip-version-check 'gguf>=0.17,<1' numpy
fi
models=$out/models
"$PYTHON" "$here/make_models.py" "$models"
explain=$out/adapter/contrib-explain
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

pass() { passed=$((passed + 1)); }
fail() {
    failed=$((failed + 1))
    echo "FAILED: $1"
    tail -5 "$work/log"
}

prompt="The quick brown fox jumps over it."

# compare FAMILY KIND TOLERANCE PROMPT OPTIONS..: what is recorded is what the forward pass has.
compare() {
    local name=$1 model=$models/$1-$2.gguf tolerance=$3 text=$4
    shift 4
    if "$explain" "$model" "$text" "$@" --record "$work/recording.safetensors" >"$work/log" 2>&1 &&
        "$PYTHON" "$here/oracle.py" "$name" "$model" "$work/recording.safetensors" "$tolerance" >>"$work/log" 2>&1; then
        pass
    else
        fail "$model $*"
    fi
}

# refuse SENTENCE ARGUMENTS..: the program ends with an error that has the sentence.
refuse() {
    local sentence=$1 status=0
    shift
    timeout 60 "$explain" "$@" >"$work/log" 2>&1 || status=$?
    if [ "$status" = 1 ] && grep -qF -- "$sentence" "$work/log"; then pass; else fail "\"$sentence\" is expected of $*"; fi
}

for family in llama gpt2 falcon falcon-40b phi2 gemma2 gemma3 granite gpt-oss; do
    compare $family f32 0.002 "$prompt" --flash off --cache f32
    compare $family f32 0.005 "$prompt" --flash on --cache f16
    compare $family f32 0.005 "$prompt" --flash on --cache f32 --ubatch 7
    compare $family f32 0.005 "$prompt" --flash off --cache f16 --ubatch 1 --generate 3
    compare $family f16 0.01 "$prompt" --flash on --cache f16 --generate 3
    compare $family q8_0 0.05 "$prompt" --flash on --cache f16
    compare $family q8_0 0.05 "$prompt" --flash off --cache f16 --threads 1
done
# A window's cache is used again and again.
long=$(printf 'abcdefghij%.0s' $(seq 40))
for family in gemma2 gemma3 gpt-oss; do
    compare $family f32 0.01 "$long" --ubatch 16
    compare $family f32 0.002 "$long" --ubatch 512 --flash off --cache f32
done
compare llama f32 0.01 "$long" --ubatch 100 --target 3

refuse "no plain sum" "$models/bert.gguf" x
refuse "is recurrent" "$models/mamba.gguf" x
refuse "could not load" "$models/truncated.gguf" x
refuse "could not load" "$models/no-model.gguf" x
refuse "could not load" "$models/not-a-gguf.gguf" x
refuse "could not load" "$models/none.gguf" x
refuse "tokens, with 0 to generate, and the context 9" "$models/llama-f32.gguf" "$prompt" --ctx 9
refuse "and the context 1024" "$models/llama-f32.gguf" "$long$long$long"
refuse "the prompt has the tokens 0 to" "$models/llama-f32.gguf" x --target 99
refuse "--threshold: expected a number between 0 and 1" "$models/llama-f32.gguf" x --threshold 1
refuse "--generate: expected a whole number" "$models/llama-f32.gguf" x --generate -1
refuse "cannot write" "$models/llama-f32.gguf" x --record /none/x

"$out/adapter/recorder_test" "$models/llama-f32.gguf" >"$work/log" 2>&1 && pass || fail "recorder_test"

model=$("$here/../model.sh")
if "$explain" "$model" "The capital of France is Paris. The capital of Germany is" --generate 2 --html "$work/page.html" \
    --json "$work/routes.json" >"$work/log" 2>&1 && grep -q '" Berlin" 9[0-9]' "$work/log" && grep -q "from tokens, of the" "$work/log" &&
    grep -q "<html" "$work/page.html" && grep -q "Berlin" "$work/page.html" && "$PYTHON" -m json.tool "$work/routes.json" >/dev/null; then
    pass
else
    fail "SmolLM2"
fi
# What the routes lead from matters more than tokens by chance, whichever way attention is computed.
for flash in on off; do
    if "$explain" "$model" "The capital of France is Paris. The capital of Germany is" --flash $flash --ubatch 4 --check 2 \
        --renormalise 0.01 >"$work/log" 2>&1 &&
        awk '/all of these/ { all = $NF } /by chance/ { chance = $NF } END { exit !(all > 2 && all > chance) }' "$work/log"; then
        pass
    else
        fail "--check with flash attention $flash"
    fi
done
# Ctrl-C, while a long prompt is read.
"$explain" "$model" "$(printf 'once upon a time %.0s' $(seq 1500))" >"$work/log" 2>&1 &
pid=$!
sleep 2
kill -INT $pid
status=0
wait $pid || status=$?
if [ $status = 130 ] && grep -q "stopped" "$work/log"; then pass; else fail "Ctrl-C gives $status"; fi

echo "adapters/llama: $passed tests passed, $failed failed"
[ $failed = 0 ]
