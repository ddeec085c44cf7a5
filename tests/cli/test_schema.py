"""The schema for editors: fresh, valid, and in agreement with the reader of space files."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from abr_tune.cli.app import app
from abr_tune.plan.editor import editor_schema
from abr_tune.plan.overrides import option_paths
from abr_tune.plan.schema import SpaceFile
from abr_tune.plan.yaml import read
from core.tasks import TASKS

ROOT = Path(__file__).parents[2]
SPACES = sorted((ROOT / "search_spaces").glob("*.yaml"))
SHIPPED = ROOT / "search_spaces" / "abr-tune.schema.json"
TEXT = editor_schema()
SCHEMA: dict[str, Any] = json.loads(TEXT)


def errors(data: Any) -> list[str]:
    return [error.message for error in jsonschema.Draft7Validator(SCHEMA).iter_errors(data)]


def test_the_shipped_schema_is_fresh() -> None:
    assert SHIPPED.read_text(encoding="utf-8") == TEXT, "run: abr-tune schema --to search_spaces/abr-tune.schema.json"


def test_it_is_a_valid_draft_07_schema() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert '"$defs"' not in TEXT
    assert '"prefixItems"' not in TEXT


@pytest.mark.parametrize("file", SPACES, ids=lambda file: file.stem)
def test_shipped_spaces_pass_and_name_it_in_their_first_line(file: Path) -> None:
    assert errors(read(file).data) == []
    assert file.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=abr-tune.schema.json\n")


def test_every_key_is_described() -> None:
    keys = {field.alias or name for name, field in SpaceFile.model_fields.items()}
    assert set(SCHEMA["properties"]) == keys | {"stages"}
    assert [key for key, schema in SCHEMA["properties"].items() if not schema.get("description")] == []


def test_a_file_of_stages_has_keys_of_its_own_and_a_search_those_it_needs() -> None:
    assert errors({"name": "way", "stages": ["a.yaml", {"file": "b.yaml", "weights": False}]}) == []
    assert errors({"stages": ["a.yaml"], "budget": {"trials": 1}}) != []
    assert errors({"stages": []}) != []
    assert len(errors({"name": "search"})) == 2  # task and budget


def test_every_option_path_of_every_task_completes_where_options_are_named() -> None:
    for task in TASKS.values():
        paths = set(option_paths(task.options))
        for section in ("train", "search"):
            assert paths <= set(SCHEMA["properties"][section]["properties"])
        assert paths <= set(SCHEMA["properties"]["start_from"]["items"]["properties"])
    described = SCHEMA["properties"]["search"]["properties"]["optimizer.lr"]
    assert described["description"] == "Peak learning rate."


@pytest.mark.parametrize(
    "change",
    [
        {"bugdet": 1},
        {"train": {"optimizer.Ir": 1}},
        {"train": {"epochs": 0}},
        {"train": {"model": {"dropuot": 1}}},
        {"search": {"optimizer.Ir": {"log": [1, 2]}}},
        {"search": {"optimizer.lr": {"lgo": [1, 2]}}},
        {"search": {"optimizer.lr": {"log": [1, 2, 3]}}},
        {"budget": {"trials": "many"}},
        {"pruner": "hyperbnad"},
        {"pruner": {"hyperband": {"keep": 0.5}}},
        {"sampler": {"grid": {"startup_trials": 3}}},
        {"objective": []},
        {"objective": [{"maximise": "val/class/ece"}]},
        {"constraints": {"f1": "> 1"}},
        {"limits": {"memroy": 1}},
        {"limits": {"memory": True}},
        {"stop": {"no_improvement": 0}},
        {"audit": 2},
        {"from": 3},
        {"budget": {"trials": 3, "epochs": 0}},
        {"search": {"optimizer.lr": {"log": [1, 2], "confidence": "total"}}},
        {"search": {"optimizer.lr": {"choice": [1, 2], "points": 2}}},
        {"sampler": {"tpe": {"startup": 1}}},
        {"health": {"class_colapse": {}}},
        {"objective": {"maximise": "val/class/ece"}},
        {"gate": {"f1": {"go": "> 1"}}},
        {"data": {"source": "simulated", "trian": 3}},
    ],
    ids=str,
)
def test_it_refuses_what_the_reader_refuses(change: dict[str, Any]) -> None:
    whole = {"task": "abr", "search": {"optimizer.lr": {"log": [1e-4, 1e-2]}}, "budget": {"trials": 3}}
    assert errors(whole) == []
    assert errors({**whole, **change})


def test_a_task_of_ones_own_may_have_any_path() -> None:
    assert (
        errors({"task": "mine:TASK", "search": {"lr": {"log": [1, 2]}}, "train": {"x.y": 1}, "budget": {"trials": 1}})
        == []
    )


def test_the_command_prints_or_writes_it(tmp_path: Path) -> None:
    printed = CliRunner().invoke(app, ["schema"])
    assert printed.stdout == TEXT
    written = CliRunner().invoke(app, ["schema", "--to", str(tmp_path / "s.json")])
    assert (written.exit_code, written.stdout) == (0, "")
    assert (tmp_path / "s.json").read_text(encoding="utf-8") == TEXT
