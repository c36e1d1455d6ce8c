"""Segments that a run's manifest lists, each with inode, time and size: RUN.
With --unchanged BEFORE AFTER: whether all lines of the one are in the other."""

import json
import os
import sys


def finished(run):
    manifest = os.path.join(run, "segments", "manifest.json")
    if not os.path.exists(manifest):
        return
    with open(manifest, encoding="utf-8") as file:
        segments = json.load(file)["segments"]
    for segment in segments:
        path = os.path.join(run, "segments", segment["file"])
        info = os.stat(path)
        print(segment["file"], segment["sha256"], info.st_ino, info.st_mtime_ns, info.st_size)


def lines_of(path):
    with open(path, encoding="utf-8") as file:
        return set(file)


if sys.argv[1] == "--unchanged":
    sys.exit(0 if lines_of(sys.argv[2]) <= lines_of(sys.argv[3]) else 1)
finished(sys.argv[1])
