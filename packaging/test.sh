#!/usr/bin/env bash
# Tries the packages as their users would, each in a fresh folder outside the repository: the isolated library beside other
# Rust libraries, `make install`, pkg-config, CMake. Needs cc, c++, make, cmake, ninja, pkg-config and binutils.
#
#     packaging/test.sh [NAME...]      the tests of these files of packaging/tests/; unless said, those that build nothing anew
#
# CARGO_TARGET_DIR is where cargo builds, once for all of them.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

# check SENTENCE COMMAND...: the command succeeds; what it prints is shown where it does not.
check() {
    local sentence=$1
    shift
    if "$@" > "$work/log" 2>&1; then
        echo "ok: $sentence"
        passed=$((passed + 1))
    else
        echo "FAILED: $sentence"
        sed 's/^/    /' "$work/log" | tail -40
        failed=$((failed + 1))
    fi
}

# fails WORDS COMMAND...: the command fails, and prints these words.
fails() {
    local words=$1
    shift
    if "$@" > "$work/output" 2>&1; then
        echo "it succeeded"
        return 1
    fi
    cat "$work/output"
    grep -q -- "$words" "$work/output"
}

names=("$@")
[ ${#names[@]} -gt 0 ] || names=(isolation install cmake)
libraries=$root/target/contrib
for name in "${names[@]}"; do
    mkdir "$work/$name"
    cd "$work/$name"
    # shellcheck disable=SC1090 # one of packaging/tests/
    . "$root/packaging/tests/$name.sh"
done

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
