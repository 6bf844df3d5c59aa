#!/bin/sh
# Measures routes in recordings of a real model, SmolLM2-135M, on prompts of 256 to 8192 tokens: writes routes.csv and draws
# routes.svg, both beside this file. Fetches and installs what recording needs (see tools/record/set_up.sh), and records what is not
# there yet: 6 GB under target/.
#
#   benches/routes/run.sh                      all of it
#   benches/routes/run.sh --tokens 256,512     shorter prompts alone
#   benches/routes/run.sh --recordings FOLDER  recordings that are there already, as FOLDER/smollm2-256.safetensors
#   benches/routes/run.sh --draw-only          the figure again, from the measurements that are there
set -eu
cd "$(dirname "$0")/../.."
. tools/record/set_up.sh
cargo build --release --locked -p contrib-routes --example speed
exec "$python" benches/routes/routes.py "$@"
