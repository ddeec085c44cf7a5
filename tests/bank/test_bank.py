"""Banks: what is recorded comes back exactly, more can be added, an interruption loses nothing, damage is said."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from abr_tune.bank.draw import drawn
from abr_tune.bank.folder import read_bank
from abr_tune.bank.record import only_finite, record
from abr_tune.bank.rows import reports_of, table_of
from abr_tune.errors import Exit, UserError
from abr_tune.replay.ground import load_ground
from core.health import HealthOptions
from core.report import EpochReport
from tests.bank.conftest import SPACE, plan_of, space_file
from tests.bank.lines import MAJORITY, METRIC, Options, report


def test_reports_come_back_exactly() -> None:
    full = EpochReport(
        epoch=4,
        phase="class only",
        metrics={"val/class/f1_macro": 0.1 + 0.2, "val/class/f1_macro:skill": 1 / 3},
        health={"loss/class": 1e-300, "grad_norm": 7.0},
        active={"class": 2, "signal": 0},
        absent={"val/peak/latency_r2": "no peaks: none at all"},
        seconds=0.125,
    )
    other = EpochReport(epoch=5, phase="all", metrics={"val/class/f1_macro": 0.0})
    assert reports_of(table_of(7, 3, [full, other])) == {7: [full, other]}


def test_a_metric_that_would_be_taken_for_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="health/x"):
        table_of(0, 0, [EpochReport(epoch=1, phase="all", metrics={"health/x": 1.0})])


def test_start_points_come_first_and_are_whole(recorded: Path) -> None:
    trials = read_bank(recorded).trials()
    assert [trial.number for trial in trials] == list(range(12))
    assert [trial.name for trial in trials[:4]] == ["flat", "broken", "buggy", None]
    assert [report.metrics[METRIC] for report in trials[0].reports] == [0.2] * 5
    options = [Options(epochs=5, **trial.params) for trial in trials[3:]]
    assert [trial.reports for trial in trials[3:]] == [tuple(report(each, e) for e in range(1, 6)) for each in options]


def test_not_finite_and_failed_trials_say_where(recorded: Path) -> None:
    trials = read_bank(recorded).trials()
    broken, buggy = trials[1], trials[2]
    assert [each.epoch for each in broken.whole] == [1, 2]
    assert broken.broke_off is not None
    assert (broken.broke_off.epoch, broken.broke_off.evidence["step"]) == (3, 7)
    assert buggy.error == "RuntimeError: a bug of the task's own"
    assert [each.epoch for each in buggy.reports] == [1]


def test_a_metric_that_is_nan_ends_a_trial_where_it_appears(tmp_path: Path) -> None:
    points = "start_from: [{name: nan, kind: nan, slope: 0.1, start: 0.2}]\n"
    text = SPACE.split("start_from")[0] + points + "pruner" + SPACE.split("pruner")[1]
    assert record(plan_of(space_file(tmp_path, text)), tmp_path / "bank", trials=1, executor="inline") is Exit.DONE
    (trial,) = read_bank(tmp_path / "bank").trials()
    assert len(trial.whole) == 3
    assert trial.broke_off is not None
    assert (trial.broke_off.epoch, trial.broke_off.evidence["what"]) == (4, METRIC)
    assert trial.error is None


def test_the_facts_say_what_the_numbers_mean(recorded: Path) -> None:
    facts = json.loads((recorded / "bank.json").read_text())
    assert facts["objectives"] == [{"metric": METRIC, "direction": "maximize"}]
    assert (facts["trials"], facts["epochs"], facts["seconds_per_epoch"]) == (12, 5, 0.25)
    assert facts["baselines"] == {METRIC: MAJORITY}
    assert facts["health"]["class_collapse"]["patience"] == 2
    assert facts["code"] == ".."
    assert (recorded / "space.yaml").read_text() == SPACE
    assert pq.read_table(recorded / "curves.parquet").column_names == ["trial", "seed", "epoch", "metric", "value"]
    assert pq.read_table(recorded / "configurations.parquet").column_names == ["trial", "param", "value"]
    assert not (recorded / "unfinished").exists()


def test_rules_are_off_but_for_the_guard() -> None:
    off = only_finite(HealthOptions())
    assert off.non_finite == HealthOptions().non_finite
    assert {name for name, rule in off if rule is not None} == {"non_finite"}


def test_more_trials_are_added_and_the_old_ones_stay(tmp_path: Path, recorded: Path) -> None:
    plan = plan_of(space_file(tmp_path))
    assert record(plan, tmp_path / "bank", trials=5, executor="inline") is Exit.DONE
    before = read_bank(tmp_path / "bank").trials()
    assert record(plan, tmp_path / "bank", trials=12, executor="inline") is Exit.DONE
    after = read_bank(tmp_path / "bank").trials()
    assert after[:5] == before
    assert after == read_bank(recorded).trials()


def test_a_configuration_follows_from_seed_and_number_alone(tmp_path: Path) -> None:
    plan = plan_of(space_file(tmp_path))
    assert drawn(plan, 7) == drawn(plan, 7)
    assert drawn(plan, 7).params != drawn(plan, 8).params
    other = plan_of(space_file(tmp_path / "other", SPACE.replace("seed: 3", "seed: 4")))
    assert drawn(plan, 7).params != drawn(other, 7).params


def test_ctrl_c_keeps_what_is_whole_and_the_same_command_goes_on(tmp_path: Path) -> None:
    file = space_file(tmp_path, SPACE.replace("{epochs: 5}", "{epochs: 5, wait: 0.05}"))
    command = [
        sys.executable,
        "-c",
        "from abr_tune.cli import main; main()",
        "bank",
        str(file),
        "--trials",
        "12",
        "--executor",
        "inline",
    ]
    command += ["--to", str(tmp_path / "bank"), "--trust-code"]
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    assert first.stderr is not None
    lines = [first.stderr.readline() for _ in range(5)]
    time.sleep(0.1)
    first.send_signal(signal.SIGINT)
    rest = first.communicate(timeout=60)[1]
    assert first.returncode == 130, (lines, rest)
    assert "continue with: abr-tune bank" in rest
    kept = read_bank(tmp_path / "bank").trials()
    assert 5 <= len(kept) < 12
    assert all(len(trial.whole) == 5 for trial in kept[3:])
    plan = plan_of(file)
    assert record(plan, tmp_path / "bank", trials=12, executor="inline") is Exit.DONE
    assert read_bank(tmp_path / "bank").trials()[: len(kept)] == kept
    assert len(read_bank(tmp_path / "bank").trials()) == 12


@pytest.mark.ray
def test_ray_records_the_same(recorded: Path, tmp_path: Path) -> None:
    plan = plan_of(space_file(tmp_path))
    assert record(plan, tmp_path / "bank", trials=12, executor="ray", jobs=2) is Exit.DONE
    assert read_bank(tmp_path / "bank").trials() == read_bank(recorded).trials()


def test_a_bank_of_something_else_is_not_added_to(recorded: Path, tmp_path: Path) -> None:
    other = plan_of(space_file(tmp_path, SPACE.replace("[0.0, 0.2]", "[0.0, 0.3]")))
    with pytest.raises(UserError, match="holds a bank of something else: search differ"):
        record(other, recorded, trials=13, executor="inline")


def test_a_bank_cannot_name_code_that_nobody_asked_for(recorded: Path, tmp_path: Path) -> None:
    folder = damaged(recorded, tmp_path, "space.yaml", SPACE.replace("lines:TASK", "evil:TASK").encode())
    (folder / "evil.py").write_text("raise SystemExit('imported')\n")
    with pytest.raises(UserError, match="holds a bank of something else: task differ"):
        record(plan_of(space_file(tmp_path)), folder, trials=13, executor="inline")


def damaged(recorded: Path, tmp_path: Path, name: str, content: bytes | None) -> Path:
    folder = tmp_path / "bank"
    folder.mkdir()
    for file in recorded.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("bank.json", None, "holds no bank"),
        ("bank.json", b"{", "bank.json is damaged"),
        ("bank.json", b'{"format": 9, "seeds": {}}', "of format 9, this version reads format 1"),
        (
            "bank.json",
            b'{"format": 1, "seeds": {}, "task": "x"}',
            "bank.json is damaged: it has no rows, code, set, objectives",
        ),
        ("curves.parquet", None, "curves.parquet is damaged or missing"),
        ("curves.parquet", b"PAR1 and then nothing", "curves.parquet is damaged or missing"),
        ("configurations.parquet", b"", "configurations.parquet is damaged or missing"),
    ],
)
def test_damage_is_refused_with_the_file(
    recorded: Path, tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    folder = damaged(recorded, tmp_path, name, content)
    with pytest.raises(UserError, match=said):
        read_bank(folder)


def test_trials_that_only_the_tables_know_are_recorded_again(recorded: Path, tmp_path: Path) -> None:
    facts = json.loads((recorded / "bank.json").read_text())
    del facts["seeds"]["4"]
    facts["rows"] -= len(pq.read_table(recorded / "curves.parquet", filters=[("trial", "==", 4)]))
    folder = damaged(recorded, tmp_path, "bank.json", json.dumps(facts).encode())
    assert 4 not in read_bank(folder).numbers
    assert record(plan_of(space_file(tmp_path)), folder, trials=12, executor="inline") is Exit.DONE
    assert read_bank(folder).trials() == read_bank(recorded).trials()


def test_rows_that_are_missing_are_noticed(recorded: Path, tmp_path: Path) -> None:
    folder = damaged(recorded, tmp_path, "unused", b"")
    pq.write_table(pq.read_table(recorded / "curves.parquet").slice(0, 100), folder / "curves.parquet")
    with pytest.raises(
        UserError, match=r"curves.parquet is damaged: it has 100 rows of the trials in bank.json, not \d+"
    ):
        read_bank(folder)


LUCKY = """\
name: lucky
task: lines:TASK
train: {epochs: 4}
search: {slope: {uniform: [0.0, 0.2]}, start: {uniform: [0.0, 0.3]}, luck: {uniform: [-0.1, 0.1]}}
start_from:
  - {name: lucky, slope: 0.1, start: 0.3, luck: -0.03}      # ends at 0.70 with seed 0, 0.67 and 0.64 with 1 and 2
  - {name: steady, slope: 0.1, start: 0.29, luck: 0.0}      # 0.69 with any
  - {name: low, slope: 0.05, start: 0.2, luck: 0.05}        # 0.40, and not among the two best
budget: {trials: 3}
"""


def test_the_best_are_trained_again_and_judged_by_their_means(tmp_path: Path) -> None:
    plan = plan_of(space_file(tmp_path, LUCKY))
    assert record(plan, tmp_path / "bank", trials=3, executor="inline") is Exit.DONE
    ground = load_ground(tmp_path / "bank", trust_code=True)
    assert [run.worth for run in ground.runs] == pytest.approx([0.70, 0.69, 0.40])
    for _ in range(2):  # the second time there is nothing left to train
        assert record(plan, tmp_path / "bank", trials=3, executor="inline", top=2, seeds=2) is Exit.DONE
    ground = load_ground(tmp_path / "bank", trust_code=True)
    assert [len(run.fresh) for run in ground.runs] == [2, 2, 0]
    assert [run.final for run in ground.runs] == pytest.approx([0.70, 0.69, 0.40]), "methods still see seed 0"
    assert [run.worth for run in ground.runs] == pytest.approx([0.655, 0.69, 0.40]), "mean of 0.67 and 0.64"
    assert ground.ranked[0].number == 1
    assert ground.regret(ground.runs[2]) == pytest.approx(0.29 / 0.035)
    alone = load_ground(tmp_path / "bank", trust_code=True, one_seed=True)
    assert [run.worth for run in alone.runs] == pytest.approx([0.70, 0.69, 0.40])
    assert not (tmp_path / "bank" / "unfinished").exists()


def test_killed_between_the_fresh_rows_and_the_facts_it_goes_on(tmp_path: Path) -> None:
    plan, folder = plan_of(space_file(tmp_path, LUCKY)), tmp_path / "bank"
    assert record(plan, folder, trials=3, executor="inline", top=1, seeds=1) is Exit.DONE
    facts = (folder / "bank.json").read_bytes()
    assert record(plan, folder, trials=3, executor="inline", top=2, seeds=2) is Exit.DONE
    whole = read_bank(folder).fresh_reports()
    (folder / "bank.json").write_bytes(facts)
    assert {seed: list(found) for seed, found in read_bank(folder).fresh_reports().items()} == {1: [0]}
    assert record(plan, folder, trials=3, executor="inline", top=2, seeds=2) is Exit.DONE
    assert read_bank(folder).fresh_reports() == whole


def test_a_bank_without_some_of_its_fresh_rows_is_damaged(tmp_path: Path) -> None:
    plan = plan_of(space_file(tmp_path, LUCKY))
    assert record(plan, tmp_path / "bank", trials=3, executor="inline", top=1, seeds=1) is Exit.DONE
    file = tmp_path / "bank" / "fresh.parquet"
    pq.write_table(pq.read_table(file).slice(1), file)
    with pytest.raises(UserError, match=r"is damaged: \d+ rows of seed 1, not"):
        read_bank(tmp_path / "bank")
