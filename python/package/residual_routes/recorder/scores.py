"""How much queries attend to keys: the formula of contrib, written down plainly."""

import torch

# Queries for which scores are held at once.
ROWS = 512


def scores_of(heads, head, rows, dtype):
    """Scores before the mask, `[row, key_pos]`, of one head's queries at the positions `rows`, and the mask."""
    queries = heads.queries[rows, head].to(dtype)
    keys = heads.keys[:, head // heads.group].to(dtype)
    scores = heads.scale * (queries @ keys.T)
    if heads.soft_cap:
        scores = heads.soft_cap * torch.tanh(scores / heads.soft_cap)
    distance = torch.arange(len(keys)) - rows[:, None]
    if heads.slopes is not None:
        scores += heads.slopes[head].to(dtype) * distance
    allowed = distance <= 0
    if heads.window:
        allowed &= distance > -heads.window
    return scores, allowed


def pattern_and_mask(heads, head, rows, dtype=torch.float64):
    """`[row, key_pos]` each: one head's pattern at the positions `rows`, and which keys are allowed."""
    scores, allowed = scores_of(heads, head, rows, dtype)
    scores = scores.masked_fill(~allowed, -torch.inf)
    if heads.sinks is None:
        return torch.softmax(scores, dim=1), allowed
    sinks = heads.sinks[head].to(dtype).expand(len(rows), 1)
    return torch.softmax(torch.cat([scores, sinks], dim=1), dim=1)[:, :-1], allowed


def pattern_blocks(heads):
    """The whole pattern `[head, pos, key_pos]`, block by block."""
    n_pos = len(heads.queries)
    for head in range(heads.n_heads):
        for first in range(0, n_pos, ROWS):
            yield pattern_and_mask(heads, head, torch.arange(first, min(first + ROWS, n_pos)))[0]
