# shellcheck shell=bash disable=SC2154 # part of packaging/test.sh
# The static library beside other Rust libraries, which plain ones cannot be.

check "the libraries are built" "$root/packaging/build.sh" "$libraries"
tests=$root/packaging/tests
plain=$CARGO_TARGET_DIR/release/libcontrib.a
isolated=$libraries/libcontrib.a

# other NAME RUSTC OPTION...: lib$NAME.a, another Rust library.
other() {
    local name=$1 rustc=$2
    shift 2
    $rustc --edition 2024 -O --crate-type staticlib --crate-name "$name" "$@" "$tests/other.rs" -o "lib$name.a"
}

# beside LIBRARY OTHER...: a program of both runs.
beside() {
    local library=$1
    shift
    cc -O1 -I"$root/include" ${second:+-DSECOND} "$tests/beside.c" "$library" "$@" -lpthread -ldl -lm -o program && ./program
}

exports_of_header() { grep -oE '^[a-z].*\bcontrib_[a-z0-9_]+\(' "$root/include/contrib.h" | grep -v typedef |
    grep -oE 'contrib_[a-z0-9_]+\($' | tr -d '(' | sort; }
exports_of_static() { nm --extern-only --defined-only --format=posix "$1" 2>/dev/null | awk 'NF > 2 { print $1 }' | sort; }
exports_of_shared() { nm --dynamic --defined-only --format=posix "$1" | awk '{ print $1 }' | sort; }

check "the static library exports the functions of the header and nothing else" \
    diff <(exports_of_header) <(exports_of_static "$isolated")
check "the shared library exports the same" \
    diff <(exports_of_header) <(exports_of_shared "$libraries/libcontrib.so")
check "isolating again gives the same bytes" \
    eval '"$root/packaging/isolate.sh" "$plain" again.a && cmp again.a "$isolated"'

check "another Rust library is built" other first rustc
check "a second" other second rustc --cfg second
check "one that is optimised at link time" other optimised rustc -C lto=fat -C codegen-units=1
check "the library is linked beside another" beside "$isolated" libfirst.a
check "and the other before it" beside libfirst.a "$isolated"
check "beside one that is optimised at link time" beside "$isolated" liboptimised.a
check "beside two others" eval 'second=yes beside "$isolated" libfirst.a libsecond.a'
check "what is not isolated clashes, so that the test shows something" \
    fails 'multiple definition' beside "$plain" liboptimised.a
for toolchain in nightly beta; do
    if rustc "+$toolchain" --version > /dev/null 2>&1; then
        check "beside one of another compiler ($toolchain)" eval "other other_$toolchain 'rustc +$toolchain' && beside '$isolated' libother_$toolchain.a"
    fi
done
echo "sizes: $(stat -c %s "$plain") bytes plain, $(stat -c %s "$isolated") isolated, $(stat -L -c %s "$libraries/libcontrib.so") shared"
