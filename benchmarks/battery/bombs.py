"""Space files made to take for ever, to fill the memory, or to bring a reader down."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

HEAD: Final = "task: abr\nbudget: {trials: 3}\n"
SEARCH: Final = "search:\n  optimizer.lr: {log: [1e-4, 1e-2]}\n"
MANY: Final = 10**5

_WHOLE_NUMBERS: Final = ("batch_size", "epochs", "optimizer.accumulate")
_NUMBERS: Final = (
    *("optimizer.weight_decay", "optimizer.warmup_epochs", "optimizer.clip", "loss.huber_delta"),
    *(
        f"loss.weights.{term}"
        for term in ("class", "signal", "threshold", "peak_exist", "peak_latency", "peak_amplitude")
    ),
)


def _text(make: Callable[[], str]) -> Callable[[Path], Path]:
    def bomb(folder: Path) -> Path:
        file = folder / "bomb.yaml"
        file.write_text(make(), encoding="utf-8")
        return file

    return bomb


def _up_to(last: int) -> str:
    return "[" + ", ".join(map(str, range(1, last + 1))) + "]"


def _laughs() -> str:
    lines = ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 8)]
    return "\n".join(lines)


def _anchors() -> str:
    """Every anchor is used in all that come after it."""
    return "\n".join(f"a{i}: &a{i} [{', '.join(f'*a{j}' for j in range(i))}]" for i in range(240))


def _full() -> str:
    """The most that the limits let through: choices of 256 values, 250 start points outside all of them."""
    choices = "".join(f"  {path}: {{choice: {_up_to(256)}}}\n" for path in (*_WHOLE_NUMBERS, *_NUMBERS))
    points = "".join(f"- {{optimizer.lr: {i}, epochs: 300, batch_size: 300}}\n" for i in range(1, 251))
    return f"{HEAD}{SEARCH}{choices}start_from:\n{points}"


def _patterns() -> str:
    """Conditions on three choices of 256 values that tell thousands of their combinations apart, for the grid."""
    draw = random.Random(0)
    chain = [*_WHOLE_NUMBERS, *_NUMBERS]
    entries = [f"  {chain[0]}: {{choice: {_up_to(256)}}}\n"]
    for above, path in pairwise(chain):
        some = sorted(draw.sample(range(1, 257), 120))
        entries.append(f"  {path}: {{choice: {_up_to(256)}, when: {{{above}: {some}}}}}\n")
    return f"{HEAD}sampler: grid\nsearch:\n{''.join(entries)}"


def _sparse(folder: Path) -> Path:
    file = folder / "sparse.yaml"
    with file.open("wb") as stream:
        stream.truncate(200 * 1024 * 1024)
    return file


def _pipe(folder: Path) -> Path:
    file = folder / "pipe.yaml"
    os.mkfifo(file)
    return file


BOMBS: Final[Mapping[str, Callable[[Path], Path]]] = {
    "billion laughs": _text(_laughs),
    "anchors in anchors": _text(_anchors),
    "an anchor in itself": _text(lambda: HEAD + "search: &a {optimizer.lr: *a}\n"),
    "10^5 brackets": _text(lambda: "[" * MANY),
    "10^5 mappings": _text(lambda: "{a: " * 50_000),
    "10^5 dashes": _text(lambda: "- " * MANY),
    "a scalar of 250 kB": _text(lambda: f"{HEAD}about: {'x' * 250_000}\n{SEARCH}"),
    "a number of 250,000 digits": _text(lambda: f"{HEAD}{SEARCH}seed: {'9' * 250_000}\n"),
    "10^6 keys": _text(lambda: "\n".join(f"{i}: 1" for i in range(10**6))),
    "10^5 entries in 200 kB": _text(lambda: f"{HEAD}a: [{'1,' * MANY}]\n"),
    "5,000 unknown options": _text(
        lambda: HEAD + "train: {" + ", ".join(f"optimizer.lrr{i}: 1" for i in range(4900)) + "}\n"
    ),
    "10^5 spaces in a time": _text(
        lambda: f"{HEAD}{SEARCH}limits: {{time: '1h{' ' * MANY}x', memory: '1{' ' * MANY}x'}}\n"
    ),
    "a name of 10^5 dots": _text(lambda: f"{HEAD}{SEARCH}name: {'a.' * 50_000}\ntrain: {{{'a.' * 500}: 1}}\n"),
    "ordered, count 10^9": _text(
        lambda: f"{HEAD}search:\n  phases.boundaries: {{ordered: {{count: {10**9}, within: [0, 1]}}}}\n"
    ),
    "a grid of 10^12": _text(
        lambda: (
            f"{HEAD}sampler: grid\nsearch:\n"
            + "".join(
                f"  {path}: {{uniform: [0.1, 0.4], points: 10000}}\n"
                for path in ("model.dropout", "optimizer.lr", "loss.huber_delta")
            )
        )
    ),
    "a grid of conditions": _text(_patterns),
    "a simplex of 10^5": _text(
        lambda: f"{HEAD}search:\n  loss.weights: {{simplex: [{', '.join(f'n{i}' for i in range(40_000))}]}}\n"
    ),
    "integers to 10^18, grid": _text(lambda: f"{HEAD}sampler: grid\nsearch:\n  batch_size: {{int: [1, {10**18}]}}\n"),
    "integers to 10^290": _text(
        lambda: f"{HEAD}search:\n  batch_size: {{int: [1, {10**290}], log: true, guess: {10**289}}}\n"
    ),
    "a choice of 10^6": _text(lambda: f"{HEAD}search:\n  batch_size: {{choice: {_up_to(10**6)}}}\n"),
    "10^5 start points": _text(lambda: HEAD + SEARCH + "start_from:\n" + "- {optimizer.lr: 1e-3}\n" * MANY),
    "everything at its limit": _text(_full),
    "a list of 9,000 weights": _text(lambda: f"{HEAD}{SEARCH}train: {{balance.weights: {_up_to(9000)}}}\n"),
    "a sparse file of 200 MB": _sparse,
    "a pipe nobody writes to": _pipe,
    "/dev/zero": lambda _: Path("/dev/zero"),
    "a folder": lambda folder: folder,
}
"""What is put in a reader's way: makes the file in a folder and says where it lies."""
