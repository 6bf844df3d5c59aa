"""Tensors of a safetensors file, without the library: tests need nothing but NumPy."""

import json

import numpy as np

DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16, "I64": np.int64, "I32": np.int32}


def load(path, make=lambda values, dtype: values):
    """What ``make`` makes of each tensor. The bits of BF16 come as uint16."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = entry["data_offsets"]
        values = np.frombuffer(data[8 + length :][start:end], DTYPES[entry["dtype"]]).reshape(entry["shape"])
        tensors[name] = make(values, entry["dtype"])
    return tensors


def metadata(path):
    data = path.read_bytes()
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
