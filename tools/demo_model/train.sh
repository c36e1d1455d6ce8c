#!/usr/bin/env bash
# Makes the demo's checkpoint from nothing: train.sh WORK FOLDER. Needs one GPU, espeak-ng, sentencepiece (spm_train), python3
# with torch and numpy. WORK keeps weights, logs and samples; what is there is not made again. How long each stage trains is
# set by the variables VAE_SECONDS, AUDIO_SECONDS, TEXT_SECONDS and DIT_SECONDS.
set -euo pipefail
work=$(realpath -m "$1") folder=$(realpath -m "$2")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$work"
run() { python3 "$here/$@"; }
[[ -e $work/speech.npz ]] || run make_speech.py "$work/speech.npz" 900
[[ -e $work/text.pt ]] || run train_text.py --out "$work" --device cpu --seconds "${TEXT_SECONDS:-60}"
[[ -e $work/audio.pt ]] || run train_audio.py --out "$work" --speech "$work/speech.npz" --seconds "${AUDIO_SECONDS:-120}"
[[ -e $work/vae.pt ]] || run train_vae.py --out "$work" --seconds "${VAE_SECONDS:-165}"
[[ -e $work/dit.pt ]] || run train_dit.py --out "$work" --models "$work" --speech "$work/speech.npz" --seconds "${DIT_SECONDS:-600}"
run export.py "$work" "$folder"
