"""`ls`, `show`, `trials`, `gate`, `report`: what they say of runs, for people and for programs."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from abr_tune.doctor.standing import command_of
from abr_tune.runs import RunFolder, sole_driver
from tests.end_to_end.commands import METRIC, Made, call

Quick = Callable[..., Made]
GATE = "budget: {trials: 3}"


def gated(*, go: str, investigate: str | None = None) -> dict[str, str]:
    """The quick file with a gate on its objective."""
    more = f', investigate: "{investigate}"' if investigate else ""
    return {GATE: f'{GATE}\ngate: {{val/class/f1_macro: {{go: "{go}"{more}}}}}'}


def test_ls_lists_every_run_with_its_state_and_best(quick: Quick) -> None:
    made = quick()
    made.again("--name", "second", "--set", "train.act=raise")
    listed = call("ls", "--out", made.out, "--json").json
    assert [(run["name"], run["state"], run["trials"]) for run in listed] == [
        ("quick", "finished", 3),
        ("second", "finished", listed[1]["trials"]),
    ]
    assert [run["best"] for run in listed] == [made.summary["best"]["value"], None]
    shown = call("ls", "--out", made.out).out
    assert f"{made.summary['best']['value']:.4f}" in shown
    assert re.search(r"^ *second +finished ", shown, re.MULTILINE)
    assert "\x1b" not in shown


def test_ls_of_nothing_says_how_to_start(tmp_path: Path) -> None:
    answer = call("ls", "--out", tmp_path)
    assert (answer.code, answer.out) == (0, "")
    assert "start one with: abr-tune run SPACE.yaml" in answer.err
    assert call("ls", "--out", tmp_path, "--json").json == []


def test_show_says_what_the_run_said_at_its_end(little: Made) -> None:
    shown = little.ask("show")
    assert (shown.code, shown.out) == (0, little.answer.out)
    assert little.ask("show", "--json").json == little.summary
    assert call("show", little.folder).out == little.answer.out


def test_show_of_a_run_that_is_driven_says_by_whom_and_what_it_has(quick: Quick) -> None:
    made = quick()
    finished = made.ask("show").out
    with sole_driver(made.folder):
        driven, told = made.ask("show"), made.ask("show", "--json").json
    assert driven.code == 0
    assert driven.out.startswith(f"quick: being worked on right now, by process {os.getpid()} on ")
    assert "\nso far     3 trials: 3 complete; 18 epochs trained\n" in driven.out
    assert (told["state"], told["trials"], told["epochs"]) == ("running", {"complete": 3}, 18)
    assert made.ask("show").out == finished
    # Before its first trial there is neither study nor summary.
    (made.folder / "summary.json").unlink()
    (made.folder / "study.db").unlink()
    with sole_driver(made.folder):
        assert "\nso far     no trial has begun\n" in made.ask("show").out
        assert call("ls", "--out", made.out, "--json").json[0]["state"] == "running"
    assert "\nso far     no trial has begun\n" in made.ask("show").out


def test_where_export_cannot_write_is_the_user_s_to_mend(little: Made, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for to, said in (("folder", "folder is a folder; give the name of a file"), ("file/x.yaml", "file: a file is in")):
        answer = little.ask("export", "--to", tmp_path / to)
        assert (answer.code, answer.out) == (2, "")
        assert said in answer.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_model_is_exported_as_a_program(little: Made, tmp_path: Path) -> None:
    file = tmp_path / "model.pt2"
    answer = little.ask("export", "--to", file)
    assert answer.code == 0
    assert answer.err.splitlines()[0].startswith(f"written: {file}; load it with torch.export.load")
    assert "takes static: (recordings, 4): age_years, intensity_db_nhl, rate_per_s, fmp" in answer.err
    assert "0.0001 is allowed" in answer.err
    written = file.read_bytes()
    refused = little.ask("export", "--to", file)
    assert (refused.code, file.read_bytes()) == (2, written)
    assert "--force overwrites it" in refused.err
    nothing = little.ask("export", "--trial", 99, "--to", tmp_path / "none.pt2")
    assert (nothing.code, (tmp_path / "none.pt2").exists()) == (2, False)


def test_export_overwrites_nothing_without_force(little: Made, tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text("mine")
    refused = little.ask("export", "--to", file)
    assert (refused.code, refused.out, file.read_text()) == (2, "", "mine")
    assert refused.err == f"{file} is there already; --force overwrites it\n"
    assert little.ask("export", "--to", file, "--force").code == 0
    exported = file.read_text()
    assert "provenance:" in exported
    assert little.ask("export", "--to", file).code == 2
    assert file.read_text() == exported


def test_of_a_run_that_was_killed_after_an_interruption_the_study_is_believed(quick: Quick) -> None:
    made = quick()
    summary = made.folder / "summary.json"
    told = json.loads(summary.read_text()) | {"state": "interrupted"}
    summary.write_text(json.dumps(told))
    assert made.ask("show").out.startswith("quick: interrupted, 3 trials in ")
    summary.write_text(json.dumps(told | {"trials": told["trials"] | {"complete": 1, "waiting": 1}}))
    assert "\nso far     3 trials: 3 complete; 18 epochs trained\n" in made.ask("show").out


def test_of_a_run_that_was_killed_is_said_what_it_has_and_how_to_go_on(quick: Quick) -> None:
    made = quick()
    (made.folder / "summary.json").unlink()
    shown, told = made.ask("show"), made.ask("show", "--json").json
    assert shown.code == 0
    assert shown.out.splitlines() == [
        "quick: unfinished, and nobody drives it: it was killed, or a fault ended it",
        "so far     3 trials: 3 complete; 18 epochs trained",
        f"continue   {told['continue']}",
    ]
    launch = json.loads((made.folder / "environment.json").read_text())["launch"]
    assert told["continue"] == launch["command"]
    assert told["continue"].startswith("abr-tune run ")
    listed = call("ls", "--out", made.out, "--json").json
    assert [(run["state"], run["trials"]) for run in listed] == [("unfinished", 3)]
    # Of a copy the command of the original would go on with the original.
    made.folder.rename(made.out / "my copy")
    copied = call("show", made.out / "my copy").out
    assert command_of(RunFolder(made.out / "my copy")) is None
    assert copied.endswith("\ncontinue   the `abr-tune run` that began it, with --name 'my copy'\n")


def test_trials_have_the_promised_columns(little: Made) -> None:
    listed = little.ask("trials", "--json").json
    assert [trial["number"] for trial in listed] == [0, 1, 2, 3]
    for trial in listed:
        assert trial.keys() == {"number", "state", "value", "params", "pruned_by", "why", "epochs", "seconds"}
    sound, extreme, frozen, _ = listed
    assert sound["params"] == {"optimizer.lr": 1e-3, "loss.weights.peak_exist": 1.0}
    assert sound["value"] == little.trials[0].value
    assert (extreme["pruned_by"], extreme["epochs"], extreme["value"]) == ("non_finite", 0, None)
    assert frozen["pruned_by"] == "class_collapse"
    assert frozen["why"] == little.trials[2].user_attrs["why"]


@pytest.mark.parametrize(
    ("state", "numbers"), [("complete", [0, 3]), ("pruned", [1, 2]), ("failed", []), ("running", []), ("waiting", [])]
)
def test_trials_of_one_state(little: Made, state: str, numbers: list[int]) -> None:
    listed = little.ask("trials", "--state", state, "--json").json
    assert [trial["number"] for trial in listed] == numbers
    shown = little.ask("trials", "--state", state)
    assert shown.code == 0
    assert [int(number) for number in re.findall(r"^ *(\d+) +\w+ ", shown.out, re.MULTILINE)] == numbers
    assert bool(shown.err) == (not numbers)


def test_the_list_of_trials_names_start_points_and_settings(little: Made) -> None:
    lines = little.ask("trials").out.splitlines()
    assert any(re.search(r"1 +pruned .* non_finite +\[extreme\] optimizer\.lr 1e\+38", line) for line in lines)


@pytest.mark.parametrize(
    ("bounds", "verdict", "code"),
    [
        ({"go": "> 0.01"}, "go", 0),
        ({"go": "> 0.999", "investigate": "> 0.01"}, "investigate", 0),
        ({"go": "> 0.999"}, "no-go", 1),
    ],
)
def test_the_gate_ends_with_1_only_on_no_go(quick: Quick, bounds: dict[str, str], verdict: str, code: int) -> None:
    made = quick(changes=gated(**bounds))
    assert made.answer.code == 0
    judged = made.ask("gate")
    assert (judged.code, judged.out.splitlines()[0]) == (code, verdict)
    as_json = made.ask("gate", "--json")
    assert as_json.code == code
    assert as_json.json == made.summary["gate"]
    assert as_json.json["criteria"][0]["value"] == pytest.approx(made.summary["best"]["confirmed"]["mean"])


def test_a_criterion_by_an_epoch_is_judged_there(quick: Quick) -> None:
    early = quick(changes={GATE: f'{GATE}\ngate: {{val/class/f1_macro: {{go: "> 0", by_epoch: 2}}}}'})
    histories = [(early.folder / place / "history.jsonl") for place in sorted_confirmations(early)]
    from abr_tune.trial import read_history

    second = [read_history(path)[1].metrics["val/class/f1_macro"] for path in histories]
    assert early.summary["gate"]["criteria"][0]["value"] == pytest.approx(sum(second) / 2)


def sorted_confirmations(made: Made) -> list[str]:
    return sorted(f"confirm/{path.name}" for path in (made.folder / "confirm").iterdir())


def test_a_run_without_a_gate_has_none_to_judge(quick: Quick) -> None:
    refused = quick().ask("gate")
    assert (refused.code, refused.out) == (2, "")
    assert "its space file names no `gate:`" in refused.err


def test_the_gate_judges_what_was_confirmed(little: Made) -> None:
    judged = little.ask("gate").out
    mean = little.summary["best"]["confirmed"]["mean"]
    assert judged.splitlines()[1].split() == [
        "investigate", METRIC, f"{mean:.4g}", "(go", ">", "0.999,", "investigate", ">", "0.001)"
    ]  # fmt: skip


def test_report_says_where_the_page_is(quick: Quick) -> None:
    made = quick()
    (made.folder / "report.html").unlink()
    answer = made.ask("report")
    assert answer.code == 0
    assert Path(answer.out.strip()) == made.folder / "report.html"
    page = (made.folder / "report.html").read_text(encoding="utf-8")
    assert f"{made.summary['best']['confirmed']['mean']:.4g}"[:5] in page


@pytest.mark.parametrize("command", ["show", "trials", "gate", "report", "export", "evaluate", "dashboard"])
def test_a_misspelt_run_is_suggested_without_a_traceback(little: Made, command: str) -> None:
    answer = call(command, "litle", "--out", little.out)
    assert (answer.code, answer.out) == (2, "")
    assert "no run 'litle' in " in answer.err
    assert "did you mean little?" in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("name", ["../little", "/etc", ".", "", "little/../little/../../.."])
def test_what_is_no_run_folder_is_none(little: Made, name: str) -> None:
    answer = call("trials", name, "--out", little.out)
    assert answer.code == 2
    assert "no run" in answer.err
