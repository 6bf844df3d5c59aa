# shellcheck shell=bash disable=SC2154 # part of packaging/test.sh
# Two builds in two folders give the same bytes, where the names of the folders are mapped to one.

# built FOLDER: a copy of the repository in this folder, built with its target folder inside.
built() {
    mkdir "$1"
    git -C "$root" archive HEAD | tar -x -C "$1"
    local folder=$PWD/$1
    CARGO_TARGET_DIR=$folder/target \
        RUSTFLAGS="--remap-path-prefix=$folder=/contrib --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo" \
        "$1/packaging/build.sh" "$1/out"
}

check "a build" built first
check "another in another folder" built a-second-folder-with-a-longer-name
for library in libcontrib.a libcontrib.so; do
    check "$library has the same bytes" cmp "first/out/$library" "a-second-folder-with-a-longer-name/out/$library"
    check "and names no folder" eval "! grep -c -a -F '$PWD' first/out/$library"
done
