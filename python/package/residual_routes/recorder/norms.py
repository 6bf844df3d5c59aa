"""By what a norm multiplies what a block adds to the stream."""

import torch

from .errors import Refused


def is_norm(module):
    """Whether a module is a norm: called one, and without a matrix."""
    return "norm" in type(module).__name__.lower() and all(weight.dim() < 2 for weight in module.parameters())


def factor_of(norm, given, result):
    """`[pos, d_model]`: by what each element of `given` is multiplied to give `result`. It does not depend on a single element
    but through 1/rms, so that it holds for each part of `given`."""
    given, result = given.double(), result.double()
    epsilon = next((getattr(norm, name) for name in ("variance_epsilon", "eps", "epsilon") if hasattr(norm, name)), None)
    if epsilon is None or getattr(norm, "bias", None) is not None:
        raise Refused(f"{type(norm).__name__} normalises what a block adds, and is no RMSNorm that the tool knows.")
    inverse = (given.square().mean(dim=-1, keepdim=True) + float(epsilon)).rsqrt()
    weight = getattr(norm, "weight", None)
    weight = torch.ones(given.shape[-1]) if weight is None else weight.detach().cpu()
    # Gemma's weights are what is added to 1.
    candidates = [inverse * (shift + weight.double()) for shift in (0, 1)]
    errors = [(given * factor - result).abs().max() for factor in candidates]
    best = min(range(len(candidates)), key=lambda index: errors[index])
    return candidates[best]
