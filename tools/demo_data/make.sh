#!/usr/bin/env bash
# Makes the data of the tests' tiny case anew: a checkpoint with random weights, a drawn portrait, speech by espeak-ng.
# The results are committed; run this only to change them.
set -euo pipefail
cd "$(dirname "$0")/../.."
source tools/env.sh
python="$LATENTCAST_VENV/bin/python"
export PYTHONDONTWRITEBYTECODE=1

speak() {  # FILE RATE TEXT: mono, 16 bit; bitexact leaves out the encoder's version
  espeak-ng -v en-us -s 165 --stdout "$3" | ffmpeg -v error -y -i - -ar "$2" -ac 1 -c:a pcm_s16le -bitexact "$1"
  echo "$1"
}

for folder in tests/data/tiny; do
  rm -rf "$folder/checkpoint"
  "$python" tools/make_checkpoint make "$folder/checkpoint.json" "$folder/checkpoint"
done
"$python" tools/demo_data/draw_portrait.py 64 tests/data/tiny/portrait.png
speak tests/data/tiny/speech.wav 16000 "This is a short test, just long enough for a clip or two."
du -sh tests/data/tiny
