#!/bin/sh
# Builds the C programs of this folder against the release libraries, as C and as C++, statically and dynamically, and
# runs them.
#
#     cargo build --release -p contrib-ffi
#     crates/contrib-ffi/tests/c/run.sh [repository root]
#
# CC and CXX are the compilers, CFLAGS more options for both; CARGO_TARGET_DIR is where cargo builds.
set -u

root=${1:-$(cd "$(dirname "$0")/../../../.." && pwd)}
libraries=${CARGO_TARGET_DIR:-$root/target}/release
CC=${CC:-cc}
CXX=${CXX:-c++}

fail() {
    echo "run.sh: $1" >&2
    exit 1
}

[ -f "$root/include/contrib.h" ] || fail "no include/contrib.h in $root: give the repository root"
case $(uname) in
    Darwin) shared=libcontrib.dylib system='-liconv -lm' ;;
    *) shared=libcontrib.so system='-lpthread -ldl -lm' ;;
esac
for library in libcontrib.a "$shared"; do
    [ -f "$libraries/$library" ] || fail "no $library in $libraries: run cargo build --release -p contrib-ffi"
done
# shellcheck disable=SC2086 # options are words
echo '#include <dlpack/dlpack.h>' | $CC ${CFLAGS-} -E -x c - > /dev/null 2>&1 ||
    fail "no <dlpack/dlpack.h>: install DLPack's header (on Debian: libdlpack-dev)"

# More than most callers' own programs have.
warnings='-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wcast-qual'
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

# test_program SOURCE STANDARD [WAYS]: as C or C++, whichever the standard is of, linked in both ways, or in these; a
# program that loads the shared library itself is given its path.
test_program() {
    case $2 in
        *++*) compiler="$CXX -x c++" ;;
        *) compiler="$CC -x c" ;;
    esac
    for link in ${3:-static dynamic}; do
        case $link in
            static) link_line="$libraries/libcontrib.a $system" ;;
            dynamic) link_line="-L$libraries -lcontrib -Wl,-rpath,$libraries $system" ;;
            loaded) link_line=$system ;;
        esac
        # shellcheck disable=SC2086 # options are words
        if $compiler -std="$2" $warnings -Werror ${CFLAGS-} -I"$root/include" \
            "$root/crates/contrib-ffi/tests/c/$1" -x none $link_line -o "$work/program"; then
            "$work/program" "$libraries/$shared"
            status=$?
            result="exit status $status"
        else
            status=1
            result='does not build'
        fi
        if [ $status -eq 0 ]; then
            echo "ok: $1 as $2, $link"
            passed=$((passed + 1))
        else
            echo "FAILED: $1 as $2, $link: $result"
            failed=$((failed + 1))
        fi
    done
}

for standard in c99 c11 c++11 c++17; do
    test_program header.c $standard
    test_program tensor.c $standard
    test_program factored.c $standard
    test_program routes.c $standard
done
for standard in c11 c++17; do
    test_program dlpack.c $standard
done
test_program guest.c c11
test_program unload.c c11 loaded

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
