#!/bin/sh
# Writes the manual of the C and the C++ API with Doxygen: html/index.html and man/man3/ in a folder, target/docs/ unless said.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "${1:-$root/target/docs}"
folder=$(cd "${1:-$root/target/docs}" && pwd)
cd "$root"
{
    cat packaging/Doxyfile
    echo "OUTPUT_DIRECTORY = \"$folder\""
    echo "PROJECT_NUMBER = $(packaging/version.sh)"
} | doxygen -
# Doxygen links each member of each struct and each folder too, by names that are anybody's.
find "$folder/man/man3" -type f \( -not -iname 'contrib*' -o -name '* *' \) -delete
