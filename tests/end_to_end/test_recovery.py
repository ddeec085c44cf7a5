"""Stages of the ABR task, end to end: the second begins from the first's weights, and its best trains again."""

from pathlib import Path

from abr_tune.trial import read_history
from tests.end_to_end.commands import Made, call

FIRST = """\
name: first
task: abr
data: {source: simulated, train: 120, val: 100, test: 100, seed: 7}
train: {epochs: 2, optimizer.warmup_epochs: 0}
search:
  optimizer.lr: {log: [1e-3, 5e-3]}
  model.dropout: {uniform: [0, 0.1]}
start_from:
  - {name: by hand, optimizer.lr: 3e-3, model.dropout: 0.05}
pruner: none
sampler: random
budget: {trials: 1}
confirm: {top: 1, seeds: 1}
gate:
  val/class/accuracy: {go: "> 0"}
"""


def test_a_stage_goes_on_from_the_weights_of_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "first.yaml").write_text(FIRST, encoding="utf-8")
    second = FIRST.replace("name: first", "name: second").replace("  model.dropout: {uniform: [0, 0.1]}\n", "")
    (tmp_path / "second.yaml").write_text(second.replace(", model.dropout: 0.05", ""), encoding="utf-8")
    file, out = tmp_path / "both.yaml", tmp_path / "results"
    file.write_text("stages: [first.yaml, second.yaml]\n", encoding="utf-8")
    made = Made(file, out, "both", call("run", file, "--out", out, "--executor", "inline"))
    assert made.answer.code == 0, made.answer.err
    first, then = made.summary["stages"]
    assert first["begun_with"] is None
    assert then["begun_with"]["tensors_taken"] == then["begun_with"]["tensors"] > 20
    # The dropout that the first searched is a fixed option of the second.
    best = made.folder / "second" / "best.yaml"
    assert "dropout: 0.05" in best.read_text(encoding="utf-8")
    ends = [read_history(made.folder / f"{name}/trials/0/history.jsonl") for name in ("first", "second")]
    losses = [[report.health["loss/class"] for report in history] for history in ends]
    # Its first epoch is no worse than the last of the first stage: at random weights it would be.
    assert losses[1][0] < losses[0][0]
    assert losses[1][0] < 1.1 * losses[0][1]
    assert made.summary["test"].keys() >= {"test/class/f1_macro"}
    verified = call("verify", best, "--out", out, "--json")
    assert verified.code == 0, verified.err
    assert verified.json["verdict"] == "holds"
