"""All contributions of a prompt as arrays, from which flow is divided in other ways than routes do it."""

import numpy as np

from residual_routes import EdgeKind, NodeKind, routes


class Dense:
    """`attention [layer, query, key, head]`; `residual_mid`, `residual_post` and `mlp`, `[layer, pos]`. For models without biases whose
    blocks are in turn."""

    def __init__(self, recording, norm):
        found = routes(recording, targets="all", threshold=0, extent="all", norm=norm)
        edges = found.edges
        to, source = found.nodes[edges["to"]], found.nodes[edges["from"]]["position"]
        n_layers, n_pos = found.n_layers, found.n_pos

        def of(kind, whole):
            rows = np.flatnonzero((edges["kind"] == kind) & (to["kind"] == whole))
            part = np.zeros((n_layers, n_pos))
            part[to["layer"][rows], to["position"][rows]] = edges["weight"][rows]
            return part

        self.residual_mid = of(EdgeKind.RESIDUAL, NodeKind.RESID_MID)
        self.residual_post = of(EdgeKind.RESIDUAL, NodeKind.RESID_POST)
        self.mlp = of(EdgeKind.MLP_OUTPUT, NodeKind.RESID_POST)
        self.attention = np.zeros((n_layers, n_pos, n_pos, found.n_heads))
        rows = np.flatnonzero(edges["kind"] == EdgeKind.ATTENTION)
        self.attention[to["layer"][rows], to["position"][rows], source[rows], edges["head"][rows]] = edges["weight"][rows]

    def flow(self, keep, renormalise=False):
        """The flow of the last position, where `keep(layer, parts, of_attention)` says which parts of wholes stay: `parts`
        `[pos, part]`, and which of the last axis are attention's. What arrives at each embedding; what attention brings from each
        token to others, at all layers; what it brings from each to the last."""
        n_layers, n_pos = self.mlp.shape
        flow = np.zeros(n_pos)
        flow[-1] = 1
        moved, direct = np.zeros(n_pos), np.zeros(n_pos)
        for layer in reversed(range(n_layers)):
            post = np.stack([self.residual_post[layer], self.mlp[layer]], axis=1)
            flow = flow * weights(keep(layer, post, 0), post, renormalise).sum(axis=1)
            of_attention = self.attention[layer].reshape(n_pos, -1)
            mid = np.concatenate([of_attention, self.residual_mid[layer][:, None]], axis=1)
            mid = weights(keep(layer, mid, of_attention.shape[1]), mid, renormalise)
            by_key = mid[:, :-1].reshape(n_pos, n_pos, -1).sum(axis=2)
            brought = flow[:, None] * by_key
            others = brought - np.diag(np.diag(brought))
            moved += others.sum(axis=0)
            direct += others[-1]
            flow = brought.sum(axis=0) + flow * mid[:, -1]
        return flow, moved, direct


def weights(kept, parts, renormalise):
    """Parts of wholes; those that are not kept are 0, and the others are divided by their sum, if that is wanted."""
    parts = np.where(kept, parts, 0)
    if renormalise:
        total = parts.sum(axis=1, keepdims=True)
        parts = np.divide(parts, total, out=np.zeros_like(parts), where=total > 0)
    return parts


def above(threshold):
    """Parts above one threshold for all."""
    return lambda layer, parts, n_attention: parts > threshold


def above_by_layer(first, last, n_layers):
    """Parts above a threshold that goes in even steps from that of the first layer to that of the last."""
    thresholds = np.linspace(first, last, n_layers)
    return lambda layer, parts, n_attention: parts > thresholds[layer]


def above_share(share):
    """Attention's parts above a share of the largest of them; all others."""
    def keep(layer, parts, n_attention):
        kept = parts > 0
        if n_attention:
            attention = parts[:, :n_attention]
            kept[:, :n_attention] = attention > share * attention.max(axis=1, keepdims=True)
        return kept
    return keep


def largest(count):
    """So many of attention's parts of each whole, the largest; all others."""
    def keep(layer, parts, n_attention):
        kept = parts > 0
        if n_attention:
            attention = parts[:, :n_attention]
            least = np.partition(attention, n_attention - count - 1, axis=1)[:, n_attention - count - 1, None]
            kept[:, :n_attention] = attention > least
        return kept
    return keep


def without_first(threshold, n_pos):
    """Parts above a threshold, without those that attention brings from the first token."""
    def keep(layer, parts, n_attention):
        kept = parts > threshold
        if n_attention:
            kept[1:, :n_attention // n_pos] = False
        return kept
    return keep
