"""Divisions of recordings into training and held-out ones; a patient never crosses.

Patients are drawn class by class: a patient belongs to the rarest class found among his or her recordings, counted over
the whole table, so that rare classes are spread over the splits as evenly as their patients allow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.data.recordings import Fold, Recordings

UNKNOWN: Final = -1
"""Class of a patient none of whose recordings carries a class."""


class TooFewPatients(ValueError):
    """There are fewer patients than splits."""

    def __init__(self, patients: int, needed: int) -> None:
        super().__init__(patients, needed)

    def __str__(self) -> str:
        patients, needed = self.args
        return (
            f"{needed} splits need at least {needed} patients, the recordings have {patients}; a patient never crosses"
        )


def by_patient(recordings: Recordings, *, val_share: float, test_share: float, seed: int) -> Fold:
    """Training, validation and test recordings; the shares are of patients, in each class and so overall.

    Every class with at least three patients is in all three splits, one with two in training and validation. The same
    seed and patients give the same division in whatever order the recordings stand. `test` is None for a share of 0.

    Raises:
        TooFewPatients: there are fewer patients than splits.
        ValueError: the shares are negative or leave nothing to train on.
    """
    shares = (1 - val_share - test_share, val_share, test_share)
    if min(val_share, test_share) < 0 or shares[0] <= 0:
        raise ValueError(f"val_share {val_share} and test_share {test_share} leave no patients to train on")
    train_N, val_N, test_N = masks(recordings.patient, recordings.hearing_class, shares, seed)
    test = recordings.take(test_N) if test_share else None
    return Fold(train=recordings.take(train_N), val=recordings.take(val_N), test=test)


def leave_one_patient_out(recordings: Recordings) -> Iterator[Fold]:
    """One fold for each patient, in the order of their ids, in which only that patient is held out.

    Raises:
        TooFewPatients: there is only one patient.
    """
    patients = np.unique(recordings.patient)
    if len(patients) < 2:
        raise TooFewPatients(len(patients), 2)
    for patient in patients:
        held_out_N = recordings.patient == patient
        yield Fold(train=recordings.take(~held_out_N), val=recordings.take(held_out_N))


def k_fold(recordings: Recordings, *, folds: int, seed: int) -> Iterator[Fold]:
    """`folds` folds in which every patient is held out once, stratified like `by_patient`.

    Raises:
        TooFewPatients: there are fewer patients than folds.
        ValueError: fewer than two folds are asked for.
    """
    if folds < 2:
        raise ValueError(f"cross-validation needs at least 2 folds, not {folds}")
    for held_out_N in masks(recordings.patient, recordings.hearing_class, (1 / folds,) * folds, seed):
        yield Fold(train=recordings.take(~held_out_N), val=recordings.take(held_out_N))


def rarest_class(group_N: NDArray[np.str_], class_N: NDArray[np.int64]) -> dict[str, int]:
    """Group, in the order of ids -> the class with the fewest examples in the table among the group's classes.

    Examples of class -1 do not count; a group with no others is UNKNOWN.
    """
    known_N = class_N >= 0
    counts = np.bincount(class_N[known_N])
    rarest = dict.fromkeys(np.unique(group_N).tolist(), UNKNOWN)
    for group, label in zip(group_N[known_N].tolist(), class_N[known_N].tolist(), strict=True):
        if rarest[group] == UNKNOWN or (counts[label], label) < (counts[rarest[group]], rarest[group]):
            rarest[group] = label
    return rarest


def masks(
    group_N: NDArray[np.str_], class_N: NDArray[np.int64], shares: Sequence[float], seed: int
) -> list[NDArray[np.bool_]]:
    """One mask of examples per share of the groups; every example is in exactly one, with all others of its group.

    Raises:
        TooFewPatients: there are fewer groups than shares above 0.
    """
    strata: dict[int, list[str]] = {}
    for group, label in rarest_class(group_N, class_N).items():
        strata.setdefault(label, []).append(group)
    used = sum(share > 0 for share in shares)
    if (groups := sum(map(len, strata.values()))) < used:
        raise TooFewPatients(groups, used)
    random = np.random.default_rng(seed)
    split_of: dict[str, int] = {}
    totals = np.zeros(len(shares), np.int64)
    for label in sorted(strata, key=lambda name: (len(strata[name]), name)):
        given = np.zeros(len(shares), np.int64)
        for group in random.permutation(strata[label]).tolist():
            empty = (totals == 0) & (np.asarray(shares) > 0)
            must_fill = empty.sum() >= groups - len(split_of)
            chosen = _most_wanting(
                np.asarray(shares), given, totals, allowed=empty if must_fill else np.asarray(shares) > 0
            )
            given[chosen] += 1
            totals[chosen] += 1
            split_of[group] = chosen
    split_N = np.array([split_of[group] for group in group_N.tolist()])
    return [split_N == split for split in range(len(shares))]


def _most_wanting(
    shares: NDArray[np.float64], given: NDArray[np.int64], totals: NDArray[np.int64], *, allowed: NDArray[np.bool_]
) -> int:
    """The split the next patient of a class goes to.

    One that has none of the class, then the one furthest below its share of the class; between equals the one furthest
    below its share of all patients, then the first.
    """
    in_class = np.round(shares * (given.sum() + 1) - given, 9)
    overall = np.round(shares * (totals.sum() + 1) - totals, 9)
    candidates = np.flatnonzero(allowed).tolist()
    return max(candidates, key=lambda split: (given[split] == 0, in_class[split], overall[split], -split))
