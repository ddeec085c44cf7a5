"""`from:` an earlier run: what of its best configuration and weights a search takes over, and what it refuses."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from abr_tune.errors import Problem, UserError
from abr_tune.folder import prepare
from abr_tune.plan.begun import StartWeights, takes_weights
from abr_tune.plan.config import load_config
from abr_tune.plan.describe import describe_plan
from abr_tune.plan.load import load_plan
from abr_tune.plan.yaml import dump
from abr_tune.runs import RunFolder, write_json
from abr_tune.start import kept, unlike_its_data
from core.tasks import TASKS
from tests.search.tasks import Rare
from tests.stages.tasks import Walk

Small = Callable[..., Path]
Mistakes = Callable[..., tuple[Problem, ...]]
WEIGHTS = b"these are the weights"
SHA = hashlib.sha256(WEIGHTS).hexdigest()


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A finished run in the working folder, whose best drops out a lot, weighs classes anew, and ran on a card."""
    here = tmp_path / "here"
    run = RunFolder(here / "results" / "first")
    run.best.mkdir(parents=True)
    run.space.touch()
    train = {"device": "cuda", "model": {"dropout": 0.4, "size": "tiny"}, "balance": {"scheme": "sqrt"}, "epochs": 9}
    run.best_config.write_text(dump({"task": "abr", "train": train}))
    (run.best / "model.safetensors").write_bytes(WEIGHTS)
    monkeypatch.chdir(here)
    return run


def test_what_the_file_leaves_open_is_as_in_the_earlier_best(small: Small, earlier: RunFolder) -> None:
    plan = load_plan(small("from: first\n"))
    # Three epochs are the file's own; the size is the default anyway; where it computed is this run's affair.
    assert plan.inherited == {"model.dropout": 0.4, "balance.scheme": "sqrt"}
    assert (plan.train["epochs"], plan.train["model.dropout"], plan.train["device"]) == (3, 0.4, "cpu")
    assert plan.start is not None
    assert (plan.start.path, plan.start.sha256) == (Path("results/first/best/model.safetensors"), SHA)
    assert describe_plan(plan)["from"] == {"run": "here/results/first", "weights": SHA}


def test_what_is_searched_is_not_taken_over(small: Small, earlier: RunFolder) -> None:
    searched = ("  optimizer.lr", "  model.dropout: {uniform: [0, 0.3]}\n  optimizer.lr")
    plan = load_plan(small("from: first\n", search=searched))
    assert plan.inherited == {"balance.scheme": "sqrt"}


def test_each_can_be_left_out(small: Small, earlier: RunFolder) -> None:
    plan = load_plan(small("from: {run: first, weights: false}\n"))
    assert (plan.start, describe_plan(plan)["from"]) == (None, "here/results/first")
    assert plan.inherited
    plan = load_plan(small("from: {run: first, settings: false}\n"))
    assert plan.inherited == {}
    assert plan.train.get("model.dropout") is None
    assert plan.start is not None


def test_without_weights_it_begins_at_random_unless_they_are_asked_for(
    small: Small, earlier: RunFolder, mistakes: Mistakes
) -> None:
    (earlier.best / "model.safetensors").unlink()
    assert load_plan(small("from: first\n")).start is None
    [problem] = mistakes(small("from: {run: first, weights: true}\n"))
    assert "has no best weights to begin from" in problem.message
    assert problem.line == 13


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("from: {weights: false}", "run is missing"),
        ("from: {run: first, weight: false}", "weight is not a key of from"),
        ("from: {run: frist}", "frist is neither a run in results nor the folder of one"),
        ("from: {run: first, weights: maybe}", "weights must be"),
        ("from: {run: first}\ntrain.x: 1", "train.x is not a key of the file"),
    ],
)
def test_mistakes(small: Small, earlier: RunFolder, mistakes: Mistakes, written: str, message: str) -> None:
    assert any(message in problem.message for problem in mistakes(small(f"{written}\n")))


def test_a_damaged_best_is_said_where_the_run_is_named(small: Small, earlier: RunFolder, mistakes: Mistakes) -> None:
    earlier.best_config.write_text("train: [")
    [problem] = mistakes(small("from: first\n"))
    assert problem.message.startswith("results/first/best.yaml cannot be read: ")
    assert (problem.line, problem.column) == (13, 7)


def test_folds_do_not_go_with_weights_that_have_seen_them(
    tmp_path: Path, small: Small, earlier: RunFolder, mistakes: Mistakes
) -> None:
    recorded = ("{source: simulated, train: 300}", "{source: own.npz}")
    file = small("from: first\nconfirm: {folds: 5}\n", data=recorded)
    [problem] = [each for each in mistakes(file) if each.level == "error"]
    assert problem.message == "the weights of the earlier run have seen recordings that folds would hold out"
    file = small("from: {run: first, weights: false}\nconfirm: {folds: 5}\n", data=recorded)
    assert load_plan(file).confirm.folds == 5


def test_which_tasks_take_weights() -> None:
    assert takes_weights(TASKS["abr"])
    assert takes_weights(Walk())
    assert not takes_weights(Rare())


def test_the_weights_are_kept_in_the_run_and_told_by_their_content(small: Small, earlier: RunFolder) -> None:
    plan, run = load_plan(small("from: first\n")), RunFolder(Path("results/small"))
    run.path.mkdir()
    own = kept(plan, run)
    assert own.start == StartWeights(Path("results/small/start/model.safetensors"), SHA)
    assert own.start.path.read_bytes() == WEIGHTS
    assert describe_plan(own) == describe_plan(plan)
    (earlier.best / "model.safetensors").unlink()
    assert kept(plan, run).start == own.start  # the run goes on without the other
    own.start.path.write_bytes(b"others")
    with pytest.raises(UserError, match="is not there"):
        kept(plan, run)
    with pytest.raises(UserError, match="holds other weights than the configuration was trained from"):
        own.start.checked()


def test_a_run_does_not_go_on_from_other_weights(small: Small, earlier: RunFolder) -> None:
    file, run = small("from: first\n"), RunFolder(Path("results/small"))
    with prepare(run, load_plan(file), fresh=False, say=lambda _: None):
        run.events.touch()
    (earlier.best / "model.safetensors").write_bytes(b"better ones")
    with (
        pytest.raises(UserError, match=r"from\.weights: was '[0-9a-f]{64}', is '[0-9a-f]{64}'"),
        prepare(run, load_plan(file), fresh=False, say=lambda _: None),
    ):
        pass


def test_other_data_than_the_weights_were_trained_on_are_remarked_on(small: Small, earlier: RunFolder) -> None:
    plan = load_plan(small("from: first\n", data=("{source: simulated, train: 300}", "{source: own.npz}")))
    write_json(earlier.environment, {"data_fingerprint": "these"})
    assert unlike_its_data(plan, "these") is None
    assert "recordings that validate here may have trained there" in (unlike_its_data(plan, "others") or "")
    assert unlike_its_data(load_plan(small()), "others") is None
    # Two simulations never share a patient between training and validation.
    simulated = load_plan(small("from: first\n"))
    assert unlike_its_data(simulated, "others") is None
    earlier.best_config.write_text(dump({"task": "abr", "data": {"source": "own.npz"}, "train": {}}))
    assert unlike_its_data(simulated, "others") is not None


def test_a_configuration_says_what_it_begins_from(small: Small, earlier: RunFolder) -> None:
    file = Path("config.yaml")
    start = {"weights": "results/first/best/model.safetensors", "sha256": SHA}
    file.write_text(dump({"task": "abr", "data": {"source": "simulated"}, "start": start}))
    config = load_config(file)
    assert config.start is not None
    assert config.start.checked().read_bytes() == WEIGHTS
    assert config.start_from_folder(Path("results")) == {**start, "weights": "first/best/model.safetensors"}
    assert load_config(file, ["start=null"]).start is None
