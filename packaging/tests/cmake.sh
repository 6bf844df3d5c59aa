# shellcheck shell=bash disable=SC2154 # part of packaging/test.sh
# CMake: installed and found, and as a part of a project.

cp "$root"/packaging/tests/main.* .
prefix=$PWD/prefix

# project FOLDER HOW [CALL]: a project of both programs that gets contrib::contrib in this way.
project() {
    mkdir -p "$1"
    cat > "$1/CMakeLists.txt" <<CMAKE
cmake_minimum_required(VERSION 3.18)
project(main C CXX)
set(CMAKE_CXX_STANDARD 17)
$2
add_executable(main_c ../main.c)
target_link_libraries(main_c PRIVATE ${3:-contrib::contrib} m)
add_executable(main_cpp ../main.cpp)
target_link_libraries(main_cpp PRIVATE ${3:-contrib::contrib})
CMAKE
}

# build FOLDER OPTION...: configures, builds and runs it.
build() {
    local folder=$1
    shift
    cmake -S "$folder" -B "$folder/build" -DCMAKE_PREFIX_PATH="$prefix" "$@" &&
        cmake --build "$folder/build" && "$folder/build/main_c" && "$folder/build/main_cpp"
}

# is_linked FOLDER static|shared: so it was.
is_linked() {
    readelf --dynamic "$1/build/main_c" > "$work/dynamic"
    case $2 in
        shared) grep -q 'NEEDED.*libcontrib\.so\.0\.1\]' "$work/dynamic" ;;
        static) ! grep -q 'NEEDED.*libcontrib' "$work/dynamic" ;;
    esac
}

check "CMake builds the library" \
    eval 'cmake -S "$root" -B library -DCMAKE_INSTALL_PREFIX="$prefix" -DCONTRIB_CARGO_TARGET_DIR="$CARGO_TARGET_DIR" && cmake --build library'
check "and installs it" cmake --install library
touch library/lib/before
check "building again changes nothing" \
    eval 'cmake --build library && test -z "$(find library/lib -type f -newer library/lib/before -name "libcontrib*")" && rm library/lib/before'
# What is installed may be moved.
mv prefix moved
prefix=$PWD/moved

project found 'find_package(contrib 0.1 CONFIG REQUIRED)'
check "find_package finds the static library" eval 'build found && is_linked found static'
check "and with BUILD_SHARED_LIBS the shared one" eval 'build found -DBUILD_SHARED_LIBS=ON && is_linked found shared'
project static 'set(BUILD_SHARED_LIBS ON)
find_package(contrib 0.1 CONFIG REQUIRED COMPONENTS static)'
check "the component static" eval 'build static && is_linked static static'
project shared 'find_package(contrib 0.1.0 CONFIG REQUIRED COMPONENTS shared)'
check "the component shared, with Ninja" eval 'build shared -G Ninja && is_linked shared shared'
project both 'find_package(contrib CONFIG REQUIRED COMPONENTS static shared)' contrib::shared
check "both components, by their own names" eval 'build both && is_linked both shared'
project twice 'find_package(contrib CONFIG REQUIRED)
find_package(contrib CONFIG REQUIRED)'
check "found twice" build twice
project component 'find_package(contrib CONFIG REQUIRED COMPONENTS framework)'
check "a component that there is not is an error" fails 'no component framework' build component
for version in 0.0 0.2 0.1.7 1.0; do
    project "version-$version" "find_package(contrib $version CONFIG REQUIRED)"
    check "version $version is not this one" fails 'compatible' build "version-$version"
done
rm moved/lib*/libcontrib.so*
check "without the shared library the component shared is an error" \
    eval 'rm -r shared/build; fails "no component shared" build shared'
check "and contrib::contrib is the static one" eval 'rm -r found/build; build found -DBUILD_SHARED_LIBS=ON && is_linked found static'

project part "add_subdirectory($root contrib)"
check "add_subdirectory" \
    eval 'build part -DCONTRIB_CARGO_TARGET_DIR="$CARGO_TARGET_DIR" && is_linked part static'
check "installs nothing of the library" eval 'cmake --install part/build --prefix "$PWD/nothing" && test ! -e nothing'
project fetched "include(FetchContent)
FetchContent_Declare(contrib SOURCE_DIR $root)
FetchContent_MakeAvailable(contrib)"
check "FetchContent, with the shared library and Ninja" \
    eval 'build fetched -G Ninja -DBUILD_SHARED_LIBS=ON -DCONTRIB_CARGO_TARGET_DIR="$CARGO_TARGET_DIR" && is_linked fetched shared'
