"""Several searches in order: what each begins with, where the order ends, and how it goes on."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.end_to_end.commands import Made, call, files_in
from tests.stages.conftest import IN_PROCESS, NAMES, copied, write
from tests.stages.tasks import METRIC, SCORED

Done = tuple[Made, list[str]]
Whole = Callable[..., Made]
ENDS = [1 - 0.6 ** (2 * stage) for stage in (1, 2, 3)]
"""0.4 of the way in each of two epochs: 1 - 0.6^2, and so on from there in the next stage, and the one after."""


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def taken(stage: dict[str, Any]) -> tuple[int, int] | None:
    begun = stage["begun_with"]
    return begun and (begun["tensors_taken"], begun["tensors"])


def studies(made: Made) -> dict[str, int]:
    return {name: (made.folder / name / "study.db").stat().st_mtime_ns for name in NAMES}


def test_each_stage_begins_where_the_one_before_ended(done: Done) -> None:
    made, _ = done
    assert made.answer.code == 0, made.answer.err
    summary = made.summary
    assert [stage["best"]["value"] for stage in summary["stages"]] == pytest.approx(ENDS)
    assert [taken(stage) for stage in summary["stages"]] == [None, (2, 2), (2, 2)]
    assert [stage["gate"]["verdict"] for stage in summary["stages"]] == ["go"] * 3
    assert (summary["state"], summary["stopped_at"], summary["gate"]["verdict"]) == ("finished", None, "go")
    assert (summary["best"]["stage"], sum(summary["trials"].values())) == ("three", 3)
    # What the later files leave open is as in the best of the first: the defaults are a goal of 0.5 and a width of 2.
    for name, before in (("two", "one"), ("three", "two")):
        config = read(made.folder / name / "best.yaml")
        assert (config["train"]["goal"], config["train"]["width"]) == (1.0, 3)
        assert Path(read(made.folder / name / "plan.yaml")["from"]["run"]).name == before
    # Fresh seeds begin there too: this task draws nothing.
    assert [stage["best"]["confirmed"]["mean"] for stage in summary["stages"]] == pytest.approx(ENDS)


def test_the_test_split_is_scored_once_by_the_last_stage(done: Done) -> None:
    made, scored = done
    assert scored == ["val", "val", "val", "test"]
    assert made.summary["test"] == {"test/walk/near": pytest.approx(ENDS[2])}
    assert [bool(stage["test"]) for stage in made.summary["stages"]] == [False, False, True]


def test_the_order_ends_at_a_gate_that_is_not_go(halted: Done) -> None:
    made, scored = halted
    assert made.answer.code == 0
    summary = made.summary
    assert [stage["state"] for stage in summary["stages"]] == ["finished", "finished", "not begun"]
    assert (summary["stopped_at"], summary["gate"]["verdict"]) == ("two", "investigate")
    assert not (made.folder / "three").exists()
    assert f"the gate of two is investigate: {METRIC} 0.8704 (go > 0.99); three is not run" in made.answer.out
    assert "test" not in scored
    gate = made.ask("gate")
    assert gate.code == 0
    assert gate.out.startswith("investigate\n")


def test_lines_say_which_stage_they_are_of(done: Done) -> None:
    told = done[0].answer.err
    assert "stage 2 of 3: two" in told
    assert [line for line in told.splitlines() if line.startswith("two     1/1  #0")]


def test_a_run_that_has_finished_only_says_its_result_again(done: Done, tmp_path: Path) -> None:
    made = copied(done[0], tmp_path)
    before = studies(made)
    SCORED.clear()
    again = made.again("--json")
    assert again.code == 0
    assert [f"{name} has finished before" in again.err for name in NAMES] == [True] * 3
    assert (studies(made), SCORED) == (before, [])
    assert again.json == made.summary
    assert [stage["name"] for stage in again.json["stages"]] == [*NAMES]


def test_a_milder_gate_lets_the_order_go_on_and_nothing_is_trained_again(halted: Done, tmp_path: Path) -> None:
    made = copied(halted[0], tmp_path)
    histories = files_in(made.folder / "two" / "trials")
    write(made.file.parent, ("> 0.3", "> 0.8", "> 0.1"))
    again = made.again()
    assert [stage["state"] for stage in made.summary["stages"]] == ["finished"] * 3
    assert [sum(stage["trials"].values()) for stage in made.summary["stages"]] == [1, 1, 1]
    assert "one has finished before" in again.err
    assert "changed: gate.val/walk/near.go: > 0.99 is now > 0.8" in again.err
    assert files_in(made.folder / "two" / "trials") == histories


def test_a_stage_whose_start_has_changed_is_refused(done: Done, tmp_path: Path) -> None:
    made = copied(done[0], tmp_path)
    weights = "best/model.safetensors"
    shutil.copy(made.folder / "two" / weights, made.folder / "one" / weights)
    again = made.again()
    assert again.code == 2
    assert "two holds a run of something else" in again.err
    assert "from.weights: was " in again.err


def test_settings_are_said_to_every_stage_or_to_one(whole: Whole) -> None:
    made = whole("--set", "two.budget.trials=2", "--set", "gate.val/walk/near.go=> 0.1", go=("> 0.9", "> 0.9"))
    assert made.answer.code == 0, made.answer.err
    assert [sum(stage["trials"].values()) for stage in made.summary["stages"]] == [1, 2]
    assert [stage["gate"]["criteria"][0]["go"] for stage in made.summary["stages"]] == ["> 0.1"] * 2
    again = made.again("--fresh", "--set", "confirm.top=0")
    assert again.code == 0, again.err
    [aside] = [path for path in made.out.iterdir() if path.name.startswith("way.")]
    assert (aside / "two" / "best.yaml").is_file()
    assert made.summary["stopped_at"] == "one"
    assert not (made.folder / "two").exists()


def test_a_dry_run_shows_every_stage_and_runs_nothing(whole: Whole) -> None:
    made = whole("--dry-run", go=("> 0.3", "> 0.3"))
    assert made.answer.code == 0, made.answer.err
    assert "one -> two" in made.answer.out
    assert not made.out.exists()


def test_a_stage_may_begin_anew(whole: Whole) -> None:
    made = whole(
        entries="one.yaml, {file: two.yaml, weights: false}, {file: three.yaml, settings: false}", go=("> 0.3",) * 3
    )
    values = [stage["best"]["value"] for stage in made.summary["stages"]]
    # The second begins at 0; the third goes on from there, and its goal is the default again: 0.5.
    assert values == pytest.approx([ENDS[0], ENDS[0], 0.5 + 0.6**2 * (ENDS[0] - 0.5)])
    assert [taken(stage) for stage in made.summary["stages"]] == [None, None, (1, 2)]


def test_the_folder_stands_for_its_last_stage(done: Done, tmp_path: Path) -> None:
    made, _ = done
    scores = made.ask("evaluate", "--trust-code", "--json")
    assert scores.json["metrics"] == {"val/walk/near": pytest.approx(ENDS[2])}
    exported = made.ask("export", "--trust-code", "--to", tmp_path / "best.yaml")
    assert exported.code == 0, exported.err
    assert read(tmp_path / "best.yaml")["claims"] == {METRIC: pytest.approx(ENDS[2])}
    listed = {row["name"]: row for row in call("ls", "--out", made.out, "--json").json}
    assert set(listed) == {"way", "way/one", "way/two", "way/three"}
    assert (listed["way"]["gate"], listed["way"]["best"]) == ("go", pytest.approx(ENDS[2]))
    assert "begun      with 2 of 2 tensors of " in made.answer.out
    shown = made.ask("show")
    assert "way: finished, 3 of 3 stages, 3 trials" in shown.out
    assert made.ask("show", "--json").json["stages"] == made.summary["stages"]
    assert len(made.ask("trials", "--json").json) == 1
    assert call("show", "way/two", "--out", made.out).code == 0
    stopped = made.ask("stop")
    assert (stopped.code, "nobody drives" in stopped.err) == (2, True)


def test_what_a_stage_began_with_is_a_setting_to_compare(done: Done) -> None:
    made, _ = done
    sha256 = {name: (read(made.folder / name / "best.yaml").get("start") or {}).get("sha256") for name in NAMES}
    compared = call("compare", "way/one", "way", "--out", made.out, "--json").json
    assert compared["settings"] == {"start.sha256": {"a": None, "b": sha256["three"]}}
    assert len(set(sha256.values())) == 3


def test_the_report_of_the_whole_links_to_those_of_the_stages(halted: Done, tmp_path: Path) -> None:
    made = copied(halted[0], tmp_path)
    page = (made.folder / "report.html").read_text(encoding="utf-8")
    assert 'href="two/report.html"' in page
    assert 'href="three/report.html"' not in page
    assert "2 of 2 tensors of " in page
    own = (made.folder / "two" / "report.html").read_text(encoding="utf-8")
    assert "Its training began with 2 of 2 tensors of " in own
    assert "the gate of two is investigate" in page
    assert "<script" not in page
    (made.folder / "report.html").unlink()
    told = made.ask("report")
    assert told.code == 0
    assert len(told.out.split()) == 3
    assert (made.folder / "report.html").read_text(encoding="utf-8") == page


@pytest.mark.parametrize("moved", [False, True])
def test_the_best_of_a_later_stage_trains_again_to_the_same_score(done: Done, tmp_path: Path, moved: bool) -> None:
    made = copied(done[0], tmp_path)
    best = made.folder / "three" / "best.yaml"
    assert read(best)["start"].keys() == {"weights", "sha256"}
    if moved:  # the stage before is not needed: its weights were copied
        shutil.rmtree(made.folder / "two")
        shutil.move(made.folder / "three", made.out / "elsewhere")
        best = made.out / "elsewhere" / "best.yaml"
    verified = call("verify", best, "--out", made.out, "--trust-code", "--json")
    assert verified.code == 0, verified.err
    assert verified.json["verdict"] == "holds"
    assert verified.json["checks"][0]["got"] == pytest.approx(ENDS[2])


def test_start_weights_that_are_gone_or_others_are_said(done: Done, tmp_path: Path) -> None:
    made = copied(done[0], tmp_path)
    best, weights = made.folder / "two" / "best.yaml", made.folder / "two" / "start" / "model.safetensors"
    shutil.copy(made.folder / "three" / "best" / "model.safetensors", weights)
    answer = call("verify", best, "--out", made.out, "--trust-code")
    assert (answer.code, "holds other weights than the configuration was trained from" in answer.err) == (2, True)
    weights.unlink()
    answer = call("train", best, "--out", made.out, "--trust-code")
    assert (answer.code, "is not there: training begins from the file of SHA-256" in answer.err) == (2, True)
    anew = call("train", best, "--out", made.out, "--trust-code", "--set", "start=null", "--json")
    assert anew.json[0]["value"] == pytest.approx(ENDS[0])


def test_a_run_of_stages_and_a_single_one_do_not_mix(done: Done, tmp_path: Path) -> None:
    made = copied(done[0], tmp_path)
    single = call("run", made.file.with_name("one.yaml"), "--name", "way", "--out", made.out, *IN_PROCESS)
    assert (single.code, "holds a run of stages" in single.err) == (2, True)
    shutil.move(made.folder / "one", made.out / "one")
    other = made.again("--name", "one")
    assert (other.code, "holds a run that is no file of stages" in other.err) == (2, True)
    kept = made.again("--storage", "postgresql+psycopg://me@localhost/studies")
    assert (kept.code, "leave --storage and --join out" in kept.err) == (2, True)


def test_a_refused_first_stage_leaves_no_folder(whole: Whole) -> None:
    made = whole("--set", "data.seed=-1", go=("> 0.3",))
    assert (made.answer.code, "the data cannot be used: no walk begins at -1" in made.answer.err) == (2, True)
    assert not made.folder.exists()
