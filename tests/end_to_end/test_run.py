"""`abr-tune run`: what it leaves, what it prints, and that both say the same."""

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from abr_tune import __version__
from abr_tune.trial import read_history
from tests.end_to_end.commands import IN_PROCESS, METRIC, ROOT, Made, call, files_in, strict

SUMMARY = {
    "name", "task", "state", "trials", "pruned_by", "epochs", "seconds", "baselines", "best", "gate"
}  # fmt: skip
"""Keys that contracts promise."""


def test_it_ends_well(little: Made) -> None:
    assert little.answer.code == 0, little.answer.err


def test_the_folder_holds_exactly_what_its_readme_explains(little: Made) -> None:
    rows = re.findall(r"^\| (`.*?`) \|", (ROOT / "results" / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    explained = {name.partition("/")[0] for row in rows for name in re.findall(r"`(.*?)`", row)}
    only_when_asked = {"ablation.json", "ablation", "start"}
    assert only_when_asked < explained
    assert {path.name for path in little.folder.iterdir()} == explained - only_when_asked


def test_the_folders_of_trainings_hold_what_the_readme_says(little: Made) -> None:
    trials = sorted(path.name for path in (little.folder / "trials").iterdir())
    best = little.summary["best"]["trial"]
    confirmations = sorted(path.name for path in (little.folder / "confirm").iterdir())
    assert (trials, confirmations) == (["0", "1", "2", "3"], [f"{best}-1", f"{best}-2"])
    for place in [f"trials/{number}" for number in (0, 2, 3)] + [f"confirm/{each}" for each in confirmations]:
        folder = little.folder / place
        assert {path.name for path in folder.iterdir()} == {"config.yaml", "history.jsonl", "checkpoint"}
        kept = sorted(path.name.partition("-")[0] for path in (folder / "checkpoint").iterdir())
        assert kept == ["epoch", "epoch", "watch.jsonl"]
    best_files = {"model.safetensors", "metrics.json", "scores.json"}
    assert {path.name for path in (little.folder / "best").iterdir()} == best_files


def test_nothing_in_the_folder_is_a_pickle(little: Made) -> None:
    for name, content in files_in(little.folder).items():
        assert not name.endswith((".pkl", ".pt", ".pth", ".ckpt", ".joblib")), name
        # A pickle of any protocol since 2 begins with the byte 0x80; zip archives of torch begin with PK.
        assert not content.startswith((b"\x80", b"PK")), name


def test_the_summary_has_the_promised_keys_and_finite_numbers(little: Made) -> None:
    summary = little.summary
    assert summary.keys() >= SUMMARY
    assert (summary["name"], summary["task"], summary["state"]) == ("little", "abr", "finished")
    assert summary["trials"] == {"complete": 2, "pruned": 2, "failed": 0, "running": 0, "waiting": 0}
    assert summary["pruned_by"] == {"non_finite": 1, "class_collapse": 1}
    assert summary["seconds"].keys() == {"total", "training", "first_report"}
    assert 0 < summary["seconds"]["first_report"] <= summary["seconds"]["total"]
    best = summary["best"]
    assert best.keys() >= {"trial", "value", "params", "metrics", "confirmed"}
    confirmed = best["confirmed"]
    assert confirmed.keys() >= {"seeds", "mean", "sd", "interval", "optimism", "optimism_of_finalists"}
    assert confirmed["optimism"] == pytest.approx(best["value"] - confirmed["mean"])
    assert best["confirmed"]["seeds"] == 2
    assert best["params"].keys() == {"optimizer.lr", "loss.weights.peak_exist"}
    assert summary["baselines"][METRIC] == 0.5
    assert summary["gate"]["verdict"] == "investigate"
    assert summary["gate"]["criteria"][0].keys() >= {"metric", "go", "investigate", "value", "result"}
    numbers = list(numbers_in(summary))
    assert len(numbers) > 100
    assert all(map(math.isfinite, numbers))


def numbers_in(content: Any) -> Iterator[float]:
    if isinstance(content, dict):
        content = list(content.values())
    if isinstance(content, list):
        for item in content:
            yield from numbers_in(item)
    elif isinstance(content, int | float):
        yield content


def test_summary_study_histories_and_journal_tell_the_same_story(little: Made) -> None:
    summary, trials = little.summary, little.trials
    histories = [read_history(little.folder / f"trials/{trial.number}/history.jsonl") for trial in trials]
    whole = [[report for report in history if report.complete] for history in histories]
    assert summary["epochs"] == {"spent": sum(map(len, whole)), "unpruned": 4 * 6}
    for trial, reports in zip(trials, whole, strict=True):
        assert trial.intermediate_values == {report.epoch: report.metrics[METRIC] for report in reports}
    best = trials[summary["best"]["trial"]]
    assert best.value == max(trial.value for trial in trials if trial.state.name == "COMPLETE")
    assert summary["best"]["value"] == best.value == whole[best.number][-1].metrics[METRIC]
    assert summary["best"]["metrics"] == best.user_attrs["metrics"] == dict(whole[best.number][-1].metrics)
    events = [strict(line) for line in (little.folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    for trial, reports in zip(trials, whole, strict=True):
        said = [event for event in events if event["number"] == trial.number]
        assert (said[0]["event"], said[-1]["event"]) == ("trial_started", "trial_finished")
        assert [event["epoch"] for event in said if event["event"] == "epoch"] == [each.epoch for each in reports]
        assert said[-1]["state"] == {"COMPLETE": "complete", "PRUNED": "pruned"}[trial.state.name]
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)


def test_the_leaders_fresh_runs_are_what_the_summary_confirms(little: Made) -> None:
    best = little.summary["best"]
    places = [little.folder / f"confirm/{best['trial']}-{seed}" for seed in (1, 2)]
    values = [read_history(place / "history.jsonl")[-1].metrics[METRIC] for place in places]
    assert best["confirmed"]["mean"] == pytest.approx(sum(values) / 2)
    # Standard deviation of two values: their distance over the square root of two.
    assert best["confirmed"]["sd"] == pytest.approx(abs(values[0] - values[1]) / math.sqrt(2))
    assert values[0] != values[1]
    assert little.summary["gate"]["criteria"][0]["value"] == pytest.approx(sum(values) / 2)


def test_the_plan_the_space_and_the_environment_are_kept(little: Made) -> None:
    assert (little.folder / "space.yaml").read_bytes() == little.file.read_bytes()
    plan = yaml.safe_load((little.folder / "plan.yaml").read_text(encoding="utf-8"))
    assert plan["train"]["optimizer"]["warmup_epochs"] == 1.0  # a default, written out
    assert plan["health"]["regression_collapse"] is None
    environment = strict((little.folder / "environment.json").read_text(encoding="utf-8"))
    assert environment["versions"]["abr-tune"] == __version__
    assert environment["versions"].keys() >= {"python", "torch", "ray", "optuna"}
    assert environment["seeds"] == {"search": 0, "confirmation": [1, 2]}
    assert re.fullmatch(r"[0-9a-f]{64}", environment["data_fingerprint"])
    assert environment["machine"]["cores"] >= 1


def test_a_person_is_told_the_best_its_skill_the_stops_and_where_things_are(little: Made) -> None:
    out, summary = little.answer.out, little.summary
    best = summary["best"]
    assert f"{METRIC} {best['value']:.4f}" in out
    assert f"skill over it {best['metrics'][f'{METRIC}:skill']:.3f}" in out
    assert re.search(r"1 by non_finite, e\.g\. trial 1 \(extreme\), epoch 0: epoch 1, step \d+: ", out)
    assert re.search(r"1 by class_collapse, e\.g\. trial 2 \(frozen\), epoch \d: macro-F1 ", out)
    for file in ("best.yaml", "best/", "report.html"):
        assert f"{little.folder}/{file}" in out


def test_a_pipe_gets_a_line_per_trial_and_no_escape_codes(little: Made) -> None:
    assert "\x1b" not in little.answer.err + little.answer.out
    lines = [line for line in little.answer.err.splitlines() if re.match(r" +\d/4 ", line)]
    assert [re.split(r" {2,}", line.strip())[1].split()[0] for line in lines] == ["#0", "#1", "#2", "#3"]
    assert "non_finite: epoch 1, step" in lines[1]


def test_json_prints_the_summary_and_nothing_else(quick: Callable[..., Made]) -> None:
    made = quick("--json")
    assert made.answer.code == 0, made.answer.err
    assert made.answer.out == (made.folder / "summary.json").read_text(encoding="utf-8")
    assert made.answer.json["best"]["trial"] in {0, 1, 2}
    assert "\x1b" not in made.answer.err


def test_a_task_without_weights_has_no_weights_in_best(quick: Callable[..., Made]) -> None:
    made = quick()
    assert {path.name for path in (made.folder / "best").iterdir()} == {"metrics.json"}
    assert made.summary["test"] == {}


def test_options_of_the_command_change_what_is_run(tmp_path: Path, quick: Callable[..., Made]) -> None:
    made = quick("--name", "other", "--trials", 2, "--seed", 5, "--set", "train.epochs=4", "--set", "confirm.top=0")
    assert made.answer.code == 0, made.answer.err
    folder = tmp_path / "results" / "other"
    assert not made.folder.exists()
    summary = strict((folder / "summary.json").read_text(encoding="utf-8"))
    assert (summary["name"], summary["trials"]["complete"], summary["epochs"]["spent"]) == ("other", 2, 8)
    assert "confirmed" not in summary["best"]
    assert not (folder / "confirm").exists()
    configs = [yaml.safe_load(path.read_text()) for path in sorted(folder.glob("trials/*/config.yaml"))]
    assert [config["seed"] for config in configs] == [5, 5]


def test_a_searched_path_that_is_set_is_not_searched(quick: Callable[..., Made]) -> None:
    made = quick("--set", "lr=0.5", "--set", "confirm.top=0")
    assert made.answer.code == 0, made.answer.err
    assert all(trial.params.keys() == {"power"} for trial in made.trials)
    configs = [yaml.safe_load(path.read_text()) for path in made.folder.glob("trials/*/config.yaml")]
    assert [config["train"]["lr"] for config in configs] == [0.5] * 3


def test_a_dry_run_shows_what_would_be_tried_and_makes_nothing(quick: Callable[..., Made]) -> None:
    made = quick("--dry-run", "--trials", 9)
    assert made.answer.code == 0
    assert not made.out.exists()
    lines = made.answer.out.splitlines()
    assert lines[0] == "quick: 2 searched paths, 9 trials; maximize val/class/f1_macro"
    assert "  by hand: the defaults" in lines
    drawn = [re.fullmatch(r"  lr ([\d.]+)  power ([\d.e-]+)", line) for line in lines[-5:]]
    for match in drawn:
        assert match is not None
        assert 0.05 <= float(match[1]) <= 1
        assert 0 <= float(match[2]) <= 2
    assert len(set(lines[-5:])) == 5


def test_without_a_complete_trial_the_code_is_1_and_the_reason_is_told(quick: Callable[..., Made]) -> None:
    made = quick(changes={"{epochs: 6}": "{epochs: 6, act: raise}"})
    assert made.answer.code == 1
    assert made.summary["best"] is None
    assert made.summary["trials"]["failed"] > 0
    assert made.summary["trials"]["complete"] == 0
    assert "none: no trial completed" in made.answer.out
    assert "RuntimeError: a bug in the user's code" in made.answer.out
    assert "a bug in the user's code" in (made.folder / "trials/0/traceback.txt").read_text()
    assert not (made.folder / "best.yaml").exists()
    assert (made.folder / "report.html").exists()


def test_a_time_budget_ends_the_search_and_the_leaders_are_still_confirmed(quick: Callable[..., Made]) -> None:
    made = quick("--time", "1s", "--trials", 1000)
    summary = made.summary
    # On a slow machine none is complete by then: the furthest is confirmed in its place.
    assert made.answer.code == (0 if summary["trials"]["complete"] else 1), made.answer.err
    assert summary["trials"]["complete"] < 1000
    assert summary["best"]["confirmed"]["seeds"] == 2


def test_a_deadline_before_the_first_complete_trial_leaves_a_confirmed_best_and_exit_1(
    quick: Callable[..., Made],
) -> None:
    made = quick("--time", "1s", "--set", "train.act=sleep", "--set", "confirm.seeds=1")
    assert made.summary["trials"]["complete"] == 0
    assert (made.folder / "best.yaml").exists()
    assert made.answer.code == 1


def test_the_words_of_a_run_need_trust_for_code(quick: Callable[..., Made]) -> None:
    made = quick("--dry-run")
    answer = call("run", made.file, "--out", made.out, *IN_PROCESS[:2])
    assert answer.code == 2
    assert "--trust-code imports it" in answer.err
    assert not made.out.exists()
