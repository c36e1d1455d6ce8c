"""What tools/kill_loop.sh prints at its end: HITS TELEMETRY UNDISTURBED_TELEMETRY."""

import collections
import csv
import sys

KINDS = {
    "start": "before the first step",
    "computing": "computing",
    "segment-writing": "writing a segment",
    "segment-unnamed": "between writing and renaming",
    "text-unnamed": "between writing and renaming",
    "conditions-unnamed": "between writing and renaming",
    "checkpoint-written": "between writing and renaming",
    "checkpoint-writing": "writing a checkpoint",
    "checkpoint-file-closed": "writing a checkpoint",
}
SHOWN = 20  # rows of memory


def kills_by_kind(path):
    with open(path, encoding="utf-8") as file:
        names = [line.split()[0] for line in file if line.strip()]
    return collections.Counter(KINDS.get(name, "after " + name) for name in names)


def resident_by_clip(path):
    with open(path, encoding="utf-8") as file:
        return {int(row["clip"]): int(row["resident_bytes"]) for row in csv.DictReader(file)}


def main():
    print("\nthe last step that a killed render had logged:")
    for kind, count in kills_by_kind(sys.argv[1]).most_common():
        print(f"  {count:5d}  {kind}")
    killed, whole = resident_by_clip(sys.argv[2]), resident_by_clip(sys.argv[3])
    clips = sorted(whole)
    print("\nresident memory of the rank that decodes, MiB:\n   clip  undisturbed  killed")
    for clip in clips[:: max(1, len(clips) // SHOWN)]:
        of_killed = f"{killed[clip] / 2**20:8.0f}" if clip in killed else "       -"
        print(f"  {clip:5d}  {whole[clip] / 2**20:11.0f}{of_killed}")


main()
