"""Scores over a whole split, each beside what a trivial predictor reaches.

Every recording counts by its weight (where a split was drawn by quota, the weights restore the class shares). A metric
that cannot be computed is absent with the reason: it is never NaN, never 0, never averaged away.
"""

from core.metrics.predictions import Predictions
from core.metrics.score import perfect_value, score, weights_of, with_skill
from core.metrics.trivial import trivial, trivial_scores
from core.metrics.values import Values

__all__ = ["Predictions", "Values", "perfect_value", "score", "trivial", "trivial_scores", "weights_of", "with_skill"]
