"""Whether hiding tokens hides them, and what rankings are worth."""

from itertools import combinations

import families
import numpy as np
import pytest
import torch
from residual_routes import EdgeKind, Error, Recording, routes
from residual_routes.faithfulness import (
    Falls,
    attention_rollout,
    faithfulness,
    gradient_times_input,
    mean_attention,
    moved_by_attention,
    random_scores,
    rank_correlation,
    strongest,
)
from residual_routes.faithfulness.hiding import Hiding
from residual_routes.recorder import Kept, record
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

N_POS = families.TOKENS
EVERY_FAMILY = pytest.mark.parametrize("family", families.RECORDED)
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")


def model_of(family="llama"):
    return families.make(*families.RECORDED[family])


def with_other_token(ids, position):
    other = ids.clone()
    other[position] = (other[position] + 7) % (families.VOCABULARY - 1) + 1
    return other


def log_probabilities(model, ids, hidden):
    falls = Falls(model, ids)
    with torch.no_grad(), falls.plain_attention():
        return falls.log_probabilities([frozenset(hidden)])[0]


@EVERY_FAMILY
def test_a_hidden_token_says_nothing_to_the_prediction(family):
    model, ids = model_of(family), families.tokens()
    before_last = N_POS - 2
    other = with_other_token(ids, before_last)
    seen = [log_probabilities(model, tokens, []) for tokens in (ids, other)]
    assert (seen[0] - seen[1]).abs().max() > 1e-3
    hidden = [log_probabilities(model, tokens, [before_last]) for tokens in (ids, other)]
    torch.testing.assert_close(hidden[0], hidden[1], rtol=0, atol=2e-5)
    assert (hidden[0] - seen[0]).abs().max() > 1e-3


@EVERY_FAMILY
def test_passes_in_a_batch_over_a_cache_are_those_one_by_one(family):
    model, ids = model_of(family), families.tokens()
    sets = [[2], [5], [9], [2, 9], [5, 9, 11], [0, 1]]
    np.testing.assert_allclose(Falls(model, ids).of(sets), Falls(model, ids, batch=1).of(sets), rtol=0, atol=2e-5)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma", "phi3"])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_hiding_is_a_mask_that_models_take(family, implementation):
    model, ids = model_of(family), families.tokens()
    model.set_attn_implementation(implementation)
    hidden = [1, 4, 8]
    allowed = torch.ones(N_POS, N_POS).tril().bool()
    for position in hidden:
        allowed[position + 1:, position] = False
    mask = torch.zeros(N_POS, N_POS).masked_fill(~allowed, torch.finfo(torch.float32).min)
    with torch.no_grad():
        logits = model(input_ids=ids[None], attention_mask=mask[None, None], use_cache=False).logits[0, -1]
    torch.testing.assert_close(log_probabilities(model, ids, hidden), torch.log_softmax(logits, -1), rtol=0, atol=2e-5)


def test_a_hidden_token_is_hidden_from_later_ones_alone():
    model, ids = model_of(), families.tokens()
    falls, position = Falls(model, ids), 6
    hidden = torch.zeros(1, N_POS, dtype=torch.bool)
    hidden[0, position] = True
    with torch.no_grad():
        whole = model(input_ids=ids[None]).logits[0]
        with Hiding(falls.attentions, hidden).attached():
            found = model(input_ids=ids[None]).logits[0]
    torch.testing.assert_close(found[:position + 1], whole[:position + 1])
    assert ((found - whole).abs().amax(dim=1)[position + 1:] > 1e-3).all()


def test_a_model_without_patterns_is_an_error():
    model, ids = model_of(), families.tokens()
    hidden = torch.zeros(1, N_POS, dtype=torch.bool)
    with pytest.raises(Error, match="one pattern in each layer"), torch.no_grad():
        with Hiding([model.model.layers[0].mlp], hidden).attached():
            model(input_ids=ids[None])


def test_the_model_is_left_as_it_was():
    model, ids = model_of(), families.tokens()
    AttentionInterface.register("own", sdpa_attention_forward)
    AttentionMaskInterface.register("own", sdpa_mask)
    model.set_attn_implementation("own")
    model.train()
    hooks = sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())
    Falls(model, ids).singles()
    assert model.training and model.config._attn_implementation == "own"
    assert hooks == sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def test_the_best_possible_is_the_greatest_fall_of_all_sets():
    model, ids = model_of(), families.tokens()[:7]
    found = faithfulness(model, ids, top=(1, 2, 3), candidates=6)
    best = found.rankings["best possible"]
    for count in (1, 2, 3):
        falls = [float(found.log_probability - log_probabilities(model, ids, hidden)[found.prediction])
                 for hidden in combinations(range(6), count)]
        assert best.falls[count] == pytest.approx(max(falls), abs=2e-5)
        for ranking in found.rankings.values():
            assert ranking.falls[count] <= best.falls[count]
    assert best.rank_correlation == 1


def test_the_best_of_few_candidates_is_at_least_as_good_as_all_rankings():
    model, ids = model_of("gpt2"), families.tokens()
    # Rankings that no candidates would find.
    scores = {str(seed): random_scores(N_POS, seed) for seed in range(40)}
    found = faithfulness(model, ids, scores, candidates=1)
    assert len(found.rankings) == 40 + 5
    for ranking in found.rankings.values():
        for count in (1, 3, 5):
            assert ranking.falls[count] <= found.rankings["best possible"].falls[count]


def test_falls_are_those_of_the_tokens_with_the_greatest_scores():
    model, ids = model_of(), families.tokens()
    scores = np.zeros(N_POS)
    scores[[4, 1, 8]] = 3, 2, 1
    # The last token, which cannot be hidden, is passed over.
    scores[-1] = 4
    found = faithfulness(model, ids, scores, top=(1, 3), baselines=False)
    ranking = found.rankings["scores"]
    assert ranking.tokens == (4, 1, 8)
    assert [ranking.falls[1], ranking.falls[3]] == pytest.approx(Falls(model, ids).of([[4], [1, 4, 8]]), abs=2e-5)
    np.testing.assert_allclose(found.single_falls, [Falls(model, ids).of([[position]])[0] for position in range(N_POS - 1)], atol=2e-5)
    assert ranking.rank_correlation == rank_correlation(scores[:-1], found.single_falls)


def test_tokens_are_ranked_by_the_flow_that_arrives_at_them():
    model, ids = model_of(), families.tokens()
    kept = Kept()
    record(model, ids, kept)
    found = routes(Recording(kept.tensors, **kept.metadata), threshold=0.01)
    expected = tuple(strongest(found.totals.tokens[:-1], 5))
    by_routes = faithfulness(model, ids, found, baselines=False)
    by_options = faithfulness(model, ids, threshold=0.01, baselines=False)
    assert by_routes.rankings["routes"] == by_options.rankings["routes"]
    assert by_routes.rankings["routes"].tokens == expected
    assert str(by_routes).splitlines()[1].startswith("routes")


def test_another_prediction_than_the_most_probable_can_be_measured():
    model, ids = model_of(), families.tokens()
    usual, other = Falls(model, ids), Falls(model, ids, prediction=3)
    with torch.no_grad():
        expected = torch.log_softmax(model(input_ids=ids[None]).logits[0, -1], -1)
    assert usual.prediction == int(expected.argmax())
    assert other.log_probability == pytest.approx(float(expected[3]), abs=1e-5)
    hidden = log_probabilities(model, ids, [2])
    assert other.of([[2]]) == pytest.approx([float(expected[3] - hidden[3])], abs=2e-5)


def test_the_strongest_come_first_and_of_equal_ones_the_later():
    assert strongest([0.5, 2, 0.5, 1, 0.5], 4) == [1, 3, 4, 2]


def test_rank_correlation_is_that_of_ranks():
    assert rank_correlation([1, 2, 3], [10, 100, 1000]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3], [5, 4, -3]) == pytest.approx(-1)
    # Ranks 1.5, 1.5, 3, 4 and 1, 2, 4, 3.
    assert rank_correlation([0, 0, 1, 2], [0, 1, 7, 5]) == pytest.approx(3.5 / np.sqrt(4.5 * 5))
    assert np.isnan(rank_correlation([1, 1, 1], [1, 2, 3]))


def test_baselines_of_attention_are_those_of_the_models_own_pattern():
    model, ids = model_of(), families.tokens()
    model.set_attn_implementation("eager")
    with torch.no_grad():
        own = model(input_ids=ids[None], output_attentions=True).attentions
    kept = Kept()
    record(model, ids, kept, with_pattern=True)
    patterns = [kept.tensors[f"pattern.{layer}"] for layer in range(len(own))]
    np.testing.assert_allclose(mean_attention(patterns), torch.stack(own)[:, 0, :, -1].mean((0, 1)), atol=1e-5)
    rollout = torch.eye(N_POS)
    for pattern in own:
        rollout = (pattern[0].mean(0) / 2 + torch.eye(N_POS) / 2) @ rollout
    np.testing.assert_allclose(attention_rollout(patterns), rollout[-1], atol=1e-5)


def test_what_attention_moves_is_the_flow_of_its_edges_between_tokens():
    model, ids = model_of(), families.tokens()
    kept = Kept()
    record(model, ids, kept)
    found = routes(Recording(kept.tensors, **kept.metadata), threshold=0.01)
    expected = np.zeros(N_POS)
    for edge in found.edges:
        whole, part = found.nodes[edge["to"]], found.nodes[edge["from"]]
        if EdgeKind(edge["kind"]) == EdgeKind.ATTENTION and whole["position"] != part["position"]:
            expected[part["position"]] += edge["flow"]
    assert expected.max() > 0
    np.testing.assert_allclose(moved_by_attention(found), expected, rtol=1e-12)
    # All that arrives at other tokens was moved once at least.
    assert found.totals.tokens[:-1].sum() <= expected.sum() + 1e-12


def test_gradient_times_input_is_the_slope_of_a_scaled_embedding():
    model, ids = model_of(), families.tokens()
    # Norms calculate in float32 all the same.
    found, step = gradient_times_input(model, ids, 5), 1e-2
    for position in (0, 4, N_POS - 1):
        sides = []
        for sign in (-1, 1):
            embeddings = model.get_input_embeddings()(ids[None]).detach().clone()
            embeddings[0, position] *= 1 + sign * step
            with torch.no_grad():
                sides.append(float(torch.log_softmax(model(inputs_embeds=embeddings).logits[0, -1], -1)[5]))
        assert found[position] == pytest.approx(abs(sides[1] - sides[0]) / (2 * step), rel=0.02, abs=1e-3)


def test_wrong_arguments_are_errors():
    model, ids = model_of(), families.tokens()
    with pytest.raises(Error, match="top: expected numbers from 1 to 12"):
        faithfulness(model, ids, np.ones(N_POS), top=(13,))
    with pytest.raises(Error, match=r"scores: expected \[13\] for 'mine', got \[12\]"):
        faithfulness(model, ids, {"mine": np.ones(N_POS - 1)})
    with pytest.raises(Error, match="ids: expected two tokens or more"):
        faithfulness(model, ids[:1])
    with pytest.raises(Error, match="sets: expected positions from 0 to 12"):
        Falls(model, ids).of([[13]])
