"""A forward pass of the tiny models in float64, without a trick, and whether a recording says the same.

    python oracle.py NAME MODEL.gguf RECORDING.safetensors TOLERANCE

What attention and MLP add, queries, keys and values are compared with those of the forward pass; and that the parts of each
whole sum up to it is calculated from the recording alone. Of the last layer, positions that the engine left out are NaN.
"""

import json
import sys

import gguf
import numpy as np
from families import D_MODEL, EPSILON, FAMILIES, N_EXPERTS_USED


def weights(path):
    return {t.name: gguf.quants.dequantize(t.data, t.tensor_type).reshape(t.shape[::-1]).astype(np.float64)
            for t in gguf.GGUFReader(path).tensors}


def recording(path):
    data = open(path, "rb").read()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__")
    types = {"F32": np.float32, "F16": np.float16}
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(data[begin:end], types[entry["dtype"]]).reshape(entry["shape"]).astype(np.float64)
    return metadata, tensors


def softmax_pattern(queries, keys, scale, soft_cap, window, sinks):
    """`[head, pos, key_pos]` by the formula of SPEC section 6."""
    n, heads = queries.shape[:2]
    keys = np.repeat(keys, heads // keys.shape[1], axis=1)
    scores = scale * np.einsum("qhd,khd->hqk", queries, keys)
    if soft_cap:
        scores = soft_cap * np.tanh(scores / soft_cap)
    distance = np.arange(n)[:, None] - np.arange(n)[None, :]
    allowed = (distance >= 0) & ((distance < window) if window else True)
    scores = np.where(allowed, scores, -np.inf)
    largest = scores.max(-1, keepdims=True)
    if sinks is not None:
        largest = np.maximum(largest, np.reshape(sinks, (-1, 1, 1)))
    parts = np.exp(scores - largest)
    total = parts.sum(-1, keepdims=True)
    if sinks is not None:
        total = total + np.exp(np.reshape(sinks, (-1, 1, 1)) - largest)
    return parts / total


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Model:
    def __init__(self, family, path):
        self.family, self.w = family, weights(path)

    def norm(self, x, name, kind=None):
        if (kind or self.family.norm) == "layer":
            x = x - x.mean(-1, keepdims=True)
            return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPSILON) * self.w[name + ".weight"] + self.w[name + ".bias"]
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPSILON) * self.w[name + ".weight"]

    def linear(self, x, name):
        return x @ self.w[name + ".weight"].T + self.w.get(name + ".bias", 0.0)

    def rope(self, x, base):
        if not self.family.rope:
            return x
        n, _, d = x.shape
        angles = np.arange(n)[:, None] * base ** (-np.arange(0, d, 2) / d)
        cos, sin = np.cos(angles)[:, None, :], np.sin(angles)[:, None, :]
        first, second = (x[..., 0::2], x[..., 1::2]) if self.family.rope == "adjacent" else np.split(x, 2, axis=-1)
        turned = first * cos - second * sin, first * sin + second * cos
        if self.family.rope == "adjacent":
            return np.stack(turned, axis=-1).reshape(x.shape)
        return np.concatenate(turned, axis=-1)

    def qkv(self, x, block, base):
        f = self.family
        q, kv = f.heads * f.d_head, f.kv_heads * f.d_head
        if f.is_fused:
            queries, keys, values = np.split(self.linear(x, block + "attn_qkv"), [q, q + kv], axis=-1)
        else:
            queries, keys, values = (self.linear(x, block + name) for name in ("attn_q", "attn_k", "attn_v"))
        queries, keys, values = (t.reshape(len(x), -1, f.d_head) for t in (queries, keys, values))
        if f.query_key_norms:
            queries = self.norm(queries, block + "attn_q_norm")
            keys = self.norm(keys, block + "attn_k_norm")
        return self.rope(queries, base), self.rope(keys, base), values

    def mlp(self, x, block):
        kind = self.family.mlp
        if kind == "gelu":
            return self.linear(gelu(self.linear(x, block + "ffn_up")), block + "ffn_down")
        if kind == "experts":
            return self.experts(x, block)
        gate, up = self.linear(x, block + "ffn_gate"), self.linear(x, block + "ffn_up")
        gate = gelu(gate) if kind == "geglu" else gate * sigmoid(gate)
        return self.linear(gate * up, block + "ffn_down")

    def experts(self, x, block):
        logits = self.linear(x, block + "ffn_gate_inp")
        out = np.zeros_like(x)
        for row, chosen in enumerate(np.argsort(-logits, axis=-1)[:, :N_EXPERTS_USED]):
            share = np.exp(logits[row, chosen] - logits[row].max())
            for expert, part in zip(chosen, share / share.sum()):
                def linear(y, name):
                    name = block + f"ffn_{name}_exps"
                    return self.w[name + ".weight"][expert] @ y + self.w[name + ".bias"][expert]

                gate = np.minimum(linear(x[row], "gate"), 7.0)
                up = np.clip(linear(x[row], "up"), -7.0, 7.0)
                out[row] += part * linear(gate * sigmoid(1.702 * gate) * (up + 1), "down")
        return out

    def layers(self, tokens):
        """What each layer has, by the names of a recording."""
        f = self.family
        x = f.embedding_scale * self.w["token_embd.weight"][tokens]
        if f.learned_positions:
            x = x + self.w["position_embd.weight"][: len(tokens)]
        for i in range(f.layers):
            block = f"blk.{i}."
            window = f.window_of(i)
            base = f.rope_base_window if window and f.rope_base_window else 10000.0
            read = self.norm(x, block + ("attn_norm_2" if f.parallel == "two norms" else "attn_norm"))
            queries, keys, values = self.qkv(read, block, base)
            scale = f.d_head**-0.5 if f.score_scale is None else f.score_scale
            sinks = self.w[block + "attn_sinks.weight"] if f.sinks else None
            pattern = softmax_pattern(queries, keys, scale, f.soft_cap, window, sinks)
            moved = np.einsum("hqk,khd->qhd", pattern, np.repeat(values, f.heads // f.kv_heads, axis=1))
            attention = self.linear(moved.reshape(len(x), -1), block + "attn_output")
            if f.post_norms:
                attention = self.norm(attention, block + "post_attention_norm")
            attention = f.residual_scale * attention
            middle = x + attention
            if f.parallel:
                read = self.norm(x, block + "attn_norm")
            else:
                read = self.norm(middle, block + ("post_attention_norm" if f.mlp == "experts" else "ffn_norm"))
            mlp = self.mlp(read, block)
            if f.post_norms:
                mlp = self.norm(mlp, block + "post_ffw_norm")
            mlp = f.residual_scale * mlp
            yield {"resid_pre": x, "resid_mid": middle, "resid_post": middle + mlp, "attention": attention, "mlp_out": mlp,
                   "queries": queries, "keys": keys, "values": values, "pattern": pattern}
            x = middle + mlp


def error(got, expected):
    return np.linalg.norm(got - expected) / np.linalg.norm(expected)


def most_rows(values, family):
    """The largest; but where experts are chosen, rounding may choose others at some positions, which all later ones see."""
    return np.quantile(values, 0.5) if family.mlp == "experts" else values.max()


def rows(got, expected, family):
    if family.mlp != "experts":
        return error(got, expected)
    norms = np.linalg.norm((got - expected).reshape(len(got), -1), axis=-1)
    return most_rows(norms / np.linalg.norm(expected.reshape(len(got), -1), axis=-1), family)


def main():
    name, model_path, recording_path, tolerance = sys.argv[1:4] + [float(sys.argv[4])]
    family = FAMILIES[name]
    metadata, got = recording(recording_path)
    ids = json.loads(metadata["token_ids"])
    n, last = len(ids), family.layers - 1
    assert (metadata["parallel"] == "true") == bool(family.parallel), metadata["parallel"]
    windows = json.loads(metadata["window"])
    worst = {}

    def note(what, value):
        assert np.isfinite(value), what
        worst[what] = max(worst.get(what, 0.0), value)

    for i, expected in enumerate(Model(family, model_path).layers(ids)):
        assert windows[i] in ([family.window_of(i)] if n > (family.window or n) else [0, family.window_of(i)]), windows
        after = np.isfinite(got["resid_post"]).all(-1) if i == last else np.ones(n, bool)
        assert after[-1], "the last position was left out"
        layer = {key[: -len(f".{i}")]: value for key, value in got.items() if key.endswith(f".{i}")}
        layer["resid_post"] = got["resid_post"] if i == last else got[f"resid_pre.{i + 1}"]
        for key in "resid_pre", "keys", "values":
            note(key, rows(layer[key], expected[key], family))
        # Some models scale their queries, and others the product with keys.
        scale = family.d_head**-0.5 if family.score_scale is None else family.score_scale
        note("queries", rows(layer["queries"] * float(metadata["scale"]), expected["queries"] * scale, family))
        for key in "resid_mid", "mlp_out", "resid_post":
            if key in layer:
                note(key, rows(layer[key][after], expected[key][after], family))
        # From the recording alone: the parts of attention.
        sinks = json.loads(metadata["sinks"])[i] if family.sinks else None
        pattern = softmax_pattern(layer["queries"], layer["keys"], float(metadata["scale"]), float(metadata["soft_cap"]),
                                  windows[i], sinks)
        note("pattern", most_rows(np.abs(pattern - expected["pattern"]).max((0, 2)), family))
        values = np.repeat(layer["values"], family.heads // family.kv_heads, axis=1)
        parts = np.einsum("hqk,khd,hdm->qm", pattern, values, layer["w_o"]) * layer.get("attn_scale", 1.0)
        whole = layer["resid_mid"] - layer["resid_pre"] if "resid_mid" in layer else (
            layer["resid_post"] - layer["resid_pre"] - layer["mlp_out"])
        note("sum of parts", error((parts + layer["attn_bias"])[after], whole[after]))
        # What is neither a bias nor a part is the engine's rounding.
        bias = np.zeros(D_MODEL)
        if family.has_biases:
            bias = Model(family, model_path).w[f"blk.{i}.attn_output.bias"]
        note("rounding", np.linalg.norm((layer["attn_bias"] - bias)[after]) / np.linalg.norm(whole[after]))
        if "resid_mid" in layer:
            note("MLP", error((layer["resid_mid"] + layer["mlp_out"])[after], layer["resid_post"][after]))

    limits = dict.fromkeys(worst, tolerance) | {"sum of parts": 1e-5, "MLP": 1e-6}
    wrong = {key: value for key, value in worst.items() if value > limits[key]}
    print(f"{recording_path.split('/')[-1]}: " + ", ".join(f"{key} {value:.1e}" for key, value in worst.items()))
    if wrong:
        sys.exit(f"too far from the forward pass: {wrong}")


if __name__ == "__main__":
    main()
