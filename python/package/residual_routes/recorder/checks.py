"""Whether what is recorded adds up: resid_pre and what heads move from keys and the bias are resid_mid, and with the MLP
resid_post, within the rounding of the types. A recording that does not is not written."""

import torch

from .errors import Refused
from .scores import pattern_and_mask

# Of so many queries at most, spread over the prompt, what heads move from each key is added up anew. All else is checked of all.
QUERIES = 128
SINGLE = torch.finfo(torch.float32).eps / 2


def unit(*dtypes):
    """The largest relative error of rounding to one of these."""
    return max(torch.finfo(dtype).eps / 2 for dtype in dtypes)


def rows_of(n_pos):
    """The positions of the queries that are checked: the first and the last among them."""
    return torch.linspace(0, n_pos - 1, min(n_pos, QUERIES), dtype=torch.float64).round().long()


def expect(what, layer, error, tolerance):
    """Refuses where an element of the error is not within the tolerance. (NaN is not.)"""
    excess = (error.abs() / tolerance.clamp_min(torch.finfo(torch.float64).tiny)).nan_to_num(nan=torch.inf)
    # What is exact has no tolerance, and needs none.
    excess[error == 0] = 0
    if excess.max() > 1:
        place = divmod(int(excess.argmax()), excess.shape[1])
        raise Refused(f"Layer {layer}: {what} by {float(error[place]):.3g} at position {place[0]}, channel {place[1]}; rounding "
                      f"would explain {float(tolerance[place]):.3g}. The model does something that the tool does not know.")


def check_attention(layer, heads, w_o, bias, written, computed_in):
    """That pattern times values times w_o, summed over heads and keys, and the bias is what attention's matrix wrote. `heads` and
    `w_o` are as recorded."""
    rows = rows_of(len(written))
    total = torch.zeros(len(rows), written.shape[1], dtype=torch.float64)
    tolerance = torch.zeros_like(total)
    rounding = unit(computed_in, heads.queries.dtype, w_o.dtype)
    # Sums of many products, in the model's matrices and in attention.
    of_sums = 4 * SINGLE * (len(written) + heads.n_heads * w_o.shape[1]) ** 0.5
    for head in range(heads.n_heads):
        pattern, allowed = pattern_and_mask(heads, head, rows)
        values = heads.values[:, head // heads.group].double()
        matrix = w_o[head].double()
        total += pattern @ values @ matrix
        # An error of a score is one of the pattern, in proportion; the products that make a score say how large it may be.
        queries, keys = heads.queries[rows, head].double(), heads.keys[:, head // heads.group].double()
        products = heads.scale * (queries.abs() @ keys.abs().T)
        score = products.masked_fill(~allowed, 0).amax(dim=1, keepdim=True)
        if heads.slopes is not None:
            score += float(heads.slopes[head].abs()) * len(written) * SINGLE / rounding
        tolerance += (rounding * (4 + 2 * score) + of_sums) * (pattern @ values.abs() @ matrix.abs())
    if bias is not None:
        total += bias.double()
        tolerance += unit(computed_in) * bias.double().abs()
    written = written[rows].double()
    expect("what heads move and the bias differ from what attention writes", layer, total - written,
           tolerance + 2 * unit(computed_in) * written.abs())


def check_sum(what, layer, parts, whole, computed_in):
    """That parts `[pos, d_model]` add up to their whole."""
    total, size = torch.zeros(whole.shape, dtype=torch.float64), whole.double().abs()
    for part in parts:
        total += part.double()
        size += part.double().abs()
    expect(what, layer, total - whole.double(), 4 * unit(computed_in) * size)
