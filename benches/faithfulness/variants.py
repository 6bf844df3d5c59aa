"""Scores of a prompt's tokens by all variants of routes, and by what they are compared with."""

import numpy as np

from dense import Dense, above, above_by_layer, above_share, largest, without_first
from residual_routes import Recording, routes
from residual_routes.faithfulness import attention_rollout, gradient_times_input, mean_attention, random_scores
from residual_routes.recorder import Kept, record

NORMS = [1, 2]
THRESHOLDS = [0, 0.005, 0.01, 0.015, 0.02, 0.04, 0.08]
COMPARED_WITH = ["mean attention", "attention rollout", "gradient times input", "random"]
# Of these, five tokens are hidden together, too.
TOP_FIVE = [*COMPARED_WITH, "routes, 1-norm, 0", "routes, 1-norm, 0.015", "routes, 1-norm, 0.04", "routes, 1-norm, 0.08",
            "routes, 2-norm, 0.01", "moved to others, 1-norm, 0.015"]
# Of the other ways, those that are measured on all prompts.
OTHER_WAYS = ["moved to others, 1-norm, 0.015", "moved to others, 1-norm, 0.04", "moved to the last, 1-norm, 0.01",
              "moved to the last, 1-norm, 0.015", "moved to others, 2-norm, 0.01"]


def tops_of(name, explore):
    """How many of a ranking's tokens are hidden together."""
    if name in TOP_FIVE:
        return 1, 3, 5
    return (1, 3) if explore or name in COMPARED_WITH or name in OTHER_WAYS or name.startswith("routes") else (1,)


def routes_name(norm, threshold, renormalise):
    return f"routes, {norm}-norm, {threshold:g}" + (", renormalised" if renormalise else "")


def by_routes(recording):
    for norm in NORMS:
        for threshold in THRESHOLDS:
            for renormalise in (None, threshold) if threshold else (None,):
                found = routes(recording, threshold=threshold, renormalise=renormalise, norm=norm)
                yield routes_name(norm, threshold, renormalise is not None), found.totals.tokens


def in_other_ways(recording, of_routes):
    """The same contributions, kept or added up in ways that routes do not know."""
    for norm in NORMS:
        dense = Dense(recording, norm)
        n_layers, n_pos = dense.mlp.shape
        for threshold in (0, 0.01, 0.015, 0.04):
            arrives, moved, direct = dense.flow(above(threshold))
            if not np.allclose(arrives, of_routes[routes_name(norm, threshold, False)], rtol=1e-6, atol=1e-9):
                raise SystemExit(f"flow as arrays differs from routes, {norm}-norm, {threshold}")
            yield f"moved to others, {norm}-norm, {threshold:g}", moved
            yield f"moved to the last, {norm}-norm, {threshold:g}", direct
        for first, last in ((0, 0.03), (0.03, 0)):
            keep = above_by_layer(first, last, n_layers)
            yield f"thresholds by layer {first:g} to {last:g}, {norm}-norm", dense.flow(keep)[0]
        for share in (0.1, 0.2):
            yield f"above {share:g} of attention's largest, {norm}-norm", dense.flow(above_share(share))[0]
        for count in (1, 3):
            yield f"attention's {count} largest, {norm}-norm", dense.flow(largest(count))[0]
        for threshold in (0, 0.015):
            yield f"nothing from the first token, {norm}-norm, {threshold:g}", dense.flow(without_first(threshold, n_pos))[0]


def all_scores(model, ids, prediction, seed):
    """By the names of variants: `[pos]`."""
    kept = Kept()
    record(model, ids, kept, with_pattern=True)
    patterns = [kept.tensors[name] for name in kept.tensors if name.startswith("pattern.")]
    recording = Recording(kept.tensors, by_pattern=False, **kept.metadata)
    of_routes = dict(by_routes(recording))
    return {
        "mean attention": mean_attention(patterns),
        "attention rollout": attention_rollout(patterns),
        "gradient times input": gradient_times_input(model, ids, prediction),
        "random": random_scores(len(ids), seed),
        **of_routes,
        **dict(in_other_ways(recording, of_routes)),
    }
