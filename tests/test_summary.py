"""The last lines of a run follow from its summary and its trials, number by number."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from abr_tune.finalists import Finalist
from abr_tune.plan.plan import Confirm
from abr_tune.search.events import TrialRecord
from abr_tune.summary import Spent, sentences, summarise
from core.tasks.task import Reference
from tests.search.tasks import METRIC, plan

BEST = TrialRecord(
    number=1,
    name="by hand",
    state="complete",
    value=0.5,
    params={"lr": 0.25},
    metrics={METRIC: 0.5, f"{METRIC}:skill": 0.1},
    epochs=6,
    seconds=1.26,
)
STOPPED = TrialRecord(
    number=0, name=None, state="pruned", value=None, params={}, pruned_by="class_collapse", why="stuck", epochs=2
)
FAILED = TrialRecord(number=2, name=None, state="failed", value=None, params={}, error="RuntimeError: a bug")
CONFIRMED = Finalist(trial=1, searched=0.5, values=(0.4, 0.5), metrics={METRIC: 0.45})
SPENT = Spent(total=75.04, first_report=3.21, unpruned_epochs=12)


def summary(*records: TrialRecord, finalists: tuple[Finalist, ...] = (), **more: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {"baselines": {METRIC: 0.44}, "gate": None, "references": (), "test": {}} | more
    chosen = settings.pop("plan", plan())
    return summarise(chosen, state="finished", records=records, spent=SPENT, finalists=finalists, **settings)


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a finished run, where the sentences look for them."""
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "results" / "rare"
    (run / "best").mkdir(parents=True)
    for name in ("best.yaml", "report.html"):
        (run / name).touch()
    return run


def lines(content: dict[str, Any]) -> list[str]:
    return list(sentences(content, "results/rare"))


def test_counts_and_seconds() -> None:
    found = summary(STOPPED, BEST, FAILED, replace(STOPPED, number=3), finalists=(CONFIRMED,))
    assert found["trials"] == {"complete": 1, "pruned": 2, "failed": 1, "running": 0, "waiting": 0}
    assert found["pruned_by"] == {"class_collapse": 2}
    assert found["epochs"] == {"spent": 2 + 6 + 2, "unpruned": 12}
    assert found["seconds"] == {"total": 75.0, "training": 1.3, "first_report": 3.2}


def test_the_best_is_the_first_finalist_whatever_the_search_liked_more() -> None:
    luckier = replace(BEST, number=4, value=0.9)
    found = summary(
        luckier, BEST, finalists=(CONFIRMED, Finalist(trial=4, searched=0.9, values=(0.1, 0.1), metrics={}))
    )
    assert (found["best"]["trial"], found["best"]["value"]) == (1, 0.5)
    # Mean of 0.4 and 0.5; their standard deviation is 0.1 over the square root of two.
    told = found["best"]["confirmed"]
    assert (told["seeds"], told["mean"], told["sd"]) == (2, 0.45, CONFIRMED.sd)
    # Searched 0.5 and 0.9, fresh 0.45 and 0.1: flattered by 0.05, and by (0.05 + 0.8) / 2 on average.
    assert abs(told["optimism"] - 0.05) < 1e-12
    assert abs(told["optimism_of_finalists"] - 0.425) < 1e-12
    assert abs(CONFIRMED.sd - 0.0707107) < 1e-6
    assert [each["trial"] for each in found["finalists"]] == [1, 4]


def test_a_run_that_trained_nothing_this_time_has_no_first_report() -> None:
    spent = replace(SPENT, first_report=None)
    found = summarise(
        plan(), state="finished", records=(), spent=spent, baselines={}, finalists=(), gate=None, references=(), test={}
    )
    assert found["seconds"].keys() == {"total", "training"}
    assert found["best"] is None


def test_what_a_person_reads() -> None:
    reference = Reference(name="tree", metric="test/class/f1_macro", value=0.4, ours=0.5, interval=(0.05, 0.15))
    found = summary(
        STOPPED, BEST, FAILED, finalists=(CONFIRMED,), references=(reference,), test={"test/class/f1_macro": 0.48}
    )
    assert lines(found) == [
        "rare: finished, 3 trials in 1m15s: 1 complete, 1 pruned, 1 failed",
        f"best       trial 1 (by hand): {METRIC} 0.5000",
        "baseline   the trivial predictor scores 0.4400; skill over it 0.100 (0 trivial, 1 perfect)",
        "confirmed  0.4500 ± 0.0707 on 2 fresh seeds",
        "           the search flattered it by 0.0500",
        "test       0.4800 on data never used before",
        "settings   lr 0.25",
        "stopped    1 by class_collapse, e.g. trial 0, epoch 2: stuck",
        "failed     1, e.g. trial 2: RuntimeError: a bug",
        "epochs     8 spent of 12 without stopping: 33% saved",
        "beside     tree: test/class/f1_macro 0.4000; best 0.5000, difference +0.1000"
        " (95 % interval +0.0500 to +0.1500)",
        "files      results/rare/best.yaml    trains again with: abr-tune train results/rare/best.yaml --trust-code",
        "           results/rare/best/        weights; abr-tune predict results/rare FILE --trust-code",
        "           results/rare/report.html  the whole story",
    ]


def test_without_a_complete_trial_it_says_so() -> None:
    said = lines(summary(STOPPED))
    assert said[1] == "best       none: no trial completed"
    assert not any("best.yaml" in line for line in said)


def test_without_confirmation_the_leader_so_far_is_named() -> None:
    found = summary(STOPPED, replace(BEST, number=4, value=0.25), BEST)
    assert found["leading"] == {"trial": 1, "name": "by hand", "value": 0.5}
    assert lines(found)[1] == f"best       so far trial 1 (by hand): {METRIC} 0.5000, not confirmed"
    assert "leading" not in summary(BEST, finalists=(CONFIRMED,))


def test_commands_can_be_pasted_whatever_the_folder_is_called(files: Path) -> None:
    files.parent.rename(files.parents[1] / "our results")
    said = "\n".join(sentences(summary(BEST, finalists=(CONFIRMED,)), "our results/rare"))
    assert "abr-tune train 'our results/rare/best.yaml' --trust-code\n" in said
    assert "abr-tune predict 'our results/rare' FILE --trust-code\n" in said


def test_an_interrupted_run_has_no_page_yet() -> None:
    assert not any("report.html" in line for line in lines(summary(STOPPED) | {"state": "interrupted"}))


def test_each_reason_has_its_first_example() -> None:
    later = replace(STOPPED, number=5, why="later", name="by hand")
    found = summary(STOPPED, BEST, FAILED, later, replace(later, number=6, pruned_by="median"))
    assert found["examples"] == {
        "class_collapse": {"trial": 0, "name": None, "epoch": 2, "why": "stuck"},
        "failed": {"trial": 2, "name": None, "epoch": 0, "why": "RuntimeError: a bug"},
        "median": {"trial": 6, "name": "by hand", "epoch": 2, "why": "later"},
    }
    assert any(line.endswith("1 by median, e.g. trial 6 (by hand), epoch 2: later") for line in lines(found))


def test_a_summary_of_an_earlier_version_is_still_told() -> None:
    found = {
        key: value
        for key, value in summary(STOPPED, BEST, finalists=(CONFIRMED,)).items()
        if key not in {"examples", "violations", "saved_by", "audit", "alarm", "objectives"}
    }
    assert "stopped    1 by class_collapse" in lines(found)


def test_missed_constraints_are_counted_over_complete_trials() -> None:
    missing = replace(BEST, number=7, violations={"val/peak/exist_auroc": 0.2, METRIC: 0.0})
    found = summary(missing, replace(missing, number=8), replace(missing, number=9, state="pruned", value=None), BEST)
    assert found["violations"] == {"val/peak/exist_auroc": 2}
    assert "missed     val/peak/exist_auroc is missed by 2 complete trials, which cannot be best" in lines(found)


def test_the_audit_of_a_search_that_was_interrupted_asks_for_those_who_would_be_confirmed() -> None:
    verdict = {"rule": "class_collapse", "why": "stuck", "epoch": 2}
    kept, lost = replace(BEST, audited=verdict), replace(BEST, number=3, value=0.1, audited=verdict)
    found = summary(kept, lost, plan=plan(confirm=Confirm(top=1)))
    assert (found["best"], found["audit"]["rows"][0]["false"]) == (None, 1)


def test_where_the_best_misses_a_constraint_nobody_says_it_could_not_be_best() -> None:
    missing = replace(BEST, violations={"val/peak/exist_auroc": 0.2})
    fresh = replace(CONFIRMED, violations={"val/peak/exist_auroc": 0.25})
    told = lines(summary(missing, replace(missing, number=8), finalists=(fresh,)))
    assert "missed     val/peak/exist_auroc is missed by 2 complete trials; the best misses it by 0.25" in told


def test_one_trial_is_a_trial() -> None:
    assert ": finished, 1 trial in 1m15s: 1 complete" in lines(summary(BEST, finalists=(CONFIRMED,)))[0]


def test_the_audit_says_how_often_a_stop_was_false() -> None:
    """Of two audited trials, the first finalist is one: half of the stops, by what little is known."""
    verdict = {"rule": "class_collapse", "why": "stuck", "epoch": 2}
    kept, lost = replace(BEST, audited=verdict), replace(BEST, number=3, value=0.1, audited=verdict)
    found = summary(kept, lost, finalists=(CONFIRMED,))
    overall, by_rule = found["audit"]["rows"]
    assert (overall["rule"], overall["judged"], overall["false"], overall["share"]) == (None, 2, 1, 0.5)
    assert overall["above_baseline"] == 1, "0.5 is above the trivial 0.44, 0.1 is not"
    assert by_rule["rule"] == "class_collapse"
    said = next(line for line in lines(found) if line.startswith("audit"))
    assert said.startswith("audit      1 of 2 audited stops lost a leader: 50% of the stops are false (95 % interval ")
    assert summary(BEST, finalists=(CONFIRMED,))["audit"] == {
        "share": 0.0,
        "rows": [],
        "absent": "the audit is off: nobody knows how the stopped trials would have ended",
    }


def test_an_alarm_is_kept_and_told() -> None:
    found = summary(*(replace(STOPPED, number=number) for number in range(8)))
    assert found["alarm"]["rule"] == "class_collapse"
    assert any(line.startswith("alarm      8 of 8 trials were stopped by health rules") for line in lines(found))
    assert summary(STOPPED, BEST)["alarm"] is None


def test_files_that_were_taken_away_are_not_listed(files: Path) -> None:
    (files / "best.yaml").unlink()
    (files / "best").rmdir()
    told = lines(summary(BEST, finalists=(CONFIRMED,)))
    assert told[-2:] == [
        "files      results/rare/report.html  the whole story",
        "           best.yaml and best are not there any more",
    ]
