"""Interrupted equals uninterrupted, bit for bit; a damaged checkpoint is passed over; nothing half written stays."""

import json
import os
import shutil
import tempfile
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
from core.training.checkpoint import OtherRun, load_checkpoint
from core.training.loop import train
from core.training.run import Run

NOBODY = 65534
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


NAMES = ("state.json", "model.safetensors", "optimizer.safetensors")


def flip(place: int) -> Callable[[Path], None]:
    """Changes one bit."""

    def damage(file: Path) -> None:
        content = bytearray(file.read_bytes())
        content[place if place < 0 else len(content) * place // 100] ^= 1
        file.write_bytes(bytes(content))

    return damage


def halve(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def become_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGES: dict[str, Callable[[Path], None]] = {
    "first bit": flip(0),
    "bit in the middle": flip(50),
    "last bit": flip(-1),
    "truncated": halve,
    "empty": empty,
    "missing": Path.unlink,
    "folder": become_a_folder,
}


def other_words(state: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / "state.json").write_bytes(state) and None


def of_another_epoch(folder: Path) -> None:
    """Sound, but not what the folder says."""
    shutil.copytree(folder.with_name("epoch-000001"), folder, dirs_exist_ok=True)


def become_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(b"no folder")


WHOLE: dict[str, Callable[[Path], None]] = {
    "no JSON": other_words(b"nothing"),
    "a list": other_words(b"[]"),
    "a number": other_words(b"7"),
    "another format": other_words(b'{"format": 99}'),
    "without a sum": other_words(b'{"format": 1, "sha256": {}}'),
    "of another epoch": of_another_epoch,
    "a file": become_a_file,
    "deleted": shutil.rmtree,
    "emptied": lambda folder: shutil.rmtree(folder) or folder.mkdir(),
}
DAMAGED = {f"{name} {how}": (name, damage) for name in NAMES for how, damage in DAMAGES.items()} | {
    f"checkpoint {how}": ("", damage) for how, damage in WHOLE.items()
}


@pytest.fixture(scope="module")
def undisturbed(data: AbrDataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[EpochReport], Path]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return list(start(data, folder, epochs=3, phases={})), folder


@pytest.fixture(scope="module")
def run(data: AbrDataset) -> Run:
    """To be loaded into, again and again."""
    return build_run(AbrOptions.model_validate({**EVERYTHING, "epochs": 3, "phases": {}}), data, seed=4)


@pytest.fixture(scope="module")
def halfway(data: AbrDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of two of three epochs; nobody may change them."""
    folder = tmp_path_factory.mktemp("halfway")
    running = start(data, folder, epochs=3, phases={})
    list(islice(running, 2))
    return folder


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    what: str, run: Run, halfway: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(halfway, folder)
    name, damage = DAMAGED[what]
    damage(folder / "epoch-000002" / name)
    saved = load_checkpoint(folder, run)
    assert saved.report.epoch == 1
    gone = what == "checkpoint deleted"
    assert ("epoch-000002 is damaged" in caplog.text) != gone
    assert ("trying the one before" in caplog.text) != gone


@pytest.mark.parametrize("what", ["model.safetensors bit in the middle", "checkpoint a file"])
def test_what_falls_back_ends_as_if_nothing_had_been(
    what: str, data: AbrDataset, undisturbed: tuple[list[EpochReport], Path], halfway: Path, tmp_path: Path
) -> None:
    expected, reference = undisturbed
    folder = tmp_path / "checkpoint"
    shutil.copytree(halfway, folder)
    name, damage = DAMAGED[what]
    damage(folder / "epoch-000002" / name)
    assert plain(list(start(data, folder, epochs=3, phases={}))) == plain(expected)
    same_weights(folder, reference)
    assert sorted(path.name for path in folder.iterdir()) == ["epoch-000002", "epoch-000003"]


def same_weights(folder: Path, reference: Path) -> None:
    for name in ("model.safetensors", "optimizer.safetensors"):
        ours, theirs = (each / "epoch-000003" / name for each in (folder, reference))
        assert ours.read_bytes() == theirs.read_bytes(), name


@pytest.mark.parametrize("folder_too", [False, True], ids=["both checkpoints", "their folder"])
def test_where_nothing_is_sound_training_begins_again_and_ends_the_same(
    folder_too: bool,
    data: AbrDataset,
    undisturbed: tuple[list[EpochReport], Path],
    halfway: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    expected, reference = undisturbed
    folder = tmp_path / "checkpoint"
    shutil.copytree(halfway, folder)
    if folder_too:
        become_a_file(folder)
    else:
        for number in (1, 2):
            empty(folder / f"epoch-00000{number}" / "state.json")
    assert plain(list(start(data, folder, epochs=3, phases={}))) == plain(expected)
    assert ("none is left, so training begins again" in caplog.text) != folder_too
    same_weights(folder, reference)


def test_a_folder_that_may_not_be_read_is_no_empty_one(run: Run, halfway: Path) -> None:
    with tempfile.TemporaryDirectory() as top:
        Path(top).chmod(0o755)
        folder = Path(top) / "checkpoint"
        shutil.copytree(halfway, folder)
        folder.chmod(0o000)
        me = os.geteuid()
        try:
            if me == 0:  # who may read everything
                os.seteuid(NOBODY)
            with pytest.raises(PermissionError):
                load_checkpoint(folder, run)
        finally:
            os.seteuid(me)
        folder.chmod(0o700)
        assert len(list(folder.iterdir())) == 2


def test_a_checkpoint_of_an_earlier_version_is_read(run: Run, halfway: Path, tmp_path: Path) -> None:
    """Its state had no sum of its own."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(halfway, folder)
    file = folder / "epoch-000002/state.json"
    state = json.loads(file.read_text())
    del state["sha256"]["state.json"]
    file.write_text(json.dumps(state))
    assert load_checkpoint(folder, run).report.epoch == 2


def test_leftovers_are_swept_and_never_read(data: AbrDataset, tmp_path: Path) -> None:
    leftover = tmp_path / ".new-epoch-000001"
    leftover.mkdir()
    (leftover / "model.safetensors").write_bytes(b"half")
    (tmp_path / ".new-epoch-000002").write_bytes(b"a file")
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
