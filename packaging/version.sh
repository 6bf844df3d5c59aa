#!/bin/sh
# Prints the version, which the workspace's Cargo.toml says.
set -eu
sed -n '/^\[workspace\.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml"
