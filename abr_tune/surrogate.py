"""What the trials of a search say of configurations nobody trained: a random forest, an estimate and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from abr_tune.report.collapse import flat

TREES: Final = 200
MOST_TRIALS: Final = 2000
"""More would take longer than a report may; a random part of them is used."""

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Surrogate:
    """A forest fitted to the trials of a search."""

    forest: Any
    columns: tuple[_Column, ...]
    explained: float
    """Share of the variance it explains in trials it was not fitted to (out of bag); at most 1, below 0 for none."""
    trials: int

    def by_tree(self, configurations: Sequence[Mapping[str, Any]]) -> Matrix:
        """(trees, configurations) what each tree says."""
        table = _table(self.columns, configurations)
        return np.stack([tree.predict(table) for tree in self.forest.estimators_])

    def expect(self, configurations: Sequence[Mapping[str, Any]]) -> list[float]:
        """The mean over the trees."""
        means: list[float] = self.by_tree(configurations).mean(axis=0).tolist()
        return means


@dataclass(frozen=True, slots=True)
class _Column:
    """One number made of a configuration: that of a numeric lever, or whether another has one of its values.

    Trees split by order alone, so that a logarithm would change nothing.
    """

    lever: str
    category: str | None = None
    other: float = 0.0
    """What stands for a value that is no number."""

    def of(self, flattened: Mapping[str, Any]) -> float:
        value = flattened.get(self.lever)
        if self.category is not None:
            return float(str(value) == self.category)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else self.other


def fit_surrogate(configurations: Sequence[Mapping[str, Any]], values: Sequence[float]) -> Surrogate | None:
    """A forest over complete configurations; None when nothing in them varies. The same trials give the same forest."""
    from sklearn.ensemble import RandomForestRegressor

    chosen = np.random.default_rng(0).permutation(len(values))[:MOST_TRIALS]
    configurations, values = [configurations[i] for i in chosen], [values[i] for i in chosen]
    columns = _columns([_flattened(configuration) for configuration in configurations])
    if not columns:
        return None
    forest = RandomForestRegressor(TREES, min_samples_leaf=2, oob_score=True, random_state=0, n_jobs=1)
    forest.fit(_table(columns, configurations), values)
    return Surrogate(forest, columns, float(forest.oob_score_), len(values))


def _flattened(configuration: Mapping[str, Any]) -> dict[str, Any]:
    return dict(part for path, value in configuration.items() for part in flat(path, value))


def _columns(rows: Sequence[Mapping[str, Any]]) -> tuple[_Column, ...]:
    levers = dict.fromkeys(lever for row in rows for lever in row)
    return tuple(column for lever in levers for column in _columns_of(lever, [row.get(lever) for row in rows]))


def _columns_of(lever: str, values: Sequence[Any]) -> list[_Column]:
    kinds = sorted({str(value) for value in values})
    if len(kinds) < 2:
        return []
    numbers = [float(value) for value in values if _is_number(value)]
    if len(numbers) < len(values) / 2:
        return [_Column(lever, category=kind) for kind in kinds]
    return [_Column(lever, other=float(np.median(numbers)))]


def _table(columns: Sequence[_Column], configurations: Sequence[Mapping[str, Any]]) -> Matrix:
    rows = [_flattened(configuration) for configuration in configurations]
    return np.array([[column.of(row) for column in columns] for row in rows], dtype=np.float64)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
