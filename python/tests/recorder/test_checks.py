"""What is recorded wrongly is noticed, whatever it is."""

import importlib

import pytest
import torch
from residual_routes.recorder import Refused, attention, norms, record, structure
from residual_routes.recorder.record import TOKENS_TO_EXPLORE
from families import RECORDED, make, tokens

# The module, whose name in the package is the function's.
recorder = importlib.import_module("residual_routes.recorder.record")


def family(name):
    kind, options = RECORDED[name]
    return make(kind, dict(options))


def spoiled_heads(monkeypatch, spoil):
    """Has each attention's heads changed before they are recorded."""
    take = attention.Capture.take

    def taken(self, module):
        heads = take(self, module)
        if len(heads.queries) > TOKENS_TO_EXPLORE:
            spoil(heads)
        return heads

    monkeypatch.setattr(attention.Capture, "take", taken)


def scaled(name, factor):
    def spoil(heads):
        setattr(heads, name, getattr(heads, name) * factor)
    return spoil


def without(name):
    def spoil(heads):
        setattr(heads, name, None if name in ("sinks", "slopes") else 0)
    return spoil


def of_the_key_before(heads):
    heads.keys = heads.keys.roll(1, dims=0)


@pytest.mark.parametrize("name, spoil", [
    ("llama", scaled("values", 1 + 1e-4)),
    ("llama", scaled("queries", 1 + 1e-3)),
    ("llama", of_the_key_before),
    ("mistral", without("window")),
    ("gemma2", without("soft_cap")),
    ("gemma2", without("window")),
    ("gpt_oss", without("sinks")),
    ("bloom", without("slopes")),
])
def test_attention_that_is_recorded_wrongly_is_noticed(name, spoil, monkeypatch, tmp_path):
    spoiled_heads(monkeypatch, spoil)
    with pytest.raises(Refused, match="differ from what attention writes"):
        record(family(name), tokens(), tmp_path / "none.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_a_key_too_far_is_noticed_in_halves(dtype, monkeypatch, tmp_path):
    spoiled_heads(monkeypatch, of_the_key_before)
    with pytest.raises(Refused, match="differ from what attention writes"):
        record(family("llama"), tokens(), tmp_path / "none.safetensors", dtype=dtype)


def test_a_bias_that_is_left_out_is_noticed(monkeypatch, tmp_path):
    output_of = recorder.output_of
    monkeypatch.setattr(recorder, "output_of", lambda *given: (output_of(*given)[0], None))
    with pytest.raises(Refused, match="differ from what attention writes"):
        record(family("gpt2"), tokens(), tmp_path / "none.safetensors")


def test_a_factor_of_a_norm_that_is_wrong_is_noticed(monkeypatch, tmp_path):
    monkeypatch.setattr(recorder, "factor_of", lambda *given: norms.factor_of(*given) * (1 + 1e-4))
    with pytest.raises(Refused, match="norm"):
        record(family("gemma2"), tokens(), tmp_path / "none.safetensors")


@pytest.mark.parametrize("changes, sentence", [
    ({"attention_norm": None}, "resid_pre and attention"),
    ({"mlp_norm": None}, "resid_mid and the MLP"),
])
def test_a_post_norm_that_is_overlooked_is_noticed(changes, sentence, monkeypatch, tmp_path):
    block_of = structure.block_of

    def changed(*given):
        block = block_of(*given)
        for name, value in changes.items():
            setattr(block, name, value)
        return block

    monkeypatch.setattr(structure, "block_of", changed)
    with pytest.raises(Refused, match=sentence):
        record(family("gemma2"), tokens(), tmp_path / "none.safetensors")


def test_a_multiplier_that_is_not_known_is_noticed(monkeypatch, tmp_path):
    model = family("granite")
    # The layers have read it already.
    model.config.residual_multiplier = 1.0
    with pytest.raises(Refused, match="resid_pre and attention"):
        record(model, tokens(), tmp_path / "none.safetensors")


def test_a_model_that_changes_the_stream_between_layers_is_refused(tmp_path):
    model = family("llama")
    layer = model.model.layers[1]
    forward = layer.forward
    layer.forward = lambda hidden_states, **rest: forward(hidden_states, **rest)
    layer.register_forward_pre_hook(lambda _, args: (args[0] * 1.5, *args[1:]))
    with pytest.raises(Refused, match="between layers 0 and 1"):
        record(model, tokens(), tmp_path / "none.safetensors")


def test_numbers_that_a_half_cannot_hold_are_refused(tmp_path):
    model = family("llama")
    model.model.layers[0].self_attn.v_proj.weight.data *= 1e6
    model.model.layers[0].self_attn.o_proj.weight.data *= 1e-6
    record(model, tokens(), tmp_path / "single.safetensors")
    with pytest.raises(Refused):
        record(model, tokens(), tmp_path / "half.safetensors", dtype="f16")
    assert [found.name for found in tmp_path.iterdir()] == ["single.safetensors"]


def test_weights_in_halves_are_recorded(tmp_path):
    kind, options = RECORDED["llama"]
    for dtype in (torch.bfloat16, torch.float16):
        record(make(kind, dict(options), dtype), tokens(), tmp_path / "halves.safetensors", dtype="bf16")
