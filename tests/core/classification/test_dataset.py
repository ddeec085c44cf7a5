"""Divisions of examples: groups stay together, classes are spread, and what is few is said."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from core.classification.dataset import DivisionOptions, dataset, divided, pooled, refolded, remarks
from core.data.labelled import Labelled
from core.data.splits import TooFewPatients


def table(counts: list[int], *, group: list[str] | None = None) -> Labelled:
    """One number for each example: its place in the table."""
    count = sum(counts)
    name = np.array([f"{index}.png" for index in range(count)])
    return Labelled(
        inputs=np.arange(count, dtype=np.float32)[:, None],
        class_index=np.repeat(np.arange(len(counts)), counts).astype(np.int64),
        class_names=tuple("abcdefgh"[: len(counts)]),
        group=name if group is None else np.array(group),
        name=name,
    )


def test_every_example_is_on_one_side_and_classes_are_spread() -> None:
    whole = table([50, 20, 10])
    division = divided(whole, DivisionOptions(val_share=0.2, test_share=0.1))
    assert division.test is not None
    parts = [division.train, division.val, division.test]
    assert sorted(np.concatenate([part.inputs[:, 0] for part in parts]).tolist()) == list(range(80))
    assert [part.counts().tolist() for part in parts] == [[35, 14, 7], [10, 4, 2], [5, 2, 1]]


def test_a_group_never_crosses() -> None:
    whole = table([30, 30], group=[f"speaker {index % 12}" for index in range(60)])
    division = divided(whole, DivisionOptions(val_share=0.25, test_share=0.25))
    assert division.test is not None
    sets = [set(part.group.tolist()) for part in (division.train, division.val, division.test)]
    assert sum(map(len, sets)) == 12 == len(set.union(*sets))


def test_two_classes_and_one_example_of_a_class() -> None:
    division = divided(table([9, 1]), DivisionOptions(val_share=0.3, test_share=0.3))
    assert division.train.counts().tolist()[1] == 1
    data = dataset([division], DivisionOptions())
    assert "Nothing to validate on in b: too few groups." in list(remarks(data))
    with pytest.raises(TooFewPatients):
        divided(table([1, 1]), DivisionOptions())


def test_the_division_depends_on_seed_and_names_alone() -> None:
    whole = table([20, 20])
    order = np.random.default_rng(1).permutation(40)
    first, again = (divided(each, DivisionOptions(seed=3)) for each in (whole, whole.take(order)))
    assert set(first.val.name) == set(again.val.name)
    assert set(first.val.name) != set(divided(whole, DivisionOptions(seed=4)).val.name)


def test_rare_classes_are_named_or_counted() -> None:
    division = divided(table([50, 10, 5]), DivisionOptions())
    counts = division.train.counts().tolist()
    assert dataset([division], DivisionOptions(rare=("a",), rare_most=counts[2])).rare == ("a", "c")
    assert dataset([division], DivisionOptions()).rare == ()
    with pytest.raises(ValueError, match="rare names z; the classes are a, b, c"):
        dataset([division], DivisionOptions(rare=("z",)))


def test_folds_hold_out_every_example_once_and_leave_the_test_part() -> None:
    data = dataset([divided(table([30, 12]), DivisionOptions())], DivisionOptions())
    folds = refolded(data, count=3, seed=1)
    test = data.folds[0].test
    assert test is not None
    both = pooled([data.folds[0].train, data.folds[0].val])
    held_out = [fold.folds[0].val.inputs[:, 0].tolist() for fold in folds]
    assert sorted(chain.from_iterable(held_out)) == sorted(both.inputs[:, 0].tolist())
    assert all(fold.folds[0].test is test for fold in folds)
    assert len({fold.fingerprint for fold in folds} | {data.fingerprint}) == 4
    for fold in folds:
        assert not set(fold.folds[0].train.name) & set(fold.folds[0].val.name)


def test_the_fingerprint_is_that_of_numbers_and_division() -> None:
    def of(whole: Labelled, seed: int = 7) -> str:
        return dataset([divided(whole, DivisionOptions(seed=seed))], DivisionOptions()).fingerprint

    whole = table([20, 20])
    changed = table([20, 20])
    changed.inputs[3] += 1
    assert of(whole) == of(table([20, 20]))
    assert len({of(whole), of(changed), of(whole, seed=8)}) == 3


def test_columns_of_another_length_and_classes_that_are_none_are_refused() -> None:
    whole = table([2, 2])
    with pytest.raises(ValueError, match="4 examples with a column of shape"):
        Labelled(
            inputs=whole.inputs,
            class_index=whole.class_index[:3],
            class_names=("a", "b"),
            group=whole.group,
            name=whole.name,
        )
    with pytest.raises(ValueError, match="outside the 1 classes"):
        Labelled(
            inputs=whole.inputs,
            class_index=whole.class_index,
            class_names=("a",),
            group=whole.group,
            name=whole.name,
        )


def test_files_that_were_left_out_are_remarked_on() -> None:
    division = divided(table([50, 50]), DivisionOptions())
    data = dataset([division], DivisionOptions(), skipped={f"{index}.png": "damaged" for index in range(7)})
    [said] = [sentence for sentence in remarks(data) if "left out" in sentence]
    assert said.startswith("7 files could not be read and are left out: 0.png, 1.png")
    assert said.endswith("and 2 more")


def test_copies_on_both_sides_are_remarked_on() -> None:
    def said(whole: Labelled) -> list[str]:
        data = dataset([divided(whole, DivisionOptions())], DivisionOptions())
        return [sentence for sentence in remarks(data) if "copies" in sentence]

    whole = table([50, 50])
    assert said(whole) == []
    division = divided(whole, DivisionOptions())
    held_out, trained = int(division.val.inputs[0, 0]), int(division.train.inputs[0, 0])
    whole.inputs[held_out] = whole.inputs[trained]
    [sentence] = said(whole)
    expected = f"1 held-out examples are copies of what is trained on ({held_out}.png of {trained}.png): scores flatter"
    assert sentence.startswith(expected)
