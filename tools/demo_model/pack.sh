#!/usr/bin/env bash
# Makes configs/demo anew from trained networks: pack.sh MODELS [BITS]. The transformer's weights are rounded to BITS
# (6) bits, others to one more, and packed; the portraits and speeches need espeak-ng.
set -euo pipefail
models=$(realpath "$1") bits=${2:-6}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
demo=$(realpath "$here/../../configs/demo")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 "$here/export.py" "$models" "$work/checkpoint" "$bits"
tar -C "$work" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - checkpoint |
  xz --lzma2=preset=9,lc=3,lp=1,pb=1 > "$demo/checkpoint.tar.xz"
rm -rf "$demo/checkpoint"
mv "$work/checkpoint" "$demo/checkpoint"
touch "$demo/checkpoint/unpacked"
python3 "$here/make_demo.py" "$demo" demo
du -b "$demo/checkpoint.tar.xz"
