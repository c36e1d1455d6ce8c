#!/usr/bin/env bash
# Copies what speech needs of this machine's espeak-ng into FOLDER (3 MB), for a machine that has none:
#   LD_LIBRARY_PATH=FOLDER ESPEAK_DATA_PATH=FOLDER python3 tools/demo_model/make_speech.py …
set -euo pipefail
folder=$1
library=$(/sbin/ldconfig -p | awk '$1 == "libespeak-ng.so.1" && !found++ { print $NF }')
[[ -n $library ]] || { echo "carry_espeak: espeak-ng is not installed here" >&2; exit 1; }
from=$(dirname "$library")
mkdir -p "$folder/espeak-ng-data"
cp -L "$library" "$from/libsonic.so.0" "$folder/"
# The library wants one for sound cards, which in turn wants forty more. Speech goes into memory here.
cc -shared -fPIC -Wl,-soname,libpcaudio.so.0 -o "$folder/libpcaudio.so.0" -x c - <<'C'
void *create_audio_device_object(void) { return 0; }
int audio_object_open(void) { return 0; }
void audio_object_close(void) {}
void audio_object_destroy(void) {}
int audio_object_write(void) { return 0; }
int audio_object_drain(void) { return 0; }
int audio_object_flush(void) { return 0; }
const char *audio_object_strerror(void) { return ""; }
C
data=$from/espeak-ng-data
cp "$data"/{phondata,phonindex,phontab,intonations} "$data"/{en,de,es,fr,it}_dict "$folder/espeak-ng-data/"
cp -r "$data/lang" "$data/voices" "$folder/espeak-ng-data/"
rm -rf "$folder/espeak-ng-data/voices/mb"
