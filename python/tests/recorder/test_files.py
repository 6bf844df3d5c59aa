"""The file itself: types, patterns, texts of tokens, next tokens, long prompts, and what interrupts."""

import json

import numpy as np
import pytest
import torch
from residual_routes.recorder import record
from residual_routes.recorder.texts import texts
from residual_routes.recorder.writer import Writer
from families import RECORDED, VOCABULARY, make, tokens
from naive import Recording
from safetensors import safe_open


def family(name, **changes):
    kind, options = RECORDED[name]
    return make(kind, {**options, **changes})


@pytest.mark.parametrize("dtype, close", [("f16", 2e-2), ("bf16", 1.5e-1)])
def test_halves_are_the_same_numbers_rounded(dtype, close, tmp_path):
    model = family("gemma3")
    record(model, tokens(), tmp_path / "single.safetensors", with_pattern=True)
    record(model, tokens(), tmp_path / "half.safetensors", dtype=dtype, with_pattern=True)
    single, half = (Recording(tmp_path / f"{name}.safetensors") for name in ("single", "half"))
    assert single.tensors.keys() == half.tensors.keys()
    for name, tensor in single.tensors.items():
        np.testing.assert_allclose(half.tensors[name], tensor, atol=close * max(1, abs(tensor).max()), rtol=0)
    with safe_open(str(tmp_path / "half.safetensors"), "pt") as file:
        assert file.get_slice("w_o.0").get_dtype() == {"f16": "F16", "bf16": "BF16"}[dtype]
        assert file.get_slice("resid_pre.0").get_dtype() == "F32"


def test_each_tensor_begins_where_its_type_can_be_read_in_place(tmp_path):
    # 5 positions and odd extents: patterns of 4 * 5 * 5, keys of 5 * 1 * 3.
    model = family("qwen3", head_dim=6, num_key_value_heads=1, num_attention_heads=3, hidden_size=18)
    path = tmp_path / "odd.safetensors"
    record(model, tokens()[:5], path, dtype="f16", with_pattern=True)
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__")
    sizes = {"F32": 4, "F16": 2}
    assert {entry["dtype"] for entry in header.values()} == set(sizes)
    for name, entry in header.items():
        assert (8 + length + entry["data_offsets"][0]) % sizes[entry["dtype"]] == 0, name


def test_a_recorded_pattern_is_that_of_queries_and_keys(tmp_path):
    record(family("mistral"), tokens(), tmp_path / "with.safetensors", with_pattern=True)
    recording = Recording(tmp_path / "with.safetensors")
    for layer in range(recording.n_layers):
        np.testing.assert_allclose(recording.get("pattern", layer), recording.pattern(layer), atol=1e-6)


def test_next_tokens_are_those_of_the_model(tmp_path):
    model = family("opt")
    record(model, tokens(), tmp_path / "next.safetensors")
    with torch.no_grad():
        probabilities = torch.softmax(model(input_ids=tokens()[None]).logits[0, -1], dim=-1)
    found = json.loads(Recording(tmp_path / "next.safetensors").metadata["next_tokens"])
    assert len(found) == 5
    for number, probability in found:
        assert probability == pytest.approx(float(probabilities[int(number)]), abs=1e-5)
    assert float(found[0][1]) == pytest.approx(float(probabilities.max()), abs=1e-5)


@pytest.mark.parametrize("name", ["llama", "mistral", "gemma2", "gpt_oss"])
def test_prompts_longer_than_a_block_of_queries_are_recorded(name, tmp_path):
    model = family(name, max_position_embeddings=700)
    ids = torch.randint(1, VOCABULARY, (600,), generator=torch.Generator().manual_seed(5))
    record(model, ids, tmp_path / "long.safetensors")
    recording = Recording(tmp_path / "long.safetensors")
    assert recording.tensors["resid_post"].shape[0] == 600
    if name != "llama":
        assert "window" in recording.metadata


def test_one_token_is_a_prompt(tmp_path):
    record(family("llama"), [3], tmp_path / "one.safetensors")
    assert json.loads(Recording(tmp_path / "one.safetensors").metadata["tokens"]) == ["3"]


def test_an_interrupted_recording_leaves_no_file(tmp_path):
    def interrupt(done, n_layers):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        record(family("llama"), tokens(), tmp_path / "none.safetensors", progress=interrupt)
    assert not list(tmp_path.iterdir())


def test_tensors_are_written_as_announced_or_not_at_all(tmp_path):
    announced = [("one", torch.float32, (2, 3)), ("two", torch.float16, (4,))]
    with Writer(tmp_path / "file.safetensors", announced, 100) as writer:
        writer.write("one", [torch.ones(1, 3), torch.zeros(1, 3)])
        writer.write("two", torch.arange(4.0))
        writer.finish({"key": "value"})
    with safe_open(str(tmp_path / "file.safetensors"), "pt") as file:
        assert file.metadata() == {"key": "value"}
        assert file.get_tensor("one").tolist() == [[1, 1, 1], [0, 0, 0]]
        assert file.get_tensor("two").tolist() == [0, 1, 2, 3]
    for name, tensor in (("two", torch.ones(4)), ("one", torch.ones(2, 2))):
        with pytest.raises(AssertionError), Writer(tmp_path / "wrong.safetensors", announced, 100) as writer:
            writer.write(name, tensor)
    assert [found.name for found in tmp_path.iterdir()] == ["file.safetensors"]


class Tokenizer:
    """A vocabulary of these pieces."""

    all_special_ids = [0]

    def __init__(self, *pieces):
        self.pieces = pieces

    def convert_ids_to_tokens(self, ids):
        return [self.pieces[number] for number in ids]


def test_tokens_have_their_texts():
    byte_level = Tokenizer("<s>", "The", "Ġcapital", "Ċ", "âĤ", "¬", "Ã©")
    assert texts(byte_level, range(7)) == ["<s>", "The", " capital", "\n", "<0xE2><0x82>", "<0xAC>", "é"]
    sentence_piece = Tokenizer("<s>", "▁The", "▁capital", "<0x0A>", "<0xE2>", "é")
    assert texts(sentence_piece, range(6)) == ["<s>", " The", " capital", "\n", "<0xE2>", "é"]
