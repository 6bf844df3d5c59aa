"""A recording that stays in memory, for which the same is written as for a file."""

import torch


class Kept:
    """Keeps tensors by their names, as they were announced, and the metadata."""

    def __init__(self):
        self.tensors, self.metadata = {}, {}

    def begin(self, tensors):
        self.announced = {name: (dtype, shape) for name, dtype, shape in tensors}
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def write(self, name, blocks):
        """Keeps a tensor: one, or its blocks one after the other."""
        dtype, shape = self.announced[name]
        tensor = blocks if isinstance(blocks, torch.Tensor) else torch.cat([block.to(dtype) for block in blocks])
        self.tensors[name] = tensor.detach().to("cpu", dtype).reshape(shape)

    def finish(self, metadata):
        self.metadata = metadata
