"""The data set of a classification: divisions of one table, what is rare in it, and a fingerprint; free of torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from core.config import Options
from core.data.labelled import Division, Labelled
from core.data.splits import masks

Share = Annotated[float, Field(ge=0, lt=1)]
FEW: Final = 10
"""Held-out examples of a class below which its F1 is mostly chance."""


class DivisionOptions(Options):
    """Who is trained on and who is held out; what comes from one group stays on one side, classes are spread evenly."""

    val_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the groups held out for validation."""
    test_share: Share = 0.2
    """Share of the groups kept for the end."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 7
    """Which ones are held out."""
    rare: tuple[str, ...] = ()
    """Classes whose mean F1 is reported as `f1_rare`, by name."""
    rare_most: Annotated[int, Field(ge=0)] = 0
    """Classes with at most so many examples to train on are rare as well."""

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> Self:
        if self.val_share + self.test_share >= 1:
            raise ValueError("val_share and test_share leave nothing to train on")
        return self


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClassifierDataset:
    """Divisions of one table: one, or one for each fold of a cross-validation."""

    folds: tuple[Division, ...]
    fingerprint: str
    """Equal exactly when the examples and the division are."""
    rare: tuple[str, ...] = ()
    simulated: bool = False
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Name of a file that could not be read -> what is wrong with it."""
    weights: Mapping[str, float] | None = None
    """Class weights that came with the data, by name."""
    reading: Mapping[str, Any] = field(default_factory=dict)
    """How a file becomes an example, ready for JSON; stored with the weights."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of all examples."""
        return self.folds[0].train.class_names

    def trains(self) -> tuple[Labelled, ...]:
        """The training part of every fold."""
        return tuple(fold.train for fold in self.folds)

    def held_out(self, split: str) -> tuple[Labelled, ...]:
        """The held-out part of every fold (`val` or `test`); raises ValueError when the data have no such split."""
        if split not in {"val", "test"}:
            raise ValueError(f"weights are scored on val or test, not on {split!r}")
        parts = tuple(fold.val if split == "val" else fold.test for fold in self.folds)
        present = tuple(part for part in parts if part is not None)
        if len(present) < len(parts):
            raise ValueError("these data have no test split: every example is trained on or validates")
        return present


def dataset(
    divisions: Sequence[Division],
    options: DivisionOptions,
    *,
    simulated: bool = False,
    skipped: Mapping[str, str] | None = None,
    weights: Mapping[str, float] | None = None,
    reading: Mapping[str, Any] | None = None,
) -> ClassifierDataset:
    """The data set of these divisions; raises ValueError when a rare class is none of its classes."""
    train = divisions[0].train
    unknown = [name for name in options.rare if name not in train.class_names]
    if unknown:
        raise ValueError(f"rare names {', '.join(unknown)}; the classes are {', '.join(train.class_names)}")
    few = [
        name for name, count in zip(train.class_names, train.counts(), strict=True) if 0 < count <= options.rare_most
    ]
    return ClassifierDataset(
        folds=tuple(divisions),
        fingerprint=_fingerprint(divisions),
        rare=tuple(name for name in train.class_names if name in options.rare or name in few),
        simulated=simulated,
        skipped=skipped or {},
        weights=weights,
        reading=reading or {},
    )


def divided(table: Labelled, options: DivisionOptions) -> Division:
    """Training, validation and test examples by the shares of groups.

    A class with three groups or more is in all parts, one with two in training and validation, one with a single group
    is trained on. Raises TooFewPatients with fewer groups than parts.
    """
    shares = (1 - options.val_share - options.test_share, options.val_share, options.test_share)
    train_N, val_N, test_N = masks(table.group, table.class_index, shares, options.seed)
    test = table.take(test_N) if options.test_share else None
    return Division(train=table.take(train_N), val=table.take(val_N), test=test)


def refolded(data: ClassifierDataset, *, count: int, seed: int) -> tuple[ClassifierDataset, ...]:
    """`count` divisions of what trains or validates, every group validating once, stratified; the test part stays.

    Raises ValueError when `data` is a cross-validation already, TooFewPatients with fewer groups than folds.
    """
    if len(data.folds) > 1:
        raise ValueError("these data are a cross-validation already: every example is held out once in each training")
    [whole] = data.folds
    both = pooled([whole.train, whole.val])
    return tuple(
        replace(
            data,
            folds=(Division(train=both.take(~held_out_N), val=both.take(held_out_N), test=whole.test),),
            fingerprint=hashlib.sha256(f"{data.fingerprint} {count} {seed} {index}".encode()).hexdigest(),
        )
        for index, held_out_N in enumerate(masks(both.group, both.class_index, (1 / count,) * count, seed))
    )


def pooled(parts: Sequence[Labelled]) -> Labelled:
    """Parts of one table, one after the other."""
    if len(parts) == 1:
        return parts[0]

    columns: dict[str, Any] = {}
    for name in ("inputs", "class_index", "group", "name", "views", "features"):
        each = [getattr(part, name) for part in parts]
        columns[name] = None if any(column is None for column in each) else np.concatenate(each)
    return replace(parts[0], **columns)


def remarks(data: ClassifierDataset) -> Iterator[str]:
    """What a reader of any result on these data must know."""
    if data.simulated:
        yield "The examples are simulated: no result on them is a result on real ones."
    if data.skipped:
        some = ", ".join(list(data.skipped)[:5])
        yield f"{len(data.skipped)} files could not be read and are left out: {some}{_more(len(data.skipped), 5)}"
    yield from _copies(data.folds[0])
    names = data.class_names
    if len(data.folds) == 1:
        [fold] = data.folds
        for word, part in (("train on", fold.train), ("validate on", fold.val), ("test on", fold.test)):
            if part is None:
                continue
            count_K = part.counts()
            none = [name for name, count in zip(names, count_K, strict=True) if not count]
            few = [name for name, count in zip(names, count_K, strict=True) if 0 < count < FEW]
            if none:
                yield f"Nothing to {word} in {', '.join(none[:10])}{_more(len(none), 10)}: too few groups."
            if few and part is not fold.train:
                yield (
                    f"Fewer than {FEW} examples to {word} in {len(few)} of {len(names)} classes "
                    f"({', '.join(few[:5])}{_more(len(few), 5)}): their F1 is mostly chance."
                )


def _copies(fold: Division) -> Iterator[str]:
    """What is held out although it is trained on, under another name."""
    trained = {_digest(example): str(name) for example, name in zip(fold.train.inputs, fold.train.name, strict=True)}
    found = [
        f"{name} of {trained[digest]}"
        for part in (fold.val, fold.test)
        if part is not None
        for name, digest in zip(part.name, map(_digest, part.inputs), strict=True)
        if digest in trained
    ]
    if found:
        yield (
            f"{len(found)} held-out examples are copies of what is trained on ({', '.join(found[:3])}"
            f"{_more(len(found), 3)}): scores flatter; take copies away, or give them the same group."
        )


def _digest(example: NDArray[Any]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(example).tobytes(), digest_size=16).digest()


def _more(count: int, shown: int) -> str:
    return f" and {count - shown} more" if count > shown else ""


def _fingerprint(divisions: Sequence[Division]) -> str:
    digest = hashlib.sha256()
    for fold in divisions:
        for part in (fold.train, fold.val, fold.test):
            digest.update((part.fingerprint() if part is not None else "absent").encode())
    return digest.hexdigest()
