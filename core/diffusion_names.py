"""The choices of diffusion by name; free of torch."""

from __future__ import annotations

from typing import Literal

ScheduleName = Literal["cosine", "linear"]
"""How the share of noise grows from step to step: cosine 2102.09672, linear 2006.11239."""
Prediction = Literal["velocity", "noise"]
"""What a network says of a noised signal: velocity 2202.00512, noise 2006.11239."""
Sampler = Literal["ddim", "ddpm"]
"""How a noised signal is led back: ddim 2010.02502, ddpm 2006.11239."""
