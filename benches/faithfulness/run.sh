#!/bin/sh
# Measures whether routes hold, with SmolLM2-135M: the tokens that they put first are hidden from later ones, and the prediction's
# log-probability falls. Writes results.csv beside this file. Fetches and installs what recording needs (see tools/record/set_up.sh), and
# unpacks Debian's bible-kjv under target/, unless it is installed. Some 20 minutes of processor time; what is done is kept in
# target/faithfulness, and a run that was ended goes on from there.
#
#   benches/faithfulness/run.sh                  all of it
#   benches/faithfulness/run.sh --prompts 10     fewer prompts of each kind of text
#   benches/faithfulness/run.sh --table-only     the table again, from what is there
set -eu
cd "$(dirname "$0")/../.."
. tools/record/set_up.sh
folder=${CARGO_TARGET_DIR:-target}/faithfulness
bible=$PWD/$folder/packages
case $folder in /*) bible=$folder/packages ;; esac
if ! command -v bible >/dev/null && [ ! -x "$bible/usr/bin/bible" ]; then
    mkdir -p "$bible"
    (cd "$bible" && apt-get download -q bible-kjv bible-kjv-text)
    for package in "$bible"/*.deb; do dpkg-deb -x "$package" "$bible"; done
fi
command -v bible >/dev/null || set -- --bible "$bible" "$@"
exec "$python" benches/faithfulness/faithfulness.py "$@"
