"""What attention reads: queries, keys and values as they are multiplied, and what else its scores depend on.

Three ways lead to them. Most models hand them to a function that one can register with transformers. Others call PyTorch's
`scaled_dot_product_attention` themselves. Of the few that do neither, `FUSED` says how to split what their projection gives."""

import contextlib
import sys
from dataclasses import dataclass

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, eager_mask, sdpa_mask

from .errors import Refused

# The names under which functions are registered.
BY_SDPA, BY_ROWS = "contrib_recorded", "contrib_recorded_by_rows"
# Queries in one call of a function that holds all their scores.
ROWS = 256


@dataclass
class Heads:
    """`queries [pos, head, d]`, `keys` and `values` `[key_pos, kv_head, d]`."""

    queries: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor
    scale: float
    window: int = 0
    soft_cap: float = 0.0
    sinks: torch.Tensor | None = None
    slopes: torch.Tensor | None = None

    @property
    def n_heads(self):
        return self.queries.shape[1]

    @property
    def n_kv_heads(self):
        return self.keys.shape[1]

    @property
    def group(self):
        """How many heads share a key."""
        return self.n_heads // self.n_kv_heads

    def converted(self, dtype):
        return Heads(self.queries.to(dtype), self.keys.to(dtype), self.values.to(dtype), self.scale, self.window,
                     self.soft_cap, self.sinks, self.slopes)


def on_cpu(tensor):
    return None if tensor is None else tensor.detach().to("cpu", copy=True)


def by_position(tensor):
    """`[1, head, pos, d]` as `[pos, head, d]`."""
    return on_cpu(tensor[0].transpose(0, 1)).contiguous()


def window_of(mask, n_pos):
    """How many keys a query sees at most, by the last row of a mask `[1, 1 or head, query, key]`; 0 where it sees all."""
    if mask is None:
        return 0
    last = mask[0, 0, -1, :n_pos]
    seen = last if last.dtype == torch.bool else last > torch.finfo(last.dtype).min / 2
    count = int(seen.sum())
    return 0 if count == n_pos else count


class Capture(TorchFunctionMode):
    """While it is entered, keeps what each attention module reads, until it is taken."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.heads = {}
        self.running = []

    @contextlib.contextmanager
    def attached(self, name):
        """Has the model call the function that is registered under a name, where it can."""
        before = self.model.config._attn_implementation
        # Some warn that they have their own attention; `__torch_function__` and FUSED are for them.
        if self.model._can_set_attn_implementation():
            self.model.set_attn_implementation(name)
        handles = []
        for module in self.model.modules():
            handles.append(module.register_forward_pre_hook(self.entered, with_kwargs=True))
            handles.append(module.register_forward_hook(self.left, with_kwargs=True, always_call=True))
        global capturing
        capturing = self
        try:
            with self:
                yield self
        finally:
            capturing = None
            for handle in handles:
                handle.remove()
            if self.model.config._attn_implementation != before:
                self.model.set_attn_implementation(before)

    def take(self, module):
        return self.heads.pop(module)

    def keep(self, module, heads):
        if module in self.heads:
            raise Refused(f"{type(module).__name__} attends twice in one pass, which a recording has no place for.")
        self.heads[module] = heads

    def entered(self, module, *_):
        self.running.append(module)

    def left(self, module, args, kwargs, output):
        self.running.pop()
        parent = self.running[-1] if self.running else None
        split = FUSED.get(type(parent).__name__)
        if split and module is getattr(parent, split.projection):
            parent.contrib_fused = output
        split = FUSED.get(type(module).__name__)
        if split:
            self.keep(module, split.heads(module, module.__dict__.pop("contrib_fused"), args, kwargs))

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is functional.scaled_dot_product_attention and self.running:
            self.called(*args, **kwargs)
        return function(*args, **kwargs)

    def called(self, query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, **_):
        """A module called PyTorch's function, by itself or through one that has kept all already."""
        module = self.running[-1]
        if module not in self.heads:
            self.keep(module, Heads(by_position(query), by_position(key), by_position(value),
                                    query.shape[-1] ** -0.5 if scale is None else scale,
                                    window_of(attn_mask, query.shape[2])))


# What is entered now. Functions that are registered are not told by whom they are called.
capturing = None


def recorded(by_rows):
    """A function for transformers: keeps what attention reads, and has the plain function calculate."""

    def attention(module, query, key, value, attention_mask, scaling=None, softcap=None, s_aux=None, **kwargs):
        if kwargs.get("position_bias") is not None:
            raise Refused("The model adds a learned bias of positions to its scores, which a recording has no place for.")
        scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
        capturing.keep(module, Heads(by_position(query), by_position(key), by_position(value), scale,
                                     window_of(attention_mask, query.shape[2]), float(softcap or 0), on_cpu(s_aux)))
        if softcap is not None:
            kwargs["softcap"] = softcap
        if s_aux is not None:
            kwargs["s_aux"] = s_aux
        if not by_rows:
            if softcap is not None or s_aux is not None:
                raise Refused("Layers have a soft cap or sinks, and had none for the first tokens.")
            return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
        # Those that models bring are exact in all that is given, and hold all scores of the queries that they are given.
        plain = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
        if plain is None:
            raise Refused(f"{type(module).__name__} brings no function that calculates attention plainly.")
        blocks = [plain(module, query[:, :, first:first + ROWS], key, value, attention_mask[:, :, first:first + ROWS],
                        scaling=scaling, **kwargs)[0] for first in range(0, query.shape[2], ROWS)]
        return torch.cat(blocks, dim=1), None

    return attention


for name, by_rows, mask in ((BY_SDPA, False, sdpa_mask), (BY_ROWS, True, eager_mask)):
    AttentionInterface.register(name, recorded(by_rows))
    AttentionMaskInterface.register(name, mask)


@dataclass
class Fused:
    """How to split what one projection gives into queries, keys and values."""

    projection: str
    heads: callable


def argument(name, place, args, kwargs):
    return kwargs[name] if name in kwargs else args[place]


def slopes_of(biases):
    """The slope of each head, of biases `[head, 1, key_pos]` that are linear in the position of the key."""
    if biases.shape[-1] < 2:
        raise Refused("A prompt of one token does not show the slopes of ALiBi.")
    biases = on_cpu(biases).double()
    # The last ones are the longest apart, and each is rounded.
    return (biases[:, 0, -1] - biases[:, 0, 0]) / (biases.shape[-1] - 1)


def of_bloom(module, fused, args, kwargs):
    query, key, value = module._reshape(fused)
    return Heads(by_position(query), by_position(key), by_position(value), float(module.inv_norm_factor),
                 slopes=slopes_of(argument("alibi", 2, args, kwargs)))


def of_mpt(module, fused, args, kwargs):
    if module.clip_qkv:
        fused = fused.clamp(min=-module.clip_qkv, max=module.clip_qkv)
    query, key, value = (on_cpu(part[0]).reshape(len(part[0]), module.n_heads, module.head_dim)
                         for part in fused.chunk(3, dim=2))
    biases = argument("position_bias", 1, args, kwargs)
    return Heads(query, key, value, float(module.softmax_scale), slopes=None if biases is None else slopes_of(biases))


FUSED = {
    "BloomAttention": Fused("query_key_value", of_bloom),
    "MptAttention": Fused("Wqkv", of_mpt),
}
