"""The settings of the health rules: one small model per rule, None switches a rule off.

The defaults were calibrated on 160 imbalanced training runs, of which 68 collapsed and 79 ended well. The rule that
stops on a macro-F1 at the majority's level *and* a class loss that stands still caught 66 of the 68 and stopped none
of the 79; rules on the F1 or on the share of the largest class alone stopped 4. Predicting one class in the first
epochs is normal (2306.00809, 2207.00391), hence the grace. How slow is too slow (`slow`, `reach`) was chosen on the
first 145 configurations of the bank of phase1; `abr-tune replay BANK --rules` shows what the rules do on all of it, and
on banks that had no say.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from core.config import Fraction, Options, Positive

Epochs = Annotated[int, Field(ge=1)]
Grace = Annotated[int, Field(ge=0)]


class Intervene(Options):
    """A lower learning rate instead of a stop (document 001), and the stop when that was not enough."""

    lower_rate: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Factor on the learning rate, from there to the end of the training."""
    times: Annotated[int, Field(ge=1, le=100)] = 2
    """How often the learning rate of a training is lowered, by all rules together, before this one stops it."""
    wait: Grace = 3
    """Epochs after an intervention in which the rule only warns."""


class Stopping(Options):
    """What the rules that stop have in common."""

    intervene: Intervene | None = None
    """Lower the learning rate first: `intervene: {lower_rate: 0.5, times: 2}`; null stops at once. An epoch in which
    something was not finite begins again from the last checkpoint."""


class NonFinite(Stopping):
    """A loss that is NaN or infinite, or such a weight, stops at the step; skipped steps stop when they repeat."""

    streak: Annotated[int, Field(ge=1)] = 3
    """Steps in a row skipped for a gradient that is not finite until the run is stopped; fewer are a warning."""


class ClassCollapse(Stopping):
    """Every recording is given the same class, and nothing moves any more."""

    grace: Grace = 2
    """Epochs not judged, counted from the end of warm-up, the start of the class phase and unfreezing."""
    patience: Epochs = 2
    """Epochs in a row at the majority's score with a loss that stands still."""
    margin: Fraction = 0.02
    """How far macro-F1 may lie above the always-majority baseline and still count as collapsed."""
    window: Epochs = 3
    """Epochs over which the class loss is compared."""
    fall: Fraction = 0.01
    """The class loss stands still when it fell by less than this share within the window."""
    slow: Fraction = 0.05
    """A fall of less than this share within the window is slow: judged by where it leads."""
    reach: Fraction = 0.2
    """A slow loss stands still when at its pace it would fall by less than this share in all epochs that are left, and
    macro-F1 has not risen by more than `margin` within the window."""
    flat: Fraction = 0.01
    """Spread (sd over recordings) of the predicted probabilities under which the output counts as constant."""
    flat_patience: Epochs = 3
    """Epochs in a row of constant output that stop a run whatever its loss does."""
    warn_share: Fraction = 0.98
    """Share of recordings in the largest predicted class from which a warning is given."""


class RegressionCollapse(Stopping):
    """A regression head answers every recording with nearly the same number."""

    grace: Grace = 2
    """Epochs not judged, counted as for `class_collapse`, for the term of the head."""
    patience: Epochs = 3
    """Epochs in a row under `stop` with a loss that stands still."""
    warn: Fraction = 0.1
    """sd of predictions over sd of labels under which a warning is given."""
    stop: Fraction = 0.05
    """The same ratio under which the head counts as collapsed."""
    window: Epochs = 3
    """Epochs over which the loss of the term is compared."""
    fall: Fraction = 0.01
    """The loss stands still when it fell by less than this share within the window."""


class GradientExplosion(Stopping):
    """Gradients far above what this run was used to; a bare limit would depend on the scale of the losses."""

    limit: Positive = 10.0
    """Gradient norm, before clipping, under which nothing is called an explosion."""
    factor: Annotated[float, Field(ge=1)] = 10.0
    """An exploding step is also this many times above the median of the phase's earlier epochs."""
    epochs: Epochs = 2
    """Epochs in a row in which more than half of the steps explode until the run is stopped."""
    patience: Annotated[int, Field(ge=1)] = 20
    """Exploding steps endured within these epochs; a run with few steps an epoch is given more epochs."""


class TermNotFalling(Options):
    """A loss term that is trained and does not fall; never stops a run by itself."""

    window: Epochs = 3
    """The median of this many epochs is compared with the median of as many before."""
    fall: Fraction = 0.01
    """Warn when it fell by less than this share."""


class ClassAbsent(Stopping):
    """A class whose F1 stays at 0: a warning, and a stop when `patience` is given."""

    grace: Grace = 2
    """Epochs not judged before a stop, counted as for `class_collapse`."""
    patience: Epochs | None = None
    """Epochs in a row at F1 0 that stop the run; null only warns, because rare classes are learnt late."""
    min_samples: Annotated[int, Field(ge=1)] = 10
    """Classes with fewer validation samples are never a reason to stop: their recall is 0 by chance."""


class TaskDominance(Options):
    """One term makes up nearly all of the gradient on the last layer that the terms share; never stops a run."""

    share: Fraction = 0.9
    """Of the sum of the terms' gradient norms there, from which a warning is given."""
    patience: Epochs = 2
    """Epochs in a row, of those in which it was looked at."""


class GradientConflict(Options):
    """Two terms pull the shared weights in opposite directions; never stops a run."""

    cosine: Annotated[float, Field(ge=-1, lt=0)] = -0.3
    """Warn when the mean cosine between their gradients on the last shared layer is below this; unrelated terms have 0.
    """
    epochs: Epochs = 3
    """Epochs the mean is taken over."""


class NoGradient(Options):
    """A term that is on sends no gradient to what the terms share, or a trained part gets none; never stops a run."""

    patience: Epochs = 2
    """Epochs in a row, of those in which it was looked at."""


class NegativeR2(Stopping):
    """A regression head that stays worse than the mean of its labels: a warning, and a stop if `patience` is given."""

    grace: Grace = 2
    """Epochs not judged, counted as for `class_collapse`, for the term of the head."""
    epochs: Epochs = 5
    """Epochs in a row below 0 from which a warning is given."""
    patience: Epochs | None = None
    """Epochs in a row below 0 that stop the run; null only warns, because other terms may be learnt well."""


class OutOfReach(Options):
    """Labels lie beyond the bounds of their head (document 001: latencies of 1 to 8 ms, 39 % of the labels later)."""

    warn: Fraction = 0.01
    """Share of the training labels from which a warning is given, in every epoch from the first."""
    stop: Fraction | None = None
    """Share that stops the run; null only warns, because other terms may be learnt well."""


class AttentionCollapse(Stopping):
    """Attention looks at single places only."""

    warn: Fraction = 0.1
    """Entropy of the attention weights, over the logarithm of the keys, under which a warning is given; also under half
    of what it was at first."""
    first: Epochs = 3
    """Epochs whose median is what it was at first."""
    stop: Fraction = 0.05
    """Entropy under which a run with an unstable loss is stopped."""
    patience: Epochs = 3
    """Epochs in a row of both."""
    window: Epochs = 3
    """Epochs before, whose lowest loss is compared."""
    rise: Fraction = 0.1
    """The loss is unstable when a term's lies above that by more than this share, or a step was skipped."""


class LiteralOneClass(Options):
    """Document 000 to the letter: all recordings in one class. Stops about half of the runs that would end well."""

    after: Epochs = 1
    """First epoch judged, counted from the start of the run, warm-up included."""


class LiteralZeroF1(Options):
    """Document 002 to the letter: some class at F1 0 at an epoch. Stops a fifth of the runs that would end well."""

    at: Epochs = 6
    """The epoch judged, counted from the start of the run, whatever is frozen or warming up."""
    min_samples: Annotated[int, Field(ge=0)] = 0
    """Classes with fewer validation samples are passed over: their F1 is 0 by chance. The document passes over none."""


class LiteralGradientNorm(Options):
    """Document 000 to the letter: a gradient norm above a number, whatever is usual for this run."""

    limit: Positive = 10.0
    """Largest norm of the epoch's steps, before clipping."""


class HealthOptions(Options):
    """Which rules watch a run, and their settings; null switches a rule off."""

    non_finite: NonFinite | None = NonFinite()
    class_collapse: ClassCollapse | None = ClassCollapse()
    regression_collapse: RegressionCollapse | None = RegressionCollapse()
    gradient_explosion: GradientExplosion | None = GradientExplosion()
    term_not_falling: TermNotFalling | None = TermNotFalling()
    class_absent: ClassAbsent | None = ClassAbsent()
    task_dominance: TaskDominance | None = TaskDominance()
    gradient_conflict: GradientConflict | None = GradientConflict()
    no_gradient: NoGradient | None = NoGradient()
    negative_r2: NegativeR2 | None = NegativeR2()
    out_of_reach: OutOfReach | None = OutOfReach()
    attention_collapse: AttentionCollapse | None = AttentionCollapse()
    literal_one_class: LiteralOneClass | None = None
    literal_zero_f1: LiteralZeroF1 | None = None
    literal_gradient_norm: LiteralGradientNorm | None = None
