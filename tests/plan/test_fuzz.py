"""Whatever is done to a space file, it gives a plan or mistakes, and a typo gives the right suggestion."""

import copy
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from abr_tune.errors import FileMistakes
from abr_tune.plan.load import load_plan
from abr_tune.plan.overrides import option_paths
from abr_tune.plan.plan import Plan
from abr_tune.plan.yaml import dump, parse
from core.tasks.abr_options import AbrOptions

PHASE1 = (Path(__file__).parents[2] / "search_spaces" / "phase1.yaml").read_text(encoding="utf-8")
LETTERS = "abcdefghijklmnopqrstuvwxyz_"
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
    "val/a/b",
    float("nan"),
]


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


def test_torn_files_give_a_plan_or_mistakes(tmp_path: Path) -> None:
    draw = random.Random(5)
    outcomes = [outcome(tmp_path / "x.yaml", torn(PHASE1, draw)) for _ in range(200)]
    assert {type(one) for one in outcomes} == {Plan, FileMistakes}


def test_strange_values_anywhere_give_a_plan_or_mistakes(tmp_path: Path) -> None:
    whole = parse(PHASE1, "x").data
    draw = random.Random(6)
    everywhere = list(places(whole))
    assert len(everywhere) > 60
    for place in everywhere:
        data = copy.deepcopy(whole)
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
    ],
)
def test_strange_overrides_give_a_plan_or_mistakes(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(PHASE1, encoding="utf-8")
    for overrides in ((text,), (text, "optimizer.lr=1", "train.epochs=2")):
        with suppress(FileMistakes):
            assert isinstance(load_plan(file, overrides=overrides), Plan)


def one_edit(word: str, draw: random.Random) -> str:
    """The word with a letter left out, put in, replaced, or swapped with its neighbour."""
    at = draw.randrange(len(word))
    match draw.randrange(4):
        case 0:
            return word[:at] + word[at + 1 :]
        case 1:
            return word[:at] + draw.choice(LETTERS) + word[at:]
        case 2:
            return word[:at] + draw.choice(LETTERS) + word[at + 1 :]
        case _:
            return word[:at] + word[at + 1 : at + 2] + word[at] + word[at + 2 :]


def test_a_typo_of_a_known_key_gets_the_right_suggestion(tmp_path: Path) -> None:
    draw = random.Random(7)
    lines = PHASE1.splitlines()
    document = parse(PHASE1, "x")
    known = {"name", *option_paths(AbrOptions)}
    keys = [(place, str(loc[-1])) for loc, place in document.keys.items() if len(str(loc[-1])) > 2]
    right, asked = 0, 0
    while asked < 150:
        place, key = draw.choice(keys)
        typo = one_edit(key, draw)
        if typo == key or typo in known or not typo:
            continue
        line = lines[place.line - 1]
        start = place.column - 1
        changed = line[:start] + typo + line[start + len(key) :]
        text = "\n".join([*lines[: place.line - 1], changed, *lines[place.line :]])
        found = outcome(tmp_path / "x.yaml", text)
        assert isinstance(found, FileMistakes), f"{typo} for {key} was accepted"
        asked += 1
        hints = [(problem.hint or "").removeprefix("did you mean ").removesuffix("?") for problem in found.problems]
        right += any(hint == key or hint.endswith(f".{key}") for hint in hints)
    assert right >= 0.95 * asked
