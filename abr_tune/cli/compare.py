"""`abr-tune compare`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from abr_tune.cli.arguments import Json, Out
from abr_tune.cli.document import echo_json

SIDE: Final = "A run by name or folder, a best.yaml, or the folder of one training."
WIDEST: Final = 12
"""Most classes of a confusion matrix that is printed."""


def compare(
    one: Annotated[str, typer.Argument(metavar="RUN", help=SIDE)],
    other: Annotated[str, typer.Argument(metavar="RUN", help="What is held against it; the same kinds.")],
    out: Out = Path("results"),
    json: Json = False,
) -> None:
    """Hold two results against each other: settings that differ, and metric by metric what came out.

    For each metric both values, the difference, the relative change in percent, the trivial baselines, and whether the
    difference is more than runs of the same configuration differ by (where both were confirmed on several seeds); then
    both confusion matrices. Spaces and tasks may differ; what only one side has is shown with the other empty.

    Examples:

      abr-tune compare phase1 phase2

      abr-tune compare results/phase1/best.yaml results/phase1/trials/12 --json
    """
    from abr_tune.borders import as_damage
    from abr_tune.compare import compare as hold_against
    from abr_tune.plain import visible
    from abr_tune.sides import read_side

    with as_damage(Path(one)):
        a = read_side(one, out)
    with as_damage(Path(other)):
        b = read_side(other, out)
    with as_damage(Path(f"{one} or {other}")):
        found = hold_against(a, b)
        if json:
            echo_json(found.to_json())
        for line in () if json else _lines(found):
            typer.echo(visible(line))


def _lines(found: Any) -> Iterator[str]:
    yield f"a  {found.a}"
    yield f"b  {found.b}"
    yield ""
    if found.settings:
        width = max(len(path) for path in found.settings)
        yield f"{'setting':{width}s}  {'a':>14s}  {'b':>14s}"
        for path, (one, other) in found.settings.items():
            yield f"{path:{width}s}  {_cell(one):>14s}  {_cell(other):>14s}"
    else:
        yield "no setting differs"
    yield ""
    yield from _metrics([row for row in found.metrics if row.delta is not None and not _minor(row.metric)])
    for side, other in (("a", "b"), ("b", "a")):
        only = [row.metric for row in found.metrics if getattr(row, other) is None and not _minor(row.metric)]
        if only:
            yield f"only {side} has {len(only)} more, such as {only[0]}; --json lists them"
    for split, matrices in found.confusion.items():
        yield ""
        yield f"confusion on {split}: rows are true classes, columns predicted ones, recordings in cells"
        for side in ("a", "b"):
            yield from _confusion(side, matrices[side])
    yield ""
    yield from found.notes


def _minor(metric: str) -> bool:
    """What repeats another metric, or describes the data: left to --json."""
    return metric.endswith(":skill") or "/count/" in metric


def _metrics(rows: Sequence[Any]) -> Iterator[str]:
    width = max((len(row.metric) for row in rows), default=6)
    yield f"{'metric':{width}s}  {'a':>9s}  {'b':>9s}  {'b - a':>9s}  {'change':>8s}  {'trivial':>9s}  difference"
    for row in rows:
        change = "-" if row.relative_percent is None else f"{row.relative_percent:+.1f}%"
        trivial = row.baseline_a if row.baseline_a is not None else row.baseline_b
        line = f"{row.metric:{width}s}  {_number(row.a):>9s}  {_number(row.b):>9s}  {_number(row.delta, '+'):>9s}"
        told = f"{row.told}: {row.better} is better" if row.better and row.told == "beyond the spread" else row.told
        yield f"{line}  {change:>8s}  {_number(trivial):>9s}  {told}"


def _confusion(side: str, matrix: Mapping[str, Any] | None) -> Iterator[str]:
    if matrix is None:
        yield f"{side}  none"
        return
    names = [str(name) for name in matrix["classes"]]
    if len(names) > WIDEST:
        yield f"{side}  {len(names)} classes: --json has the matrix, `abr-tune report` draws it"
        return
    width = max(len(name) for name in names)
    yield f"{side}  {'':{width}s}  " + "  ".join(f"{name[:9]:>9s}" for name in names)
    for name, counts in zip(names, matrix["counts"], strict=True):
        yield f"   {name:{width}s}  " + "  ".join(f"{count:9d}" for count in counts)


def _number(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.4f}" if abs(value) < 1e4 else f"{value:{sign}.3g}"


def _cell(value: object) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
