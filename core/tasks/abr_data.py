"""The data set of the ABR task: folds of recordings, what is held out of each, and a fingerprint; free of torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from core.data.recordings import Fold, Recordings
from core.tasks.abr_options import RecordedData, SimulatedData


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AbrDataset:
    """Divisions of one set of recordings: one, or one per fold of a cross-validation."""

    folds: tuple[Fold, ...]
    fingerprint: str
    """Equal exactly when the numbers and the division are."""
    rare: tuple[str, ...] = ()
    """Classes that `f1_rare` averages over."""

    def held_out(self, split: str) -> tuple[Recordings, ...]:
        """The held-out part of every fold (`val` or `test`); raises ValueError when the data have no such split."""
        if split not in {"val", "test"}:
            raise ValueError(f"weights are scored on val or test, not on {split!r}")
        parts = tuple(fold.val if split == "val" else fold.test for fold in self.folds)
        present = tuple(part for part in parts if part is not None)
        if len(present) < len(parts):
            raise ValueError("these data have no test split: every recording is trained on or validates")
        return present

    def trains(self) -> tuple[Recordings, ...]:
        """The training part of every fold."""
        return tuple(fold.train for fold in self.folds)


def load_dataset(data: SimulatedData | RecordedData, *, folder: Path) -> AbrDataset:
    """Simulate or read the recordings and divide them by patient; a relative source is relative to `folder`.

    Raises ValueError (DataMistakes, TooFewPatients) when the file is missing or makes no sense, or when a rare class
    is none of its classes.
    """
    folds = _simulated(data) if isinstance(data, SimulatedData) else _recorded(data, folder)
    names = folds[0].train.class_names
    unknown = [name for name in data.rare if name not in names]
    if unknown:
        raise ValueError(f"rare names {', '.join(unknown)}; the classes are {', '.join(names) or 'none'}")
    digest = hashlib.sha256()
    for fold in folds:
        for part in (fold.train, fold.val, fold.test):
            digest.update((part.fingerprint() if part is not None else "absent").encode())
    return AbrDataset(folds=folds, fingerprint=digest.hexdigest(), rare=data.rare)


def refolded(data: AbrDataset, *, count: int, seed: int) -> tuple[AbrDataset, ...]:
    """`count` divisions of what trains or validates in `data`, every patient validating once; the test part stays.

    Raises ValueError when `data` is a cross-validation already, has fewer patients than folds, or was not drawn as one:
    the validation part of simulated recordings has more of the rare classes, and weights that undo it.
    """
    from core.data.splits import k_fold

    if len(data.folds) > 1:
        raise ValueError("these data are a cross-validation already: every patient is held out once in each training")
    [whole] = data.folds
    if (whole.train.weight is None) != (whole.val.weight is None):
        raise ValueError(
            "validation recordings are weighted here and training recordings are not, so they cannot change places; "
            "of simulated recordings another data seed draws new ones"
        )
    divisions = k_fold(pooled([whole.train, whole.val]), folds=count, seed=seed)
    return tuple(
        AbrDataset(
            folds=(replace(division, test=whole.test),),
            fingerprint=hashlib.sha256(f"{data.fingerprint} {count} {seed} {index}".encode()).hexdigest(),
            rare=data.rare,
        )
        for index, division in enumerate(divisions)
    )


def remarks(data: AbrDataset) -> tuple[str, ...]:
    """What may be wrong with the recordings and their division; of a cross-validation, with the recordings alone."""
    from core.data.suspicions import fold_suspicions, suspicions

    fold = data.folds[0]
    whole = pooled([part for part in (fold.train, fold.val, fold.test) if part is not None])
    divided = fold_suspicions(fold) if len(data.folds) == 1 else ()
    return (*suspicions(whole), *divided)


def pooled(parts: Sequence[Recordings]) -> Recordings:
    """Parts of one table, one after the other."""
    if len(parts) == 1:
        return parts[0]
    columns: dict[str, Any] = {
        name: np.concatenate([part.columns()[name] for part in parts]) for name in parts[0].columns()
    }
    return replace(parts[0], **columns)


def _simulated(data: SimulatedData) -> tuple[Fold, ...]:
    from core.data.simulator import simulate

    return (simulate(data).fold,)


def _recorded(data: RecordedData, folder: Path) -> tuple[Fold, ...]:
    from core.data.check import DataMistakes, DataProblem
    from core.data.files import read
    from core.data.splits import TooFewPatients, by_patient, leave_one_patient_out
    from core.data.suspicions import LABELS

    path = folder / data.source
    if not path.exists():
        hint = (
            "make simulated recordings with `abr-tune data make`, or bring your own in with `abr-tune data import`; "
            f"relative paths start at {folder.resolve()}"
        )
        raise DataMistakes(str(path), [DataProblem("no such file", hint=hint)])
    recordings = read(path)
    if recordings.clean is None and not any(known(recordings).any() for known in LABELS.values()):
        hint = f"one of these is needed: {', '.join(LABELS)}"
        raise DataMistakes(str(path), [DataProblem("no recording is labelled with anything to learn", hint=hint)])
    try:
        if data.split == "leave_one_patient_out":
            return tuple(leave_one_patient_out(recordings))
        return (by_patient(recordings, val_share=data.val_share, test_share=data.test_share, seed=data.seed),)
    except TooFewPatients as few:
        raise DataMistakes(str(path), [DataProblem(str(few), column="patient")]) from few
