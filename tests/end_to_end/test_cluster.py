"""A whole search whose trainings run on a node that sees neither the results folder nor the task's code."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from abr_tune.trial import read_history
from tests.end_to_end.commands import Answer, call, start, strict
from tests.search.cluster import can_hide, two_nodes

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(240)]

TASK = '''
import json, os, time
from pathlib import Path
import numpy as np
from pydantic import BaseModel
from safetensors.numpy import save_file
from core.report import EpochReport

class Options(BaseModel):
    epochs: int = 8
    rate: float = 0.1

class Descent:
    """Gradient descent on a parabola; each epoch notes whether the results folder is seen from where it runs."""
    name = "descent"
    options = Options
    def train(self, options, *, seed, checkpoint):
        state, w, done = checkpoint / "state.json", float(seed), 0
        if state.exists():
            kept = json.loads(state.read_text())
            w, done = kept["w"], kept["report"]["epoch"]
            yield EpochReport.from_json(kept["report"])
        for epoch in range(done + 1, options.epochs + 1):
            w -= options.rate * 2 * (w - 3.0)
            time.sleep(0.05)
            seen = {"sees": float(Path(RESULTS).joinpath("descent/space.yaml").exists()), "since": float(done)}
            report = EpochReport(epoch=epoch, phase="all", metrics={"val/toy/score": -abs(w - 3.0)}, health=seen,
                                 active={"toy": epoch}, seconds=0.05)
            checkpoint.mkdir(parents=True, exist_ok=True)
            save_file({"w": np.array([w])}, checkpoint / "model.safetensors")
            state.write_text(json.dumps({"w": w, "report": report.to_json()}))
            yield report
'''
SPACE = """\
name: descent
task: parabola:Descent
train: {epochs: 8}
search: {rate: {log: [1e-3, 0.4]}}
objective: {maximize: val/toy/score}
pruner: {successive_halving: {reduction: 2, min_epochs: 2}}
sampler: random
budget: {trials: 8}
confirm: {top: 2, seeds: 2}
"""


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Answer]]:
    if not can_hide():
        pytest.skip("mounting is not allowed here: nothing can be hidden from the second node")
    top = tmp_path_factory.mktemp("apart")
    code, results = top / "code", top / "results"
    code.mkdir()
    results.mkdir()
    (code / "parabola.py").write_text(f"RESULTS = {str(results)!r}\n{TASK}")
    (code / "descent.yaml").write_text(SPACE)
    with two_nodes([code, results]) as address:
        words = ("run", code / "descent.yaml", "--out", results, "--address", address, "--trust-code")
        # In a process of its own: Ray keeps the token of a cluster that this one has known before.
        with start(*words) as command:
            out, err = command.communicate(timeout=200)
        yield results / "descent", Answer(command.returncode, out, err)


def test_the_search_ends_with_everything_in_the_drivers_folder(searched: tuple[Path, Answer]) -> None:
    folder, answer = searched
    assert answer.code == 0, answer.err
    assert strict((folder / "environment.json").read_text())["launch"]["jobs"] == 2, "the cores of the whole cluster"
    best = folder / "best/model.safetensors"
    assert best.stat().st_size > 0
    assert (folder / "report.html").stat().st_size > 10_000
    summary = strict((folder / "summary.json").read_text())
    assert summary["trials"] | {"complete": 0, "pruned": 0} == dict.fromkeys(summary["trials"], 0)
    assert summary["best"]["confirmed"]["seeds"] == 2
    again = call("train", folder / "best.yaml", "--trust-code", "--out", folder.parent)
    assert again.code == 0, again.err


def test_every_epoch_was_trained_once_wherever_it_was(searched: tuple[Path, Answer]) -> None:
    folder, _ = searched
    trainings = sorted((folder / "trials").iterdir()) + sorted((folder / "confirm").iterdir())
    assert not [path for path in trainings if path.name.startswith(".")]
    seen, resumed = set(), []
    for training in trainings:
        reports = read_history(training / "history.jsonl")
        assert [report.epoch for report in reports] == list(range(1, len(reports) + 1))
        seen |= {report.health["sees"] for report in reports}
        resumed += [report.epoch for report in reports if report.health["since"] > 0]
        assert json.loads((training / "checkpoint/state.json").read_text())["report"]["epoch"] == len(reports)
    assert seen == {0.0}, "a training saw the driver's folder"
    assert resumed, "nothing was promoted from its checkpoint"
