#!/usr/bin/env bash
# The page in headless Chromium: real clicks and keys. Needs Debian's chromium, chromium-driver and python3-venv; what else it
# needs goes into target/.
set -euo pipefail
cd "$(dirname "$0")/../../../.."
here=crates/contrib-routes/tests/page

python3 $here/hashes.py
cargo build --locked -p contrib-routes --example page-samples --example write
mkdir -p target/page
target/debug/examples/page-samples examples/data/smollm2-135m-capitals.safetensors target/page

if ! cmp -s $here/requirements.txt target/page-venv/requirements.txt; then
    rm -rf target/page-venv
    python3 -m venv target/page-venv
    target/page-venv/bin/pip install -q --disable-pip-version-check -r $here/requirements.txt
    cp $here/requirements.txt target/page-venv/
fi
target/page-venv/bin/python $here/test_page.py target/page target/debug/examples/write \
    examples/data/smollm2-135m-capitals.safetensors
