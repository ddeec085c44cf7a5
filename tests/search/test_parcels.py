"""What travels between the driver's folder and a worker that does not see it."""

from pathlib import Path

import pytest

from abr_tune.search import parcels
from abr_tune.search.orphans import sweep
from abr_tune.search.parcels import Away, TooLarge, pack, put_marker, restore, unpack


@pytest.fixture
def training(tmp_path: Path) -> Path:
    folder = tmp_path / "7"
    (folder / "checkpoint/epoch-2").mkdir(parents=True)
    (folder / "config.yaml").write_text("task: toy\n")
    (folder / "history.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n')
    (folder / "checkpoint/epoch-2/model.safetensors").write_bytes(b"\x00weights")
    (folder / "checkpoint/newest").write_text("epoch-2")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_training_arrives_as_it_was_sent(training: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    unpack(pack(training), there)
    assert content(there) == content(training)
    (training / "checkpoint/epoch-2/model.safetensors").rename(training / "checkpoint/epoch-3")
    (training / "checkpoint/epoch-2").rmdir()
    (training / "traceback.txt").write_text("ValueError")
    unpack(pack(training), there)
    assert content(there) == content(training), "the old checkpoint is gone, nothing else lies about"


def test_only_a_trainings_own_files_travel(training: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("not yours")
    (training / "checkpoint/link").symlink_to(secret)
    (training / "notes.txt").write_text("mine")
    assert set(pack(training)) == {
        "config.yaml",
        "history.jsonl",
        "checkpoint/epoch-2/model.safetensors",
        "checkpoint/newest",
    }
    assert pack(tmp_path / "nothing here") == {}


@pytest.mark.parametrize(
    "name",
    ["../escape", "/etc/passwd", "checkpoint/../../escape", "checkpoint", "space.yaml", "checkpoint/a/../../x", "a\0b"],
)
def test_names_that_lead_elsewhere_are_refused_whole(tmp_path: Path, name: str) -> None:
    there = tmp_path / "run/trials/7"
    with pytest.raises(ValueError, match="none of a training's"):
        unpack({"history.jsonl": b"", name: b"harm"}, there)
    assert list(tmp_path.rglob("*")) == []


def test_what_is_too_large_says_so(training: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parcels, "LARGEST", 10)
    with pytest.raises(TooLarge, match=r"too large to be sent to the driver .* same results folder"):
        pack(training)


def test_a_crash_between_the_two_renames_leaves_the_old_checkpoint(training: Path) -> None:
    before = content(training)
    (training / "checkpoint").rename(training / ".checkpoint.old")
    restore(training)
    assert content(training) == before
    (training / ".checkpoint.old").mkdir()
    restore(training)
    assert (training / "checkpoint/newest").exists(), "a checkpoint that is there is never replaced"


def test_a_marker_is_seen_by_whoever_sees_the_folder(tmp_path: Path) -> None:
    mine, other = put_marker(tmp_path / "trials", "1a"), put_marker(tmp_path / "trials", "2b")
    assert mine.is_file()
    assert mine != other


def test_away_sends_everything_before_a_ruling_and_otherwise_now_and_then(
    training: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Away(pack(training))
    try:
        assert content(away.folder) == content(training)
        assert away.due(ruling=False) is None
        assert away.due(ruling=True) == pack(training)
        monkeypatch.setattr(parcels, "SECONDS_BETWEEN", 0.0)
        assert away.due(ruling=False) == pack(training)
        sweep()
        assert away.folder.exists(), "its process lives"
    finally:
        away.remove()
    assert not away.folder.exists()


def test_what_is_kept_beside_a_training_is_not_sent_back_and_goes_with_it() -> None:
    away = Away(None)
    kept = away.keep("model.safetensors", b"weights")
    assert kept.read_bytes() == b"weights"
    assert away.due(ruling=True) == {}
    away.remove()
    assert not kept.exists()
