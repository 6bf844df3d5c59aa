"""Arrays of each library that tests know."""

import numpy as np
import pytest

try:
    import torch
except ImportError:
    torch = None
try:
    import ml_dtypes
except ImportError:
    ml_dtypes = None

needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")

KINDS = ["numpy", pytest.param("torch", marks=needs_torch)]


def array(kind, values, dtype=np.float32):
    values = np.asarray(values, dtype)
    return values if kind == "numpy" else torch.from_numpy(values.copy())


def array_of(kind, values, stored):
    """A stored array; the bits of BF16 come as uint16."""
    if stored != "BF16":
        return array(kind, values, values.dtype)
    if kind == "torch":
        return torch.from_numpy(values.astype(np.int16)).view(torch.bfloat16)
    if ml_dtypes is None:
        pytest.skip("NumPy has no bfloat16 without ml_dtypes")
    return values.view(ml_dtypes.bfloat16)


def is_of(kind, result):
    return isinstance(result, np.ndarray if kind == "numpy" else torch.Tensor)


def to_float64(result):
    if torch is not None and isinstance(result, torch.Tensor):
        return result.double().numpy()
    return np.asarray(result, np.float64)
