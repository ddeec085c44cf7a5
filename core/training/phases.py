"""What is on, open and free in which epoch: pure arithmetic, no torch.

A plan of phases is a tuple of `Span`, in which one that waits for a metric lasts as long as it may. `come` shortens
them by what has been reached so far: a function of the plan and of epochs that never change again, so that a resumed
run needs no other state.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from typing import Any

from core.config import MetricReached
from core.schedules import Course, Fade, Phase, PhaseEnd, Ramp, Sampling

Level = float | Ramp | Fade
"""A number, or a line over the phase."""


@dataclass(frozen=True, slots=True)
class Span:
    """One phase: from epoch `first` (counted from 1) until the next span begins."""

    name: str
    first: int
    terms: tuple[str, ...]
    """Every term that is on, those of earlier phases included."""
    last: int
    """The last epoch at the latest; lines reach their end with it."""
    until: MetricReached | None = None
    """What ends it earlier."""
    weights: Mapping[str, Level] = field(default_factory=dict)
    """Term -> factor on its weight; 1 where it is missing."""
    gates: Mapping[str, Level] = field(default_factory=dict)
    """Part of the network -> how far it is open; 1 where it is missing."""
    frozen: tuple[str, ...] = ()
    lr: Mapping[str, Level] = field(default_factory=dict)
    """Part of the network -> factor on its learning rate; 1 where it is missing."""
    sampling: Sampling | None = None
    """What batches are drawn from; None: as everywhere."""

    @property
    def on(self) -> tuple[str, ...]:
        """Its terms but for those of factor 0 throughout."""
        return tuple(term for term in self.terms if highest(self.weights.get(term, 1.0)) > 0)

    @property
    def lasting(self) -> tuple[str, ...]:
        """Those that are on at every step: a line can be 0 only at its end."""
        return tuple(term for term in self.on if level(self.weights.get(term, 1.0), 1.0) > 0)


def spans(order: Sequence[Sequence[str]], boundaries: Sequence[float], epochs: int) -> tuple[Span, ...]:
    """The phases of a run of `epochs` epochs whose terms join one group after another.

    `order` lists what each phase adds, `boundaries` the fractions of the run after which the second, third, ... begins,
    rounded half up to whole epochs. Without boundaries all terms are on from the start, in one span called `all`.
    Phases rounded to nothing are left out, their terms join with the next; one that would begin after the last epoch
    does not come.
    """
    if not boundaries:
        return (Span("all", 1, tuple(term for added in order for term in added), epochs),)
    starts = [1, *(1 + _epoch(boundary, epochs) for boundary in boundaries), epochs + 1]
    on = accumulate(tuple(added) for added in order)
    whole = zip(order, pairwise(starts), on, strict=True)
    return tuple(Span(_name(added), first, terms, after - 1) for added, (first, after), terms in whole if first < after)


def planned(
    phases: Mapping[str, Phase[Any, Any]], boundaries: Sequence[float], *, terms: Sequence[str], epochs: int
) -> tuple[Span, ...]:
    """The phases of a run of `epochs` epochs, by name; `boundaries` are the ends of those that give none themselves.

    Shares of the run that round to the same epoch leave a phase out. Raises ValueError for ends that are missing, given
    twice or out of order, and for phases that can never come.
    """
    if boundaries and len(boundaries) != len(phases) - 1:
        needed = "1 boundary" if len(phases) == 2 else f"{len(phases) - 1} boundaries"
        raise ValueError(f"{len(phases)} phases need {needed}, not {len(boundaries)}")
    found: list[Span] = []
    first, before = 1, ""
    for number, (name, phase) in enumerate(phases.items()):
        if number == len(phases) - 1:
            last = _to_the_end(name, phase.until, epochs)
        else:
            last = _last(name, phase.until, boundaries[number] if boundaries else None, epochs)
            _refuse_disorder(name, phase.until, last, after=(before, first), epochs=epochs)
        on = tuple(terms) if phase.terms is None else tuple(term for term in terms if term in phase.terms)
        until = phase.until.reached if phase.until is not None else None
        lines = {"weights": phase.weights, "gates": phase.gates, "lr": phase.lr}
        if first <= last:
            found.append(
                Span(name, first, on, last, until, frozen=phase.frozen, sampling=phase.sampling, **lines)  # type: ignore[arg-type]
            )
        first, before = max(first, last + 1), name
    return tuple(found)


def come(plan: Sequence[Span], reached: Mapping[str, int]) -> tuple[Span, ...]:
    """The phases as they come, given the conditions met so far (`str(condition)` -> epoch at whose end it was).

    A phase that waits for a metric ends with that epoch, and is left out when it lies before the phase. Those that
    follow begin earlier and end when they would have.
    """
    found: list[Span] = []
    first = 1
    for span in plan:
        met = None if span.until is None else reached.get(str(span.until))
        last = span.last if met is None else min(span.last, met)
        if last >= first:
            found.append(replace(span, first=first))
            first = last + 1
    return tuple(found)


def samplings(phases: Sequence[Span]) -> tuple[Sampling, ...]:
    """How phases draw that do not draw as everywhere."""
    return tuple(dict.fromkeys(span.sampling for span in phases if span.sampling is not None))


def conditions(phases: Sequence[Span], *others: MetricReached | None) -> tuple[MetricReached, ...]:
    """What phases and others wait for, each once."""
    found = [*others, *(span.until for span in phases)]
    return tuple({str(condition): condition for condition in found if condition is not None}.values())


def phase_at(phases: Sequence[Span], epoch: int) -> Span:
    """The phase that epoch `epoch` belongs to."""
    return max((span for span in phases if span.first <= epoch), key=lambda span: span.first)


def through(span: Span, epoch: int, step: int, steps: int) -> float:
    """Share of the phase that is over with step `step` (counted from 1) of `steps` in an epoch of it; 1 at the last."""
    return ((epoch - span.first) * steps + step) / ((span.last - span.first + 1) * steps)


def level(value: Level, share: float) -> float:
    """The number at a share of its phase; a line has its last value at 1."""
    if isinstance(value, Ramp | Fade):
        # Not from + share * (to - from): that need not give `to` at 1.
        return (1 - share) * value.from_ + share * value.to
    return value


def highest(value: Level) -> float:
    """The largest number that any step of the phase has; a line from above 0 to 0 is above 0 for a while."""
    return max(value.from_, value.to) if isinstance(value, Ramp | Fade) else value


def along(course: Course, share: float) -> float:
    """The number at a share of the run: in straight lines from the start over the middle to the end."""
    if share < course.at:
        low, high, part = course.start, course.middle, share / course.at
    else:
        low, high, part = course.middle, course.end, (share - course.at) / (1 - course.at)
    return (1 - part) * low + part * high


def active(
    phases: Sequence[Span], epoch: int, *, warmup_epochs: float, trained: Collection[str], terms: Sequence[str]
) -> dict[str, int]:
    """Term -> epochs it has been trained since the latest of end of warm-up, start of its phase and unfreezing.

    0 while any of these lies ahead, and while it is off. Whatever is unfrozen changes what every term is computed from.
    Only terms in `trained` (a weight above 0, a label in the training split) are listed, in the order of `terms`.
    """
    now = phase_at(phases, epoch)
    waits = any(set(now.frozen) - set(span.frozen) for span in phases if span.first > now.first)
    freed = [after.first for before, after in pairwise(phases) if set(before.frozen) - set(after.frozen)]
    begun = max((first for first in freed if first <= epoch), default=1)
    since = epoch if waits else max(math.ceil(warmup_epochs), begun - 1)
    return {term: max(0, epoch - max(since, _joined(phases, now, term) - 1)) for term in terms if term in trained}


def _joined(phases: Sequence[Span], now: Span, term: str) -> int:
    """The first epoch of the unbroken stretch of phases up to `now` that have a term; far ahead where `now` has not."""
    first = now.last + 1
    for span in reversed(phases):
        if span.first <= now.first:
            if term not in span.on:
                break
            first = span.first
    return first


def _last(name: str, until: PhaseEnd | None, boundary: float | None, epochs: int) -> int:
    own = None if until is None else until.epoch if until.epoch is not None else until.share
    if own is not None and boundary is not None:
        raise ValueError(f"{name} is given its end twice: by boundaries and by until")
    if boundary is not None:
        return _epoch(boundary, epochs)
    if until is None or own is None:
        waits = "" if until is None else f" at the latest: {until.reached} may never come"
        raise ValueError(f"{name} needs an end{waits}; give until.share, until.epoch or boundaries")
    return until.epoch if until.epoch is not None else _epoch(until.share or 0.0, epochs)


def _to_the_end(name: str, until: PhaseEnd | None, epochs: int) -> int:
    if until is not None:
        raise ValueError(f"{name} is the last phase and lasts to the end of the run: it has no until")
    return epochs


def _refuse_disorder(name: str, until: PhaseEnd | None, last: int, *, after: tuple[str, int], epochs: int) -> None:
    before, first = after
    exact = until is not None and until.epoch is not None
    if exact and last >= epochs:
        raise ValueError(f"{name} ends with epoch {last} of {epochs}: what follows it would never come")
    if last < first - 1 or (exact and last < first):
        raise ValueError(f"{name} ends with epoch {last}, when {before} has not ended: it would never come")


def _epoch(share: float, epochs: int) -> int:
    return math.floor(share * epochs + 0.5)


def _name(added: Sequence[str]) -> str:
    """Terms joined by +, with the terms of one thing under its name: class, peak, class+threshold."""
    return "+".join(dict.fromkeys(term.partition("_")[0] for term in added))
