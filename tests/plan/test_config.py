"""Training configurations: read with the care of a space file, written so that they read back."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from abr_tune import __version__
from abr_tune.errors import FileMistakes, UserError
from abr_tune.plan.config import dump_config, load_config
from abr_tune.plan.origin import NAMED, seal_of
from abr_tune.plan.yaml import dump, read
from core.tasks import TASKS, Objective
from core.tasks.abr_options import AbrOptions

CONFIG = """\
task: abr
data: {source: simulated, train: 300}
train:
  epochs: 3
  optimizer: {lr: 1e-3}
  loss.weights.class: 9
  balance.clamp: {low: 0.5, high: 2}
seed: 4
objective: {minimize: val/class/ece}
claims: {val/class/ece: 0.30000000000000004}
tolerance: {same_seed: 0.0, fresh_seed: 0.02}
provenance: {run: phase1, trial: 17, versions: {torch: 2.13.0}}
"""

Write = Callable[[str], Path]


def test_everything_written_arrives(write: Write) -> None:
    config = load_config(write(CONFIG))
    assert config.task is TASKS["abr"]
    assert isinstance(config.options, AbrOptions)
    assert (config.options.epochs, config.options.optimizer.lr, config.options.loss.weights.class_) == (3, 1e-3, 9)
    assert config.options.balance.clamp is not None
    assert (config.data.train, config.seed, config.objective) == (300, 4, Objective("val/class/ece", "minimize"))
    assert config.claims == {"val/class/ece": 0.1 + 0.2}
    assert config.tolerance == {"same_seed": 0, "fresh_seed": 0.02}
    assert config.provenance["versions"] == {"torch": "2.13.0"}
    assert config.folder == config.file.parent


def test_a_front_leaves_all_its_objectives_in_the_file(write: Write, tmp_path: Path) -> None:
    several = "objective: [{minimize: val/class/ece}, {maximize: val/class/f1_macro}]"
    config = load_config(write(CONFIG.replace("objective: {minimize: val/class/ece}", several)))
    assert config.objectives == (Objective("val/class/ece", "minimize"), Objective("val/class/f1_macro"))
    assert config.objective == config.objectives[0]
    again = tmp_path / "small.yaml"
    again.write_text(dump_config(config), encoding="utf-8")
    assert load_config(again) == config


def test_what_is_written_reads_back_the_same(write: Write, tmp_path: Path) -> None:
    config = load_config(write(CONFIG))
    again = tmp_path / "small.yaml"
    again.write_text(dump_config(config, comment="made by a test"), encoding="utf-8")
    assert load_config(again) == config
    assert "weight_decay: 0.01" in again.read_text()


def test_little_is_needed(write: Write) -> None:
    config = load_config(write("task: abr\n"))
    assert (config.options, config.seed, config.objective) == (AbrOptions(), 0, TASKS["abr"].objective)


def test_overrides(write: Write) -> None:
    config = load_config(write(CONFIG), ["optimizer.lr=0.5", "train.epochs=1", "seed=5", "data.train=10"])
    assert isinstance(config.options, AbrOptions)
    assert (config.options.optimizer.lr, config.options.epochs, config.seed, config.data.train) == (0.5, 1, 5, 10)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  epochs: 3", "  epoch: 3", "epoch is not a training option"),
        ("  epochs: 3", "  epochs: 0", "epochs must be at least 1, not 0"),
        ("  epochs: 3", "  phases.boundaries: [0.5]", "phases: 4 phases need 3 boundaries, not 1"),
        ("low: 0.5", "low: 5", "balance.clamp: low 5.0 is above high 2.0"),
        ("seed: 4", "sead: 4", "sead is not a key of the file"),
        ("task: abr", "task: arb", "arb is not a task"),
        (
            "claims: {val/class/ece: 0.30000000000000004}",
            "claims: {val/class/ece: good}",
            "val/class/ece must be a number",
        ),
        ("train: 300", "train: none", "train must be a whole number, not none"),
        ("minimize:", "minimise:", "minimise is not a direction"),
    ],
)
def test_mistakes(write: Write, old: str, new: str, message: str) -> None:
    assert old in CONFIG
    with pytest.raises(FileMistakes) as caught:
        load_config(write(CONFIG.replace(old, new)))
    [problem] = caught.value.problems
    assert problem.message.startswith(message)
    assert problem.excerpt is not None


def test_a_space_file_or_a_run_folder_is_answered_with_the_file_that_was_meant(tmp_path: Path) -> None:
    text = "task: abr\nsearch: {optimizer.lr: {log: [1e-5, 1e-2]}}\nbudget: {trials: 2}\n"
    space, run = tmp_path / "phase1.yaml", tmp_path / "results" / "phase1"
    run.mkdir(parents=True)
    for file in (space, run / "space.yaml", run / "plan.yaml"):
        file.write_text(text)
    with pytest.raises(UserError, match=r"phase1\.yaml is a space file, .*, results/phase1/best\.yaml$"):
        load_config(space)
    for file in (run / "space.yaml", run / "plan.yaml"):
        with pytest.raises(UserError, match=rf"is a space file, .*, {run}/best\.yaml$"):
            load_config(file)
    with pytest.raises(UserError, match=rf"{run} is a run folder without {run}/best\.yaml yet"):
        load_config(run)
    (run / "best.yaml").touch()
    with pytest.raises(UserError, match=rf"{run} is a run folder; give the configuration in it, {run}/best\.yaml$"):
        load_config(run)


WRITTEN = "provenance: {versions: {abr-tune: 9.9.0}}\n"


def whole(write: Write, tmp_path: Path) -> dict[str, Any]:
    """A configuration as this package writes it, with its seal."""
    config = load_config(write(CONFIG))
    file = tmp_path / "whole.yaml"
    file.write_text(dump_config(config), encoding="utf-8")
    content: dict[str, Any] = read(file).data
    content["provenance"] = {"versions": {"abr-tune": __version__}, "seal": seal_of(content)}
    return content


def remarks(tmp_path: Path, content: dict[str, Any]) -> tuple[str, ...]:
    file = tmp_path / "whole.yaml"
    file.write_text(dump(content), encoding="utf-8")
    return load_config(file).remarks


def test_a_file_as_it_was_written_needs_no_remark(write: Write, tmp_path: Path) -> None:
    content = whole(write, tmp_path)
    assert remarks(tmp_path, content) == ()
    assert remarks(tmp_path, {**content, "data": {"source": "simulated", "train": 9}}) == ()
    assert load_config(write(CONFIG)).remarks == ()


def test_options_that_a_written_file_lacks_are_told_with_their_default(write: Write, tmp_path: Path) -> None:
    content = whole(write, tmp_path)
    del content["train"]["model"]["dropout"], content["provenance"]["seal"]
    content["provenance"]["versions"]["abr-tune"] = "9.9.0"
    assert remarks(tmp_path, content) == (
        f"model.dropout is not in the file, which was written by abr-tune 9.9.0, and this is {__version__}; "
        "the default is used: 0.1",
    )
    del content["train"]["model"], content["train"]["optimizer"]
    several = remarks(tmp_path, content)
    assert len(several) == NAMED + 1
    assert re.fullmatch(r"so it is with \d+ more options", several[-1])


@pytest.mark.parametrize("key", ["train", "claims", "tolerance", "seed", "objective"])
def test_a_file_that_was_edited_is_told(write: Write, tmp_path: Path, key: str) -> None:
    content = whole(write, tmp_path)
    other: dict[str, Any] = {"claims": {"val/class/ece": 0.1}, "tolerance": {"same_seed": 1}, "seed": 0}
    other |= {"train": {**content["train"], "epochs": 4}, "objective": {"maximize": "val/class/ece"}}
    assert remarks(tmp_path, {**content, key: other[key]}) == (
        "the file was changed after it was written: what it claims was not measured with what it says now",
    )


def test_a_key_of_another_version_is_refused_with_the_version(write: Write) -> None:
    text = CONFIG.replace("  epochs: 3", "  epochs: 3\n  someday: 3").partition("provenance")[0] + WRITTEN
    with pytest.raises(FileMistakes) as caught:
        load_config(write(text))
    mistake, warning = caught.value.problems
    assert (mistake.message, mistake.level) == ("someday is not a training option", "error")
    assert (warning.level, warning.line) == ("warning", 13)
    assert warning.message.startswith("the file was written by abr-tune 9.9.0; this is ")


@pytest.mark.parametrize(
    ("provenance", "message"),
    [
        ("3", "provenance must be a mapping, not 3"),
        ("{versions: 3}", "versions must be a mapping, not 3"),
        ("{versions: {torch: [2]}}", "torch must be "),
        ("{machine: [a]}", "machine must be a mapping"),
        ("{confirmed: 3}", "confirmed must be a mapping, not 3"),
        ("{confirmed: {seeds: many, mean: 0.1}}", "seeds must be a whole number, not many"),
        ("{confirmed: {seeds: 0, mean: 0.1}}", "seeds must be at least 1, not 0"),
        ("{confirmed: {seeds: 2, mean: good, sd: 1}}", "mean must be a number, not good"),
        ("{confirmed: {seeds: 2, mean: .nan, sd: -1}}", "mean must be a finite number, not NaN"),
        ("{data_fingerprint: [1]}", "data_fingerprint must be text"),
    ],
)
def test_damaged_provenance(write: Write, provenance: str, message: str) -> None:
    text = CONFIG.partition("provenance")[0] + f"provenance: {provenance}\n"
    with pytest.raises(FileMistakes) as caught:
        load_config(write(text))
    assert caught.value.problems[0].message.startswith(message)
    assert caught.value.problems[0].line == 12
