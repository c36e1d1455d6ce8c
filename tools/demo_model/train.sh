#!/usr/bin/env bash
# Makes the demo's checkpoint from nothing: train.sh WORK FOLDER. Needs one GPU, espeak-ng, sentencepiece (spm_train), python3
# with torch and numpy. WORK keeps weights, logs and samples; what is there is not made again. How long each stage trains is
# set by the variables VAE_SECONDS, AUDIO_SECONDS, TEXT_SECONDS and DIT_SECONDS, how much speech by PIECES (of 10 s, four
# times). To train on from the demo's weights, put them into WORK by import_checkpoint.py and use the scripts' --start.
set -euo pipefail
work=$(realpath -m "$1") folder=$(realpath -m "$2")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$work"
run() { python3 "$here/$@"; }
speech=""
for i in 1 2 3 4; do  # 180 other voices each
  [[ -e $work/speech$i.npz ]] || run make_speech.py "$work/speech$i.npz" "${PIECES:-2000}" 10 "${i}000000" 180
  speech+="${speech:+,}$work/speech$i.npz"
done
[[ -e $work/test.npz ]] || run make_speech.py "$work/test.npz" 100 10 5000000 test
[[ -e $work/text.pt ]] || run train_text.py --out "$work" --device cpu --seconds "${TEXT_SECONDS:-60}"
[[ -e $work/audio.pt ]] || run train_audio.py --out "$work" --speech "$speech" --test "$work/test.npz" \
  --seconds "${AUDIO_SECONDS:-200}"
[[ -e $work/vae.pt ]] || run train_vae.py --out "$work" --seconds "${VAE_SECONDS:-320}"
[[ -e $work/dit.pt ]] || run train_dit.py --out "$work" --models "$work" --speech "$speech" --every 4 \
  --seconds "${DIT_SECONDS:-900}"
run export.py "$work" "$folder"
