# shellcheck shell=bash disable=SC2154 # part of packaging/test.sh
# What is committed, cloned by FetchContent, with all that cargo builds in the project's own build folder.

cp "$root"/packaging/tests/main.c .
cat > CMakeLists.txt <<CMAKE
cmake_minimum_required(VERSION 3.18)
project(main C)
include(FetchContent)
FetchContent_Declare(contrib GIT_REPOSITORY file://$root GIT_TAG $(git -C "$root" rev-parse HEAD))
FetchContent_MakeAvailable(contrib)
add_executable(main main.c)
target_link_libraries(main PRIVATE contrib::contrib m)
CMAKE
check "FetchContent of a clone" eval 'cmake -S . -B build && cmake --build build && build/main'
check "builds in the build folder alone" test -e build/_deps/contrib-build/target/release/libcontrib.a -a ! -e build/_deps/contrib-src/target
