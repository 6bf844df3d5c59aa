"""Whether a ranking of a prompt's tokens holds: how far the prediction falls when the strongest are hidden. Needs the extra `hf`."""

from .falls import Falls
from .measure import Faithfulness, OfRanking, faithfulness
from .ranks import rank_correlation, strongest
from .scores import attention_rollout, gradient_times_input, mean_attention, moved_by_attention, random_scores

__all__ = [
    "Faithfulness",
    "Falls",
    "OfRanking",
    "attention_rollout",
    "faithfulness",
    "gradient_times_input",
    "mean_attention",
    "moved_by_attention",
    "random_scores",
    "rank_correlation",
    "strongest",
]
