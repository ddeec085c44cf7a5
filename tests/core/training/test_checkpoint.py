"""Interrupted equals uninterrupted, bit for bit; a damaged checkpoint is passed over; nothing half written stays."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch

from core.data.recordings import Fold, Recordings
from core.report import EpochReport
from core.tasks.abr_data import AbrDataset
from core.tasks.abr_options import AbrOptions
from core.tasks.abr_run import build_run
from core.training.checkpoint import OtherRun
from core.training.loop import train

BumpRecordings = Callable[..., Recordings]

EVERYTHING = {
    "epochs": 5,
    "batch_size": 8,
    "model": {"dropout": 0.3},
    "phases": {"boundaries": (0.2, 0.4, 0.6)},
    "optimizer": {"accumulate": 2, "lr": 3e-3},
    "balance": {"sampling": "balanced", "scheme": "none"},
    "loss": {"class_loss": "focal"},
}
"""Every mechanism that holds state: dropout, phases, accumulation, drawing with replacement."""


@pytest.fixture(scope="module")
def data(bump_recordings: BumpRecordings) -> AbrDataset:
    folds = tuple(Fold(train=bump_recordings(30, seed=k), val=bump_recordings(15, seed=10 + k)) for k in range(2))
    return AbrDataset(folds=folds, fingerprint="two folds of bumps")


def start(data: AbrDataset, folder: Path, *, seed: int = 4, **changed: object):  # type: ignore[no-untyped-def]
    run = build_run(AbrOptions.model_validate({**EVERYTHING, **changed}), data, seed=seed)
    return train(run, folder)


def plain(reports: list[EpochReport]) -> list[EpochReport]:
    return [replace(report, seconds=0.0) for report in reports]


@pytest.fixture(scope="module")
def uninterrupted(data: AbrDataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[EpochReport], Path]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    return list(start(data, folder)), folder


@pytest.mark.parametrize("epochs", [1, 2, 3, 4])
def test_interrupted_equals_uninterrupted(
    epochs: int, data: AbrDataset, uninterrupted: tuple[list[EpochReport], Path], tmp_path: Path
) -> None:
    expected, reference = uninterrupted
    assert [report.phase for report in expected] == ["class", "signal", "peak", "threshold", "threshold"]
    interrupted = start(data, tmp_path)
    before = list(islice(interrupted, epochs))
    interrupted.close()
    torch.manual_seed(1234)
    after = list(start(data, tmp_path))
    assert after[0] == before[-1]  # the report it was saved with comes first again, seconds and all
    assert plain([*before, *after[1:]]) == plain(expected)
    for name in ("model.safetensors", "optimizer.safetensors"):
        ours, theirs = (folder / "epoch-000005" / name for folder in (tmp_path, reference))
        assert ours.read_bytes() == theirs.read_bytes(), name


def test_a_finished_run_only_repeats_its_last_report(
    data: AbrDataset, uninterrupted: tuple[list[EpochReport], Path]
) -> None:
    expected, folder = uninterrupted
    assert list(start(data, folder)) == expected[-1:]


def test_the_last_two_are_kept_and_all_is_json_or_safetensors(uninterrupted: tuple[list[EpochReport], Path]) -> None:
    _, folder = uninterrupted
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert files == [
        f"epoch-00000{epoch}/{name}"
        for epoch in (4, 5)
        for name in ("model.safetensors", "optimizer.safetensors", "state.json")
    ]
    json.loads((folder / "epoch-000005" / "state.json").read_text())


def test_a_checkpoint_is_there_before_its_report(data: AbrDataset, tmp_path: Path) -> None:
    for report in islice(start(data, tmp_path), 2):
        assert (tmp_path / f"epoch-{report.epoch:06d}" / "state.json").exists()


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("state.json", b""),
        ("state.json", b"[]"),
        ("state.json", b'{"format": 99}'),
        ("model.safetensors", b"torn"),
        ("optimizer.safetensors", None),
    ],
)
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    name: str, damage: bytes | None, data: AbrDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = list(islice(start(data, tmp_path, epochs=3, phases={}), 2))
    victim = tmp_path / "epoch-000002" / name
    if damage is None:  # one flipped bit
        content = bytearray(victim.read_bytes())
        content[-1] ^= 1
        damage = bytes(content)
    victim.write_bytes(damage)
    with caplog.at_level(logging.WARNING):
        again = list(start(data, tmp_path, epochs=3, phases={}))
    assert "epoch-000002 is damaged" in caplog.text
    assert [report.epoch for report in again] == [1, 2, 3]
    assert plain(again[:2]) == plain(first)


def test_leftovers_are_swept_and_never_read(data: AbrDataset, tmp_path: Path) -> None:
    leftover = tmp_path / ".new-epoch-000001"
    leftover.mkdir()
    (leftover / "model.safetensors").write_bytes(b"half")
    report = next(start(data, tmp_path))
    assert report.epoch == 1
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-000001"]


@pytest.mark.parametrize(
    ("changed", "what"), [({"seed": 5}, "seed"), ({"batch_size": 9}, "options"), ({"data": "other"}, "data")]
)
def test_another_run_is_refused(changed: dict[str, object], what: str, data: AbrDataset, tmp_path: Path) -> None:
    next(start(data, tmp_path))
    other = replace(data, fingerprint=str(changed.pop("data"))) if "data" in changed else data
    with pytest.raises(OtherRun, match=f"holds a checkpoint of another run: {what} differ"):
        next(start(other, tmp_path, **changed))  # type: ignore[arg-type]


def test_a_full_disk_leaves_the_older_checkpoint(
    data: AbrDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start(data, tmp_path)
    first = next(running)

    def refuse(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        next(running)
    monkeypatch.undo()
    assert next(start(data, tmp_path)) == first
