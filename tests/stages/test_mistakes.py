"""Mistakes in a file of stages and in the files it names: all of them, each where it stands."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from abr_tune.errors import FileMistakes, Problem
from abr_tune.plan.stages import Arguments, load_stages
from tests.stages.conftest import write

TRUSTED = Arguments(trust_code=True)


def problems(file: Path, overrides: Sequence[str] = (), **named: str) -> tuple[Problem, ...]:
    with pytest.raises(FileMistakes) as caught:
        load_stages(file, overrides=overrides, arguments=TRUSTED, **named)  # type: ignore[arg-type]
    return caught.value.problems


def stages(tmp_path: Path, entries: str) -> Path:
    return write(tmp_path, ("> 0.3",) * 3, entries)


def test_the_mistakes_of_every_stage_are_told_with_their_files(tmp_path: Path) -> None:
    file = stages(tmp_path, "one.yaml, two.yaml, fourth.yaml")
    for name, old, new in (("one", "rate:", "rat:"), ("two", "trials: 1", "trials: 0")):
        path = tmp_path / f"{name}.yaml"
        path.write_text(path.read_text().replace(old, new, 1))
    found = {(Path(problem.file).name, problem.line): problem for problem in problems(file)}
    assert set(found) == {("one.yaml", 6), ("two.yaml", 12), ("way.yaml", 3)}
    assert found["one.yaml", 6].hint == "did you mean rate?"
    assert "fourth.yaml: there is no such file" in found["way.yaml", 3].message


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ("one.yaml, one.yaml", "one.yaml has the name one, which one.yaml has already"),
        ("one.yaml, {file: two.yaml, weight: false}", "weight is not a key of stages"),
        ("one.yaml, {weights: false}", "file is missing"),
        ("way.yaml", "way.yaml is itself a file of stages"),
        ("3", "must be"),
    ],
)
def test_entries_that_cannot_be(tmp_path: Path, entries: str, message: str) -> None:
    assert any(message in str(problem) for problem in problems(stages(tmp_path, entries)))


def test_no_stage_at_all_and_keys_of_a_search(tmp_path: Path) -> None:
    file = tmp_path / "way.yaml"
    file.write_text("stages: []\nbudget: {trials: 3}\n")
    messages = [problem.message for problem in problems(file)]
    assert any(message.startswith("stages must have at least 1") for message in messages)
    assert any("budget is not a key of the file" in message for message in messages)


def test_an_override_keeps_its_number(tmp_path: Path) -> None:
    file = stages(tmp_path, "one.yaml, two.yaml")
    found = problems(file, ["one.budget.trials=2", "two.rat=0.3", "gate.val/walk/near.go=nonsense"])
    assert {problem.file for problem in found} == {"--set 2", "--set 3"}
    [own] = problems(file, ["about=3"])
    assert own.file == "--set 1"
    [name] = problems(file, name="a/b")
    assert name.file == "--name"


def test_settings_that_do_not_go_with_the_next_file(tmp_path: Path) -> None:
    file = stages(tmp_path, "one.yaml, two.yaml")
    [problem] = problems(file, ["one.train.narrow=true", "two.train.width=9"])
    assert problem.message == "with the settings of the best of one: a narrow walk is at most 3 wide"
    assert problem.hint is not None
    assert "settings: false" in problem.hint


def test_a_stage_of_another_task(tmp_path: Path) -> None:
    file = stages(tmp_path, "one.yaml, two.yaml")
    path = tmp_path / "two.yaml"
    path.write_text(path.read_text().replace("tests.stages.tasks:Walk", "tests.stages.tasks:OTHER"))
    messages = [problem.message for problem in problems(file)]
    assert "two.yaml is of task tests.stages.tasks:OTHER, the stage before of tests.stages.tasks:Walk" in messages


def test_what_is_known_before_the_first_stage_was_run(tmp_path: Path) -> None:
    found = load_stages(stages(tmp_path, "one.yaml, {file: two.yaml, weights: false}"), arguments=TRUSTED)
    first, second = found.stages
    assert (first.plan.since, second.plan.start) == (None, None)
    assert (second.plan.since or Path()).name == "one"
    # Fixed options of the first stand for what the second leaves open; its searched rate does not.
    assert second.plan.train == {"epochs": 2, "goal": 1.0, "width": 3}
    assert second.plan.inherited == {"goal": 1.0, "width": 3}
    assert (second.weights, second.settings) == (False, True)
