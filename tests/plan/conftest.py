"""A small valid space file, and helpers to change it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from abr_tune.errors import FileMistakes, Problem
from abr_tune.plan.load import load_plan

SMALL = """\
name: small
task: abr
data: {source: simulated, train: 300}

train:
  epochs: 3

search:
  optimizer.lr: {log: [1e-5, 3e-3]}
  loss.class_loss: {choice: [cross_entropy, focal]}

budget: {trials: 4}
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def to_file(text: str) -> Path:
        file = tmp_path / "small.yaml"
        file.write_text(text, encoding="utf-8")
        return file

    return to_file


@pytest.fixture
def small(write: Callable[[str], Path]) -> Callable[..., Path]:
    """Write SMALL with `more` at its end and pairs of texts replaced."""

    def make(more: str = "", **replaced: tuple[str, str]) -> Path:
        text = SMALL
        for old, new in replaced.values():
            assert old in text
            text = text.replace(old, new)
        return write(text + more)

    return make


@pytest.fixture
def mistakes() -> Callable[..., tuple[Problem, ...]]:
    """What is wrong with a file, which must have something wrong with it."""

    def find(file: Path, *overrides: str, **named: object) -> tuple[Problem, ...]:
        with pytest.raises(FileMistakes) as caught:
            load_plan(file, overrides=overrides, **named)  # type: ignore[arg-type]
        return caught.value.problems

    return find
