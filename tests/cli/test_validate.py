"""`abr-tune validate`: what it prints, and with which code it ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from abr_tune.cli.app import app
from abr_tune.cli.validate import annotation
from abr_tune.errors import Problem

ROOT = Path(__file__).parents[2]
PHASE1 = ROOT / "search_spaces" / "phase1.yaml"
SMOKE = ROOT / "search_spaces" / "smoke.yaml"


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    file = tmp_path / "wrong.yaml"
    file.write_text("task: abr\nsearch:\n  optimizer.Ir: {log: [1, 2]}\nbudget: {trials: 0}\n")
    return file


def test_good_files_are_confirmed_in_numbers() -> None:
    result = CliRunner().invoke(app, ["validate", str(SMOKE), "--set", "budget.trials=1"])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{SMOKE}: ok, ")
    assert " searched paths, 1 trial, " in result.stdout


def test_a_start_point_outside_the_space_is_pointed_out(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(
        "task: abr\nsearch: {optimizer.lr: {log: [1e-4, 1e-2]}}\nbudget: {trials: 2}\n"
        "start_from: [{name: hot, optimizer.lr: 1}]\n"
    )
    result = CliRunner().invoke(app, ["validate", str(file)])
    assert result.exit_code == 0
    assert (
        "  start point hot runs but does not teach the sampler: optimizer.lr: 1 is outside 0.0001 to 0.01"
        in result.stdout
    )


def test_mistakes_of_all_files_are_printed_and_the_code_is_2(wrong: Path) -> None:
    result = CliRunner().invoke(app, ["validate", str(PHASE1), str(wrong), "no-such.yaml"])
    assert result.exit_code == 2
    assert f"{wrong}:3:3: error: optimizer.Ir is not a training option" in result.stdout
    assert f"{wrong}:4:18: error: trials must be at least 1, not 0" in result.stdout
    assert "no-such.yaml: error: there is no such file" in result.stdout
    assert f"{PHASE1}: ok" in result.stdout


def test_json_for_programs(wrong: Path) -> None:
    result = CliRunner().invoke(app, ["validate", str(PHASE1), str(wrong), "--format", "json"])
    good, bad = json.loads(result.stdout)
    assert (good["ok"], good["problems"], bad["ok"]) == (True, [], False)
    first = bad["problems"][0]
    assert (first["line"], first["column"], first["hint"]) == (3, 3, "did you mean optimizer.lr?")


def test_annotations_for_pull_requests(wrong: Path) -> None:
    result = CliRunner().invoke(app, ["validate", str(wrong), "--format", "github"])
    assert result.exit_code == 2
    first = result.stdout.splitlines()[0]
    assert first.endswith(",line=3,col=3::optimizer.Ir is not a training option; did you mean optimizer.lr?")


def test_annotations_cannot_be_broken_out_of() -> None:
    assert annotation(Problem("a:b,c", "50%\n::error::x")) == "::error file=a%3Ab%2Cc::50%25%0A::error::x"


def test_a_task_of_ones_own_needs_trust(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("task: nothing_here:TASK\nsearch: {lr: {log: [1, 2]}}\nbudget: {trials: 1}\n")
    refused = CliRunner().invoke(app, ["validate", str(file)])
    assert "--trust-code imports it" in refused.stdout
    trusted = CliRunner().invoke(app, ["validate", str(file), "--trust-code"])
    assert "nothing_here cannot be imported" in trusted.stdout


def test_validating_imports_neither_torch_nor_ray_nor_optuna() -> None:
    code = (
        "import sys; from abr_tune.cli.app import app\n"
        f"try: app(['validate', {str(PHASE1)!r}])\n"
        "except SystemExit as end: print(end.code, *sys.modules, file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    code_, *modules = ended.stderr.split()
    assert code_ == "0"
    assert {name.partition(".")[0] for name in modules}.isdisjoint(
        {"torch", "ray", "optuna", "pandas", "sklearn", "scipy"}
    )
