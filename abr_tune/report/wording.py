"""Numbers and counts as a person reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def number(value: float | None) -> str:
    """A score for people: three decimals, more for small ones, none for whole ones, a dash for nothing."""
    if value is None:
        return "–"
    if value == round(value) and 1 <= abs(value) < 1e6:
        return f"{value:.0f}"
    return f"{value:.3f}" if value == 0 or abs(value) >= 0.01 else f"{value:.2g}"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """`1 seed`, `3 seeds`; of other nouns the plural is given."""
    return f"{count} {noun}" if count == 1 else f"{count} {plural or noun + 's'}"


def fresh_runs(confirmed: Mapping[str, Any]) -> str:
    """`3 fresh seeds`; where the data were divided anew, `1 fresh seed, each on 5 folds`."""
    folds = f", each on {confirmed['folds']} folds" if confirmed.get("folds") else ""
    return counted(confirmed["seeds"], "fresh seed") + folds


def percent(share: float) -> str:
    """`0.612` -> `61 %`."""
    return f"{share * 100:.0f} %"
