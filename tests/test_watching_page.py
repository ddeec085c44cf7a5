"""Every example on the page about watching loads, and its tables name what there is."""

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from abr_tune.plan.load import load_plan
from core.config import WatchOptions
from core.health import HealthOptions, Rule
from core.health.options import Intervene
from core.training.step import Step
from core.training.watch import MOST_LOOKS, Look

PAGE = (Path(__file__).parents[1] / "docs/watching.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
HEAD = "name: example\ntask: abr\ndata: {source: simulated}\nbudget: {trials: 2}\n"
SEARCH = "search: {optimizer.lr: {log: [1e-5, 1e-2]}}\n"


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_example_loads(example: str, tmp_path: Path) -> None:
    assert len(EXAMPLES) == PAGE.count("```yaml") == 3
    file = tmp_path / "example.yaml"
    file.write_text(HEAD + SEARCH + example, encoding="utf-8")
    plan = load_plan(file)
    if "intervene" in example:
        rule = plan.health.non_finite
        assert rule is not None
        assert rule.intervene == Intervene(lower_rate=0.1, times=1)


def test_the_table_names_every_rule() -> None:
    rows = re.findall(r"^\| (`[^|]*)\|", PAGE.split("## A lower rate")[0], flags=re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", "".join(rows))) == sorted(get_args(Rule))


def test_the_numbers_on_the_page_are_the_defaults() -> None:
    rules = HealthOptions()
    assert rules.task_dominance is not None
    assert f"{rules.task_dominance.share:.0%}".replace("%", " %") in PAGE
    assert rules.gradient_conflict is not None
    assert f"under {rules.gradient_conflict.cosine:g} over {rules.gradient_conflict.epochs} epochs" in PAGE
    assert rules.negative_r2 is not None
    assert f"stays below 0 for {rules.negative_r2.epochs} epochs" in PAGE
    assert f"`wait` epochs ({Intervene().wait})" in PAGE
    assert f"{WatchOptions().every} if not given" in PAGE
    assert f"{MOST_LOOKS:,} lines" in PAGE


def test_the_line_of_the_log_has_the_keys_of_one() -> None:
    look = Look(norms={}, cosines={}, parts={}, predicted={}, entropy=0.9)
    step = Step(numerators={}, denominators={}, losses={}, total=2.1, norm=1.4, lr=9e-4, broken=None, look=look)
    shown = json.loads(re.findall(r"```json\n(.*?)```", PAGE, flags=re.DOTALL)[0])
    assert set(shown) == {"epoch", "step", "fold", *step.row()}
