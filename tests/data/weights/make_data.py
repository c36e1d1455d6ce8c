#!/usr/bin/env python3
"""Makes the small files that tests/weights reads. Needs torch; run it in this folder.

Values follow one rule, so that tests can know them: element i of a tensor is i / 4 (floats) or i (integers).
"""
import collections
import json
import os
import struct
import zipfile

import torch

torch.manual_seed(1)


def ramp(dtype, *shape):
    count = 1
    for size in shape:
        count *= size
    values = torch.arange(count)
    return (values / 4 if dtype.is_floating_point else values).to(dtype).reshape(shape)


def safetensors(path, header, data, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text) if length is None else length) + text + data)


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


# --- safetensors -----------------------------------------------------------------------------------------------------
def raw(tensor):
    return bytes(tensor.contiguous().flatten().view(torch.uint8).tolist())


NAMES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
         torch.float8_e4m3fn: "F8_E4M3", torch.int64: "I64", torch.int32: "I32", torch.int16: "I16",
         torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL"}


def save_safetensors(path, tensors, metadata=None, pad=0):
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, tensor in tensors.items():
        bits = raw(tensor)
        header[name] = entry(NAMES[tensor.dtype], list(tensor.shape), len(data), len(data) + len(bits))
        data += bits
    text = json.dumps(header).encode()
    if pad:
        text += b" " * (-(8 + len(text)) % pad)
    safetensors(path, text, data)


save_safetensors("all_types.safetensors",
                 {name.lower(): ramp(dtype, 2, 3) if dtype != torch.bool else torch.tensor([True, False])
                  for dtype, name in NAMES.items()} | {"scalar": torch.tensor(2.5), "none": torch.zeros(0, 4)},
                 {"format": "pt"})
save_safetensors("aligned.safetensors", {"a": ramp(torch.float32, 4, 4), "b.weight": ramp(torch.bfloat16, 4, 8)}, pad=64)

os.makedirs("sharded", exist_ok=True)
save_safetensors("sharded/model-00001-of-00002.safetensors", {"x.weight": ramp(torch.float32, 2, 2)})
save_safetensors("sharded/model-00002-of-00002.safetensors", {"y.weight": ramp(torch.float16, 3), "y.bias": ramp(torch.float32, 1)})
weight_map = {"x.weight": "model-00001-of-00002.safetensors", "y.weight": "model-00002-of-00002.safetensors",
              "y.bias": "model-00002-of-00002.safetensors"}


def index(name, mapping):
    with open(f"sharded/{name}.safetensors.index.json", "w") as file:
        json.dump({"metadata": {"total_size": 26}, "weight_map": mapping}, file)


index("model", weight_map)
index("missing_shard", weight_map | {"z": "model-00003-of-00002.safetensors"})
index("missing_tensor", weight_map | {"z": "model-00001-of-00002.safetensors"})
index("outside", weight_map | {"z": "../all_types.safetensors"})
index("no_map", [])

# --- torch.save ------------------------------------------------------------------------------------------------------
state = collections.OrderedDict(
    double=ramp(torch.float64, 2, 3), float=ramp(torch.float32, 2, 3), half=ramp(torch.float16, 2, 3),
    bfloat=ramp(torch.bfloat16, 2, 3), long=ramp(torch.int64, 2, 3), int=ramp(torch.int32, 2, 3),
    short=ramp(torch.int16, 2, 3), char=ramp(torch.int8, 2, 3), byte=ramp(torch.uint8, 2, 3),
    bool=torch.tensor([True, False]), scalar=torch.tensor(2.5), none=torch.zeros(0, 4))
state["transposed"] = ramp(torch.float32, 2, 3).t()
state["slice"] = ramp(torch.float32, 4, 3)[1:3]
state["column"] = ramp(torch.float32, 4, 3)[:, 1]
state["tied"] = state["float"]
state["channels_last"] = ramp(torch.float32, 1, 2, 3, 2).to(memory_format=torch.channels_last)
state["parameter"] = torch.nn.Parameter(ramp(torch.float32, 3))
state._metadata = collections.OrderedDict({"": {"version": 1}})
torch.save(state, "state.pth")
torch.save({"state_dict": {"w": ramp(torch.float32, 2)}, "epoch": 3, "name": "x"}, "wrapped.pth")
torch.save({"w": ramp(torch.float32, 2), "epoch": 3}, "not_only_tensors.pth")
torch.save([ramp(torch.float32, 2)], "list.pth")
torch.save({"w": ramp(torch.float32, 2)}, "legacy.pth", _use_new_zipfile_serialization=False)
torch.save({"w": ramp(torch.float32, 2)}, "protocol4.pth", pickle_protocol=4)
torch.save({"w": ramp(torch.float32, 1).expand(1000)}, "expanded.pth")


class Evil:
    def __reduce__(self):
        return os.system, ("touch latentcast-was-here",)


torch.save({"w": ramp(torch.float32, 2), "evil": Evil()}, "evil.pth")


def rewrite(source, target, change=lambda name, data: data, method=zipfile.ZIP_STORED, extra=()):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", method) as new:
        for info in old.infolist():
            data = change(info.filename, old.read(info))
            if data is not None:
                new.writestr(info.filename, data)
        for name, data in extra:
            new.writestr(name, data)


torch.save({"w": ramp(torch.float32, 2)}, "small.pth")
rewrite("small.pth", "compressed.pth", method=zipfile.ZIP_DEFLATED)
rewrite("small.pth", "big_endian.pth", lambda n, d: b"big" if n.endswith("byteorder") else d)
rewrite("small.pth", "missing_storage.pth", lambda n, d: None if n.endswith("data/0") else d)
rewrite("small.pth", "short_storage.pth", lambda n, d: d[:4] if n.endswith("data/0") else d)
rewrite("small.pth", "no_pickle.pth", lambda n, d: None if n.endswith("data.pkl") else d)
rewrite("small.pth", "two_objects.pth", extra=[("other/data.pkl", b"\x80\x02}.")])
rewrite("small.pth", "torchscript.pth",
        lambda n, d: b"\x80\x02c__torch__.net\nNet\nq\x00)\x81." if n.endswith("data.pkl") else d)


def with_pickle(target, opcodes):
    rewrite("small.pth", target, lambda n, d: opcodes if n.endswith("data.pkl") else d)


def tensor_pickle(offset=b"K\x00", sizes=b"K\x02\x85", strides=b"K\x01\x85", numel=b"K\x02", key=b"0"):
    storage = (b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX" + struct.pack("<I", len(key)) + key +
               b"X\x03\x00\x00\x00cpu" + numel + b"tQ")
    return (b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n(" + storage + offset + sizes + strides +
            b"\x89ccollections\nOrderedDict\n)RtRs.")


with_pickle("by_hand.pth", tensor_pickle())
with_pickle("offset_outside.pth", tensor_pickle(offset=b"K\x01"))
with_pickle("offset_negative.pth", tensor_pickle(offset=b"J\xff\xff\xff\xff"))
with_pickle("stride_outside.pth", tensor_pickle(strides=b"K\x02\x85"))
with_pickle("stride_negative.pth", tensor_pickle(strides=b"J\xff\xff\xff\xff\x85"))
with_pickle("size_huge.pth", tensor_pickle(sizes=b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85"))
with_pickle("sizes_overflow.pth", tensor_pickle(sizes=b"\x8a\x08\0\0\0\0\0\0\0\x40K\x08\x86", strides=b"K\x00K\x00\x86"))
with_pickle("size_negative.pth", tensor_pickle(sizes=b"J\xff\xff\xff\xff\x85"))
with_pickle("rank_mismatch.pth", tensor_pickle(strides=b"K\x02K\x01\x86"))
with_pickle("numel_huge.pth", tensor_pickle(numel=b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"))
with_pickle("self_reference.pth", b"\x80\x02}q\x00X\x01\x00\x00\x00wh\x00s.")
with_pickle("deep.pth", b"\x80\x02}X\x01\x00\x00\x00w" + b"(" * 3000 + b"t" * 3000 + b"s.")
with_pickle("no_stop.pth", b"\x80\x02}")
with_pickle("empty_stack.pth", b"\x80\x02R.")
with_pickle("twice.pth", tensor_pickle()[:-2] + b"s" + tensor_pickle()[3:])
with_pickle("unicode_huge.pth", b"\x80\x02X\xff\xff\xff\xffw.")
with_pickle("build_on_tensor.pth", b"\x80\x02K\x01}b.")

whole = open("small.pth", "rb").read()
open("truncated.pth", "wb").write(whole[:len(whole) // 2])
end = whole.rindex(b"PK\x05\x06")
open("directory_outside.pth", "wb").write(whole[:end + 16] + struct.pack("<I", len(whole)) + whole[end + 20:])
central = whole.index(b"PK\x01\x02")
second = whole.index(b"PK\x01\x02", central + 4)
overlap = bytearray(whole)
overlap[second + 42:second + 46] = struct.pack("<I", 0)
open("entries_overlap.pth", "wb").write(overlap)

# --- LoRA ------------------------------------------------------------------------------------------------------------
torch.save({"fc.weight": torch.randn(6, 4), "fc.bias": torch.randn(6), "out.weight": torch.randn(3, 6)}, "base.pth")
a, b = torch.randn(2, 4), torch.randn(6, 2)
save_safetensors("lora.safetensors", {"fc.lora_A.default.weight": a, "fc.lora_B.default.weight": b})
save_safetensors("lora_prefix.safetensors", {"base_model.model.fc.lora_A.weight": a, "base_model.model.fc.lora_B.weight": b})
save_safetensors("lora_alpha.safetensors", {"fc.lora_A.weight": a, "fc.lora_B.weight": b, "lora_alpha": torch.tensor(6.0)})
save_safetensors("lora_pair_alpha.safetensors", {"fc.lora_A.weight": a, "fc.lora_B.weight": b, "fc.alpha": torch.tensor(3)})
save_safetensors("lora_half.safetensors", {"fc.lora_A.weight": a, "out.lora_B.weight": torch.randn(3, 2)})
save_safetensors("lora_ranks.safetensors", {"fc.lora_A.weight": a, "fc.lora_B.weight": torch.randn(6, 3)})
save_safetensors("lora_unknown.safetensors", {"fc.lora_A.weight": a, "fc.lora_B.weight": b, "fc.dora": b})
save_safetensors("lora_other_model.safetensors", {"gone.lora_A.weight": a, "gone.lora_B.weight": b})
save_safetensors("lora_other_shape.safetensors", {"fc.lora_A.weight": torch.randn(2, 5), "fc.lora_B.weight": b})
