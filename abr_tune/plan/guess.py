"""The keys `guess` and `confidence` of a searched path."""

from __future__ import annotations

from abr_tune.plan.distributions import Choice, Distribution, Outside, as_text
from abr_tune.plan.explain import suggest
from abr_tune.plan.source import Source
from abr_tune.plan.space import Guess
from abr_tune.plan.spread import Searched
from abr_tune.plan.yaml import Loc


def read_guess(source: Source, loc: Loc, section: Searched, distribution: Distribution) -> Guess | None:
    """The guess of the entry at `loc`; None when there is none, or when it lies outside, which is noted."""
    if "guess" not in section.model_fields_set:
        if "confidence" in section.model_fields_set:
            source.add((*loc, "confidence"), "confidence says how sure a guess is; there is no guess", at_key=True)
        return None
    try:
        distribution.encode(section.guess)
    except Outside as outside:
        source.add((*loc, "guess"), f"guess: {outside}", _meant(section.guess, distribution))
        return None
    return Guess(section.guess, section.confidence)


def _meant(guess: object, distribution: Distribution) -> str | None:
    return suggest(as_text(guess), map(as_text, distribution.values)) if isinstance(distribution, Choice) else None
