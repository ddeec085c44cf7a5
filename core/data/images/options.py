"""How images are shown to a network in training; free of torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from core.config import Fraction, Options


class ViewOptions(Options):
    """How far a view may be from its image."""

    mirror: bool = True
    degrees: Annotated[float, Field(ge=0, le=180)] = 15.0
    """Largest angle it is turned by."""
    scale: Annotated[float, Field(ge=0, le=0.9)] = 0.1
    """Largest change of size, as a share."""
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    """Largest way it is moved, as a share of a side."""
    light: Fraction = 0.15
    """Largest change of contrast and of brightness, as a share."""
