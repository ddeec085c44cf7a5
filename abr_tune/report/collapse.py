"""Where runs collapse: the share of trials that a health rule stopped, along each searched lever."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from abr_tune.search.events import TrialRecord
from core.health.odds import share_interval
from core.health.severity import SEVERITIES

MOST_BINS: Final = 6
TRIALS_PER_BIN: Final = 8
FEWEST: Final = 10
"""Trials below which a share is a handful."""
PERMUTATIONS: Final = 1999
NOISE: Final = 0.05
"""A lever separates when labels dealt out at random would separate as well in fewer cases than this."""

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CollapseBin:
    """A stretch of a numeric lever, or one of the values of another."""

    label: str
    low: float | None
    """Smallest value in the stretch; None for a value that is no number."""
    high: float | None
    trials: int
    collapsed: int
    interval: tuple[float, float]
    """95 % interval of the share."""

    @property
    def share(self) -> float:
        """Share of the trials that collapsed."""
        return self.collapsed / self.trials


@dataclass(frozen=True, slots=True, kw_only=True)
class CollapseLever:
    """One lever, and how well it tells collapsing trials from others."""

    lever: str
    """Path, with `[0]` or `.name` behind it for a part of a list or mapping."""
    bins: tuple[CollapseBin, ...]
    """In the order of the values."""
    information: float
    """Mutual information of the bin and the collapse, in bits; at most 1."""
    p_value: float
    """Chance of as much information from labels dealt out at random, corrected (Holm) for the number of levers."""

    @property
    def noise(self) -> bool:
        """Whether chance alone may well have made the difference between the bins."""
        return self.p_value >= NOISE


@dataclass(frozen=True, slots=True, kw_only=True)
class CollapseMap:
    """All levers, the most telling first."""

    levers: tuple[CollapseLever, ...] = ()
    trials: int = 0
    """Trials that are counted."""
    collapsed: int = 0
    left_out: int = 0
    """Trials that something else ended before half of the collapses had shown: what they would have done is unknown."""
    absent: str = ""
    """Why there is no map."""


def collapse_map(records: Sequence[TrialRecord]) -> CollapseMap:
    """Count collapses along every lever; the same records always give the same map.

    A trial has collapsed when a health rule stopped it, or would have and the audit let it run. Numeric levers are cut
    into stretches of about equally many trials.
    """
    fate = fates(records)
    counted = [record for record in records if record.number in fate]
    collapsed = sum(fate.values())
    whole = CollapseMap(trials=len(counted), collapsed=collapsed, left_out=len(_ended(records)) - len(counted))
    if len(counted) < FEWEST or collapsed in {0, len(counted)}:
        return CollapseMap(trials=whole.trials, collapsed=collapsed, left_out=whole.left_out, absent=_why_absent(whole))
    found = [_lever(lever, values, fate) for lever, values in _by_lever(counted).items()]
    levers = _holm([lever for lever in found if lever is not None])
    return CollapseMap(
        levers=tuple(sorted(levers, key=lambda lever: (lever.p_value, -lever.information))),
        trials=whole.trials,
        collapsed=collapsed,
        left_out=whole.left_out,
    )


def collapsed_by(record: TrialRecord) -> str | None:
    """The health rule that stopped a trial, or would have; None for one that stayed healthy."""
    rule = record.pruned_by if record.state == "pruned" else (record.audited or {}).get("rule")
    return rule if rule in SEVERITIES else None


def fates(records: Sequence[TrialRecord]) -> dict[int, bool]:
    """Trial -> whether it collapsed, of those that lived long enough to tell."""
    ended = _ended(records)
    ages = [record.epochs for record in ended if collapsed_by(record) is not None]
    needed = median_low(ages) if ages else 0
    return {
        record.number: collapsed_by(record) is not None
        for record in ended
        if collapsed_by(record) is not None or record.state == "complete" or record.epochs >= needed
    }


def _ended(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    return [record for record in records if record.state in {"complete", "pruned"}]


def _why_absent(whole: CollapseMap) -> str:
    if whole.trials < FEWEST:
        return f"Where runs collapse needs {FEWEST} trials that show it; this run has {whole.trials}."
    if whole.collapsed == 0:
        return f"None of {whole.trials} trials collapsed."
    return f"All {whole.trials} trials collapsed: no setting told them apart."


def _by_lever(records: Sequence[TrialRecord]) -> dict[str, dict[int, Any]]:
    """Lever -> trial -> value; a trial in which a conditional lever was off is missing there."""
    found: dict[str, dict[int, Any]] = {}
    for record in records:
        for path, value in record.params.items():
            for lever, part in flat(path, value):
                found.setdefault(lever, {})[record.number] = part
    return found


def flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A setting as levers of one value each: the parts of a list or mapping by themselves."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from flat(f"{path}.{key}", part)
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from flat(f"{path}[{index}]", part)
    else:
        yield path, value


def _lever(lever: str, values: Mapping[int, Any], fate: Mapping[int, bool]) -> CollapseLever | None:
    """One lever with its own, uncorrected chance; None when it does not vary."""
    labels = np.array([fate[number] for number in values])
    groups = _numeric(list(values.values())) or _categories(list(values.values()))
    if len(groups) < 2:
        return None
    counts = np.array([len(members) for _, _, _, members in groups])
    collapsed = np.array([int(labels[members].sum()) for _, _, _, members in groups])
    told = float(information(collapsed, counts))
    dealt = np.random.default_rng(0).multivariate_hypergeometric(counts, int(collapsed.sum()), size=PERMUTATIONS)
    as_good = int(np.sum(information(dealt, counts) >= told - 1e-12))
    bins = tuple(
        CollapseBin(label=label, low=low, high=high, trials=n, collapsed=k, interval=share_interval(k, n))
        for (label, low, high, _), k, n in zip(groups, collapsed.tolist(), counts.tolist(), strict=True)
    )
    return CollapseLever(lever=lever, bins=bins, information=told, p_value=(1 + as_good) / (1 + PERMUTATIONS))


def information(collapsed: Counts, counts: Counts) -> NDArray[np.float64]:
    """Mutual information in bits of bin and collapse: sum over cells of p log2(p / (p_bin p_fate)).

    `collapsed` has the bins in its last axis; the others stay.
    """
    table = np.stack([collapsed, counts - collapsed], axis=-2) / counts.sum()
    expected = table.sum(axis=-1, keepdims=True) * table.sum(axis=-2, keepdims=True)
    ratio = np.divide(table, expected, out=np.ones_like(table), where=table > 0)
    told: NDArray[np.float64] = np.maximum(0.0, (table * np.log2(ratio)).sum(axis=(-2, -1)))
    return told


Group = tuple[str, float | None, float | None, list[int]]
"""Label, smallest and largest value, places of its members."""


def _numeric(values: Sequence[Any]) -> list[Group]:
    """Stretches of about equally many members; empty for values that are no numbers, or only a few different ones."""
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return []
    if len(set(values)) <= MOST_BINS:
        return []
    wanted = min(MOST_BINS, max(2, len(values) // TRIALS_PER_BIN))
    edges = np.unique(np.quantile(values, np.linspace(0, 1, wanted + 1)[1:-1]))
    place = np.searchsorted(edges, values, side="left")
    groups: list[Group] = []
    for index in np.unique(place):
        members = np.flatnonzero(place == index).tolist()
        low, high = (float(pick(values[member] for member in members)) for pick in (min, max))
        groups.append((f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}", low, high, members))
    return groups


def _categories(values: Sequence[Any]) -> list[Group]:
    numbers = all(isinstance(value, int | float) for value in values)
    kinds = sorted(set(values)) if numbers else sorted(set(map(str, values)))
    groups: list[Group] = []
    for kind in kinds:
        members = [index for index, value in enumerate(values) if value == kind or str(value) == kind]
        number = float(kind) if numbers and not isinstance(kind, bool) else None
        groups.append((f"{kind:.3g}" if isinstance(kind, float) else str(kind), number, number, members))
    return groups


def _holm(levers: Sequence[CollapseLever]) -> Iterator[CollapseLever]:
    """Chances corrected for how many levers were looked at (Holm 1979): the smallest times their number, and so on."""
    floor = 0.0
    for index, lever in enumerate(sorted(levers, key=lambda lever: lever.p_value)):
        floor = max(floor, min(1.0, lever.p_value * (len(levers) - index)))
        yield CollapseLever(lever=lever.lever, bins=lever.bins, information=lever.information, p_value=floor)
