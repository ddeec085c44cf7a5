"""Options of the conditional diffusion of the noise-free truth; free of torch."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from core.config import Fraction, Options
from core.diffusion_names import Prediction, Sampler, ScheduleName


class DiffusionOptions(Options):
    """Conditional diffusion of the truth behind a recording (documents 000 and 004), trained with the term `signal`.

    With the recording the network denoises; with the labels in its place it generates: `abr-tune data make --from`.
    """

    enabled: bool = False
    """The network also learns to take noise off a noised truth: twice the work of a training step, and what
    `abr-tune data make --from` needs. The heads never see a noised input."""
    schedule: ScheduleName = "cosine"
    """How the noise grows from step to step; linear is stretched to the number of steps."""
    steps: Annotated[int, Field(ge=10, le=4000)] = 200
    """Noise levels between the truth and nothing but noise."""
    predicts: Prediction = "velocity"
    """What is said of a noised truth: its velocity (stable at every noise level), or its noise."""
    drop_recording: Fraction = 0.5
    """How often the recording is not shown and the labels are told in its place: 0 learns only to denoise."""
    drop_labels: Fraction = 0.1
    """How often, of these, nothing is told but the step: what guidance compares with."""
    sampler: Sampler = "ddim"
    """How recordings are generated: ddim, the seed alone decides; ddpm draws noise at every step."""
    sampling_steps: Annotated[int, Field(ge=1, le=4000)] = 50
    """Strides from noise to a signal, at most `steps`."""
    eta: Fraction = 0.0
    """ddim: noise drawn on the way, from none to as much as ddpm draws."""
    guidance: Annotated[float, Field(ge=0, le=20)] = 1.0
    """Classifier-free guidance (2207.12598): 1 goes by the labels as learnt, 0 ignores them, above 1 overdoes them."""

    @model_validator(mode="after")
    def _strides_fit(self) -> Self:
        if self.sampling_steps > self.steps:
            raise ValueError(f"sampling_steps {self.sampling_steps} is above steps {self.steps}")
        return self
