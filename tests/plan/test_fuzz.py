"""Whatever is done to a space file, it gives a plan or mistakes."""

import copy
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from abr_tune.errors import FileMistakes
from abr_tune.plan.load import KEYS, load_plan
from abr_tune.plan.plan import Plan
from abr_tune.plan.yaml import dump, parse

PHASE1 = (Path(__file__).parents[2] / "search_spaces" / "phase1.yaml").read_text(encoding="utf-8")
COMPLETE = """\
name: complete
task: abr
from: earlier
data: {source: simulated, train: 300}
train: {epochs: 12}
search:
  loss.weights:      {simplex: [class, threshold], guess: {class: 0.7, threshold: 0.3}, confidence: high}
  optimizer.lr:      {log: [1e-4, 1e-2], guess: 1e-3, confidence: low, points: 4}
  loss.class_loss:   {choice: [cross_entropy, focal], guess: focal}
  loss.focal.gamma:  {uniform: [0, 4], when: {loss.class_loss: focal}, points: 3, guess: 2}
  balance.clamp:     {ordered: {low: [0.2, 2], high: [1, 6]}, points: 2, guess: {low: 1, high: 2}}
objective:
  - maximize: val/class/f1_macro
  - minimize: val/threshold/mae_db
constraints:
  val/peak/exist_auroc: "> 0.8"
  val/class/ece: "<= 0.3"
pruner: {hyperband: {reduction: 3, min_epochs: 2, promote: false}}
sampler: {tpe: {startup_trials: 5, random_share: 0.2}}
budget: {trials: 40, time: 10m, epochs: 300}
limits: {time: 5m, memory: 2GiB}
stop: {no_improvement: 15}
audit: 0.1
gate:
  val/class/f1_macro: {go: "> 0.4", investigate: "> 0.3", by_epoch: 9}
confirm: {top: 2, seeds: 2}
"""
"""Every key of the complete search."""
BOTH = pytest.mark.parametrize("whole", [PHASE1, COMPLETE], ids=["phase1", "complete"])
TOKENS = [
    "",
    "null",
    "{}",
    "[]",
    "-1",
    "1e999",
    ".nan",
    "yes",
    "'x'",
    "{a: 1}",
    "[[1]]",
    "&a",
    "*a",
    "!!int 3",
    "\t",
    ": ",
    "- ",
    "#",
    "é",
    "9" * 30,
]
VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    1e300,
    "x",
    "",
    [],
    {},
    [1],
    {"log": [1, 2]},
    {"choice": [None]},
    [[]],
    {"a": {"b": {}}},
    {"class": 2},
    [{"maximize": "val/class/ece"}, {"minimize": "val/class/ece"}],
    "9" * 30 + "GiB",
    "wilcoxon",
    "grid",
    10**30,
    "val/a/b",
    float("nan"),
]


@pytest.fixture(autouse=True)
def earlier(tmp_path: Path) -> None:
    """The run that COMPLETE learns from."""
    (tmp_path / "earlier").mkdir()
    (tmp_path / "earlier" / "best.yaml").touch()


def outcome(file: Path, text: str) -> Plan | FileMistakes:
    file.write_bytes(text.encode())
    try:
        return load_plan(file)
    except FileMistakes as mistakes:
        return mistakes


def torn(text: str, draw: random.Random) -> str:
    """The text with one to three small accidents of an editor."""
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(text))
        lines = text.splitlines(keepends=True)
        i = draw.randrange(len(lines))
        match draw.randrange(6):
            case 0:
                text = text[:at] + text[at + draw.randint(1, 4) :]
            case 1:
                text = text[:at] + draw.choice(TOKENS) + text[at:]
            case 2:
                text = "".join(lines[:i] + lines[i + 1 :])
            case 3:
                text = "".join([*lines[: i + 1], lines[i], *lines[i + 1 :]])
            case 4:
                text = "".join([*lines[:i], " " * draw.randint(1, 4) + lines[i], *lines[i + 1 :]])
            case _:
                text = text[:at] + draw.choice("{}[]:,-#&*!|>'\"%@` \n") + text[at + 1 :]
    return text


def places(data: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*above, key)
        yield from places(value, (*above, key))


def test_every_key_is_fuzzed(tmp_path: Path) -> None:
    plan = outcome(tmp_path / "x.yaml", COMPLETE)
    assert isinstance(plan, Plan), plan
    assert plan.since == tmp_path / "earlier"
    used = {*parse(COMPLETE, "x").data, *parse(PHASE1, "x").data}
    assert set(KEYS) - used == {"seed"}


@BOTH
def test_torn_files_give_a_plan_or_mistakes(tmp_path: Path, whole: str) -> None:
    draw = random.Random(5)
    outcomes = [outcome(tmp_path / "x.yaml", torn(whole, draw)) for _ in range(80)]
    assert {type(one) for one in outcomes} == {Plan, FileMistakes}


@BOTH
def test_strange_values_anywhere_give_a_plan_or_mistakes(tmp_path: Path, whole: str) -> None:
    tree = parse(whole, "x").data
    draw = random.Random(6)
    everywhere = list(places(tree))
    assert len(everywhere) > 60
    for place in everywhere:
        data = copy.deepcopy(tree)
        inner = data
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = draw.choice(VALUES)
        outcome(tmp_path / "x.yaml", dump(data))


@pytest.mark.parametrize(
    "text",
    [
        "search.x",
        "=",
        "a=b=c",
        "train={}",
        "search=3",
        "train.=1",
        ".=1",
        "gate.=1",
        "start_from=[{}]",
        "data=null",
        "budget=3",
        "name=[]",
        "search.optimizer.lr={}",
        "train=1",
        "model.size.x=1",
        "health.non_finite=off",
        "a.b.c={d: [e]}",
        "task=x:y",
        "pruner.none={}",
        "from=",
        "from=..",
        "from=[]",
        "objective=[]",
        "objective=[{}]",
        "constraints=> 1",
        "constraints.val/class/ece=> 1",
        "constraints.=> 1",
        "limits.memory=1e400",
        "limits=5m",
        "stop=3",
        "audit=null",
        "sampler=grid",
        "search.optimizer.lr.guess=1",
        "search.optimizer.lr={log: [1, 2], guess: [], confidence: 3}",
    ],
)
@BOTH
def test_strange_overrides_give_a_plan_or_mistakes(tmp_path: Path, text: str, whole: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(whole, encoding="utf-8")
    for overrides in ((text,), (text, "optimizer.lr=1", "train.epochs=2")):
        with suppress(FileMistakes):
            assert isinstance(load_plan(file, overrides=overrides), Plan)
