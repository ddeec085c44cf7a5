"""The options that classification tasks share; free of torch."""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

from pydantic import Field

from core.config import FocalOptions, MixUpOptions, Options

Term = Literal["class"]
TERMS: Final[tuple[Term, ...]] = get_args(Term)
Part = Literal["backbone", "head"]
Count = Annotated[int, Field(ge=1)]


class ClassLossOptions(Options):
    """The loss of the class."""

    class_loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    focal: FocalOptions = FocalOptions()
    """Read when `class_loss` is focal."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability moved from the true class to all classes (document 002: 0.05, was 0.1)."""
    logit_adjustment: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Logit adjustment, Menon et al. 2021 (2007.07314): in the loss, each class's logit is raised by this times the
    logarithm of its share among what is drawn; 1 aims at the mean of the classes' recalls, 0 leaves the logits."""


class ClassMixUpOptions(MixUpOptions):
    """MixUp of examples with one class each."""
