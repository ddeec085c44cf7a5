"""The options that classification tasks share; free of torch."""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

from pydantic import Field

Term = Literal["class"]
TERMS: Final[tuple[Term, ...]] = get_args(Term)
Part = Literal["backbone", "head"]
Count = Annotated[int, Field(ge=1)]
