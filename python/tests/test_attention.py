"""The arguments of attention and its results, beyond what reference cases and properties have."""

import numpy as np
import oracle
import pytest
import residual_routes as rr
from kinds import KINDS, array, is_of, needs_torch, to_float64, torch

POS, N_HEADS, KV_HEADS, D_HEAD, D_MODEL = 6, 4, 2, 5, 24


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def layer(kind):
    normal = np.random.default_rng(1).standard_normal
    queries, keys = normal((1, POS, N_HEADS, D_HEAD)), normal((1, POS, KV_HEADS, D_HEAD))
    values, w_o = normal((1, POS, KV_HEADS, D_HEAD)), normal((N_HEADS, D_HEAD, D_MODEL))
    pattern = oracle.pattern(queries, keys)
    resid_pre, bias = normal((1, POS, D_MODEL)), normal(D_MODEL)
    resid_mid = resid_pre + oracle.decomposed_attn(pattern, values, w_o).sum(axis=(2, 3)) + bias
    arrays = {"resid_pre": resid_pre, "resid_mid": resid_mid, "pattern": pattern, "queries": queries, "keys": keys}
    arrays |= {"values": values, "w_o": w_o, "bias": bias}
    return {name: array(kind, values) for name, values in arrays.items()}


def call(layer, *names, **options):
    return rr.attention(layer["resid_pre"], layer["resid_mid"], **{name: layer[name] for name in names}, **options)


def test_a_missing_batch_axis_is_missing_everywhere(layer, kind):
    batched = call(layer, "pattern", "values", "w_o", one_offs=[layer["bias"]])
    items = {name: values if name in ("w_o", "bias") else values[0] for name, values in layer.items()}
    attn, resid, (bias,) = call(items, "pattern", "values", "w_o", one_offs=[layer["bias"]])
    for result, of_batch in zip((attn, resid, bias), (batched[0], batched[1], batched[2][0])):
        assert is_of(kind, result)
        np.testing.assert_array_equal(to_float64(result), to_float64(of_batch)[0])
    total = to_float64(attn).sum(axis=(1, 2)) + to_float64(resid) + to_float64(bias)
    np.testing.assert_allclose(total, 1, atol=1e-6)
    for name, options in {"top": {"top": 3}, "above": {"above": 0.04}, "sum_heads": {"sum_heads": True}}.items():
        of_item, _ = call(items, "queries", "keys", "values", "w_o", **options)
        of_batch, _ = call(layer, "queries", "keys", "values", "w_o", **options)
        if name == "sum_heads":
            of_item, of_batch = [of_item], [of_batch]
        for one, other in zip(of_item, of_batch):
            np.testing.assert_array_equal(to_float64(one), to_float64(other)[0])


def test_a_prepared_projection_gives_the_same_bits(layer):
    prepared = rr.PreparedProjection(layer["w_o"])
    assert prepared.shape == (N_HEADS, D_HEAD, D_MODEL)
    for norm in (1, 2):
        plain = call(layer, "pattern", "values", "w_o", norm=norm)
        again = call(layer, "pattern", "values", w_o=prepared, norm=norm)
        for one, other in zip(plain, again):
            np.testing.assert_array_equal(to_float64(one), to_float64(other))


def test_a_prepared_projection_outlives_its_array(layer, kind):
    expected = to_float64(call(layer, "pattern", "values", "w_o")[0])
    prepared = rr.PreparedProjection(layer.pop("w_o"))
    filler = [array(kind, np.full((N_HEADS, D_HEAD, D_MODEL), 1e9)) for _ in range(20)]
    np.testing.assert_array_equal(to_float64(call(layer, "pattern", "values", w_o=prepared)[0]), expected)
    del filler


@needs_torch
def test_a_prepared_projection_outlives_what_its_parameter_refers_to():
    normal = torch.Generator().manual_seed(1)
    w_o = torch.nn.Parameter(torch.randn(2, 4, 8, generator=normal))
    pattern, values = torch.tensor([[[1.0]], [[1.0]]]), torch.ones(1, 2, 4)
    stream = torch.ones(1, 8), torch.ones(1, 8) * 2
    prepared = rr.PreparedProjection(w_o)
    expected = rr.attention(*stream, pattern=pattern, values=values, w_o=prepared)[0].clone()
    w_o.data = torch.zeros(2, 4, 8)
    assert torch.equal(rr.attention(*stream, pattern=pattern, values=values, w_o=prepared)[0], expected)


def test_masked_keys_are_counted_unless_they_are_left_out(layer):
    counted, _ = call(layer, "pattern", "values", "w_o")
    left_out, _ = call(layer, "pattern", "values", "w_o", leave_out_masked=True)
    masked = to_float64(layer["pattern"]).transpose(0, 2, 3, 1) == 0
    assert masked.any()
    assert (to_float64(counted)[masked] > 0).all() and (to_float64(left_out)[masked] == 0).all()


def test_a_threshold_is_thresholding_and_renormalising(layer):
    attn, resid = call(layer, "pattern", "values", "w_o")
    expected = rr.threshold_and_renormalise(attn, resid, 0.04)
    for result, of_two_calls in zip(call(layer, "pattern", "values", "w_o", threshold=0.04), expected):
        np.testing.assert_allclose(to_float64(result), to_float64(of_two_calls), atol=1e-6)


def test_value_output_is_the_product_of_values_and_w_o(layer, kind):
    values, w_o = to_float64(layer["values"]), to_float64(layer["w_o"])
    values = np.repeat(values, N_HEADS // KV_HEADS, axis=2)
    value_output = array(kind, np.einsum("bkhr,hrd->bkhd", values, w_o))
    expected, _ = call(layer, "pattern", "values", "w_o")
    result, _ = call(layer, "pattern", value_output=value_output)
    np.testing.assert_allclose(to_float64(result), to_float64(expected), atol=1e-6)


def test_outputs_are_written_where_they_are_given(layer, kind):
    attn, resid = array(kind, np.zeros((1, POS, POS, N_HEADS))), array(kind, np.zeros((1, POS)))
    first, second = call(layer, "pattern", "values", "w_o", out=(attn, None))
    assert first is attn and second is not resid
    expected, _ = call(layer, "pattern", "values", "w_o")
    np.testing.assert_array_equal(to_float64(attn), to_float64(expected))


@pytest.mark.parametrize(
    ("names", "options", "status", "argument"),
    [
        (["values", "w_o"], {}, "missing", "queries"),
        (["queries", "values", "w_o"], {}, "missing", "keys"),
        (["pattern", "queries", "keys", "values", "w_o"], {}, "conflict", "pattern"),
        (["pattern", "w_o"], {}, "missing", "values"),
        (["pattern", "values"], {}, "missing", "w_o"),
        (["pattern", "values", "w_o"], {"value_output": [0]}, "conflict", "value_output"),
        (["pattern", "values", "w_o"], {"decomposed_attn": [0]}, "conflict", "decomposed_attn"),
        (["pattern", "values", "w_o"], {"top": 1, "above": 0.1}, "conflict", "top"),
        (["pattern", "values", "w_o"], {"room": 1}, "conflict", "room"),
        (["pattern", "values", "w_o"], {"top": 1, "out": (None, None)}, None, None),
        (["pattern", "values", "w_o"], {"top": 25, "sum_heads": True}, "top_k", "out_attn"),
        (["pattern", "values", "w_o"], {"above": float("nan")}, "threshold", "above"),
        (["queries", "keys", "values", "w_o"], {"soft_cap": -1.0}, "number", "soft_cap"),
        (["queries", "keys", "values", "w_o"], {"key_positions": [0.5]}, "dtype", "key_positions"),
        (["queries", "keys", "values", "w_o"], {"mask": np.ones((1, 1, POS, POS), bool)}, "dtype", "mask"),
        (["queries", "keys", "values", "w_o"], {"mask": np.ones((1, 1, POS, POS), int)}, "dtype", "mask"),
    ],
)
def test_arguments_that_do_not_agree_are_errors(layer, names, options, status, argument):
    if status is None:
        call(layer, *names, **options)
        return
    with pytest.raises(rr.Error) as raised:
        call(layer, *names, **options)
    assert (raised.value.status, raised.value.argument) == (status, argument), raised.value


def test_a_batch_of_a_mlp_may_have_any_axes_up_to_two(kind):
    normal = np.random.default_rng(2).standard_normal
    for batch in [(), (3,), (2, 3)]:
        mid, out = normal((*batch, 8)), normal((*batch, 8))
        results = rr.mlp(array(kind, mid), array(kind, mid + out), array(kind, out))
        for result, expected in zip(results, oracle.group_contributions(mid + out, [out, mid])):
            assert is_of(kind, result) and tuple(result.shape) == batch
            np.testing.assert_allclose(to_float64(result), expected, atol=1e-5)


def test_the_largest_neurons_are_those_of_all(kind):
    normal = np.random.default_rng(3).standard_normal
    activations, w_out, mid = normal((3, 32)), normal((32, 16)), normal((3, 16))
    arrays = [array(kind, values) for values in (mid, mid + activations @ w_out)]
    factors = {"activations": array(kind, activations), "w_out": array(kind, w_out.T.copy()).T}
    neurons, _ = rr.neurons(*arrays, **factors)
    top, _ = rr.neurons(*arrays, **factors, top=4)
    assert isinstance(top, rr.Top)
    ordered = np.argsort(-to_float64(neurons), axis=-1, kind="stable")[:, :4]
    np.testing.assert_array_equal(to_float64(top.indices), ordered)
    sparse, _ = rr.neurons(*arrays, **factors, above=0.05)
    assert isinstance(sparse, rr.Sparse)
    np.testing.assert_array_equal(to_float64(sparse.counts), (to_float64(neurons) > 0.05).sum(axis=-1))
