"""The keys `guess` and `confidence` of a searched path."""

from __future__ import annotations

from abr_tune.plan.distributions import Choice, Distribution, Outside, as_text
from abr_tune.plan.explain import suggest
from abr_tune.plan.ordered import OrderedPair, Simplex
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
    guess, loc = section.guess, (*loc, "guess")
    names = _names(distribution)
    strange = [key for key in guess if key not in names] if names and isinstance(guess, dict) else []
    for key in strange:
        source.unknown((*loc, key), f"one of {', '.join(names)}", [name for name in names if name not in guess])
    if strange:
        return None
    try:
        distribution.encode(guess)
    except Outside as outside:
        known = map(as_text, distribution.values) if isinstance(distribution, Choice) else ()
        source.add(loc, f"guess: {outside}", suggest(as_text(guess), known))
        return None
    return Guess(guess, section.confidence)


def _names(distribution: Distribution) -> tuple[str, ...]:
    """The keys of a value that is a mapping."""
    if isinstance(distribution, Simplex):
        return distribution.names
    return ("low", "high") if isinstance(distribution, OrderedPair) else ()
