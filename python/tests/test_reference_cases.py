"""Every reference case, as NumPy and as PyTorch, against the reference in float64."""

import json
from pathlib import Path

import numpy as np
import pytest
import residual_routes as rr
import stored
from kinds import KINDS, array_of, is_of, to_float64
from residual_routes import reference

CASES = Path(__file__).parents[2] / "crates/contrib-testing/cases"
if not CASES.is_dir():
    pytest.skip("the reference cases are in the repository", allow_module_level=True)

# How far results may be from the reference in float64, by the type that they are rounded to.
TOLERANCE = {"float64": 1e-12, "float32": 1e-6, "float16": 5e-4, "bfloat16": 4e-3}


def cases(index):
    return [pytest.param(case, id=case["file"].removesuffix(".safetensors")) for case in json.loads(index.read_text())]


def call(case, tensors):
    norm = float(case["norm"])
    get = tensors.__getitem__
    match case["op"]:
        case "contributions":
            return rr.contributions(get("whole"), get("parts"), norm=norm), None
        case "one_off":
            return rr.contributions(get("whole"), get("parts"), get("one_off"), norm=norm)
        case "attention":
            return rr.attention(get("resid_pre"), get("resid_mid"), get("decomposed_attn"), norm=norm)
        case "mlp":
            return rr.mlp(get("resid_mid"), get("resid_post"), get("mlp_out"), norm=norm)
        case "decomposed_mlp":
            return rr.neurons(get("resid_mid"), get("resid_post"), get("decomposed_mlp_out"), norm=norm)
        case "attention_factored":
            factors = {name: get(name) for name in ("pattern", "values", "w_o")}
            return rr.attention(get("resid_pre"), get("resid_mid"), **factors, norm=norm)
        case "mlp_neurons":
            factors = {name: get(name) for name in ("activations", "w_out")}
            return rr.neurons(get("resid_mid"), get("resid_post"), **factors, norm=norm)
        case "threshold":
            return rr.threshold_and_renormalise(get("c_blocks"), get("c_residual"), float(case["threshold"]))
        case "attention_from_queries_and_keys":
            return from_queries_and_keys(case, tensors, norm)


def from_queries_and_keys(case, tensors, norm):
    arrays = ["queries", "keys", "values", "w_o", "slopes", "sinks", "mask", "query_positions", "key_positions"]
    given = {name: tensors[name] for name in arrays if name in tensors}
    return rr.attention(
        tensors["resid_pre"],
        tensors["resid_mid"],
        **given,
        score_scale=float(case["scale"]),
        causal=case["causal"] == "1",
        window=int(case["window"]) or None,
        soft_cap=float(case["soft_cap"]) or None,
        first_query=None if "query_positions" in given else int(case["first_query"]),
        norm=norm,
    )


def by_the_reference_module(case, tensors):
    norm = float(case["norm"])
    get = tensors.__getitem__
    match case["op"]:
        case "contributions":
            return reference.get_contributions(get("parts"), get("whole"), norm), None
        case "one_off":
            return reference.get_contributions_with_one_off_part(get("parts"), get("one_off"), get("whole"), norm)
        case "attention":
            return reference.get_attention_contributions(
                get("resid_pre"), get("resid_mid"), get("decomposed_attn"), norm
            )
        case "mlp":
            return reference.get_mlp_contributions(get("resid_mid"), get("resid_post"), get("mlp_out"), norm)
        case "decomposed_mlp":
            return reference.get_decomposed_mlp_contributions(
                get("resid_mid"), get("resid_post"), get("decomposed_mlp_out"), norm
            )
        case "threshold":
            return reference.apply_threshold_and_renormalize(
                float(case["threshold"]), get("c_blocks"), get("c_residual")
            )
    return None


def check(case, tensors, kind, results):
    for name, result in zip(("expected", "expected_residual"), results):
        if result is None:
            continue
        assert is_of(kind, result)
        expected = to_float64(tensors[name])
        np.testing.assert_allclose(to_float64(result), expected, rtol=0, atol=tolerance(case))


def tolerance(case):
    # Scores of large magnitude are given in their own precision (section 6 of what the library computes).
    return 1e-5 if "large_scores" in case["file"] else TOLERANCE[case["dtype"]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", cases(CASES / "index.json") + cases(CASES / "query_key/index.json"))
def test_a_case_is_what_the_reference_gives_in_float64(case, kind):
    folder = CASES / ("query_key" if case["op"] == "attention_from_queries_and_keys" else "")
    tensors = stored.load(folder / case["file"], lambda values, dtype: array_of(kind, values, dtype))
    check(case, tensors, kind, call(case, tensors))
    results = by_the_reference_module(case, tensors)
    if results is not None:
        check(case, tensors, kind, results)
