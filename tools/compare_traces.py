#!/usr/bin/env python3
"""Compares two traces, or a trace with a case's expected.safetensors: compare_traces.py WANT GOT [--json FILE]

For every float tensor of WANT: the largest difference over WANT's largest value, and the norm of the difference over
WANT's norm. Needs numpy.
"""
import argparse
import json
import struct

import numpy as np

TYPES = {"F32": np.float32, "I64": np.int64, "U8": np.uint8}


def load(path):
    with open(path, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        table = json.loads(file.read(size))
    table.pop("__metadata__", None)
    data = np.memmap(path, np.uint8, "r", 8 + size)
    return {name: np.frombuffer(data[slice(*entry["data_offsets"])], TYPES[entry["dtype"]]).reshape(entry["shape"])
            for name, entry in table.items()}


def compare(want, got):
    rows = {}
    for name in sorted(want):
        if name in ("frames", "frame_index", "frame_mean"):
            continue
        if name not in got or got[name].shape != want[name].shape:
            rows[name] = {"problem": "missing" if name not in got else "another shape"}
        elif want[name].dtype == np.int64:
            rows[name] = {"equal": bool((want[name] == got[name]).all())}
        else:
            a, b = want[name].astype(np.float64), got[name].astype(np.float64)
            rows[name] = {"largest": float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-30)),
                          "norm": float(np.linalg.norm(a - b) / max(np.linalg.norm(a), 1e-30))}
    index = want["frame_index"]
    kept = got["frames"][index].astype(int) if len(got["frames"]) > index.max() else None
    if kept is None:
        rows["frames"] = {"problem": "too few"}
    else:
        d = np.abs(kept - want["frames"].astype(int))
        rows["frames"] = {"largest_of_255": int(d.max()), "mean_of_255": float(d.mean())}
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("want")
    parser.add_argument("got")
    parser.add_argument("--json")
    args = parser.parse_args()
    rows = compare(load(args.want), load(args.got))
    for name, row in rows.items():
        print(f"{name:36s}", "  ".join(f"{k} {v:.2e}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
    worst = max(row.get("largest", 0) for row in rows.values())
    velocity = max((row.get("norm", 0) for name, row in rows.items() if name.endswith(".velocity")), default=0)
    print(f"worst: largest {worst:.2e}; velocity norm {velocity:.2e}")
    if args.json:
        with open(args.json, "w") as file:
            json.dump({"tensors": rows, "worst_largest": worst, "worst_velocity_norm": velocity}, file, indent=1)


if __name__ == "__main__":
    main()
