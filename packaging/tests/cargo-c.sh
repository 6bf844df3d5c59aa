# shellcheck shell=bash disable=SC2154 # part of packaging/test.sh
# cargo-c, which must be installed: cargo install --locked cargo-c, of a version for this compiler.

cp "$root"/packaging/tests/main.* .
prefix=$PWD/prefix
cinstall() {
    (cd "$root" && cargo cinstall --locked -p contrib-ffi --release --target-dir "$CARGO_TARGET_DIR/cargo-c" --prefix="$prefix" \
        --libdir="$prefix/lib")
}
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig

check "cargo cinstall" cinstall
check "has the soname of the other packages" \
    eval 'readelf --dynamic "$prefix"/lib/libcontrib.so | grep -q "SONAME.*\[libcontrib\.so\.0\.1\]"'
check "installs all headers" eval 'cd "$root/include" && find . -type f | (cd "$prefix/include" && xargs ls)'
check "C with pkg-config" eval 'cc main.c $(pkg-config --cflags --libs contrib) -lm -o shared && LD_LIBRARY_PATH=$prefix/lib ./shared'
check "C++ with pkg-config" eval 'c++ -std=c++17 main.cpp $(pkg-config --cflags --libs contrib) -o cpp && LD_LIBRARY_PATH=$prefix/lib ./cpp'
check "a program that is static as a whole" \
    eval 'cc -static main.c $(pkg-config --static --cflags --libs contrib) -lm -o static && ./static'
