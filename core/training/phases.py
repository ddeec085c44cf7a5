"""Which terms are on in which epoch: pure arithmetic, no torch."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise


@dataclass(frozen=True, slots=True)
class Span:
    """One phase: from epoch `first` (counted from 1) until the next span begins."""

    name: str
    first: int
    terms: tuple[str, ...]
    """Every term that is on, those of earlier phases included."""


def spans(order: Sequence[Sequence[str]], boundaries: Sequence[float], epochs: int) -> tuple[Span, ...]:
    """The phases of a run of `epochs` epochs.

    `order` lists what each phase adds, `boundaries` the fractions of the run after which the second, third, ... begins,
    rounded half up to whole epochs. Without boundaries all terms are on from the start, in one span called `all`.
    Phases rounded to nothing are left out, their terms join with the next; one that would begin after the last epoch
    does not come.
    """
    if not boundaries:
        return (Span("all", 1, tuple(term for added in order for term in added)),)
    starts = [1, *(1 + math.floor(boundary * epochs + 0.5) for boundary in boundaries)]
    on = accumulate(tuple(added) for added in order)
    whole = [Span(_name(added), first, terms) for added, first, terms in zip(order, starts, on, strict=True)]
    kept = [span for span, after in pairwise(whole) if span.first < after.first] + whole[-1:]
    return tuple(span for span in kept if span.first <= epochs)


def phase_at(phases: Sequence[Span], epoch: int) -> Span:
    """The phase that epoch `epoch` belongs to."""
    return max((span for span in phases if span.first <= epoch), key=lambda span: span.first)


def active(
    phases: Sequence[Span], epoch: int, *, warmup_epochs: float, trained: Collection[str], terms: Sequence[str]
) -> dict[str, int]:
    """Term -> epochs up to and with `epoch` since the later of the end of warm-up and the start of its phase.

    0 while either lies ahead. Only terms in `trained` (a weight above 0, a label in the training split) are listed,
    in the order of `terms`.
    """
    warm = math.ceil(warmup_epochs)
    first = {term: span.first for span in reversed(phases) for term in span.terms}
    never = epoch + 1
    return {term: max(0, epoch - max(warm, first.get(term, never) - 1)) for term in terms if term in trained}


def _name(added: Sequence[str]) -> str:
    """Terms joined by +, with the terms of one thing under its name: class, peak, class+threshold."""
    return "+".join(dict.fromkeys(term.partition("_")[0] for term in added))
