"""A safetensors file that is written tensor by tensor, so that no more than one has to be in memory."""

import json
import os
from pathlib import Path

import torch

NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
# Tensors begin at multiples of this, as far as elements of that many bytes or fewer need it.
ALIGNMENT = 64


class Writer:
    """Writes tensors in the order in which they were announced: `(name, dtype, shape)` each. The metadata come last, and may
    take `room` bytes. Until `finish`, the file has another name; nothing is left where it is not reached."""

    def __init__(self, path, tensors, room):
        self.path = Path(path)
        self.unfinished = self.path.with_name(self.path.name + ".unfinished")
        self.entries, self.waiting, end = {}, [], 0
        for name, dtype, shape in tensors:
            elements = 1
            for extent in shape:
                elements *= extent
            begin, end = end, end + elements * dtype.itemsize
            self.entries[name] = {"dtype": NAMES[dtype], "shape": list(shape), "data_offsets": [begin, end]}
            self.waiting.append((name, dtype, elements))
        self.waiting.reverse()
        self.header_len = -(-(8 + len(self.text({})) + room) // ALIGNMENT) * ALIGNMENT - 8

    def text(self, metadata):
        return json.dumps({"__metadata__": metadata, **self.entries}, separators=(",", ":")).encode()

    def __enter__(self):
        self.file = self.unfinished.open("wb")
        self.file.seek(8 + self.header_len)
        return self

    def __exit__(self, *_):
        self.file.close()
        self.unfinished.unlink(missing_ok=True)

    def write(self, name, blocks):
        """Writes the next tensor: one, or its blocks one after the other."""
        expected, dtype, elements = self.waiting.pop()
        assert name == expected, f"{name} comes before {expected}"
        for block in [blocks] if isinstance(blocks, torch.Tensor) else blocks:
            block = block.detach().to("cpu", dtype).contiguous()
            elements -= block.numel()
            self.file.write(memoryview(block.reshape(-1).view(torch.uint8).numpy()))
        assert elements == 0, f"{name} has {-elements} elements more than announced"

    def finish(self, metadata):
        assert not self.waiting, f"{self.waiting[-1][0]} is missing"
        header = self.text(metadata)
        assert len(header) <= self.header_len, f"the header has {len(header)} bytes, and {self.header_len} were kept free"
        self.file.seek(0)
        self.file.write(self.header_len.to_bytes(8, "little") + header.ljust(self.header_len))
        self.file.close()
        os.replace(self.unfinished, self.path)
