#!/bin/sh
# Runs a built `explain` on good and on broken input and checks its exit status and its messages.
#   sh test_explain.sh path/to/explain
# Needs python3, which makes the files and reads the SVG.
set -u

if [ $# -ne 1 ] || [ ! -x "$1" ]; then
    echo "usage: sh test_explain.sh path/to/explain" >&2
    exit 2
fi
explain=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
bundled=$(cd "$(dirname "$0")" && pwd)/data/smollm2-135m-capitals.safetensors
temporary=$(mktemp -d) || exit 2
trap 'rm -rf "$temporary"' EXIT
cd "$temporary" || exit 2

passed=0
failed=0

# result NAME STATUS: counts a check that has just been made.
result() {
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $1"
    fi
}

# expect STATUS TEXT ARGUMENT...: explain, run with the arguments, exits so and says TEXT (on stderr when it fails).
expect() {
    wanted=$1
    text=$2
    shift 2
    "$explain" "$@" >out 2>err
    status=$?
    if [ "$wanted" -eq 2 ]; then said=err; else said=out; fi
    grep -qF -e "$text" "$said" && [ "$status" -eq "$wanted" ]
    result "explain $*: expected status $wanted and \"$text\", got $status and \"$(head -c 300 err)\"" $?
}

# A model of 2 layers, 2 heads and 3 tokens, and the same broken in one way for each file name.
python3 - <<'PYTHON' || exit 2
import json, math, random, struct

LAYERS, HEADS, POS, D, KV_HEADS, D_HEAD = 2, 2, 3, 4, 1, 2


def tensors():
    made = {}

    def add(name, *shape):
        count = 1
        for size in shape:
            count *= size
        made[name] = ["F32", list(shape), [random.uniform(-1, 1) for _ in range(count)]]

    for i in range(LAYERS):
        add(f"resid_pre.{i}", POS, D)
        add(f"resid_mid.{i}", POS, D)
        add(f"mlp_out.{i}", POS, D)
        add(f"pattern.{i}", HEADS, POS, POS)
        add(f"value_output.{i}", POS, HEADS, D)
    add("resid_post", POS, D)
    return made


def add_queries_and_keys(made):
    """With the pattern that they make, for a scale of 0.75."""
    for i in range(LAYERS):
        queries = [random.uniform(-2, 2) for _ in range(POS * HEADS * D_HEAD)]
        keys = [random.uniform(-2, 2) for _ in range(POS * KV_HEADS * D_HEAD)]
        made[f"queries.{i}"] = ["F32", [POS, HEADS, D_HEAD], queries]
        made[f"keys.{i}"] = ["F32", [POS, KV_HEADS, D_HEAD], keys]
        pattern = []
        for head in range(HEADS):
            for pos in range(POS):
                weights = [math.exp(0.75 * sum(queries[(pos * HEADS + head) * D_HEAD + d] * keys[key * D_HEAD + d]
                                               for d in range(D_HEAD))) if key <= pos else 0 for key in range(POS)]
                pattern += [weight / sum(weights) for weight in weights]
        made[f"pattern.{i}"] = ["F32", [HEADS, POS, POS], pattern]


def with_queries_and_keys(change=lambda made: None):
    def add_and_change(made):
        random.seed(3)
        add_queries_and_keys(made)
        change(made)
    return add_and_change


def without(kind):
    return lambda made: [made.pop(f"{kind}.{i}") for i in range(LAYERS)]


def without_queries_and_keys(made):
    without("queries")(made)
    without("keys")(made)


OF_ATTENTION = {"n_kv_heads": str(KV_HEADS), "d_head": str(D_HEAD), "scale": "0.75"}
METADATA = {
    "model": "tiny & <unreal>", "prompt": "a \"b\"\n<c>", "n_layers": str(LAYERS), "n_heads": str(HEADS),
    "d_model": str(D), "tokens": json.dumps(["a", " \"b\"\n\u0007", "<c>&\U0001F600 a token too long for its column"]),
    "next_tokens": json.dumps([["]]>", 0.5], ["&", 0.25]]),
}
FORMATS = {"F32": "f", "F16": "e", "F64": "d", "I32": "i"}


def write(name, change_tensors=None, metadata=None, change_header=None, keep=None):
    random.seed(1)
    contents = tensors()
    if change_tensors:
        change_tensors(contents)
    header, data = {"__metadata__": {**METADATA, **(metadata or {})}}, b""
    for key, (dtype, shape, values) in contents.items():
        packed = struct.pack(f"<{len(values)}{FORMATS[dtype]}",
                             *(map(int, values) if dtype == "I32" else values))
        header[key] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    if change_header:
        change_header(header)
    text = json.dumps(header).encode()
    whole = struct.pack("<Q", len(text)) + text + data
    with open(name, "wb") as file:
        file.write(whole[:keep])


def set_entry(tensor, key, value):
    return lambda header: header[tensor].__setitem__(key, value)


def raw(name, header, length=None):
    with open(name, "wb") as file:
        file.write(struct.pack("<Q", len(header) if length is None else length) + header)


write("good")
write("half", lambda t: [entry.__setitem__(0, "F16") for entry in t.values()])
write("from_scores", with_queries_and_keys(), OF_ATTENTION)
write("from_pattern", with_queries_and_keys(without_queries_and_keys))
write("scores_alone", with_queries_and_keys(without("pattern")), OF_ATTENTION)
write("no_keys", with_queries_and_keys(lambda t: t.pop("keys.1")), OF_ATTENTION)
write("bad_keys", with_queries_and_keys(lambda t: t["keys.1"].__setitem__(1, [POS, D_HEAD, KV_HEADS])), OF_ATTENTION)
write("no_kv_heads", with_queries_and_keys(), {"d_head": str(D_HEAD)})
for number, scale in enumerate(["0", "-1", "inf", "nan", "0.5x", ""]):
    write(f"scale_{number}", with_queries_and_keys(), {**OF_ATTENTION, "scale": scale})
write("one_part_nan", lambda t: t["mlp_out.1"][2].__setitem__(5, float("nan")))
write("moved_nan", lambda t: t["value_output.1"][2].__setitem__(5, float("nan")))
write("no_tensor", lambda t: t.pop("pattern.1"))
write("no_resid_post", lambda t: t.pop("resid_post"))
write("bad_dtype", lambda t: t["resid_mid.0"].__setitem__(0, "I32"))
write("bad_shape", lambda t: t["resid_mid.1"].__setitem__(1, [D, POS]))
write("bad_rank", lambda t: t["value_output.0"].__setitem__(1, [POS, HEADS * D]))
write("unknown_dtype", change_header=set_entry("resid_mid.0", "dtype", "Q4_1"))
write("dtype_is_number", change_header=set_entry("resid_mid.0", "dtype", 32))
write("offsets_beyond", change_header=set_entry("resid_pre.0", "data_offsets", [4000000, 4000048]))
write("offsets_huge", change_header=set_entry("resid_pre.0", "data_offsets", [0, 1e300]))
write("offsets_backwards", change_header=set_entry("resid_pre.0", "data_offsets", [48, 0]))
write("offsets_negative", change_header=set_entry("resid_pre.0", "data_offsets", [-48, 0]))
write("offsets_of_other_size", change_header=set_entry("resid_pre.0", "data_offsets", [0, 44]))
write("offsets_missing", change_header=lambda h: h["resid_pre.0"].pop("data_offsets"))
write("shape_overflows", change_header=set_entry("resid_pre.0", "shape", [2**52, 2**52, 2**52]))
write("shape_fraction", change_header=set_entry("resid_pre.0", "shape", [1.5, 4]))
write("shape_of_many_axes", change_header=set_entry("resid_pre.0", "shape", [1] * 100))
write("entry_is_list", change_header=lambda h: h.__setitem__("resid_pre.0", []))
write("no_metadata", change_header=lambda h: h.pop("__metadata__"))
write("no_prompt", change_header=lambda h: h["__metadata__"].pop("prompt"))
write("metadata_is_number", change_header=lambda h: h["__metadata__"].__setitem__("n_layers", 2))
write("layers_absurd", metadata={"n_layers": "999999999"})
write("layers_zero", metadata={"n_layers": "0"})
write("layers_words", metadata={"n_layers": "two"})
write("heads_absurd", metadata={"n_heads": "999999999"})
write("tokens_broken", metadata={"tokens": "[\"a\", "})
write("tokens_empty", metadata={"tokens": "[]"})
write("tokens_of_other_length", metadata={"tokens": "[\"a\"]"})
write("tokens_are_numbers", metadata={"tokens": "[1, 2, 3]"})
write("next_tokens_flat", metadata={"next_tokens": "[\" Rome\", 0.5]"})
write("truncated", keep=-20)
raw("header_too_long", b"{}", length=2**63)
raw("json_open", b'{"a":')
raw("json_trailing", b"{} x")
raw("json_twice", b'{"a":{},"a":{}}')
raw("json_deep", b"[" * 100000)
raw("json_utf8", b'{"\xff":{}}')
raw("json_nul", b'{"a\0":{}}')
raw("json_list", b"[]")
open("empty", "wb").close()
open("short", "wb").write(b"abc")
PYTHON

# Good input.
expect 0 'Usage: explain' --help
expect 0 'sum to 1: passed' --file "$bundled" --picture bundled.svg
expect 0 '" Rome" 65.3 %' --file "$bundled"
expect 0 'Picture  explain.svg' --file "$bundled"
expect 0 'measured   after' --file "$bundled" --layer 23
expect 0 'The strongest attention edges' --file "$bundled" --token -2 --layer -1 --picture token.svg
expect 0 'not after this one' --file "$bundled" --token 5
for norm in 1 2 inf 2.5; do
    expect 0 'sum to 1: passed' --file "$bundled" --norm $norm
done
expect 0 'sum to 1: passed' --file "$bundled" --threshold 0 --threads 2 --picture all.svg
expect 0 'is above the threshold: they have no sum after it' --file "$bundled" --threshold 0.99 --picture none.svg
expect 0 'sum to 1: passed' --file good --threshold 0 --picture tiny.svg
expect 0 'sum to 1: passed' --file half
for norm in 1 2 inf 2.5; do
    expect 0 'both say the same: passed' --compare --file "$bundled" --norm $norm
done
expect 0 'both say the same: passed' --compare --file good --threads 1
expect 0 'both say the same: passed' --compare --file from_scores
for file in from_scores from_pattern scores_alone; do
    expect 0 'sum to 1: passed' --file $file --threshold 0 --picture same.svg
    mv same.svg $file.svg
    mv out $file.out
done
for file in from_pattern scores_alone; do
    cmp -s from_scores.svg $file.svg && cmp -s from_scores.out $file.out
    result "$file says other things than the same from queries and keys beside the pattern" $?
done
# 12 * 12 tokens * 9 heads * 576 numbers of 4 bytes.
expect 0 ' 2985984 bytes' --compare --file "$bundled"
for picture in bundled.svg token.svg all.svg none.svg tiny.svg; do
    python3 -c "
import sys, xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
assert root.tag == '{http://www.w3.org/2000/svg}svg', root.tag
assert any(True for _ in root.iter('{http://www.w3.org/2000/svg}text'))
assert 'nan' not in open(sys.argv[1], encoding='utf-8').read().lower()
" "$picture" 2>err
    result "$picture is not a well-formed SVG: $(tail -n 1 err)" $?
done
"$explain" --compare --file "$bundled" >out
awk '/^  (factored|dense) .* ms .* ms .* bytes/ { ways++ } END { exit ways != 2 }' out
result "--compare does not show what both ways cost: $(cat out)" $?
awk '/largest difference of a contribution/ { if (match($0, /contribution [^ ]+/) == 0) exit 1
    difference = substr($0, RSTART + 13, RLENGTH - 13); small = difference ~ /^[0-9]/ && difference + 0 <= 1e-6 }
    END { exit !small }' out
result "--compare does not say that the difference is small: $(cat out)" $?
! { cat out && "$explain" --file "$bundled"; } | awk 'length > 120 { found = 1 } END { exit !found }'
result 'the output is wider than 120 columns' $?
"$explain" --file "$bundled" --threads 1 --picture same >one &&
    "$explain" --file "$bundled" --threads 2 --picture same >two && cmp -s one two
result 'one and two threads say different things' $?

# From here on runs fail: they exit with their memory, which is no leak. (Good runs above are looked at for leaks.)
ASAN_OPTIONS=detect_leaks=0
export ASAN_OPTIONS

# A representation that does not sum to 1.
expect 1 'sum to 1: FAILED' --file one_part_nan

# A comparison that cannot agree: NaN is equal to nothing.
expect 1 'both say the same: FAILED; largest difference of a contribution' --compare --file moved_nan

# Files.
expect 2 'nowhere: cannot open: ' --file nowhere
expect 2 '.: cannot' --file .
expect 2 'empty: 0 bytes are too few' --file empty
expect 2 'short: 3 bytes are too few' --file short
expect 2 'the header claims 9223372036854775808 bytes, but only 2 follow' --file header_too_long
expect 2 'header is not valid JSON: expected a value, at byte 5' --file json_open
expect 2 'something after the end' --file json_trailing
expect 2 'names the same key twice' --file json_twice
expect 2 'nested too deep' --file json_deep
expect 2 'invalid UTF-8' --file json_utf8
expect 2 'a control character in a string' --file json_nul
expect 2 'expected a JSON object' --file json_list
expect 2 'tensor pattern.1 is missing' --file no_tensor
expect 2 'tensor resid_post is missing' --file no_resid_post
expect 2 'tensor keys.1 is missing' --file no_keys
expect 2 'keys.1: expected shape [3, 1, 2], got [3, 2, 1]' --file bad_keys
expect 2 '__metadata__: n_kv_heads is missing' --file no_kv_heads
for number in 0 1 2 3 4 5; do
    expect 2 '__metadata__: scale: expected a number greater than 0' --file scale_$number
done
expect 2 '--compare: the file has no pattern' --compare --file scores_alone
expect 2 'resid_mid.0: expected dtype F32, F16 or BF16, got I32' --file bad_dtype
expect 2 'resid_mid.1: expected shape [3, 4], got [4, 3]' --file bad_shape
expect 2 'value_output.0: expected shape [3, 2, 4], got [3, 8]' --file bad_rank
expect 2 'resid_mid.0: unknown dtype "Q4_1"' --file unknown_dtype
expect 2 'resid_mid.0: expected a string as dtype' --file dtype_is_number
expect 2 'resid_pre.0: data_offsets [4000000, 4000048] reach beyond' --file offsets_beyond
for file in offsets_huge offsets_backwards offsets_negative offsets_missing; do
    expect 2 'resid_pre.0: data_offsets: expected [begin, end]' --file $file
done
expect 2 'data_offsets span 44 bytes, but shape and dtype need 48' --file offsets_of_other_size
expect 2 'resid_pre.0: shape: more elements than memory can hold' --file shape_overflows
expect 2 'resid_pre.0: shape[0]: expected a non-negative integer' --file shape_fraction
expect 2 'resid_pre.0: expected an array of at most 8 sizes as shape' --file shape_of_many_axes
expect 2 'resid_pre.0: expected an object' --file entry_is_list
expect 2 '__metadata__ is missing' --file no_metadata
expect 2 '__metadata__: prompt is missing' --file no_prompt
expect 2 '__metadata__: n_layers: expected a string' --file metadata_is_number
expect 2 'n_layers is 999999999, but the file has only 11 tensors' --file layers_absurd
expect 2 'n_layers: expected a positive integer' --file layers_zero
expect 2 'n_layers: expected a positive integer' --file layers_words
expect 2 'pattern.0: expected shape [999999999, 3, 3], got [2, 3, 3]' --file heads_absurd
expect 2 'tokens is not valid JSON' --file tokens_broken
expect 2 'tokens: expected at least one token' --file tokens_empty
expect 2 'resid_pre.0: expected shape [1, 4], got [3, 4]' --file tokens_of_other_length
expect 2 'tokens[0]: expected a string' --file tokens_are_numbers
expect 2 'next_tokens[0]: expected [token, probability]' --file next_tokens_flat
expect 2 'is the file truncated?' --file truncated

# Flags.
expect 2 'unknown flag "--fiel"' --fiel good
expect 2 '--file: expected a value' --file
for bad in -1 1 nan x ''; do
    expect 2 '--threshold: expected a number from 0' --threshold "$bad"
done
for bad in 0.5 nan two ''; do
    expect 2 '--norm: expected 1, 2, inf' --norm "$bad"
done
for bad in 2 -3 x 99999999999999999999; do
    expect 2 '--layer: expected an integer from -2 to 1' --file good --layer "$bad"
done
for bad in 3 -4 1.5; do
    expect 2 '--token: expected an integer from -3 to 2' --file good --token "$bad"
done
for bad in -1 x 5000; do
    expect 2 '--threads: expected an integer from 0' --threads "$bad"
done
expect 2 '--picture: nowhere/p.svg: cannot write' --file good --picture nowhere/p.svg

# No damage may do worse than an error: cut anywhere, or with any bit turned over, the exit status is 0, 1 or 2,
# and a sanitizer, where it is built with one, has nothing to say.
python3 - "$explain" <<'PYTHON'
import random, subprocess, sys

whole = open("good", "rb").read()
header_end = 8 + int.from_bytes(whole[:8], "little")
random.seed(2)
damaged = [whole[:n] for n in range(0, len(whole), 53)]
for _ in range(300):
    bit = random.randrange(8 * header_end) if random.random() < 0.9 else random.randrange(8 * len(whole))
    copy = bytearray(whole)
    copy[bit // 8] ^= 1 << bit % 8
    damaged.append(bytes(copy))
for i, contents in enumerate(damaged):
    with open("damaged", "wb") as file:
        file.write(contents)
    run = subprocess.run([sys.argv[1], "--file", "damaged", "--threads", "1"], capture_output=True, timeout=60)
    if run.returncode not in (0, 1, 2) or b"Sanitizer" in run.stderr or b"runtime error" in run.stderr:
        print(f"damaged file {i}: status {run.returncode}: {run.stderr[:2000].decode(errors='replace')}")
        sys.exit(1)
PYTHON
result 'a damaged file does worse than an error' $?

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
