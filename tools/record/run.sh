#!/bin/sh
# Tests of the recorder: tiny random models of many families are recorded, added up anew, and given to contrib-routes. Installs
# what that needs (see set_up.sh). Arguments go to pytest.
set -eu
cd "$(dirname "$0")/../.."
. tools/record/set_up.sh
cargo build --release --locked -p contrib-routes --example speed
case ${CARGO_TARGET_DIR:-target} in
    /*) CONTRIB_SPEED=$CARGO_TARGET_DIR/release/examples/speed ;;
    *) CONTRIB_SPEED=$PWD/${CARGO_TARGET_DIR:-target}/release/examples/speed ;;
esac
export CONTRIB_SPEED
exec "$python" -m pytest -q -p no:cacheprovider tools/record/tests "$@"
