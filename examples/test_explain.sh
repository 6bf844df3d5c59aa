#!/bin/sh
# Runs a built `explain` on the bundled recording and on broken ones and checks its exit status, its messages and its files.
#   sh test_explain.sh path/to/explain
# Needs python3, which makes broken files and reads what was written.
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

mkdir first second
expect 0 'The prediction after token 11 " is"' "$bundled" first
expect 0 'first/explain.html' "$bundled" first
expect 0 ' to " is"' "$bundled" second
cmp -s first/explain.svg second/explain.svg && cmp -s first/explain.html second/explain.html
result 'two runs write different files' $?
expect 0 'edges above 0.2' "$bundled" second 0.2
expect 0 'The prediction after token 11' "$bundled"
for picture in first/explain.svg second/explain.svg; do
    python3 -c "
import sys, xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
assert root.tag == '{http://www.w3.org/2000/svg}svg', root.tag
assert any(' Italy' in (text.text or '') for text in root.iter('{http://www.w3.org/2000/svg}text'))
assert 'nan' not in open(sys.argv[1], encoding='utf-8').read().lower()
" "$picture" 2>err
    result "$picture is not a well-formed SVG with the tokens: $(tail -n 1 err)" $?
done

# From here on runs fail: they exit with their memory, which is no leak.
ASAN_OPTIONS=detect_leaks=0
export ASAN_OPTIONS

expect 2 'path: No such file or directory' nowhere
expect 2 'nowhere/explain.svg: cannot be written' "$bundled" nowhere
expect 2 'threshold: expected a finite number, 0 or more, got -1' "$bundled" first -1
: >empty
expect 2 'not a safetensors file' empty
head -c 1000000 "$bundled" >truncated
expect 2 'not a safetensors file' truncated

# No damage to a header may do worse than an error: with any bit turned over, the exit status is 0 or 2, and a sanitizer,
# where it is built with one, has nothing to say. Tokens with control characters are not printed as they are.
python3 - "$explain" "$bundled" <<'PYTHON'
import random, subprocess, sys

whole = open(sys.argv[2], "rb").read()
header_end = 8 + int.from_bytes(whole[:8], "little")
random.seed(2)
for _ in range(60):
    copy = bytearray(whole)
    bit = random.randrange(8 * header_end)
    copy[bit // 8] ^= 1 << bit % 8
    with open("damaged", "wb") as file:
        file.write(copy)
    run = subprocess.run([sys.argv[1], "damaged", "first"], capture_output=True, timeout=60)
    if run.returncode not in (0, 2) or b"Sanitizer" in run.stderr or b"runtime error" in run.stderr:
        print(f"bit {bit}: status {run.returncode}: {run.stderr[:2000].decode(errors='replace')}")
        sys.exit(1)
with open("bell", "wb") as file:
    file.write(whole.replace(b'\\" capital\\"', b'\\"\\\\u0007e\\"'))
run = subprocess.run([sys.argv[1], "bell", "first"], capture_output=True, timeout=60)
if run.returncode != 0 or b"\x07" in run.stdout or b"\\x07e" not in run.stdout:
    print(f"a bell: status {run.returncode}: {run.stderr.decode(errors='replace')}")
    sys.exit(1)
PYTHON
result 'a damaged file does worse than an error' $?

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
