"""How a model's blocks are built, found out by watching a pass over a few tokens.

What a module reads and writes says what it is for: the norm that reads what attention writes is a post-norm; where the MLP, or
the norm before it, reads what the block reads, both run in parallel. Nothing is taken on trust: `checks` add up what is
recorded."""

from dataclasses import dataclass

import torch
from torch import nn

from .attention import BY_ROWS, Capture
from .errors import Refused
from .norms import is_norm


@dataclass
class Block:
    """A layer of the model, and those of its modules whose inputs and outputs are recorded."""

    layer: nn.Module
    attention: nn.Module
    # The matrix by which heads write into the stream.
    out_proj: nn.Module
    # Normalises what attention adds, where the model does.
    attention_norm: nn.Module | None
    # The module that reads resid_mid. None where attention and MLP run in parallel.
    reads_mid: nn.Module | None
    # The module that writes what the MLP adds, before it is normalised.
    mlp: nn.Module
    mlp_norm: nn.Module | None
    # What of that is the bias of the last matrix.
    mlp_bias: torch.Tensor | None


@dataclass
class Plan:
    blocks: list
    # By what what blocks add is multiplied.
    multiplier: float
    # Whether attention has to be calculated with all scores of a query in memory.
    by_rows: bool
    # What the attention of each block read.
    heads: list

    @property
    def is_parallel(self):
        return self.blocks[0].reads_mid is None


@dataclass
class Call:
    """A module was called."""

    module: nn.Module
    given: torch.Tensor
    result: torch.Tensor


def first_tensor(things):
    """What a module reads or writes: itself, or the first of a tuple."""
    if isinstance(things, torch.Tensor):
        return things
    return next((thing for thing in things if isinstance(thing, torch.Tensor)), None)


def as_rows(tensor):
    """`[1, pos, d]` or `[pos, d]` as `[pos, d]`."""
    return tensor.detach().reshape(-1, tensor.shape[-1])


def given_to(args, kwargs):
    """The stream that a module reads."""
    return first_tensor([*args, kwargs.get("hidden_states"), *kwargs.values()])


def is_same(one, other):
    return one.shape == other.shape and torch.equal(one, other)


def is_matrix(module):
    weight = getattr(module, "weight", None)
    return isinstance(weight, torch.Tensor) and weight.dim() == 2 and weight.is_floating_point() and not is_norm(module)


def is_within(module, whole):
    return any(module is inner for inner in whole.modules())


class Watch:
    """While it is entered, keeps what every module of some layers reads and writes."""

    def __init__(self, layers):
        self.layers, self.calls, self.handles = layers, {layer: [] for layer in layers}, []

    def __enter__(self):
        for layer in self.layers:
            for module in layer.modules():
                pending = []

                def before(_, args, kwargs, pending=pending):
                    given = given_to(args, kwargs)
                    pending.append(None if given is None else as_rows(given).clone())

                def after(module, args, kwargs, output, pending=pending, calls=self.calls[layer]):
                    given, result = pending.pop(), first_tensor(output)
                    if given is not None and result is not None:
                        calls.append(Call(module, given, as_rows(result).clone()))

                self.handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
                self.handles.append(module.register_forward_hook(after, with_kwargs=True))
        return self

    def __exit__(self, *_):
        for handle in self.handles:
            handle.remove()


def layers_of(model):
    """The layers of the model: the longest list of modules of one class that is not within another list."""
    lists = []
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and not any(is_within(module, outer) for outer in lists):
            lists.append(module)
    alike = [found for found in lists if len({type(layer) for layer in found}) == 1]
    if not alike:
        raise Refused(f"{type(model).__name__} has no list of layers.")
    return list(max(alike, key=len))


def block_of(layer, attention, calls):
    """What the modules of a layer are for."""
    kind = type(layer).__name__
    whole = next(call for call in reversed(calls) if call.module is layer)
    within = [call for call in calls if is_within(call.module, attention)]
    outside = [call for call in calls if call not in within and call is not whole]
    projections = [call for call in within if is_matrix(call.module)]
    if not projections:
        raise Refused(f"{kind}: no matrix was seen by which attention writes into the stream.")
    out_proj = projections[-1]

    def norm_after(result):
        return next((call for call in outside if is_norm(call.module) and is_same(call.given, result)), None)

    children = set(layer.children())
    steps = [call for call in outside if call.module in children and not is_within(attention, call.module)
             and not is_norm(call.module) and any(True for _ in call.module.parameters())]
    if not steps:
        raise Refused(f"{kind}: no MLP was seen.")
    first, mlp = steps[0], steps[-1]
    matrices = [call for call in outside if is_matrix(call.module) and is_within(call.module, mlp.module)]
    # Some MLPs add what they write to the stream themselves.
    if is_same(mlp.result, whole.result) and matrices:
        mlp = matrices[-1]
    last = next((call for call in matrices if is_same(call.result, mlp.result)), None)
    bias = getattr(last.module, "bias", None) if last else None

    reader = first
    norm_before = next((call for call in outside if is_norm(call.module) and is_same(call.result, first.given)), None)
    if norm_before:
        reader = norm_before
    is_parallel = is_same(reader.given, whole.given)
    attention_norm, mlp_norm = norm_after(out_proj.result), norm_after(mlp.result)
    return Block(layer, attention, out_proj.module, attention_norm and attention_norm.module,
                 None if is_parallel else reader.module, mlp.module, mlp_norm and mlp_norm.module, bias)


def explore(model, ids):
    """How the blocks of the model are built, by a pass over these few tokens."""
    layers = layers_of(model)
    capture = Capture(model)
    with torch.no_grad(), capture.attached(BY_ROWS), Watch(layers) as watch:
        model(input_ids=ids, use_cache=False)
    blocks, heads = [], []
    for layer in layers:
        attentions = [module for module in layer.modules() if module in capture.heads]
        if len(attentions) != 1:
            raise Refused(f"{type(layer).__name__}: attention whose queries and keys can be had was seen {len(attentions)} "
                          "times in a layer, and not once.")
        blocks.append(block_of(layer, attentions[0], watch.calls[layer]))
        heads.append(capture.take(attentions[0]))
    if len({block.reads_mid is None for block in blocks}) != 1:
        raise Refused("Some layers run attention and MLP in parallel, and others do not.")
    shapes = {(*found.queries.shape[1:], *found.values.shape[1:]) for found in heads}
    if len(shapes) != 1:
        raise Refused("Layers differ in their heads.")
    if len({found.soft_cap for found in heads}) != 1:
        raise Refused("Layers differ in the soft cap of their scores.")
    multiplier = float(getattr(model.config, "residual_multiplier", None) or 1.0)
    by_rows = any(found.soft_cap or found.sinks is not None for found in heads)
    return Plan(blocks, multiplier, by_rows, heads)
