"""Every example on the page about phases is a space file that loads, and means what the page says."""

import re
from pathlib import Path
from typing import get_args

import pytest

from abr_tune.plan.load import load_plan
from abr_tune.plan.overrides import resolve
from abr_tune.plan.plan import Plan
from core.tasks.abr_names import PARTS
from core.tasks.abr_options import AbrOptions
from core.tasks.abr_phases import PRESETS, AbrPhase, Preset

PAGE = (Path(__file__).parents[1] / "docs/phases.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
HEAD = "name: example\ntask: abr\ndata: {source: simulated}\nbudget: {trials: 2}\n"


def plan_of(example: str, folder: Path) -> Plan:
    search = "" if "search:" in example else "search: {optimizer.lr: {log: [1e-5, 1e-2]}}\n"
    file = folder / "example.yaml"
    file.write_text(HEAD + search + example, encoding="utf-8")
    return load_plan(file)


def options_of(plan: Plan, share: float) -> AbrOptions:
    options = resolve(plan.task.options, {**plan.train, **plan.space.propose(lambda side: side.at(share))})
    assert isinstance(options, AbrOptions)
    return options


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == PAGE.count("```yaml") == 10


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_example_loads_and_makes_options(example: str, tmp_path: Path) -> None:
    plan = plan_of(example, tmp_path)
    for share in (0.0, 0.3, 0.99):
        options = options_of(plan, share)
        spans = options.phases.spans(options.epochs)
        assert (spans[0].first, spans[-1].last) == (1, options.epochs)


def test_the_phases_of_ones_own_come_when_the_page_says(tmp_path: Path) -> None:
    example = next(each for each in EXAMPLES if "frozen:" in each)
    options = options_of(plan_of(example, tmp_path), 0.5)
    heads, fade_in, everything = options.phases.spans(options.epochs)
    assert [(span.name, span.first, span.last) for span in (heads, fade_in, everything)] == [
        ("heads", 1, 8),
        ("fade_in", 9, 25),
        ("all", 26, 40),
    ]
    assert str(fade_in.until) == "val/class/f1_macro > 0.5"
    assert everything == type(everything)("all", 26, everything.terms, 40)


def test_the_tables_are_whole() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.MULTILINE)
    assert [name for name in rows if name in get_args(Preset)] == [name for name in PRESETS if name != "none"]
    assert {name for name in rows if name not in get_args(Preset)} == set(AbrPhase.model_fields)
    for preset in PRESETS.values():
        assert all(f"`{name}`" in PAGE for name in preset)
    assert all(f"`{part}`" in PAGE for part in PARTS)
