"""The command line as a person or a script meets it, and the small searches these tests run."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest

from abr_tune.cli import main

ROOT = Path(__file__).parents[2]
METRIC = "val/class/auroc_macro"
LITTLE = f"""\
name: little
about: Simulated recordings, so few that the scores mean nothing.
task: abr
data: {{source: simulated, train: 200, val: 120, test: 120, seed: 7}}
train:
  epochs: 6
search:
  optimizer.lr:               {{log: [1e-3, 1e-2]}}
  loss.weights.peak_exist:    {{uniform: [0, 2]}}
start_from:
  - {{name: sound}}
  - {{name: extreme, optimizer.lr: 1e38}}
  - {{name: frozen, optimizer.lr: 1e-7}}
objective: {{maximize: {METRIC}}}
health: {{regression_collapse: off}}
pruner: none
sampler: random
budget: {{trials: 4}}
confirm: {{top: 1, seeds: 2}}
gate:
  {METRIC}: {{go: "> 0.999", investigate: "> 0.001"}}
"""
"""A search of the ABR task that meets all there is: a sound start, a NaN, a collapse, a proposal of the sampler."""
QUICK = """\
name: quick
task: tests.search.tasks:Rare
train: {epochs: 6}
search:
  lr:    {log: [0.05, 1.0]}
  power: {uniform: [0, 2]}
start_from:
  - {name: by hand}
objective: {maximize: val/class/f1_macro}
pruner: none
sampler: random
budget: {trials: 3}
confirm: {top: 1, seeds: 2}
"""
"""A task of one's own that trains in milliseconds."""
IN_PROCESS = ("--executor", "inline", "--trust-code")


@dataclass(frozen=True)
class Answer:
    """What a command printed, and the code it ended with."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one document of strict JSON."""
        return strict(self.out)


@dataclass(frozen=True)
class Made:
    """A run: its space file, its results folder, and what the command said."""

    file: Path
    out: Path
    name: str
    answer: Answer

    @property
    def folder(self) -> Path:
        return self.out / self.name

    @property
    def summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = strict((self.folder / "summary.json").read_text(encoding="utf-8"))
        return summary

    @property
    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """The trials as anybody with Optuna sees them."""
        return stored_trials(self.folder / "study.db")

    def again(self, *words: object) -> Answer:
        """The command that made it, once more, with more words."""
        return call("run", self.file, "--out", self.out, *IN_PROCESS, *words)

    def ask(self, command: str, *words: object) -> Answer:
        """A command about it."""
        return call(command, self.name, "--out", self.out, *words)


def call(*words: object) -> Answer:
    """`abr-tune` with these words, in this process; its outputs are pipes to it."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return Answer(int(end.value.code or 0), out.getvalue(), err.getvalue())


def start(*words: object, cwd: Path = ROOT) -> subprocess.Popen[str]:
    """The installed `abr-tune` with these words, in a process group of its own."""
    command = [str(Path(sys.executable).with_name("abr-tune")), *map(str, words)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd, start_new_session=True
    )


def strict(text: str) -> Any:
    """The JSON in `text`; NaN and infinity are none."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def stored_trials(database: Path) -> list[optuna.trial.FrozenTrial]:
    """The trials of the only study in a database, through Optuna's own door."""
    return optuna.load_study(study_name=None, storage=f"sqlite:///{database}").trials


def files_in(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
