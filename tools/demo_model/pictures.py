"""PNG files and sheets of frames."""

import struct
import zlib

import torch


def to_bytes(frames):
    return ((frames.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def write_png(path, picture):
    """picture [3, h, w] in -1..1."""
    rows = to_bytes(picture).permute(1, 2, 0).contiguous().cpu().numpy()
    height, width, _ = rows.shape
    raw = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b""))


def sheet(rows):
    """A list of rows, each a list of [3, h, w] -> one picture."""
    return torch.cat([torch.cat([p.float().cpu() for p in row], 2) for row in rows], 1)
