"""The phases of an ABR training: joined one by one, by a name of the documents, or each by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from core.config import Fraction, Options
from core.schedules import Fade, Phase, PhaseEnd, PhaseName, Ramp
from core.tasks.abr_names import TERMS, Part, Term
from core.training.phases import Span, planned, spans


class AbrPhase(Phase[Term, Part]):
    """A span of an ABR training. What it does not name is as in plain training: on, open, free, at its own rate."""


Preset = Literal["none", "class_first", "existence_first", "s4_first", "heads_first"]

_BACKBONE: Final[tuple[Part, ...]] = ("condition", "convolution", "s4", "attention")
_REGRESSION: Final[tuple[Term, ...]] = ("signal", "peak_latency", "peak_amplitude", "threshold")


def _until(share: float) -> PhaseEnd:
    return PhaseEnd(share=share)


PRESETS: Final[Mapping[Preset, Mapping[str, AbrPhase]]] = {
    "none": {},
    # Document 000: epochs 0-20 class, 21-40 + signal, 41-60 + peaks, 61 on + threshold; shares of a hundred.
    "class_first": {
        "class": AbrPhase(terms=("class",), until=_until(0.2)),
        "signal": AbrPhase(terms=("class", "signal"), until=_until(0.4)),
        "peaks": AbrPhase(terms=("class", "signal", "peak_exist", "peak_latency", "peak_amplitude"), until=_until(0.6)),
        "threshold": AbrPhase(),
    },
    # Document 001: epochs 1-20 existence and class, 21-50 regression fades in, 51 on all; shares of a hundred.
    "existence_first": {
        "existence": AbrPhase(terms=("class", "peak_exist"), until=_until(0.2)),
        "fade_in": AbrPhase(weights=dict.fromkeys(_REGRESSION, Ramp()), until=_until(0.5)),
        "all": AbrPhase(),
    },
    # Document 004: epochs 1-30 S4 only, 30-60 transformers fade in, 60-100 task curriculum, 100 on all; shares of 150.
    # Which tasks come when it does not say: here they do as in document 001.
    "s4_first": {
        "s4": AbrPhase(terms=("class", "peak_exist"), gates={"attention": 0.0}, until=_until(0.2)),
        "transformers": AbrPhase(terms=("class", "peak_exist"), gates={"attention": Fade()}, until=_until(0.4)),
        "tasks": AbrPhase(weights=dict.fromkeys(_REGRESSION, Ramp()), until=_until(2 / 3)),
        "all": AbrPhase(),
    },
    # Document 002: the backbone is frozen until epoch 5 of 10, then trained at 5e-6 where the rest has 1e-4. Worth
    # while where a training begins from another's weights.
    "heads_first": {
        "heads": AbrPhase(frozen=_BACKBONE, until=_until(0.5)),
        "all": AbrPhase(lr=dict.fromkeys(_BACKBONE, 0.05)),
    },
}
"""The documents' curricula; their epochs are shares of the lengths that the documents have in mind."""


class PhaseOptions(Options):
    """When each term joins: by `order` and `boundaries`, by `preset`, or by `plan`, in which a phase can do more."""

    preset: Preset = "none"
    """A curriculum of the documents. class_first: document 000; existence_first: document 001; s4_first: document 004,
    transformers fade in; heads_first: document 002, frozen backbone, for a training that begins from weights."""
    order: tuple[tuple[Term, ...], ...] = (
        ("class",),
        ("signal",),
        ("peak_exist", "peak_latency", "peak_amplitude"),
        ("threshold",),
    )
    """What each phase adds, where there is neither preset nor plan. Document 000: classification, then signal, then
    peaks, then threshold."""
    boundaries: tuple[Fraction, ...] = ()
    """Fractions of the run at which phase 2, 3, ... begin, rounded to epochs. None: what the phases of preset or plan
    say themselves; with `order`, all terms from the start."""
    plan: dict[PhaseName, AbrPhase] = Field(default_factory=dict)
    """{name: phase}, in the order in which they come; see docs/phases.md."""

    @model_validator(mode="after")
    def _boundaries_fit(self) -> Self:
        named = [term for phase in self.order for term in phase]
        if sorted(named) != sorted(TERMS):
            raise ValueError(f"order must name each of {', '.join(TERMS)} exactly once")
        if self.plan and self.preset != "none":
            raise ValueError(f"there is a plan and preset {self.preset}: give one of the two")
        phases = len(self.plan or PRESETS[self.preset] or self.order)
        if self.boundaries and len(self.boundaries) != phases - 1:
            needed = "1 boundary" if phases == 2 else f"{phases - 1} boundaries"
            raise ValueError(f"{phases} phases need {needed}, not {len(self.boundaries)}")
        if list(self.boundaries) != sorted(self.boundaries):
            raise ValueError("boundaries must increase")
        return self

    @property
    def full(self) -> bool:
        """Whether phases may do more than let terms join."""
        return bool(self.plan) or self.preset != "none"

    @property
    def names(self) -> tuple[str, ...]:
        """The phases of plan or preset."""
        return tuple(self.plan or PRESETS[self.preset])

    def spans(self, epochs: int) -> tuple[Span, ...]:
        """The phases of a run of so many epochs. Raises ValueError for phases of the plan that can never come."""
        if self.plan:
            return planned(self.plan, self.boundaries, terms=TERMS, epochs=epochs)
        if preset := PRESETS[self.preset]:
            own = preset if not self.boundaries else {name: _endless(phase) for name, phase in preset.items()}
            return planned(own, self.boundaries, terms=TERMS, epochs=epochs)
        return spans(self.order, self.boundaries, epochs)


def _endless(phase: AbrPhase) -> AbrPhase:
    return phase.model_copy(update={"until": None})
