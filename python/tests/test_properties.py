"""Any shapes, norms and kinds of results, against the formula in float64."""

import math

import numpy as np
import oracle
import residual_routes as rr
from hypothesis import given, settings
from hypothesis import strategies as st

SEEDS = st.integers(0, 2**32 - 1)
NORMS = st.sampled_from([1, 1.5, 2, 3, math.inf])
settings.register_profile("tests", deadline=None, max_examples=60)
settings.load_profile("tests")


def random(seed):
    generator = np.random.default_rng(seed)
    return lambda *shape: generator.standard_normal(shape)


@given(SEEDS, NORMS, st.lists(st.integers(1, 4), max_size=2), st.lists(st.integers(1, 5), max_size=2), st.integers(1, 70))
def test_contributions_are_the_formula(seed, norm, part_axes, batch_axes, d):
    normal = random(seed)
    parts = normal(*part_axes, *batch_axes, d)
    whole = parts.reshape(-1, *batch_axes, d).sum(axis=0) + normal(*batch_axes, d)
    [expected] = oracle.group_contributions(whole, [parts], norm)
    np.testing.assert_allclose(rr.contributions(whole, parts, norm=norm), expected, rtol=1e-9, atol=1e-12)
    one_off = normal(*batch_axes, d)
    for result, expected in zip(
        rr.contributions(whole, parts, one_off, norm=norm), oracle.group_contributions(whole, [parts, one_off], norm)
    ):
        np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-12)


@given(SEEDS, NORMS, st.integers(1, 2), st.integers(1, 7), st.sampled_from([(1, 1), (4, 2), (3, 1), (2, 2)]))
def test_attention_is_the_formula_from_a_pattern_and_from_queries_and_keys(seed, norm, batch, pos, heads):
    normal = random(seed)
    n_heads, kv_heads = heads
    d_head, d_model = 5, 24
    queries, keys = normal(batch, pos, n_heads, d_head), normal(batch, pos, kv_heads, d_head)
    values, w_o = normal(batch, pos, kv_heads, d_head), normal(n_heads, d_head, d_model)
    pattern = oracle.pattern(queries, keys)
    parts = oracle.decomposed_attn(pattern, values, w_o)
    resid_pre = normal(batch, pos, d_model)
    resid_mid = resid_pre + parts.sum(axis=(2, 3))
    expected, expected_resid = oracle.attention(resid_pre, resid_mid, parts, norm)
    moves = {"values": values, "w_o": w_o}
    for given_pattern in ({"pattern": pattern}, {"queries": queries, "keys": keys}):
        attn, resid = rr.attention(resid_pre, resid_mid, **given_pattern, **moves, norm=norm)
        np.testing.assert_allclose(attn, expected, atol=1e-9)
        np.testing.assert_allclose(resid, expected_resid, atol=1e-9)
        sums, _ = rr.attention(resid_pre, resid_mid, **given_pattern, **moves, norm=norm, sum_heads=True)
        np.testing.assert_allclose(sums, expected.sum(axis=-1), atol=1e-9)
    attn, resid = rr.attention(resid_pre, resid_mid, parts, norm=norm)
    np.testing.assert_allclose(attn, expected, atol=1e-9)
    np.testing.assert_allclose(resid, expected_resid, atol=1e-9)


@given(SEEDS, st.integers(1, 6), st.sampled_from([0.02, 0.1, 0.4]))
def test_the_largest_and_those_above_a_number_are_those_of_all(seed, k, above):
    normal = random(seed)
    pos, n_heads, d_head, d_model = 6, 3, 4, 20
    pattern = oracle.pattern(normal(1, pos, n_heads, d_head), normal(1, pos, n_heads, d_head))
    values, w_o = normal(1, pos, n_heads, d_head), normal(n_heads, d_head, d_model)
    resid_pre = normal(1, pos, d_model)
    resid_mid = resid_pre + oracle.decomposed_attn(pattern, values, w_o).sum(axis=(2, 3))
    factors = {"pattern": pattern, "values": values, "w_o": w_o}
    attn, resid = rr.attention(resid_pre, resid_mid, **factors)
    flat = attn.reshape(1, pos, -1)

    top, _ = rr.attention(resid_pre, resid_mid, **factors, top=k)
    np.testing.assert_array_equal(top.contributions, -np.sort(-flat, axis=-1)[..., :k])
    np.testing.assert_array_equal(np.take_along_axis(flat, top.indices, axis=-1), top.contributions)

    sparse, _ = rr.attention(resid_pre, resid_mid, **factors, above=above)
    np.testing.assert_array_equal(sparse.counts, (flat > above).sum(axis=-1))
    dense = np.zeros_like(flat)
    for row, (contributions, indices) in enumerate(zip(sparse.contributions[0], sparse.indices[0])):
        dense[0, row, indices[indices >= 0]] = contributions[indices >= 0]
    np.testing.assert_array_equal(dense, np.where(flat > above, flat, 0))
    np.testing.assert_allclose(sparse.contributions.sum(-1) + sparse.left_out + resid, 1, atol=1e-12)


@given(SEEDS, NORMS, st.integers(1, 9), st.integers(0, 3))
def test_groups_of_every_kind_are_normalised_together(seed, norm, neurons, batch):
    normal = random(seed)
    d = 16
    dense, activations, w_out, bias = normal(2, batch, d), normal(neurons, batch), normal(neurons, d), normal(batch, d)
    factored = activations[:, :, None] * w_out[:, None, :]
    whole = dense.sum(axis=0) + factored.sum(axis=0) + bias
    expected = oracle.group_contributions(whole, [dense, factored, bias], norm)
    group = rr.Group(coefficients=activations, directions=w_out[:, None, :])
    results = rr.group_contributions(whole, [dense, group, bias], norm=norm)
    for result, of_oracle in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, of_oracle, rtol=1e-9, atol=1e-12)
    [summed] = rr.group_contributions(whole, [rr.Group(parts=dense, summed_axes=1)], norm=norm)
    np.testing.assert_allclose(summed, np.ones(batch), atol=1e-12)


@given(SEEDS, st.sampled_from([-1.0, 0.0, 0.04, 0.3]))
def test_what_a_threshold_leaves_sums_to_one(seed, threshold):
    generator = np.random.default_rng(seed)
    shares = generator.dirichlet(np.full(12, 0.3), size=(2, 3))
    blocks, residual = shares[..., :-1], shares[..., -1]
    kept = np.where(shares > threshold, shares, 0)
    with np.errstate(invalid="ignore"):
        expected = kept / kept.sum(axis=-1, keepdims=True)
    new_blocks, new_residual = rr.threshold_and_renormalise(blocks, residual, threshold)
    np.testing.assert_allclose(new_blocks, expected[..., :-1], atol=1e-12)
    np.testing.assert_allclose(new_residual, expected[..., -1], atol=1e-12)
