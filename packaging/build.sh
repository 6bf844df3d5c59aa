#!/bin/sh
# Builds the libraries as they are installed, and puts them into a folder:
#
#     packaging/build.sh FOLDER        libcontrib.a, isolated; the shared library, with its names by version;
#                                      COPYRIGHT-library.html, the notices of Rust's standard library, if the toolchain has it
#
# What cargo builds goes to CARGO_TARGET_DIR, else to target/. CARGO is cargo. CARGO_BUILD_TARGET, where it is set, is the
# processor and system to build for; LD, OBJCOPY, AR and NM are then those of its toolchain. RUSTFLAGS count as always.
# Files that have not changed keep their times, so that nothing is linked anew.
set -eu

[ $# -eq 1 ] || { echo "build.sh: expected a folder" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
mkdir -p "$1"
folder=$(cd "$1" && pwd)
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
export CARGO_TARGET_DIR
release=$CARGO_TARGET_DIR/${CARGO_BUILD_TARGET:+$CARGO_BUILD_TARGET/}release

version=$("$here/version.sh")
# In 0.x each minor version may break the one before.
case $version in
    0.*) compatible=${version%.*} ;;
    *) compatible=${version%%.*} ;;
esac
case ${CARGO_BUILD_TARGET:-$(uname)} in
    *apple* | Darwin)
        shared=libcontrib.dylib versioned=libcontrib.$version.dylib soname=libcontrib.$compatible.dylib
        name_argument=-Wl,-install_name,@rpath/$soname isolate=no
        ;;
    *)
        shared=libcontrib.so versioned=libcontrib.so.$version soname=libcontrib.so.$compatible
        name_argument=-Wl,-soname,$soname isolate=yes
        ;;
esac

# The crate types are said here, since link-time optimisation does not take place where one of them is a Rust library.
(cd "$root" && "${CARGO:-cargo}" rustc --release --locked --package contrib-ffi --lib --crate-type staticlib,cdylib -- \
    -C "link-arg=$name_argument")

# update FROM TO: copies what has changed.
update() {
    cmp -s "$1" "$2" || { cp "$1" "$2.new" && mv "$2.new" "$2"; }
}

if [ $isolate = yes ]; then
    "$here/isolate.sh" "$release/libcontrib.a" "$folder/isolated.a"
    update "$folder/isolated.a" "$folder/libcontrib.a"
    rm "$folder/isolated.a"
else
    # Apple's linker has no option for groups of sections.
    update "$release/libcontrib.a" "$folder/libcontrib.a"
fi
# Those of another version would be installed too.
for other in "$folder"/libcontrib.so.* "$folder"/libcontrib.*.dylib; do
    [ "$other" = "$folder/$versioned" ] || rm -f "$other"
done
update "$release/$shared" "$folder/$versioned"
ln -s "$versioned" "$folder/$soname"
ln -sf "$soname" "$folder/$shared"

copyright=$("${RUSTC:-rustc}" --print sysroot 2>/dev/null || true)/share/doc/rust/COPYRIGHT-library.html
[ ! -f "$copyright" ] || update "$copyright" "$folder/COPYRIGHT-library.html"
