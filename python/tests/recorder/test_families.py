"""Each family is recorded, compared with what the model says of itself without any hook, and added up anew in float64."""

import copy

import numpy as np
import pytest
import residual_routes
import torch
from families import RECORDED, REFUSED, make, tokens
from naive import Recording
from residual_routes import routes
from residual_routes.recorder import Refused, record

# Of single precision, in models whose streams are of the order of 10.
CLOSE = {"rtol": 1e-5, "atol": 2e-5}


@pytest.fixture(scope="module", params=RECORDED, ids=str)
def recorded(request, tmp_path_factory):
    """A model of a family, and the file of its recording."""
    kind, options = RECORDED[request.param]
    model = make(kind, copy.deepcopy(options))
    path = tmp_path_factory.mktemp("recordings") / f"{request.param}.safetensors"
    record(model, tokens(), path)
    return model, path


def test_the_parts_of_each_whole_add_up_to_it(recorded):
    _, path = recorded
    recording = Recording(path)
    for layer in range(recording.n_layers):
        resid_pre, resid_mid = recording.get("resid_pre", layer), recording.get("resid_mid", layer)
        if recording.metadata.get("parallel") == "true":
            assert resid_mid is None
            whole = resid_pre + recording.moved(layer) + recording.mlp(layer)
        else:
            np.testing.assert_allclose(resid_pre + recording.moved(layer), resid_mid, **CLOSE)
            whole = resid_mid + recording.mlp(layer)
        np.testing.assert_allclose(whole, recording.after(layer), **CLOSE)


def test_the_stream_is_what_the_model_gives_as_its_hidden_states(recorded):
    model, path = recorded
    recording = Recording(path)
    with torch.no_grad():
        states = model(input_ids=tokens()[None], output_hidden_states=True, use_cache=False).hidden_states
    assert len(states) == recording.n_layers + 1
    for layer in range(recording.n_layers):
        np.testing.assert_allclose(recording.get("resid_pre", layer), states[layer][0].double(), **CLOSE)


def test_queries_and_keys_make_the_pattern_of_the_model(recorded):
    model, path = recorded
    recording = Recording(path)
    plain = copy.deepcopy(model)
    plain.config._attn_implementation = "eager"
    with torch.no_grad():
        patterns = plain(input_ids=tokens()[None], output_attentions=True, use_cache=False).attentions
    for layer in range(recording.n_layers):
        np.testing.assert_allclose(recording.pattern(layer), patterns[layer][0].double(), atol=2e-6)


@pytest.mark.parametrize("name", ["llama", "falcon", "bloom"])
def test_the_model_is_left_as_it_was(name, tmp_path):
    kind, options = RECORDED[name]
    model = make(kind, copy.deepcopy(options))
    implementation = model.config._attn_implementation
    record(model, tokens(), tmp_path / "recording.safetensors")
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert model.config._attn_implementation == implementation
    assert not any("contrib" in name for module in model.modules() for name in vars(module))
    assert [found.name for found in tmp_path.iterdir()] == ["recording.safetensors"]


def test_routes_are_found_in_it(recorded):
    _, path = recorded
    found = routes(path, targets="all", threshold=0.01)
    assert found.n_pos == len(found.targets) == len(tokens())
    # Each token has at least its own way through each layer.
    assert len(found.edges) > len(found.nodes) > 3 * len(tokens())


def test_a_recording_in_memory_has_the_same_routes(recorded):
    model, path = recorded
    of_file, in_memory = routes(path, targets="all"), routes(residual_routes.record(model, tokens()), targets="all")
    np.testing.assert_array_equal(in_memory.edges, of_file.edges)
    assert in_memory.to_json() == of_file.to_json()


@pytest.mark.parametrize("name", REFUSED, ids=str)
def test_what_a_recording_has_no_place_for_is_refused(name, tmp_path):
    kind, options, sentence = REFUSED[name]
    with pytest.raises(Refused, match=sentence):
        record(make(kind, copy.deepcopy(options)), tokens(), tmp_path / "none.safetensors")
    assert not list(tmp_path.iterdir())
