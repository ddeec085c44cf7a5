"""Training configurations: read with the care of a space file, written so that they read back."""

from collections.abc import Callable
from pathlib import Path

import pytest

from abr_tune.errors import FileMistakes, UserError
from abr_tune.plan.config import dump_config, load_config
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
