# shellcheck shell=bash disable=SC2154,SC2046 # part of packaging/test.sh; pkg-config's answers are words
# `make install`, and programs that find the library with pkg-config.

check "the libraries are built" "$root/packaging/build.sh" "$libraries"
cp "$root"/packaging/tests/main.* .
prefix=$PWD/prefix
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
install_with() { make -C "$root" --no-print-directory install "$@"; }
needs_contrib() { readelf --dynamic "$1" | grep -q 'NEEDED.*libcontrib\.so\.0\.1\]'; }

check "make install" install_with PREFIX="$prefix"
check "pkg-config says the version" test "$(pkg-config --modversion contrib)" = "$("$root/packaging/version.sh")"
check "C with the shared library" \
    eval 'cc main.c $(pkg-config --cflags --libs contrib) -lm -o shared && needs_contrib shared && LD_LIBRARY_PATH=$prefix/lib ./shared'
check "with a path in the program" \
    eval 'cc main.c $(pkg-config --cflags --libs contrib) -lm -Wl,-rpath,$(pkg-config --variable=libdir contrib) -o rpath && ./rpath'
check "C++ with the shared library" \
    eval 'c++ -std=c++17 main.cpp $(pkg-config --cflags --libs contrib) -o cpp && LD_LIBRARY_PATH=$prefix/lib ./cpp'
check "a program that is static as a whole" \
    eval 'cc -static main.c $(pkg-config --static --cflags --libs contrib) -o static && ./static && fails "not a dynamic" ldd static'
check "the static library in a program that is not" \
    eval 'cc main.c $(pkg-config --cflags contrib) $(pkg-config --variable=libdir contrib)/libcontrib.a -lpthread -ldl -lm -o partly && ./partly && ! needs_contrib partly'
check "the notices are installed" test -s "$prefix/share/doc/contrib/THIRD-PARTY"
check "make uninstall" make -C "$root" --no-print-directory uninstall PREFIX="$prefix"
check "leaves no file" test -z "$(find prefix -type f -o -type l)"

check "make install of the static library alone" install_with PREFIX="$prefix" SHARED=no
check "is linked by pkg-config --static" \
    eval 'cc main.c $(pkg-config --static --cflags --libs contrib) -o alone && ./alone && ! needs_contrib alone'
check "make install into DESTDIR" install_with PREFIX=/usr LIBDIR=/usr/lib/triplet DESTDIR="$PWD/stage"
check "puts libraries where LIBDIR says" test -e stage/usr/lib/triplet/libcontrib.so.0.1 -a -e stage/usr/lib/triplet/libcontrib.a
check "and DESTDIR is named in no file" eval '! grep -r "$PWD/stage" stage'
