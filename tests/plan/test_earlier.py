"""`from:` another run, and what a run that goes on is told of a changed file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from abr_tune.errors import Problem
from abr_tune.plan.changes import changes, number
from abr_tune.plan.describe import describe_plan
from abr_tune.plan.load import load_plan
from abr_tune.plan.yaml import dump

Small = Callable[..., Path]
Mistakes = Callable[..., tuple[Problem, ...]]


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A results folder with one run, in the working folder."""
    here = tmp_path / "here"
    run = here / "results" / "phase1"
    run.mkdir(parents=True)
    (run / "space.yaml").touch()
    (run / "study.db").touch()
    monkeypatch.chdir(here)
    return here / "results"


def test_the_earlier_run_is_found_by_name_and_by_path_from_the_file_or_from_here(small: Small, results: Path) -> None:
    for written in ("phase1", "results/phase1", "here/results/phase1", str(results / "phase1")):
        plan = load_plan(small(f"from: {written}\n"))
        assert plan.since is not None
        assert plan.since.resolve() == results / "phase1"
        assert describe_plan(plan)["from"] == "here/results/phase1"
    assert load_plan(small("from: phase1\n"), results=results).since == results / "phase1"
    assert load_plan(small()).since is None


def test_a_best_configuration_alone_will_do(small: Small, results: Path) -> None:
    (results / "shared").mkdir()
    (results / "shared" / "best.yaml").touch()
    assert load_plan(small("from: shared\n")).since == Path("results/shared")


def test_from_on_the_command_line(small: Small, results: Path, mistakes: Mistakes) -> None:
    assert load_plan(small(), overrides=("from=phase1",)).since == Path("results/phase1")
    [problem] = mistakes(small(), "from=phase2")
    assert str(problem).startswith("--set 1: error: phase2 is neither a run in results nor the folder of one")


@pytest.mark.parametrize(
    ("written", "message", "hint"),
    [
        ("phase11", "phase11 is neither a run in results nor the folder of one", "did you mean phase1?"),
        ("other", "other is neither a run in results nor the folder of one", "runs there: phase1"),
        ("empty", "results/empty holds neither a study nor best.yaml", "from needs the folder of a run"),
        ("small", "results/small is this run itself", "a run of the same name goes on by itself; leave from out"),
        ("birds", "results/birds is a run of task birds, not of abr", None),
    ],
)
def test_what_cannot_serve_is_refused_at_its_place(
    small: Small, results: Path, mistakes: Mistakes, written: str, message: str, hint: str | None
) -> None:
    for name in ("empty", "small", "birds"):
        (results / name).mkdir()
    for name in ("small", "birds"):
        (results / name / "study.db").touch()
    (results / "birds" / "plan.yaml").write_text("task: birds\n")
    [problem] = mistakes(small(f"from: {written}\n"))
    assert (problem.message, problem.hint, problem.line, problem.column) == (message, hint, 13, 7)


def test_the_same_plan_has_not_changed(small: Small) -> None:
    plan = load_plan(small())
    assert changes(describe_plan(plan), plan) == ()


SPACE = """\
  optimizer.lr: {log: [1e-5, 1e-2]}
  model.dropout: {uniform: [0, 0.5]}
  batch_size: {int: [16, 64]}
  loss.class_loss: {choice: [cross_entropy, focal]}
  loss.focal.gamma: {uniform: [0, 4], when: {loss.class_loss: focal}}
  balance.clamp: {ordered: {low: [0.2, 1], high: [1, 6]}}
  phases.boundaries: {ordered: {count: 3, within: [0, 0.9]}}
  loss.weights: {simplex: [class, signal]}
"""
WRITTEN = "  optimizer.lr: {log: [1e-5, 3e-3]}\n  loss.class_loss: {choice: [cross_entropy, focal]}\n"


@pytest.mark.parametrize(
    ("old", "new", "sentences"),
    [
        ("{log: [1e-5, 1e-2]}", "{log: [1e-4, 1e-2]}", ["optimizer.lr: 1e-5 to 0.01 is now 0.0001 to 0.01"]),
        (
            "{log: [1e-5, 1e-2]}",
            "{uniform: [1e-5, 1e-2]}",
            ["optimizer.lr: 1e-5 to 0.01 (log) is now 1e-5 to 0.01 (evenly spread)"],
        ),
        ("{int: [16, 64]}", "{int: [16, 128]}", ["batch_size: 16 to 64 is now 16 to 128"]),
        (
            "{choice: [cross_entropy, focal]}",
            "{choice: [focal]}",
            ["loss.class_loss: cross_entropy or focal is now focal"],
        ),
        (
            "{uniform: [0, 4], when: {loss.class_loss: focal}}",
            "{uniform: [0, 4]}",
            ["loss.focal.gamma: searched where loss.class_loss is focal, now always"],
        ),
        (
            "high: [1, 6]",
            "high: [1, 8]",
            ["balance.clamp: low 0.2 to 1 and high 1 to 6 is now low 0.2 to 1 and high 1 to 8"],
        ),
        (
            "[0, 0.9]",
            "[0.1, 0.9]",
            ["phases.boundaries: 3 increasing from 0 to 0.9 is now 3 increasing from 0.1 to 0.9"],
        ),
        (
            "{simplex: [class, signal]}",
            "{simplex: [class, threshold]}",
            ["loss.weights: shares of class, signal is now shares of class, threshold"],
        ),
        ("  model.dropout: {uniform: [0, 0.5]}\n", "", ["model.dropout is not searched any more, it is 0.1"]),
        (
            "  batch_size",
            "  optimizer.accumulate: {int: [1, 8]}\n  batch_size",
            ["optimizer.accumulate is searched now: 1 to 8"],
        ),
        (
            "[0, 0.5]}",
            "[0, 0.5], guess: 0.1, confidence: high}",
            ["model.dropout.guess: nothing is now 0.1 (high)"],
        ),
    ],
)
def test_every_changed_path_is_told(small: Small, old: str, new: str, sentences: list[str]) -> None:
    before = describe_plan(load_plan(small(search=(WRITTEN, SPACE))))
    assert old in SPACE
    after = load_plan(small(search=(WRITTEN, SPACE.replace(old, new))))
    assert list(changes(before, after)) == sentences


def test_the_rest_of_the_file_is_told_after_the_space(small: Small) -> None:
    before = describe_plan(
        load_plan(
            small("start_from: [{name: a}, {name: b, optimizer.lr: 1e-4}]\nsampler: {tpe: {startup_trials: 3}}\n")
        )
    )
    after = load_plan(
        small(
            "start_from: [{name: b, optimizer.lr: 1e-3}, {name: c}]\n"
            "sampler: {tpe: {startup_trials: 5}}\n"
            "health: {class_collapse: off}\naudit: 0\n",
            trials=("{trials: 4}", "{trials: 9, time: 10m}"),
        )
    )
    told = changes(before, after)
    assert told[:3] == ("start point a is gone", "start point b is another configuration", "start point c is new")
    assert set(told[3:]) >= {
        "sampler.startup_trials: 3 is now 5",
        "budget.trials: 4 is now 9",
        "budget.time: nothing is now 600",
        "audit: 0.05 is now 0",
    }
    assert [one for one in told if one.startswith("health.class_collapse: {")] != []


def test_another_kind_is_told_without_its_settings(small: Small) -> None:
    before = describe_plan(load_plan(small("pruner: {hyperband: {reduction: 3}}\nsampler: gp\n")))
    assert before["pruner"] == {"kind": "hyperband", "promote": True, "reduction": 3, "min_epochs": 1}
    after = load_plan(small("pruner: {median: {min_epochs: 2}}\nsampler: random\n"))
    assert changes(before, after) == (
        "pruner.kind: hyperband is now median",
        "sampler.kind: gp is now random",
    )


def test_what_an_older_version_did_not_write_down_is_not_compared(small: Small) -> None:
    plan = load_plan(small("limits: {time: 5m}\n"))
    old = describe_plan(plan)
    for key in ("from", "constraints", "limits", "stop", "audit"):
        del old[key]
    del old["sampler"]["random_share"]
    old["pruner"]["startup_trials"] = 5  # once all settings were written down, whatever the kind
    assert changes(old, plan) == ()


def test_changes_read_a_plan_from_its_file(small: Small, tmp_path: Path) -> None:
    from abr_tune.plan.yaml import read

    plan = load_plan(small(search=(WRITTEN, SPACE)))
    (tmp_path / "plan.yaml").write_text(dump(describe_plan(plan)))
    assert changes(read(tmp_path / "plan.yaml").data, plan) == ()


@pytest.mark.parametrize(
    ("value", "text"), [(1e-5, "1e-5"), (0.0001, "0.0001"), (3, "3"), (1e20, "1e20"), (0.5, "0.5")]
)
def test_numbers_are_written_as_people_do(value: float, text: str) -> None:
    assert number(value) == text
