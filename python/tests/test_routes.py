"""Routes through the recording of the examples."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import residual_routes as rr
import stored
from kinds import KINDS, array_of

RECORDING = Path(__file__).parents[2] / "examples/data/smollm2-135m-capitals.safetensors"
if not RECORDING.is_file():
    pytest.skip("the recording is in the repository", allow_module_level=True)

NEEDED = ("resid_pre", "resid_mid", "mlp_out", "queries", "keys", "value_output", "resid_post", "pattern")


@pytest.fixture(scope="module")
def found():
    return rr.routes(RECORDING)


def tensors_of(kind):
    tensors = stored.load(RECORDING, lambda values, dtype: array_of(kind, values, dtype))
    return {name: values for name, values in tensors.items() if name.split(".")[0] in NEEDED}


def same(one, other):
    np.testing.assert_array_equal(one.nodes, other.nodes)
    np.testing.assert_array_equal(one.edges, other.edges)


def test_routes_are_consistent_arrays(found):
    nodes, edges = found.nodes, found.edges
    assert found.targets == [found.n_pos - 1] and found.threshold == 0.04
    assert (edges["weight"] > 0.04).all()
    assert (edges["from"] > edges["to"]).all()
    assert found.starts[-1] == len(edges) and len(found.starts) == len(nodes) + 1
    assert (np.repeat(np.arange(len(nodes)), np.diff(found.starts)) == edges["to"]).all()
    # An MLP passes on all that flows through it.
    share = np.where(edges["kind"] == rr.EdgeKind.MLP_INPUT, 1, edges["weight"])
    np.testing.assert_allclose(edges["flow"], share * nodes["flow"][edges["to"]])
    leaves = np.bincount(edges["from"], edges["flow"], len(nodes))
    np.testing.assert_allclose(leaves[1:], nodes["flow"][1:], atol=1e-12)
    assert nodes[0].tolist() == (found.n_layers - 1, rr.NodeKind.RESID_POST, found.n_pos - 1, 1.0)
    is_attention = edges["kind"] == rr.EdgeKind.ATTENTION
    assert (edges["head"][is_attention] >= 0).all() and (edges["head"][~is_attention] == -1).all()
    assert not edges.flags.writeable


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by_pattern", [True, False])
def test_arrays_in_memory_give_what_the_file_gives(kind, by_pattern):
    of_file = rr.routes(rr.Recording.open(RECORDING, by_pattern=by_pattern))
    in_memory = rr.Recording(tensors_of(kind), by_pattern=by_pattern, **stored.metadata(RECORDING))
    same(rr.routes(in_memory), of_file)
    assert in_memory.tokens == of_file.tokens
    assert rr.routes(in_memory).to_json() == of_file.to_json()


def test_a_mapping_is_a_recording(found):
    same(rr.routes(tensors_of("numpy")), found)


def test_a_recording_outlives_its_arrays(found):
    recording = rr.Recording(tensors_of("numpy"))
    filler = [np.full((12, 576), 1e9, np.float32) for _ in range(100)]
    same(rr.routes(recording), found)
    del filler


def test_targets_may_be_one_several_or_all(found):
    last = found.n_pos - 1
    same(rr.routes(RECORDING, targets=last), found)
    everything = rr.routes(str(RECORDING), targets="all")
    assert everything.targets == list(range(found.n_pos))
    same(everything.routes_to(-1), found)
    two = rr.routes(RECORDING, targets=np.array([-1, 3]))
    assert two.targets == [3, last]
    assert len(everything.routes_to(3, threshold=0.2).edges) < len(everything.routes_to(3).edges)


def test_choices_are_those_of_the_library(found):
    summed = rr.routes(RECORDING, heads="summed", masked_keys="counted", renormalise=0.04, threshold=0.0)
    assert summed.heads == "summed" and (summed.edges["head"] == -1).all()
    arrives = summed.nodes["flow"][summed.nodes["kind"] == rr.NodeKind.EMBEDDING].sum()
    assert arrives == pytest.approx(1, abs=1e-9)
    assert summed.totals.heads is None
    all_edges = rr.routes(RECORDING, extent="all", context=rr.Context(1), block=5)
    assert len(all_edges.nodes) > len(found.nodes)
    same(all_edges.routes_to(-1), found)
    assert len(rr.routes(RECORDING, norm=2).edges) != len(found.edges)


def test_totals_add_up(found):
    totals = found.totals
    assert totals.heads.shape == (found.n_layers, found.n_heads)
    np.testing.assert_allclose(totals.heads.sum(axis=1), totals.attention)
    assert totals.tokens.sum() + totals.biases.sum() + totals.lost == pytest.approx(1)
    twice = totals + totals
    assert twice.targets == 2
    np.testing.assert_allclose(twice.mlps, 2 * totals.mlps)
    with pytest.raises(TypeError):
        totals + 1


def test_the_difference_of_two_results_is_the_edges_that_differ(found):
    assert len(found.difference(found)) == 0
    fewer = found.routes_to(-1, threshold=0.2)
    changes = found.difference(fewer)
    gone = np.isnan(changes["weight_after"])
    assert gone.sum() == len(found.edges) - len(fewer.edges)
    assert not np.isnan(changes["weight_before"]).any()
    assert (changes["to_layer"] >= changes["from_layer"]).all()


def test_errors_name_the_tensor_and_the_choice(tmp_path):
    tensors = tensors_of("numpy")
    with pytest.raises(rr.Error) as raised:
        rr.routes({**tensors, "resid_mid.3": tensors["resid_mid.3"][:, :5]})
    assert (raised.value.status, raised.value.argument) == ("shape", "resid_mid.3")
    with pytest.raises(rr.Error) as raised:
        rr.routes({name: values for name, values in tensors.items() if name != "value_output.2"})
    assert (raised.value.status, raised.value.argument) == ("missing", "values.2")
    spoilt = tensors["mlp_out.4"].copy()
    spoilt[11, 7] = np.nan
    with pytest.raises(rr.Error, match="mlp_out.4") as raised:
        rr.routes({**tensors, "mlp_out.4": spoilt})
    assert raised.value.status == "not_finite"
    with pytest.raises(rr.Error) as raised:
        rr.Recording(tensors, tokens=["a", "b"])
    assert (raised.value.status, raised.value.argument) == ("metadata", "tokens")
    for options, argument in [
        ({"targets": 12}, "targets"),
        ({"targets": -13}, "targets"),
        ({"targets": "some"}, "targets"),
        ({"heads": "any"}, "heads"),
        ({"threshold": -1.0}, "threshold"),
        ({"block": 0}, "block"),
    ]:
        with pytest.raises(rr.Error) as raised:
            rr.routes(tensors, **options)
        assert raised.value.argument == argument
    with pytest.raises(FileNotFoundError):
        rr.routes(tmp_path / "missing.safetensors")
    (tmp_path / "text.safetensors").write_text("no tensors")
    with pytest.raises(rr.Error) as raised:
        rr.routes(tmp_path / "text.safetensors")
    assert raised.value.status == "header"
    with pytest.raises(rr.Error) as raised:
        rr.routes({})
    assert raised.value.argument == "resid_pre.0"


def test_progress_goes_from_the_last_layer_to_the_first_and_may_stop():
    heard = []
    rr.routes(RECORDING, progress=heard.append)
    assert heard[-1].layer == 0 and heard[-1].fraction == 1
    assert all(isinstance(progress, rr.Progress) for progress in heard)

    class Enough(Exception):
        pass

    def stop(progress):
        raise Enough(progress)

    with pytest.raises(Enough):
        rr.routes(RECORDING, progress=stop)


def test_a_bar_is_shown_where_tqdm_is_installed(capsys):
    tqdm = pytest.importorskip("tqdm")
    assert tqdm
    rr.routes(RECORDING, progress=True)
    assert "100%" in capsys.readouterr().err


def test_ctrl_c_ends_a_long_search(request):
    # In the background of a shell SIGINT is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    recording = rr.Recording(many_layers(), causal=True)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    start = time.monotonic()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        while time.monotonic() - start < 20:
            rr.routes(recording, extent="all", threshold=0.001, context=rr.Context(1))
    timer.join()
    assert time.monotonic() - start < 20


def many_layers(n_layers=200, n_pos=48):
    """The first layer's numbers again and again: of the right shapes, and slow."""
    generator = np.random.default_rng(0)
    tensors = {}
    stream = generator.standard_normal((n_pos, 64)).astype(np.float32)
    layer = {
        "resid_pre": stream,
        "resid_mid": stream,
        "mlp_out": stream,
        "queries": stream.reshape(n_pos, 4, 16),
        "keys": stream.reshape(n_pos, 4, 16),
        "values": stream.reshape(n_pos, 4, 16),
        "w_o": generator.standard_normal((4, 16, 64)).astype(np.float32),
    }
    for index in range(n_layers):
        tensors |= {f"{name}.{index}": values for name, values in layer.items()}
    return tensors | {"resid_post": stream}


def test_other_threads_run_while_routes_are_found():
    recording = rr.Recording(many_layers(60))
    turns = []
    done = threading.Event()

    def count():
        while not done.is_set():
            turns.append(time.monotonic())
            time.sleep(0.001)

    counter = threading.Thread(target=count)
    counter.start()
    start = time.monotonic()
    rr.routes(recording, extent="all", targets="all", threshold=0.001)
    end = time.monotonic()
    done.set()
    counter.join()
    assert sum(start < turn < end for turn in turns) > 2


def test_threads_may_share_a_recording_and_a_result(found):
    recording = rr.Recording.open(RECORDING)
    results = []

    def work():
        result = rr.routes(recording, progress=lambda progress: time.sleep(0))
        results.append((result, result.to_json(), found.routes_to(-1)))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    for result, text, walked in results:
        same(result, found)
        same(walked, found)
        assert text == found.to_json()


def test_a_table_has_a_row_for_each_edge(found):
    pytest.importorskip("pandas")
    table = found.to_pandas()
    assert len(table) == len(found.edges)
    strongest = table[table["kind"] == "attention"].nlargest(1, "flow").iloc[0]
    assert (strongest["from_token"], strongest["to_token"], strongest["from_layer"]) == (" Italy", " is", 22)
    assert list(table["weight"]) == list(found.edges["weight"])
    assert set(table["to_kind"]) <= {kind.name.lower() for kind in rr.NodeKind}


def test_a_graph_of_networkx_has_all_nodes_and_edges(found):
    networkx = pytest.importorskip("networkx")
    graph = found.to_networkx()
    assert graph.number_of_nodes() == len(found.nodes) and graph.number_of_edges() == len(found.edges)
    assert networkx.is_directed_acyclic_graph(graph)
    assert set(networkx.ancestors(graph, 0)) == set(range(1, len(found.nodes)))


def test_json_has_all_numbers_as_they_are(found):
    data = json.loads(found.to_json())
    assert [edge["weight"] for edge in data["edges"]] == list(found.edges["weight"])
    assert data["tokens"] == found.tokens
    assert len(found.to_csv().splitlines()) == len(found.edges) + 1


def test_routes_are_saved_as_the_name_ends(found, tmp_path):
    found.save(tmp_path / "routes.json")
    assert (tmp_path / "routes.json").read_text() == found.to_json()
    found.save(tmp_path / "routes.npz")
    with np.load(tmp_path / "routes.npz") as arrays:
        np.testing.assert_array_equal(arrays["edges"], found.edges)
        assert list(arrays["tokens"]) == found.tokens
    with pytest.raises(rr.Error):
        found.save(tmp_path / "routes.docx")
    with pytest.raises(OSError):
        found.save(tmp_path / "missing" / "routes.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["routes.json", "routes.npz"]


def test_a_cache_of_transformer_lens_is_a_recording():
    n_layers = 3
    tensors = many_layers(n_layers)
    pattern = np.tril(np.ones((4, 48, 48), np.float32))
    tensors |= {f"pattern.{layer}": pattern / pattern.sum(-1, keepdims=True) for layer in range(n_layers)}
    model = FakeModel(tensors, n_layers)
    hooks = {
        "hook_resid_pre": "resid_pre",
        "hook_resid_mid": "resid_mid",
        "hook_mlp_out": "mlp_out",
        "attn.hook_pattern": "pattern",
        "attn.hook_v": "values",
    }
    cache = {}
    for layer in range(n_layers):
        for hook, name in hooks.items():
            cache[f"blocks.{layer}.{hook}"] = tensors[f"{name}.{layer}"][None]
    cache[f"blocks.{n_layers - 1}.hook_resid_post"] = tensors["resid_post"][None]
    of_cache = rr.routes(rr.Recording.from_transformer_lens(cache, model))
    expected = {**tensors, **{f"attn_bias.{layer}": np.ones(64, np.float32) for layer in range(n_layers)}}
    same(of_cache, rr.routes(rr.Recording(expected, by_pattern=True)))
    del cache["blocks.1.attn.hook_v"]
    with pytest.raises(rr.Error, match="blocks.1.attn.hook_v"):
        rr.Recording.from_transformer_lens(cache, model)


class FakeModel:
    """The attributes of a HookedTransformer that are read."""

    def __init__(self, tensors, n_layers):
        class Plain:
            pass

        self.cfg = Plain()
        self.cfg.n_layers = n_layers
        self.cfg.model_name = "fake"
        self.blocks = []
        for layer in range(n_layers):
            block = Plain()
            block.attn = Plain()
            block.attn.W_O = tensors[f"w_o.{layer}"]
            block.attn.b_O = np.ones(tensors["resid_post"].shape[1], np.float32)
            self.blocks.append(block)
