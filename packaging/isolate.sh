#!/bin/sh
# Makes of a Rust static library one that exports the C API alone, and can be linked beside other Rust libraries.
#
#     packaging/isolate.sh IN.a OUT.a
#
# A Rust static library contains the standard library. Two of them in one program define the same symbols, such as
# rust_eh_personality. Here all members become one object, without what no export reaches, whose other symbols are local.
#
# LD, OBJCOPY, AR and NM are the tools, GNU's or ones that take their options; for another processor, those of its toolchain.
set -eu

[ $# -eq 2 ] || { echo "isolate.sh: expected IN.a OUT.a" >&2; exit 2; }
input=$1
output=$2
LD=${LD:-ld}
OBJCOPY=${OBJCOPY:-objcopy}
AR=${AR:-ar}
NM=${NM:-nm}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Rust's archives begin with a member that is no object.
roots=$("$NM" --defined-only --extern-only --format=posix "$input" 2>/dev/null |
    awk '$1 ~ /^contrib_/ && ($2 == "T" || $2 == "D" || $2 == "R" || $2 == "B") { print "-u " $1 }' | sort -u)
[ -n "$roots" ] || { echo "isolate.sh: $input defines no contrib_ symbol" >&2; exit 1; }

# shellcheck disable=SC2086 # options are words
"$LD" -r --gc-sections --force-group-allocation $roots --whole-archive "$input" --no-whole-archive -o "$work/all.o"
# Bitcode that other compilers' link-time optimisation could read, and debug information of the standard library, are left out.
"$OBJCOPY" --wildcard --keep-global-symbol='contrib_*' --strip-debug --remove-section=.llvmbc --remove-section=.llvmcmd \
    "$work/all.o" "$work/contrib.o"
(cd "$work" && "$AR" rcsD contrib.a contrib.o)
cp "$work/contrib.a" "$output"
