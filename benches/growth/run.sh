#!/bin/sh
# Measures how time and memory grow with the length of a prompt, writes growth.csv and draws growth.svg, both beside this
# file. Builds and installs what that needs (see benches/set_up.sh).
#
#   benches/growth/run.sh                     all of it; some 8 minutes
#   benches/growth/run.sh --tokens 64,128     shorter prompts alone
#   benches/growth/run.sh --draw-only         the figure again, from the measurements that are there
#
# No process may take more than 12 GB (--gigabytes), nor more than there is.
set -eu
cd "$(dirname "$0")/../.."
. benches/set_up.sh
exec "$python" benches/growth/growth.py "$@"
