"""What really goes wrong in training is stopped, and the study says why: nothing here is injected."""

import pytest
from optuna.trial import FrozenTrial, TrialState

from abr_tune.trial import read_history
from core.tasks.abr import AbrTask
from core.tasks.abr_options import SimulatedData
from tests.end_to_end.commands import METRIC, Made


def trial(made: Made, start_point: str) -> FrozenTrial:
    [found] = [each for each in made.trials if each.user_attrs.get("start_point") == start_point]
    return found


def test_nan_from_an_extreme_rate_is_stopped_at_its_step(little: Made) -> None:
    extreme = trial(little, "extreme")
    said = extreme.user_attrs
    assert (extreme.state, said["pruned_by"]) == (TrialState.PRUNED, "non_finite")
    assert said["evidence"]["step"] >= 1
    assert said["evidence"]["what"] in {"loss", "weight", "gradient"}
    assert said["why"].startswith(f"epoch 1, step {said['evidence']['step']}: ")
    assert extreme.value is None
    assert extreme.intermediate_values == {}


def test_no_epoch_is_trained_after_nan(little: Made) -> None:
    folder = little.folder / f"trials/{trial(little, 'extreme').number}"
    [report] = read_history(folder / "history.jsonl")
    assert (report.epoch, report.complete) == (1, False)
    assert not list(folder.glob("checkpoint/epoch-*"))


def test_a_configuration_stuck_at_the_majority_is_stopped_with_evidence(little: Made) -> None:
    frozen = trial(little, "frozen")
    said = frozen.user_attrs
    assert (frozen.state, said["pruned_by"]) == (TrialState.PRUNED, "class_collapse")
    evidence = said["evidence"]
    majority = little.summary["baselines"]["val/class/f1_macro"]
    assert evidence["majority_f1_macro"] == majority
    assert evidence["f1_macro"] <= majority + 0.02
    assert evidence["loss_fall"] < 0.01
    assert evidence["epochs"] == 2
    assert f"{evidence['f1_macro']:.3f}" in said["why"]
    assert said["epoch"] < 6


def test_the_evidence_is_what_the_history_shows(little: Made) -> None:
    frozen = trial(little, "frozen")
    history = read_history(little.folder / f"trials/{frozen.number}/history.jsonl")
    assert len(history) == frozen.user_attrs["epoch"] == len(frozen.intermediate_values)
    last = history[-1]
    assert frozen.user_attrs["evidence"]["f1_macro"] == last.metrics["val/class/f1_macro"]
    assert frozen.user_attrs["evidence"]["largest_share"] == last.metrics["val/class/largest_share"]
    assert frozen.intermediate_values[last.epoch] == last.metrics[METRIC]


def test_the_majoritys_score_is_that_of_the_majority(little: Made) -> None:
    task = AbrTask()
    recordings = task.load(SimulatedData(train=200, val=120, test=120, seed=7), folder=little.out).held_out("val")[0]
    weight = recordings.weight
    share = [weight[recordings.hearing_class == index].sum() / weight.sum() for index in range(5)]
    # Always saying one class of share p: precision p, recall 1, F1 2p / (1 + p); the other four classes have F1 0.
    by_hand = max(2 * p / (1 + p) for p in share) / 5
    assert little.summary["baselines"]["val/class/f1_macro"] == pytest.approx(by_hand, rel=1e-6)


def test_a_sound_configuration_is_left_alone(little: Made) -> None:
    sound = trial(little, "sound")
    assert sound.state is TrialState.COMPLETE
    assert sorted(sound.intermediate_values) == [1, 2, 3, 4, 5, 6]
    assert sound.intermediate_values[6] == sound.value
