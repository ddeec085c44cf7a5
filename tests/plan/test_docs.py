"""docs/space-file.md: complete, and its examples can be used as they stand."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from abr_tune.plan.editor import editor_schema
from abr_tune.plan.load import KEYS, load_plan
from abr_tune.plan.methods import PRUNERS, SAMPLERS
from abr_tune.plan.plan import Confirm
from abr_tune.plan.schema import AUDIT
from abr_tune.plan.spread import DISTRIBUTIONS, Searched, Uniform
from abr_tune.plan.yaml import dump, parse

PAGE = (Path(__file__).parents[2] / "docs" / "space-file.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
ROWS = {match[1]: match[0] for match in re.finditer(r"^\| `(\w+)` \|.*$", PAGE, re.MULTILINE)}
SCHEMA = json.loads(editor_schema())
BASE = {
    "task": "abr",
    "search": {"optimizer.lr": {"log": [1e-5, 1e-2]}},
    "budget": {"trials": 4},
    "train": {"epochs": 20},
}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.partition(":")[0])
def test_every_example_is_valid(write: Callable[[str], Path], example: str) -> None:
    whole = {**BASE, **parse(example, "x").data}
    assert load_plan(write(dump(whole))).task_name == whole["task"]
    jsonschema.Draft7Validator(SCHEMA).validate(whole)


def test_every_key_has_a_row_and_all_but_names_an_example() -> None:
    assert EXAMPLES
    shown = {key for example in EXAMPLES for key in parse(example, "x").data}
    for key in KEYS:
        assert re.search(rf"^\| \[?`{key}`", PAGE, re.MULTILINE), key
        assert key in shown or f"`{key}: " in PAGE or key in {"name", "about", "task", "seed"}, key


def test_every_distribution_and_what_may_stand_beside_it_is_there() -> None:
    for kind in DISTRIBUTIONS:
        assert f"`{{{kind}: " in PAGE
    for key in {*Searched.model_fields, *Uniform.model_fields} - {"uniform"}:
        assert f"`{key}: " in PAGE


@pytest.mark.parametrize(("name", "table"), [("pruner", PRUNERS), ("sampler", SAMPLERS)])
def test_every_choice_is_there_with_its_defaults(name: str, table: dict[str, type]) -> None:
    for kind, section in table.items():
        row = ROWS.get(kind) or next(line for line in PAGE.splitlines() if line.startswith("|") and f"`{kind}`" in line)
        if kind == "hyperband":
            assert "| the same |" in row
            assert section.model_fields.keys() == table["successive_halving"].model_fields.keys()
            continue
        for setting, field in section.model_fields.items():
            default = str(field.default).lower() if isinstance(field.default, bool) else field.default
            assert f"`{setting}: {default}`" in row, (kind, setting)
    assert f"| {AUDIT} |" in PAGE
    assert f"| {Confirm().top} leaders, {Confirm().seeds} seeds |" in PAGE
