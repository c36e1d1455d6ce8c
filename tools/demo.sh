#!/usr/bin/env bash
# From a fresh clone to a video: sets up, builds, renders configs/demo. More options of `latentcast render` may follow.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/setup.sh
tools/build.sh release latentcast
run=output/demo
rm -rf "$run"
mkdir -p "$run"
# Threads that wait for one another soon sleep: as fast on idle cores, much faster where something else runs too.
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-1000}"
build/release/latentcast render --config configs/demo/job.yaml --run_dir "$run" "$@"
video=$PWD/$run/video.mp4
if [[ ! -s $video ]]; then
  echo "demo: the render ended without $video; see the messages above and $run/log" >&2
  exit 1
fi
cat <<END

A drawn face talks; what it can and can't do is in configs/demo/README.md.
Video: $video
Play it in a browser, or with: ffplay -autoexit $run/video.mp4
END
