"""What a recording says, calculated from its file alone in float64, as plainly as can be."""

import json
import math

import numpy as np
from safetensors import safe_open


class Recording:
    """The tensors of a file in float64, and its metadata."""

    def __init__(self, path):
        with safe_open(str(path), "pt") as file:
            self.metadata = file.metadata()
            self.tensors = {name: file.get_tensor(name).double().numpy() for name in file.keys()}
        self.n_layers = int(self.metadata["n_layers"])

    def get(self, name, layer):
        return self.tensors.get(f"{name}.{layer}")

    def fact(self, key, layer):
        """A number or a list for all layers, or one for each."""
        if key not in self.metadata:
            return None
        value = json.loads(self.metadata[key])
        is_list_of_layers = isinstance(value, list) and (key == "window" or isinstance(value[0], (list, type(None))))
        return value[layer] if is_list_of_layers else value

    def pattern(self, layer):
        """`[head, query, key]`, one score at a time."""
        queries, keys = self.get("queries", layer), self.get("keys", layer)
        n_pos, n_heads, _ = queries.shape
        group = n_heads // keys.shape[1]
        scale, cap = float(self.metadata["scale"]), float(self.metadata.get("soft_cap", 0))
        window, sinks, slopes = (self.fact(key, layer) for key in ("window", "sinks", "slopes"))
        pattern = np.zeros((n_heads, n_pos, n_pos))
        for head in range(n_heads):
            for query in range(n_pos):
                weights = {}
                for key in range(query + 1):
                    if window and key <= query - window:
                        continue
                    score = scale * float(queries[query, head] @ keys[key, head // group])
                    if cap:
                        score = cap * math.tanh(score / cap)
                    if slopes:
                        score += slopes[head] * (key - query)
                    weights[key] = math.exp(score)
                total = sum(weights.values()) + (math.exp(sinks[head]) if sinks else 0)
                for key, weight in weights.items():
                    pattern[head, query, key] = weight / total
        return pattern

    def moved(self, layer):
        """`[query, d_model]`: what all heads move from all keys, and the bias."""
        pattern, values, w_o = self.pattern(layer), self.get("values", layer), self.get("w_o", layer)
        group = len(w_o) // values.shape[1]
        total = sum(pattern[head] @ values[:, head // group] @ w_o[head] for head in range(len(w_o)))
        if self.get("attn_scale", layer) is not None:
            total = total * self.get("attn_scale", layer)
        return total + (0 if self.get("attn_bias", layer) is None else self.get("attn_bias", layer))

    def mlp(self, layer):
        bias = self.get("mlp_bias", layer)
        return self.get("mlp_out", layer) + (0 if bias is None else bias)

    def after(self, layer):
        """resid_post of a layer."""
        return self.tensors["resid_post"] if layer + 1 == self.n_layers else self.get("resid_pre", layer + 1)
