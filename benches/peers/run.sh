#!/bin/sh
# Compares contrib with what one would use instead: C loops and PyTorch. Builds and installs what that needs (see
# benches/set_up.sh), and prints tables.
#
#   benches/peers/run.sh                    both of the following
#   benches/peers/run.sh dense [...]        attention from its parts; arguments go to dense.py (--help)
#   benches/peers/run.sh factored [...]     attention from pattern and values; arguments go to factored.py
set -eu
cd "$(dirname "$0")/../.."
. benches/set_up.sh

factored() {
    "$python" benches/peers/factored.py "$@"
    OMP_WAIT_POLICY=active PEERS_TORCH=no "$python" benches/peers/factored.py "$@"
}

case ${1:-both} in
    dense)
        shift
        "$python" benches/peers/dense.py "$@"
        ;;
    factored)
        shift
        factored "$@"
        ;;
    both)
        "$python" benches/peers/dense.py
        factored
        ;;
    *)
        echo "Usage: $0 [dense | factored [arguments]]" >&2
        exit 2
        ;;
esac
